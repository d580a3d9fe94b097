"""The result of each fill of a market: how many contracts it opened, and the loss that it realised.

Costs are averaged over the position, and a rounded micro-dollar counts as a loss.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from kalshi_pipelines.execution.journal.records import Fill
from kalshi_pipelines.execution.orders.terms import Side
from kalshi_pipelines.units import DOLLAR_CENTICENTS


@dataclass(frozen=True, slots=True)
class FillResult:
    """The result of one fill. The rest of its contracts closed a position.

    Attributes:
        fill: The fill.
        opened_centicontracts: The contracts that opened or increased a position.
        opening_fee_microdollars: The part of the fee that belongs to these contracts.
        realised_microdollars: The loss of the closed contracts with their part of the fee; negative for a gain.
    """

    fill: Fill
    opened_centicontracts: int
    opening_fee_microdollars: int
    realised_microdollars: int


def fill_results(fills: Iterable[Fill]) -> list[FillResult]:
    """Return the results of all fills of one market, which are given in the order in which they happened."""
    position, cost, results = 0, 0, []
    for fill in fills:
        sign = 1 if fill.side is Side.BID else -1
        closed = min(fill.count_centicontracts, abs(position)) if sign * position < 0 else 0
        opened = fill.count_centicontracts - closed
        realised = 0
        if closed:
            given_up = -(-cost * closed // abs(position))
            # A closing ask sells YES for its price. A closing bid sells NO for the rest of a dollar.
            taken = (fill.price_centicents if sign < 0 else DOLLAR_CENTICENTS - fill.price_centicents) * closed
            realised, cost = given_up - taken, cost - given_up
        fee = fill.fee_microdollars
        opening_fee = -(-fee * opened // fill.count_centicontracts)
        results.append(FillResult(fill, opened, opening_fee, realised + fee - opening_fee))
        cost += (fill.price_centicents if sign > 0 else DOLLAR_CENTICENTS - fill.price_centicents) * opened
        position += sign * fill.count_centicontracts
    return results
