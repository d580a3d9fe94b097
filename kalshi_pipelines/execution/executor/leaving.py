"""How an order fits the position that the account holds: what it closes, and whether it may turn the position.

The decision is made while the order is admitted, because no other order can change the position or the open orders
during the admission.
"""

from dataclasses import replace

from kalshi_pipelines.execution.configuration import TradeSettings
from kalshi_pipelines.execution.executor.decisions import PlannedOrder
from kalshi_pipelines.execution.gates.order_checks import Denial, fee_bound_check
from kalshi_pipelines.execution.journal.caps import Scope
from kalshi_pipelines.execution.orders import amounts
from kalshi_pipelines.execution.orders.denials import DenialReason
from kalshi_pipelines.execution.orders.terms import Action, Contracts, Side


def fit_to_position(planned: PlannedOrder, held: Scope, settings: TradeSettings) -> PlannedOrder | Denial:
    """Return an order with the number of contracts that it closes, or the reason to deny it.

    The exchange limits a reduce-only order to the position. Such an order is therefore planned for the contracts that
    it can close. A sale of more than it can close needs the field ``open_short``.

    Args:
        planned: The order as it was proposed.
        held: The live account's ledger of the order's market.
        settings: The settings with which the fee bound is computed again.
    """
    order, request = planned.order, planned.request
    closable = held.closable(request.side)
    if order.reduce_only and closable == 0:
        return Denial(DenialReason.NOTHING_TO_REDUCE, _describe_held(planned, held))
    if order.reduce_only and closable < request.count.centi:
        count = Contracts(closable)
        bound, _ = fee_bound_check(order, count, planned.market, settings)
        return replace(planned, request=replace(request, count=count), fee_bound=bound, closing=closable)
    closing = min(closable, request.count.centi)
    if order.leg.action is Action.SELL and closing < request.count.centi and not order.open_short:
        turned = amounts.count(request.count.centi - closing)
        detail = (
            f"{_describe_held(planned, held)}. The sale of {amounts.count(request.count.centi)} would turn {turned} "
            "into a new position on the other side, which `--open-short` (`open_short` in a file) allows"
        )
        return Denial(DenialReason.WOULD_OPEN_SHORT, detail)
    return replace(planned, closing=closing)


def _describe_held(planned: PlannedOrder, held: Scope) -> str:
    """Return a text that tells how much of a position an order could close, and what its open orders close already."""
    is_ask = planned.request.side is Side.ASK
    position = max(0, held.position if is_ask else -held.position)
    offered = held.open_asks if is_ask else held.open_bids
    text = f"{amounts.count(position)} {'YES' if is_ask else 'NO'} of {planned.request.ticker} are held"
    return f"{text}, and open orders offer {amounts.count(offered)} already" if offered else text
