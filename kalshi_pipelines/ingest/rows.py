"""Tables that state which field of a wire record fills which column, and how its value is converted.

Money, counts and times become exact integers. Values for which the vendor documents no fixed structure become JSON
text. Values that the database refuses, such as a price above one dollar or an unknown status, are not checked here.
"""

import datetime as dt
import hashlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter
from typing import Any, Final, Generic, NamedTuple, TypeVar

import msgspec
from msgspec.structs import astuple

from kalshi_pipelines.bookkeeping.stamps import PROVENANCE, Stamp
from kalshi_pipelines.ingest.market_parts import QUOTE_FIELDS
from kalshi_pipelines.kalshi.records import Event, Market, Orderbook, Series
from kalshi_pipelines.units import centicontracts, microdollars, microseconds
from kalshi_pipelines.warehouse.bulk import Row
from kalshi_pipelines.warehouse.tables import PREVIOUS_DAY_PRICES, QUOTE, QUOTE_PRICES

Record = TypeVar("Record", bound=msgspec.Struct)
Converter = Callable[[Any], object]

_MOST_REMEMBERED: Final = 1 << 16


class _Remembered(dict[str, int]):
    """Converted values by their text. Looking up a known text takes a third of the time of ``lru_cache``."""

    def __init__(self, convert: Callable[[str], int]) -> None:
        super().__init__()
        self._convert = convert

    def __missing__(self, text: str) -> int:
        if len(self) >= _MOST_REMEMBERED:
            self.clear()
        value = self[text] = self._convert(text)
        return value


# Markets repeat the same few thousand prices millions of times, so converted prices are remembered. Counts repeat too
# rarely: remembering them takes as long as converting them, and some megabytes.
_prices: Final = _Remembered(microdollars)
price: Final = _prices.__getitem__
count: Final = centicontracts

_encode: Final = msgspec.json.Encoder().encode
_TEXT_DIGEST_BYTES: Final = 16
_NEVER: Final = 1


class ColumnSource(NamedTuple):
    """The field of a wire record that fills a column, and the function that converts its value.

    A null stays null: the converter is not called for it.
    """

    column: str
    field: str
    convert: Converter


@dataclass(frozen=True)
class RowLayout(Generic[Record]):
    """The columns of one kind of row, and the function that makes such a row.

    Attributes:
        columns: Names of the columns, in the order of the row's values. The record's key comes first.
        row: Makes a row. The arguments are the record, its digest, its unknown fields as JSON text and the provenance.
            Raises InexactValue if a price or count is not an exact decimal text.
        sources: The table from which the columns and the function were compiled. Empty if the function is handwritten.
    """

    columns: tuple[str, ...]
    row: Callable[[Record, bytes, str | None, Stamp], Row]
    sources: tuple[ColumnSource, ...] = ()


def row_layout(
    record: type[Record],
    table: Sequence[tuple[str, str, Converter]],
    left_out: Collection[str] = (),
    digest_column: str = "record_digest",
) -> RowLayout[Record]:
    """Compile a table of fields and columns into a row layout for one record type.

    The columns follow the order of the record's fields, because ``astuple`` reads all fields at once. For the 54 fields
    of a market ``astuple`` takes a sixth of the time of ``attrgetter``. Every field of the record must be in the table
    or in ``left_out``.
    """
    sources = tuple(ColumnSource(*entry) for entry in table)
    by_field = {source.field: source for source in sources}
    fields = record.__struct_fields__
    if len(by_field) != len(sources) or sorted([*by_field, *left_out]) != sorted(fields):
        raise RuntimeError(f"the table of {record.__name__} does not name each field of the record exactly once")
    conversions = tuple(
        (position, by_field[field].convert)
        for position, field in enumerate(fields)
        if field in by_field and by_field[field].convert is not _as_is
    )
    dropped = sorted((fields.index(field) for field in left_out), reverse=True)

    def row(record: Record, digest: bytes, unknown_fields: str | None, stamp: Stamp) -> Row:
        recorded_us = stamp.recorded_us
        values = [*astuple(record), digest, False, unknown_fields, recorded_us, recorded_us, stamp.ingest_run_id]
        for position, convert in conversions:
            if (value := values[position]) is not None:
                values[position] = convert(value)
        for position in dropped:
            del values[position]
        return tuple(values)

    stored = [by_field[field].column for field in fields if field in by_field]
    return RowLayout((*stored, digest_column, "is_placeholder", *PROVENANCE), row, sources)


def _as_is(value: object) -> object:
    return value


def _time(instant: dt.datetime) -> int | None:
    """Return microseconds since 1970 UTC; None for the year 1, which the exchange writes for "never"."""
    return None if instant.year == _NEVER else microseconds(instant)


def _json(raw: msgspec.Raw) -> str | None:
    text = str(raw, "utf-8")
    return text if text and text != "null" else None


@lru_cache(maxsize=1 << 12)
def text_digest(text: str) -> bytes:
    """Return the key of a text in the table ``rule_texts``."""
    return hashlib.sha256(text.encode()).digest()[:_TEXT_DIGEST_BYTES]


def _json_digest(raw: msgspec.Raw) -> bytes | None:
    text = _json(raw)
    return None if text is None else text_digest(text)


def shared_texts(market: Market) -> list[str]:
    """Return the texts of a market that are stored once for all markets."""
    texts = (market.rules_secondary, market.early_close_condition, _json(market.price_ranges))
    return [text for text in texts if text is not None]


SERIES_ROWS: Final = row_layout(
    Series,
    (
        ("ticker", "ticker", _as_is),
        ("frequency", "frequency", _as_is),
        ("title", "title", _as_is),
        ("category", "category", _as_is),
        ("tags", "tags", _json),
        ("settlement_sources", "settlement_sources", _json),
        ("contract_url", "contract_url", _as_is),
        ("contract_terms_url", "contract_terms_url", _as_is),
        ("fee_type", "fee_type", _as_is),
        ("fee_multiplier", "fee_multiplier", str),
        ("additional_prohibitions", "additional_prohibitions", _json),
        ("categories", "categories", _json),
        ("product_metadata", "product_metadata", _json),
        ("volume_centicontracts", "volume_fp", count),
        ("last_updated_us", "last_updated_ts", _time),
        ("exchange_index", "exchange_index", _as_is),
    ),
)

EVENT_ROWS: Final = row_layout(
    Event,
    (
        ("event_ticker", "event_ticker", _as_is),
        ("series_ticker", "series_ticker", _as_is),
        ("sub_title", "sub_title", _as_is),
        ("title", "title", _as_is),
        ("collateral_return_type", "collateral_return_type", _as_is),
        ("mutually_exclusive", "mutually_exclusive", _as_is),
        ("category", "category", _as_is),
        ("strike_date_us", "strike_date", _time),
        ("strike_period", "strike_period", _as_is),
        ("product_metadata", "product_metadata", _json),
        ("settlement_sources", "settlement_sources", _json),
        ("last_updated_us", "last_updated_ts", _time),
        ("fee_type_override", "fee_type_override", _as_is),
        ("fee_multiplier_override", "fee_multiplier_override", str),
        ("exchange_index", "exchange_index", _as_is),
    ),
    left_out=("markets",),
)

#: Rows of the facts of markets. Their quotes are in the table ``quotes``.
MARKET_ROWS: Final = row_layout(
    Market,
    (
        ("ticker", "ticker", _as_is),
        ("event_ticker", "event_ticker", _as_is),
        ("market_type", "market_type", _as_is),
        ("yes_sub_title", "yes_sub_title", _as_is),
        ("no_sub_title", "no_sub_title", _as_is),
        ("created_time_us", "created_time", _time),
        ("updated_time_us", "updated_time", _time),
        ("open_time_us", "open_time", _time),
        ("close_time_us", "close_time", _time),
        ("latest_expiration_time_us", "latest_expiration_time", _time),
        ("settlement_timer_seconds", "settlement_timer_seconds", _as_is),
        ("status", "status", _as_is),
        ("notional_value_microdollars", "notional_value_dollars", price),
        ("result", "result", _as_is),
        ("can_close_early", "can_close_early", _as_is),
        ("expiration_value", "expiration_value", _as_is),
        ("rules_primary", "rules_primary", _as_is),
        ("rules_secondary_digest", "rules_secondary", text_digest),
        ("price_level_structure", "price_level_structure", _as_is),
        ("price_ranges_digest", "price_ranges", _json_digest),
        ("title", "title", _as_is),
        ("subtitle", "subtitle", _as_is),
        ("expected_expiration_time_us", "expected_expiration_time", _time),
        ("expiration_time_us", "expiration_time", _time),
        ("settlement_value_microdollars", "settlement_value_dollars", price),
        ("settlement_time_us", "settlement_ts", _time),
        ("settlement_bounds_type", "settlement_bounds_type", _as_is),
        ("settlement_floor_microdollars", "settlement_floor_dollars", price),
        ("occurrence_time_us", "occurrence_datetime", _time),
        ("fee_waiver_expiration_time_us", "fee_waiver_expiration_time", _time),
        ("early_close_condition_digest", "early_close_condition", text_digest),
        ("strike_type", "strike_type", _as_is),
        ("floor_strike", "floor_strike", str),
        ("cap_strike", "cap_strike", str),
        ("functional_strike", "functional_strike", _as_is),
        ("custom_strike", "custom_strike", _json),
        ("mve_collection_ticker", "mve_collection_ticker", _as_is),
        ("mve_selected_legs", "mve_selected_legs", _json),
        ("primary_participant_key", "primary_participant_key", _as_is),
        ("is_provisional", "is_provisional", _as_is),
        ("exchange_index", "exchange_index", _as_is),
    ),
    left_out=QUOTE_FIELDS,
    digest_column="facts_digest",
)


#: Columns of a quote, in the order of ``QUOTE_FIELDS``. The columns of a price snapshot come first.
QUOTE_COLUMNS: Final = (*QUOTE, "volume_24h_centicontracts", *PREVIOUS_DAY_PRICES)
_PRICES: Final = len(QUOTE_PRICES)
_PREVIOUS: Final = len(PREVIOUS_DAY_PRICES)
_price_texts: Final = attrgetter(*QUOTE_FIELDS[:_PRICES], *QUOTE_FIELDS[-_PREVIOUS:])
_count_texts: Final = attrgetter(*QUOTE_FIELDS[_PRICES:-_PREVIOUS])


def quote_values(quote: object) -> tuple[int, ...]:
    """Return the values of the columns of a quote, from an object whose attributes are the quote's fields.

    Raises:
        InexactValue: A price or count is not an exact decimal text.
    """
    prices = [*map(price, _price_texts(quote))]
    return (*prices[:_PRICES], *map(count, _count_texts(quote)), *prices[_PRICES:])


class _BookSide(NamedTuple):
    best_price: int | None
    best_size: int | None
    depth: int
    levels: str


#: The orderbook column that each field of ``_BookSide`` fills.
_SIDE_COLUMNS: Final = {
    "best_price": "best_{side}_bid_microdollars",
    "best_size": "best_{side}_bid_size_centicontracts",
    "depth": "{side}_depth_centicontracts",
    "levels": "{side}_levels",
}


def _book_side(wire_levels: list[tuple[str, str]] | None) -> _BookSide:
    if not wire_levels:
        return _EMPTY_SIDE
    levels = [(price(dollars), count(contracts)) for dollars, contracts in wire_levels]
    best_price, best_size = max(levels)
    depth = sum([size for _, size in levels])
    return _BookSide(best_price, best_size, depth, _encode(levels).decode())


_EMPTY_SIDE: Final = _BookSide(None, None, 0, "[]")


def _orderbook_row(record: Orderbook, digest: bytes, unknown_fields: str | None, stamp: Stamp) -> Row:
    return (
        record.ticker,
        *_book_side(record.orderbook_fp.yes_dollars),
        *_book_side(record.orderbook_fp.no_dollars),
        digest,
        unknown_fields,
        stamp.recorded_us,
        stamp.ingest_run_id,
    )


#: Rows of orderbooks: best level, depth and all levels of both sides. The exchange sends bids only.
ORDERBOOK_ROWS: Final = RowLayout(
    (
        "ticker",
        *[_SIDE_COLUMNS[field].format(side=side) for side in ("yes", "no") for field in _BookSide._fields],
        "record_digest",
        "unknown_fields",
        "observed_us",
        "ingest_run_id",
    ),
    _orderbook_row,
)
