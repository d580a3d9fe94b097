"""Recomputation of the amounts that an order's reservation must have in each scope.

The amounts follow from the order's terms and from the positions and open orders that the earlier postings add up to.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from kalshi_pipelines.execution.orders.terms import Side
from kalshi_pipelines.execution.orders.worst_case import closable
from kalshi_pipelines.units import DOLLAR_CENTICENTS

#: The kinds of scope that count every contract of a live order.
_WHOLE: Final = frozenset({"account", "event", "day"})


@dataclass(frozen=True, slots=True)
class CountedMarket:
    """The centi-contracts that a scope counts in one market before a reservation."""

    position: int
    open_bids: int
    open_asks: int

    @classmethod
    def from_numbers(cls, numbers: Sequence[int]) -> "CountedMarket":
        """Return the counts from the recomputed numbers of a market, whose last three are the counts."""
        return cls(*numbers[3:])

    def closable(self, side: Side) -> int:
        """Return the centi-contracts that an order of this side could close."""
        return closable(side, self.position, self.open_bids, self.open_asks)


NOTHING_COUNTED: Final = CountedMarket(0, 0, 0)


def find_wrong_amounts(
    row: sa.RowMapping, kind: str, in_scope: CountedMarket, in_account: CountedMarket
) -> Iterator[str]:
    """Yield the problems of a reservation whose amounts do not follow from its order.

    Args:
        row: The posting, with the terms of its order.
        kind: The kind of the scope.
        in_scope: The counts of the scope's market before the posting.
        in_account: The counts of the live account's market before the order.
    """
    side, count, closing = Side(row["side"]), row["count_centicontracts"], row["closing_centicontracts"]
    is_live = row["mode"] == "live"
    if is_live and closing > in_account.closable(side):
        yield f"{row['dedupe']} closes {closing} of {row['ticker']}, but only {in_account.closable(side)} can be closed"
    counted = count
    if not (is_live and kind in _WHOLE):
        counted -= closing - min(closing, in_scope.closable(side))
    if _amounts_of(row) != _wanted_amounts(row, side, counted):
        yield f"{row['dedupe']} has other amounts in the {kind} scope than its order, of which {counted} count there"


def _amounts_of(row: sa.RowMapping) -> tuple[int, ...]:
    return (
        row["d_if_no_microdollars"],
        row["d_if_yes_microdollars"],
        row["d_open_bids_centicontracts"],
        row["d_open_asks_centicontracts"],
        row["d_orders"],
        row["d_notional_microdollars"],
    )


def _wanted_amounts(row: sa.RowMapping, side: Side, counted: int) -> tuple[int, ...]:
    price, fee = row["price_centicents"], row["fee_bound_microdollars"] if counted else 0
    lost = (price if side is Side.BID else DOLLAR_CENTICENTS - price) * counted + fee
    orders = int(row["closing_centicontracts"] < row["count_centicontracts"])
    if side is Side.BID:
        return (lost, fee, counted, 0, orders, row["notional_microdollars"])
    return (fee, lost, 0, counted, orders, row["notional_microdollars"])
