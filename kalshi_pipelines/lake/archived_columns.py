"""Columns of the datasets that keep whole records: settled markets, and events without markets.

A column names the table and column of the warehouse that its values come from. The lists are explicit, so that a new
column of a table does not change the files.
"""

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from kalshi_pipelines.warehouse.tables import SHARED_TEXTS


class ArchivedKind(Enum):
    """The kinds of values in these datasets."""

    TEXT = auto()
    NUMBER = auto()
    FLAG = auto()
    DOLLARS = auto()
    CONTRACTS = auto()
    INSTANT = auto()


@dataclass(frozen=True)
class ArchivedColumn:
    """A column of a dataset, and the column of the warehouse that it is made from.

    Attributes:
        name: Name in the dataset.
        table: Table of the warehouse, or the name of a shared text in ``rule_texts``.
        column: Column of that table.
        kind: The kind of its values.
        is_required: Whether every row has a value.
    """

    name: str
    table: str
    column: str
    kind: ArchivedKind
    is_required: bool = False


_TEXT: Final = ArchivedKind.TEXT
_NUMBER: Final = ArchivedKind.NUMBER
_FLAG: Final = ArchivedKind.FLAG
_DOLLARS: Final = ArchivedKind.DOLLARS
_CONTRACTS: Final = ArchivedKind.CONTRACTS
_INSTANT: Final = ArchivedKind.INSTANT
_SUFFIXES: Final = {_DOLLARS: "_microdollars", _CONTRACTS: "_centicontracts", _INSTANT: "_us"}


def _columns(table: str, kind: ArchivedKind, *names: str, prefix: str = "") -> list[ArchivedColumn]:
    suffix = _SUFFIXES.get(kind, "")
    return [ArchivedColumn(f"{prefix}{name}", table, f"{name}{suffix}", kind) for name in names]


SETTLED_MARKET: Final[tuple[ArchivedColumn, ...]] = (
    ArchivedColumn("ticker", "settlements", "ticker", _TEXT, is_required=True),
    ArchivedColumn("settled_time", "settlements", "settled_us", _INSTANT, is_required=True),
    ArchivedColumn("recorded_time", "", "recorded_us", _INSTANT, is_required=True),
    ArchivedColumn("settlement_result", "settlements", "result", _TEXT),
    *_columns("settlements", _DOLLARS, "yes_payout", "no_payout", "final_yes_price", "final_no_price"),
    *_columns("markets", _TEXT, "event_ticker", "title", "subtitle", "yes_sub_title", "no_sub_title"),
    *_columns("markets", _TEXT, "market_type", "status", "result", "expiration_value"),
    *_columns("markets", _INSTANT, "created_time", "updated_time", "open_time", "close_time"),
    *_columns("markets", _INSTANT, "latest_expiration_time", "expiration_time", "expected_expiration_time"),
    *_columns("markets", _INSTANT, "occurrence_time", "settlement_time", "fee_waiver_expiration_time"),
    *_columns("markets", _NUMBER, "settlement_timer_seconds", "exchange_index"),
    *_columns("markets", _DOLLARS, "notional_value", "settlement_value", "settlement_floor"),
    *_columns("markets", _TEXT, "settlement_bounds_type", "price_level_structure"),
    *_columns("markets", _FLAG, "can_close_early", "is_provisional"),
    *_columns("markets", _TEXT, "strike_type", "floor_strike", "cap_strike", "functional_strike", "custom_strike"),
    *_columns("markets", _TEXT, "mve_collection_ticker", "mve_selected_legs", "primary_participant_key"),
    *_columns("markets", _TEXT, "rules_primary"),
    *[ArchivedColumn(name, name, "text", _TEXT) for name in SHARED_TEXTS],
    *_columns("markets", _TEXT, "unknown_fields"),
    ArchivedColumn("first_seen_time", "markets", "first_seen_us", _INSTANT),
    *_columns("quotes", _DOLLARS, "yes_bid", "yes_ask", "no_bid", "no_ask", "last_price"),
    *_columns("quotes", _CONTRACTS, "yes_bid_size", "yes_ask_size", "volume", "open_interest", "volume_24h"),
    *_columns("quotes", _DOLLARS, "previous_yes_bid", "previous_yes_ask", "previous_price"),
    ArchivedColumn("quoted_time", "quotes", "observed_us", _INSTANT),
    *_columns("events", _TEXT, "series_ticker"),
    *_columns("events", _TEXT, "title", "sub_title", "category", prefix="event_"),
    *_columns("events", _FLAG, "mutually_exclusive"),
    *_columns("events", _TEXT, "collateral_return_type"),
    ArchivedColumn("strike_time", "events", "strike_date_us", _INSTANT),
    *_columns("events", _TEXT, "strike_period"),
    *_columns("series", _TEXT, "title", "category", prefix="series_"),
    *_columns("series", _TEXT, "frequency", "fee_type", "fee_multiplier"),
)

#: The last record of a market that the exchange has lost: as that of a settled market, without the settlement.
MISSING_MARKET: Final[tuple[ArchivedColumn, ...]] = (
    ArchivedColumn("ticker", "markets", "ticker", _TEXT, is_required=True),
    ArchivedColumn("missing_time", "markets", "missing_since_us", _INSTANT, is_required=True),
    ArchivedColumn("recorded_time", "", "recorded_us", _INSTANT, is_required=True),
    *[column for column in SETTLED_MARKET if column.table not in ("", "settlements")],
)

PAST_EVENT: Final[tuple[ArchivedColumn, ...]] = (
    ArchivedColumn("event_ticker", "events", "event_ticker", _TEXT, is_required=True),
    ArchivedColumn("ended_time", "", "ended_us", _INSTANT, is_required=True),
    ArchivedColumn("recorded_time", "events", "recorded_us", _INSTANT, is_required=True),
    ArchivedColumn("last_settlement_time", "events", "last_settlement_us", _INSTANT),
    *_columns("events", _TEXT, "series_ticker", "title", "sub_title", "category", "collateral_return_type"),
    *_columns("events", _FLAG, "mutually_exclusive"),
    ArchivedColumn("strike_time", "events", "strike_date_us", _INSTANT),
    *_columns("events", _TEXT, "strike_period", "fee_type_override", "fee_multiplier_override"),
    *_columns("events", _TEXT, "settlement_sources", "product_metadata"),
    ArchivedColumn("last_updated_time", "events", "last_updated_us", _INSTANT),
    *_columns("events", _NUMBER, "exchange_index"),
    *_columns("events", _TEXT, "unknown_fields"),
    ArchivedColumn("first_seen_time", "events", "first_seen_us", _INSTANT),
    *_columns("series", _TEXT, "title", "category", prefix="series_"),
    *_columns("series", _TEXT, "frequency", "fee_type", "fee_multiplier"),
)
