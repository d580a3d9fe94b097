"""Values of the executor: its decision about a proposal, and an order that was planned or admitted."""

from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum
from typing import Final

from kalshi_pipelines.execution.gates.market_snapshot import MarketSnapshot
from kalshi_pipelines.execution.gates.order_checks import Denial
from kalshi_pipelines.execution.journal.records import Check, Intent
from kalshi_pipelines.execution.orders.denials import DenialReason
from kalshi_pipelines.execution.orders.fees import is_plausible
from kalshi_pipelines.execution.orders.proposals import ProposedOrder
from kalshi_pipelines.execution.orders.request import OrderRequest
from kalshi_pipelines.execution.orders.states import OrderState
from kalshi_pipelines.execution.orders.terms import Side
from kalshi_pipelines.units import DOLLAR_CENTICENTS


class DecisionOutcome(StrEnum):
    """The result of a decision about a proposal."""

    PLACED = "placed"
    SIMULATED = "simulated"
    DENIED = "denied"
    AWAITS_APPROVAL = "awaits_approval"
    UNKNOWN = "unknown"
    ABSENT = "absent"
    """The order was sent, and a reconciliation proved that the exchange does not have it."""
    REFUSED = "refused"
    """The exchange refused the order, or the request could not leave this computer."""
    KNOWN = "known"
    """The executor had already decided about this signal earlier, so it did nothing now."""


@dataclass(frozen=True, slots=True)
class ShardBalance:
    """The balance on a market's shard in micro-dollars, or None if the balance cannot be read."""

    available_microdollars: int | None


@dataclass(frozen=True, slots=True)
class PlannedOrder:
    """An order as it would be sent, with the market data that its checks use.

    ``closing`` is the number of the request's centi-contracts that only close what the account holds. It is known when
    the order is admitted. ``balance`` is None in a dry run, which cannot read the balance.
    """

    order: ProposedOrder
    proposal_id: int | None
    request: OrderRequest
    market: MarketSnapshot
    fee_bound: int
    checks: tuple[Check, ...]
    balance: ShardBalance | None = None
    closing: int = 0

    @property
    def only_closes(self) -> bool:
        """Whether the order only closes what the account holds."""
        return self.closing == self.request.count.centi

    @property
    def premium(self) -> int:
        """Micro-dollars that the contracts which open a position cost at the limit price, without fees."""
        price = self.request.price.centicents
        opening = self.request.count.centi - self.closing
        return opening * (price if self.request.side is Side.BID else DOLLAR_CENTICENTS - price)

    @property
    def cost(self) -> int:
        """The highest possible cost of the order in micro-dollars, including fees.

        An order that only closes a position costs nothing, because the exchange takes its fees from its proceeds.
        """
        return 0 if self.only_closes else self.premium + self.fee_bound

    def facts(self) -> dict[str, object]:
        """Return the facts behind a decision for the audit log. The proposal's free text is left out."""
        order, market = self.order, self.market
        return {
            "actor": {"kind": order.actor.value, "name": order.actor_name},
            "leg": {
                "action": order.leg.action.value,
                "outcome": order.leg.outcome.value,
                "price": str(order.leg.price),
                "open_short": order.open_short,
            },
            "signal": {
                "strategy": order.signal.strategy,
                "version": order.signal.strategy_version,
                "partition": order.signal.partition,
                "signal": order.signal.signal,
                "leg": order.signal.leg,
                "attempt": order.signal.attempt,
            },
            "market": {
                "status": market.status,
                "best_bid": market.best_bid,
                "best_ask": market.best_ask,
                "fee_type": market.fee_type,
                "fee_multiplier": _format_multiplier(market.fee_multiplier),
                "read_us": market.read_us,
            },
        }


def _format_multiplier(multiplier: Decimal) -> str:
    """Return a fee multiplier as text for the audit log.

    A plausible multiplier is written without an exponent. An implausible multiplier may have any length, so its text is
    cut to 40 characters; the order is denied in this case.
    """
    return f"{multiplier:f}" if is_plausible(multiplier) else str(multiplier)[:40]


@dataclass(frozen=True, slots=True)
class AdmittedOrder:
    """An order that was admitted: the journal has reserved its worst case."""

    planned: PlannedOrder
    intent: Intent


@dataclass(frozen=True, slots=True)
class Decision:
    """The executor's decision about one proposal.

    ``intent`` is missing if the order could not be planned. ``waiting`` is set only while the order is reserved and
    waits for a person's approval.
    """

    outcome: DecisionOutcome
    order: ProposedOrder
    proposal_id: int | None
    intent: Intent | None
    reason: DenialReason | None = None
    detail: str = ""
    checks: tuple[Check, ...] = ()
    waiting: AdmittedOrder | None = None


def decision_of(
    planned: PlannedOrder,
    intent: Intent,
    checks: tuple[Check, ...],
    denied: Denial | None = None,
    detail: str = "",
) -> Decision:
    """Return the decision that follows from the present state of an intent.

    If ``denied`` is given, the decision gets the reason and text of ``denied``. Otherwise the decision gets the
    intent's reason for denial, if any, and the text ``detail``.
    """
    outcome = _outcome_of(intent)
    reason, detail = (denied.reason, denied.detail) if denied else (intent.denial, detail)
    return Decision(outcome, planned.order, planned.proposal_id, intent, reason, detail, checks)


def after_reconciliation(decision: Decision, intent: Intent) -> Decision:
    """Return the decision about an order of unknown outcome after a reconciliation has looked for the order."""
    detail = f"{decision.detail}; a reconciliation found the order {intent.state.value}"
    return replace(decision, outcome=_outcome_of(intent), intent=intent, detail=detail)


def _outcome_of(intent: Intent) -> DecisionOutcome:
    return _OUTCOMES.get(intent.state, DecisionOutcome.PLACED)


_OUTCOMES: Final = {
    OrderState.RESERVED: DecisionOutcome.AWAITS_APPROVAL,
    OrderState.DENIED: DecisionOutcome.DENIED,
    OrderState.ABANDONED: DecisionOutcome.DENIED,
    OrderState.SIMULATED: DecisionOutcome.SIMULATED,
    OrderState.REJECTED: DecisionOutcome.REFUSED,
    OrderState.ABSENT: DecisionOutcome.ABSENT,
    OrderState.UNKNOWN: DecisionOutcome.UNKNOWN,
    OrderState.SENDING: DecisionOutcome.UNKNOWN,
}
