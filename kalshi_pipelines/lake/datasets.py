"""Datasets of the lake: the schema of their files, and the rule for rows with the same key."""

from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from kalshi_pipelines.lake.archived_columns import PAST_EVENT, SETTLED_MARKET, ArchivedColumn, ArchivedKind
from kalshi_pipelines.warehouse.tables import QUOTE_COUNTS, QUOTE_OPTIONAL, QUOTE_PRICES

DOLLARS: Final = pa.decimal128(18, 6)
CONTRACTS: Final = pa.decimal128(18, 2)
INSTANT: Final = pa.timestamp("us", tz="UTC")

_DOLLARS_SUFFIX: Final = "_microdollars"
_CONTRACTS_SUFFIX: Final = "_centicontracts"
#: Columns of the price history, as the warehouse names them.
PRICE_COLUMNS: Final = QUOTE_PRICES
COUNT_COLUMNS: Final = (*QUOTE_COUNTS, "volume_24h_centicontracts")


@dataclass(frozen=True)
class Dataset:
    """A folder of the lake whose files have one schema.

    Attributes:
        name: Folder of the dataset in the lake.
        schema: Schema of the files.
        key: Columns that identify a row. Files are sorted by these columns.
        time: Column whose smallest and largest value the manifest records.
        newest: Column that decides between rows of the same key: the row with the largest value is kept. None if rows
            of the same key must be equal.
    """

    name: str
    schema: pa.Schema
    key: tuple[str, ...]
    time: str
    newest: str | None = None

    @property
    def is_keyed_by_time(self) -> bool:
        """Whether the time is a part of the key. Each row of such a dataset is inside its partition's day."""
        return self.time in self.key


def exact_decimals(integers: pa.Array, decimal_type: pa.DataType) -> pa.Array:
    """Return integers as decimals: each integer counts units of the last digit.

    570000 becomes 0.570000 in ``decimal128(18, 6)``.
    """
    whole = integers.cast(pa.decimal128(19, 0))
    return pa.Array.from_buffers(decimal_type, len(whole), whole.buffers(), whole.null_count, whole.offset)


PRICE_HISTORY: Final = Dataset(
    "price_history",
    pa.schema(
        [
            pa.field("ticker", pa.string(), nullable=False),
            pa.field("observed_time", INSTANT, nullable=False),
            *[pa.field(name.removesuffix(_DOLLARS_SUFFIX), DOLLARS, name in QUOTE_OPTIONAL) for name in PRICE_COLUMNS],
            *[
                pa.field(name.removesuffix(_CONTRACTS_SUFFIX), CONTRACTS, name in QUOTE_OPTIONAL)
                for name in COUNT_COLUMNS
            ],
        ]
    ),
    key=("ticker", "observed_time"),
    time="observed_time",
)
ORDERBOOK_LEVELS: Final = Dataset(
    "orderbook_levels",
    pa.schema(
        [
            pa.field("ticker", pa.string(), nullable=False),
            pa.field("observed_time", INSTANT, nullable=False),
            pa.field("side", pa.string(), nullable=False),
            pa.field("price", DOLLARS, nullable=False),
            pa.field("contracts", CONTRACTS, nullable=False),
        ]
    ),
    key=("ticker", "observed_time", "side", "price"),
    time="observed_time",
)
_TYPES: Final = {
    ArchivedKind.TEXT: pa.string(),
    ArchivedKind.NUMBER: pa.int64(),
    ArchivedKind.FLAG: pa.bool_(),
    ArchivedKind.DOLLARS: DOLLARS,
    ArchivedKind.CONTRACTS: CONTRACTS,
    ArchivedKind.INSTANT: INSTANT,
}


def _schema_of(columns: tuple[ArchivedColumn, ...]) -> pa.Schema:
    return pa.schema([pa.field(one.name, _TYPES[one.kind], nullable=not one.is_required) for one in columns])


#: Whole records of settled markets. A market is in the partition of the day on which it settled.
SETTLED_MARKETS: Final = Dataset(
    "settled_markets", _schema_of(SETTLED_MARKET), key=("ticker",), time="settled_time", newest="recorded_time"
)
#: Records of events that have no market in the warehouse any more.
PAST_EVENTS: Final = Dataset(
    "past_events", _schema_of(PAST_EVENT), key=("event_ticker",), time="ended_time", newest="recorded_time"
)
_ALL: Final = (PRICE_HISTORY, ORDERBOOK_LEVELS, SETTLED_MARKETS, PAST_EVENTS)
#: Every dataset by its name. Verification and rebuilding cover exactly these.
DATASETS: Final[dict[str, Dataset]] = {each.name: each for each in _ALL}
