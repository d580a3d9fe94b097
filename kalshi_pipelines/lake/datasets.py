"""Datasets of the lake: the schema of their files, and the rule for rows with the same key."""

import datetime as dt
from dataclasses import dataclass
from functools import cached_property
from typing import Final
from zoneinfo import ZoneInfo

import pyarrow as pa

from kalshi_pipelines.lake.archived_columns import (
    MISSING_MARKET,
    PAST_EVENT,
    SETTLED_MARKET,
    ArchivedColumn,
    ArchivedKind,
)
from kalshi_pipelines.units import EXCHANGE_TIME_ZONE, instant, microseconds
from kalshi_pipelines.warehouse.tables import QUOTE_COUNTS, QUOTE_OPTIONAL, QUOTE_PRICES

DOLLARS: Final = pa.decimal128(18, 6)
CONTRACTS: Final = pa.decimal128(18, 2)
INSTANT: Final = pa.timestamp("us", tz="UTC")
#: A UUID in memory. Arrow can sort and compare these bytes, but not its own UUID type, which the files have.
UUID_BYTES: Final = pa.binary(16)
UTC: Final = ZoneInfo("UTC")

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
        schema: Schema of the rows in memory. The files have :attr:`file_schema`.
        key: Columns that identify a row. Files are sorted by these columns.
        time: Column whose smallest and largest value the manifest records.
        newest: Column that decides between rows of the same key: the row with the largest value is kept. None if rows
            of the same key must be equal.
        zone: Time zone of the days.
        is_period_end: Whether the time is the end of a period. The last instant of a day then belongs to that day.
        is_backfilled: Whether rows of past days are read from the exchange day by day. Only the backfill knows when
            such a day is complete, so only the backfill closes it.
        even_times: Columns of times that are written as differences, because they grow from row to row.
    """

    name: str
    schema: pa.Schema
    key: tuple[str, ...]
    time: str
    newest: str | None = None
    zone: ZoneInfo = EXCHANGE_TIME_ZONE
    is_period_end: bool = False
    is_backfilled: bool = False
    even_times: tuple[str, ...] = ()

    @property
    def is_keyed_by_time(self) -> bool:
        """Whether the time is a part of the key. Each row of such a dataset is inside its partition's day."""
        return self.time in self.key

    @cached_property
    def file_schema(self) -> pa.Schema:
        """Schema of the files: as in memory, but UUIDs have the type that readers show as text."""
        return pa.schema([field.with_type(pa.uuid()) if field.type == UUID_BYTES else field for field in self.schema])

    def day_of(self, time_us: int) -> dt.date:
        """Return the day that a row of this time belongs to."""
        return instant(time_us - self.is_period_end).astimezone(self.zone).date()

    def bounds_of(self, day: dt.date, hour: int = 0, hours: int = 24) -> tuple[int, int]:
        """Return the first time of some hours of a day, and the first time after them, in microseconds."""
        first, after = (self._hour(day, each) for each in (hour, hour + hours))
        return first + self.is_period_end, after + self.is_period_end

    def _hour(self, day: dt.date, hour: int) -> int:
        if hour == 24:
            return self._hour(day + dt.timedelta(days=1), 0)
        return microseconds(dt.datetime.combine(day, dt.time(hour), self.zone))


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
#: Last records of markets that the exchange neither lists nor archives. A market that is lost twice has two rows.
MISSING_MARKETS: Final = Dataset(
    "missing_markets",
    _schema_of(MISSING_MARKET),
    key=("ticker", "missing_time"),
    time="missing_time",
    newest="recorded_time",
)
#: Trades of the whole exchange, by UTC day. The feed's own order is (created_time, trade_id).
PUBLIC_TRADES: Final = Dataset(
    "public_trades",
    pa.schema(
        [
            pa.field("ticker", pa.string(), nullable=False),
            pa.field("created_time", INSTANT, nullable=False),
            pa.field("trade_id", UUID_BYTES, nullable=False),
            pa.field("yes_price", DOLLARS, nullable=False),
            pa.field("contracts", CONTRACTS, nullable=False),
            pa.field("taker_side", pa.string(), nullable=False),
            pa.field("taker_book_side", pa.string(), nullable=False),
            pa.field("is_block", pa.bool_(), nullable=False),
            pa.field("is_combo", pa.bool_(), nullable=False),
        ]
    ),
    key=("ticker", "created_time", "trade_id"),
    time="created_time",
    zone=UTC,
    is_backfilled=True,
    even_times=("created_time",),
)
_CANDLE_PRICES: Final = ("open", "high", "low", "close")
_CANDLESTICKS: Final = pa.schema(
    [
        pa.field("ticker", pa.string(), nullable=False),
        pa.field("end_time", INSTANT, nullable=False),
        *[pa.field(f"{name}_price", DOLLARS) for name in (*_CANDLE_PRICES, "mean", "previous")],
        *[pa.field(f"{side}_{name}", DOLLARS) for side in ("yes_bid", "yes_ask") for name in _CANDLE_PRICES],
        pa.field("volume", CONTRACTS, nullable=False),
        pa.field("open_interest", CONTRACTS, nullable=False),
    ]
)


def _candlesticks(period: str) -> Dataset:
    return Dataset(
        f"candlesticks_{period}",
        _CANDLESTICKS,
        key=("ticker", "end_time"),
        time="end_time",
        is_period_end=True,
        is_backfilled=True,
        even_times=("end_time",),
    )


#: Candlesticks of one minute, one hour and one day. A candle is in the partition of the day in which its period ends.
CANDLESTICKS_1M: Final = _candlesticks("1m")
CANDLESTICKS_1H: Final = _candlesticks("1h")
CANDLESTICKS_1D: Final = _candlesticks("1d")
_ALL: Final = (
    PRICE_HISTORY,
    ORDERBOOK_LEVELS,
    SETTLED_MARKETS,
    PAST_EVENTS,
    MISSING_MARKETS,
    PUBLIC_TRADES,
    CANDLESTICKS_1M,
    CANDLESTICKS_1H,
    CANDLESTICKS_1D,
)
#: Every dataset by its name. Verification and rebuilding cover exactly these.
DATASETS: Final[dict[str, Dataset]] = {each.name: each for each in _ALL}
