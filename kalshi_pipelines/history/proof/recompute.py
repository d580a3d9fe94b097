"""Candlesticks computed from public trades, to compare with the candlesticks of the exchange.

A period includes its end and not its beginning, as the exchange documents ``end_period_ts``. Hours and minutes are
those of UTC; days end at midnight in New York.

The order of trades is (created_time, trade_id). Fills of one order that swept several prices have the same time, and
the exchange does not publish their order. ``first_prices`` and ``last_prices`` therefore have every price that can
be the true open or close.
"""

from decimal import Decimal
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from kalshi_pipelines.lake.datasets import (
    CANDLESTICKS_1D,
    CANDLESTICKS_1H,
    CANDLESTICKS_1M,
    CONTRACTS,
    DOLLARS,
    INSTANT,
    Dataset,
    exact_decimals,
)
from kalshi_pipelines.units import DAY_US, EXCHANGE_TIME_ZONE, HOUR_US, MINUTE_US

#: Decimals of the computed mean.
MEAN_DECIMALS: Final = 6
_EVEN_PERIODS: Final = {CANDLESTICKS_1M.name: MINUTE_US, CANDLESTICKS_1H.name: HOUR_US}
_GROUP: Final = ["ticker", "end_time"]
_VALUE: Final = pa.decimal256(48, 8)
#: Columns of computed candlesticks.
SCHEMA: Final = pa.schema(
    [
        pa.field("ticker", pa.string(), nullable=False),
        pa.field("end_time", INSTANT, nullable=False),
        *[pa.field(f"{name}_price", DOLLARS, nullable=False) for name in ("open", "high", "low", "close", "mean")],
        pa.field("volume", CONTRACTS, nullable=False),
        pa.field("trades", pa.int64(), nullable=False),
        pa.field("first_prices", pa.list_(DOLLARS), nullable=False),
        pa.field("last_prices", pa.list_(DOLLARS), nullable=False),
    ]
)


def recompute_candles(trades: pa.Table, length: Dataset, *, includes_blocks: bool = True) -> pa.Table:
    """Return one candlestick for each market and period with trades, sorted by ticker and time.

    Periods that can have further trades outside of the table must be left out by the caller.

    Args:
        trades: Trades with the columns of ``public_trades``, in any order, each once.
        length: The dataset of candlesticks whose periods are wanted, such as ``CANDLESTICKS_1M``.
        includes_blocks: Whether block trades count.
    """
    if not includes_blocks:
        trades = trades.filter(pc.invert(trades["is_block"]))
    if not trades.num_rows:
        return SCHEMA.empty_table()
    value = pc.multiply(trades["yes_price"].cast(pa.decimal256(18, 6)), trades["contracts"].cast(pa.decimal256(18, 2)))
    ordered = (
        trades.select(["ticker", "created_time", "trade_id", "contracts"])
        .append_column("price", _microdollars(trades["yes_price"]))
        .append_column("end_time", _period_ends(trades["created_time"], length))
        .append_column("value", value.cast(_VALUE))
        .sort_by([("ticker", "ascending"), ("created_time", "ascending"), ("trade_id", "ascending")])
    )
    # The order of rows decides the first and the last price, so the groups must not be made by several threads.
    found = ordered.group_by(_GROUP, use_threads=False).aggregate(
        [
            ("price", "first"),
            ("price", "max"),
            ("price", "min"),
            ("price", "last"),
            ("contracts", "sum"),
            ("value", "sum"),
            ("price", "count"),
            ("created_time", "min"),
            ("created_time", "max"),
        ]
    )
    mean = pc.divide(found["value_sum"].cast(_VALUE), found["contracts_sum"].cast(pa.decimal256(20, 2)))
    columns = [
        *[found[name] for name in _GROUP],
        *[_dollars(found[f"price_{name}"].combine_chunks()) for name in ("first", "max", "min", "last")],
        pc.round(mean, MEAN_DECIMALS),
        found["contracts_sum"],
        found["price_count"],
        *[_prices_at(ordered, found, name) for name in ("created_time_min", "created_time_max")],
    ]
    cast = [column.cast(field.type) for column, field in zip(columns, SCHEMA, strict=True)]
    return pa.table(cast, schema=SCHEMA).sort_by([(name, "ascending") for name in _GROUP])


def _microdollars(prices: pa.ChunkedArray) -> pa.ChunkedArray:
    # Arrow cannot take the first or the different ones of decimals.
    return pc.multiply(prices, pa.scalar(Decimal(1_000_000), pa.decimal128(7, 0))).cast(pa.int64())


def _dollars(microdollars: pa.Array) -> pa.Array:
    return exact_decimals(microdollars, DOLLARS)


def _period_ends(times: pa.ChunkedArray, length: Dataset) -> pa.ChunkedArray:
    inside = pc.subtract(times.cast(pa.int64()), 1)
    if length.name in _EVEN_PERIODS:
        period = _EVEN_PERIODS[length.name]
        return pc.multiply(pc.add(pc.divide(inside, period), 1), period).cast(INSTANT)
    if length.name != CANDLESTICKS_1D.name:
        raise ValueError(f"{length.name} is no dataset of candlesticks")
    zone = EXCHANGE_TIME_ZONE.key
    local = pc.local_timestamp(inside.cast(pa.timestamp("us", tz=zone)))
    midnight = pc.add(pc.floor_temporal(local, unit="day").cast(pa.int64()), DAY_US).cast(pa.timestamp("us"))
    return pc.assume_timezone(midnight, zone).cast(INSTANT)


def _prices_at(ordered: pa.Table, found: pa.Table, time: str) -> pa.ListArray:
    """Return the different prices of the trades at the first or last time of each period, in the order of ``found``."""
    position = pa.array(range(found.num_rows), pa.int64())
    wanted = found.select([*_GROUP, time]).append_column("position", position)
    keys = [*_GROUP, "created_time"]
    at = ordered.select([*keys, "price"]).join(wanted, keys=keys, right_keys=[*_GROUP, time], join_type="inner")
    prices = at.group_by("position").aggregate([("price", "distinct")]).sort_by("position")
    lists = prices["price_distinct"].combine_chunks()
    return pa.ListArray.from_arrays(lists.offsets, _dollars(lists.values))
