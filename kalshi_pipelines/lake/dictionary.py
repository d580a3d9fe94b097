"""The data dictionary of the lake: what each dataset and each of its columns means, its unit, and its source."""

from typing import Any, Final

import pyarrow as pa
import sqlalchemy as sa

from kalshi_pipelines.lake.archived_columns import MISSING_MARKET, PAST_EVENT, SETTLED_MARKET, ArchivedColumn
from kalshi_pipelines.lake.datasets import (
    CANDLESTICKS_1D,
    CANDLESTICKS_1H,
    CANDLESTICKS_1M,
    CONTRACTS,
    DOLLARS,
    INSTANT,
    MISSING_MARKETS,
    ORDERBOOK_LEVELS,
    PAST_EVENTS,
    PRICE_HISTORY,
    PUBLIC_TRADES,
    SETTLED_MARKETS,
    UUID_BYTES,
    Dataset,
)
from kalshi_pipelines.warehouse import tables
from kalshi_pipelines.warehouse.dictionary import OURS, TABLES, ColumnText, Meaning, TableText, meaning_of
from kalshi_pipelines.warehouse.dictionary.language import texts

_OBSERVED: Final = ColumnText("Time at which we read it. The exchange sends no time of its own.", OURS)
_RECORDED: Final = ColumnText("Version of the record: the time at which a part of it was last written.", OURS)
_BOOK: Final = texts(
    ticker=("Market.", "ticker"),
    side=("Side that is bid for: `yes` or `no`.", "yes_dollars, no_dollars"),
    price=("Price bid for one contract of this side; 0 if the book is empty on both sides.", "yes_dollars, no_dollars"),
    contracts=("Contracts bid at this price; 0 if the book is empty on both sides.", "yes_dollars, no_dollars"),
) | {"observed_time": _OBSERVED}
_TRADE: Final = texts(
    ticker=("Market.", "ticker"),
    created_time=("Time of the trade. Fills of one order that swept several prices share it.", "created_time"),
    trade_id=(
        "Id of the trade. `kalshi_pipelines.data` and DuckDB show it as text or UUID, Polars as 16 bytes.",
        "trade_id",
    ),
    yes_price=("YES price of one contract. The NO price is 1 dollar minus it.", "yes_price_dollars"),
    contracts=("Contracts traded: each is one YES and one NO.", "count_fp"),
    taker_side=("Outcome that the taker's order was for: `yes` or `no`.", "taker_outcome_side"),
    taker_book_side=("Side of the YES book of the taker: `bid` for yes, `ask` for no.", "taker_book_side"),
    is_block=("True if the trade was agreed outside of the orderbook.", "is_block_trade"),
    is_combo=("True if the market is a combo: its ticker begins with KXMVE.", OURS),
)
_RULES: Final = texts(
    rules_secondary=("Further rules.", "rules_secondary"),
    early_close_condition=("Condition of an early close; NULL if there is none.", "early_close_condition"),
    price_ranges=("Price steps.", "price_ranges", "JSON list"),
)
_NO_TRADE: Final = "NULL if nothing was traded in the period"
_CANDLE: Final = texts(
    ticker=("Market.", "market_ticker"),
    end_time=("End of the period. The period includes it.", "end_period_ts"),
    open_price=(f"YES price of the first trade; {_NO_TRADE}.", "price.open_dollars"),
    high_price=(f"Highest YES price; {_NO_TRADE}.", "price.high_dollars"),
    low_price=(f"Lowest YES price; {_NO_TRADE}.", "price.low_dollars"),
    close_price=(f"YES price of the last trade; {_NO_TRADE}.", "price.close_dollars"),
    mean_price=(f"Mean YES price of the period; {_NO_TRADE}.", "price.mean_dollars"),
    previous_price=("YES price of the last trade before the period; NULL if there was none.", "price.previous_dollars"),
    volume=("Contracts traded in the period.", "volume_fp"),
    open_interest=("Contracts held at the end of the period.", "open_interest_fp"),
) | {
    f"yes_{side}_{name}": ColumnText(
        f"{text} YES {side} of the period; {nothing} without one, NULL if not sent.", f"yes_{side}.{name}_dollars"
    )
    for side, nothing in (("bid", "0"), ("ask", "1"))
    for name, text in (("open", "First"), ("high", "Highest"), ("low", "Lowest"), ("close", "Last"))
}


def _candles(length: str) -> TableText:
    return TableText(
        f"A candlestick of a market over {length}, as the exchange computed it.",
        _CANDLE,
        endpoint="GET /markets/candlesticks",
    )


#: The meaning of each dataset, by its name.
DATASET_TEXTS: Final[dict[str, TableText]] = {
    PRICE_HISTORY.name: TableText(
        "A changed quote of a market, with the time we saw it. A day is a trading day in New York.",
        {"observed_time": _OBSERVED},
    ),
    ORDERBOOK_LEVELS.name: TableText(
        "A price level of a stored orderbook, by New York day.", _BOOK, endpoint="GET /markets/orderbooks"
    ),
    SETTLED_MARKETS.name: TableText(
        "The whole record of a settled market, by the New York day of its settlement.",
        {"recorded_time": _RECORDED} | _RULES,
        endpoint="GET /markets",
    ),
    MISSING_MARKETS.name: TableText(
        "The last record of a market that the exchange has lost, by the New York day since which it is missing.",
        {"recorded_time": _RECORDED} | _RULES,
        endpoint="GET /markets",
    ),
    PAST_EVENTS.name: TableText(
        "The record of an event whose markets have all left the warehouse, by the New York day of its end.",
        {
            "ended_time": ColumnText("Last settlement of its markets, or the last change if none settled.", OURS),
            "recorded_time": _RECORDED,
        },
    ),
    PUBLIC_TRADES.name: TableText(
        "A trade of the exchange, by UTC day. The order of the feed is (created_time, trade_id).",
        _TRADE,
        endpoint="GET /markets/trades",
    ),
    CANDLESTICKS_1M.name: _candles("one minute"),
    CANDLESTICKS_1H.name: _candles("one hour"),
    CANDLESTICKS_1D.name: _candles("one New York day"),
}
_ARCHIVED: Final[dict[str, dict[str, ArchivedColumn]]] = {
    MISSING_MARKETS.name: {column.name: column for column in MISSING_MARKET},
    SETTLED_MARKETS.name: {column.name: column for column in SETTLED_MARKET},
    PAST_EVENTS.name: {column.name: column for column in PAST_EVENT},
}
_SUFFIXES: Final = ("", "_microdollars", "_centicontracts", "_us")


def field_meaning(dataset: Dataset, name: str) -> Meaning:
    """Return the meaning of a column of a dataset.

    Raises:
        KeyError: The dictionary does not describe the column.
    """
    described, kind = DATASET_TEXTS[dataset.name], dataset.schema.field(name).type
    own = described.columns.get(name)
    if own is not None:
        is_field = own.source not in (None, OURS)
        source = f"{described.endpoint}: `{own.source}`" if is_field else OURS
        return Meaning(own.text, own.unit or _unit(kind), source)
    from_warehouse = meaning_of(_column(dataset, name))
    is_plain = kind in (DOLLARS, CONTRACTS, INSTANT)
    return Meaning(from_warehouse.text, _unit(kind) if is_plain else from_warehouse.unit, from_warehouse.source)


def _column(dataset: Dataset, name: str) -> sa.Column[Any]:
    archived = _ARCHIVED.get(dataset.name, {}).get(name)
    if archived is not None and archived.table in TABLES:
        return tables.metadata.tables[archived.table].c[archived.column]
    if dataset is PRICE_HISTORY:
        for suffix in _SUFFIXES:
            if f"{name}{suffix}" in tables.quotes.c:
                return tables.quotes.c[f"{name}{suffix}"]
    raise KeyError(f"describe {dataset.name}.{name} in kalshi_pipelines/lake/dictionary.py")


def _unit(kind: pa.DataType) -> str:
    names = {DOLLARS: "dollars", CONTRACTS: "contracts", INSTANT: "time in UTC", UUID_BYTES: "UUID"}
    return names.get(kind, "true or false" if pa.types.is_boolean(kind) else "text")
