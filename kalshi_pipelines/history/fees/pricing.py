"""Fees of many trades at once: each trade is priced with the fees and the rounding of its own moment.

The amounts are trade fees. The rounding fee and the rebates of an account are not known from public trades, because
they depend on the account's other fills. If the maker's order of a combo was younger than five seconds, the exchange
swaps the roles of taker and maker; public trades do not show the age of the order.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from kalshi_pipelines.history.fees.formulas import FIRST_DECIMALS, ROUNDING_CHANGES, Fees, Role
from kalshi_pipelines.history.fees.steps import FeeSchedule
from kalshi_pipelines.lake.datasets import DOLLARS

#: Columns that pricing adds to trades.
FEE_COLUMNS: Final = ("fee_type", "fee_multiplier", "taker_fee", "maker_fee")
_MULTIPLIER: Final = pa.decimal128(18, 6)
_RATE: Final = pa.decimal256(20, 10)
_PRICE: Final = pa.decimal256(7, 6)
_COUNT: Final = pa.decimal256(18, 2)


@dataclass(frozen=True)
class Family:
    """The event and the series of a market."""

    event_ticker: str | None
    series_ticker: str | None


_UNKNOWN: Final = Family(None, None)


def price_trades(trades: pa.Table, families: Mapping[str, Family], schedule: FeeSchedule) -> pa.Table:
    """Return the trades with their fees: ``fee_type``, ``fee_multiplier``, ``taker_fee`` and ``maker_fee`` in dollars.

    The fees of a market whose event and series are unknown, or of a type whose amount is not published, are null.

    Args:
        trades: Trades with the columns ticker, created_time, yes_price and contracts, in any order.
        families: The event and the series of each market.
        schedule: The fees by time.
    """
    trades = trades.combine_chunks()
    times = _column(trades, "created_time").cast(pa.int64())
    kinds, choice = _fees_of_rows(_column(trades, "ticker"), times, families, schedule)
    amount = _amount(_column(trades, "yes_price"), _column(trades, "contracts"))
    values = [
        pa.array([fees and fees.fee_type for fees in kinds], pa.string()).take(choice),
        pa.array([_stored_multiplier(fees) for fees in kinds], _MULTIPLIER).take(choice),
        *[_rounded_up(pc.multiply(amount, _rates(kinds, role).take(choice)), times) for role in Role],
    ]
    for name, column in zip(FEE_COLUMNS, values, strict=True):
        trades = trades.append_column(name, column)
    return trades


def _column(table: pa.Table, name: str) -> pa.Array:
    column = table.column(name)
    return column.chunk(0) if column.num_chunks else pa.array([], column.type)


def _stored_multiplier(fees: Fees | None) -> Decimal | None:
    return None if fees is None or fees.rate(Role.TAKER) is None else round(fees.multiplier, 6)


def _rates(kinds: list[Fees | None], role: Role) -> pa.Array:
    return pa.array([None if fees is None else fees.rate(role) for fees in kinds], _RATE)


def _amount(prices: pa.Array, contracts: pa.Array) -> pa.Array:
    price = prices.cast(_PRICE)
    spread = pc.multiply(price, pc.subtract(pa.scalar(Decimal(1), _PRICE), price))
    return pc.multiply(contracts.cast(_COUNT), spread)


def _rounded_up(exact: pa.Array, times: pa.Array) -> pa.Array:
    """Round each amount up to the unit of its time."""
    rounded = pc.round(exact, FIRST_DECIMALS, "up").cast(DOLLARS)
    for start_us, decimals in ROUNDING_CHANGES:
        later = pc.greater_equal(times, start_us)
        rounded = pc.if_else(later, pc.round(exact, decimals, "up").cast(DOLLARS), rounded)
    return rounded


def _fees_of_rows(
    tickers: pa.Array, times: pa.Array, families: Mapping[str, Family], schedule: FeeSchedule
) -> tuple[list[Fees | None], pa.Array]:
    """Return the different fees, and for each row the position of its fees among them."""
    kinds: dict[Fees | None, int] = {None: 0}
    encoded = tickers if pa.types.is_dictionary(tickers.type) else tickers.dictionary_encode()
    if not len(encoded):
        return list(kinds), pa.array([], pa.int32())
    ends = pc.min_max(times).as_py()
    first: list[int] = []
    changing: dict[tuple[tuple[int, int], ...], list[int]] = {}
    for code, name in enumerate(encoded.dictionary.to_pylist()):
        family = families.get(name, _UNKNOWN)
        found = schedule.between(family.series_ticker, family.event_ticker, ends["min"], ends["max"])
        steps = [(step.start_us, kinds.setdefault(step.fees, len(kinds))) for step in found]
        first.append(steps[0][1])
        if len(steps) > 1:
            changing.setdefault(tuple(steps[1:]), []).append(code)
    choice = pa.array(first, pa.int32()).take(encoded.indices)
    # Markets of one event change together. A day has few events whose fees change while they are traded.
    for later_steps, codes in changing.items():
        choice = _changed(choice, pc.is_in(encoded.indices, pa.array(codes, encoded.indices.type)), times, later_steps)
    return list(kinds), choice


def _changed(choice: pa.Array, is_concerned: pa.Array, times: pa.Array, steps: Sequence[tuple[int, int]]) -> pa.Array:
    for start_us, position in steps:
        is_later = pc.and_(is_concerned, pc.greater_equal(times, start_us))
        choice = pc.if_else(is_later, pa.scalar(position, pa.int32()), choice)
    return choice
