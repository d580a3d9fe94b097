"""The executor's decisions as text for people: one line each, or rows of a table."""

from collections.abc import Iterable

from kalshi_pipelines.execution.executor.decisions import Decision
from kalshi_pipelines.execution.orders.proposals import ProposedOrder
from kalshi_pipelines.execution.text import safe_line


def format_decision(decision: Decision) -> str:
    """Return a decision of the executor as one line of text."""
    why = [text for text in (decision.reason.code if decision.reason else "", safe_line(decision.detail)) if text]
    line = f"{decision.outcome.value.replace('_', ' ')}: {_format_order(decision.order)}"
    return f"{line} ({': '.join(why)})" if why else line


def decision_rows(decisions: Iterable[Decision]) -> list[dict[str, str]]:
    """Return decisions of the executor as rows of a table."""
    return [
        {
            "decision": each.outcome.value.replace("_", " "),
            "order": _format_order(each.order),
            "why": "" if each.reason is None else each.reason.code,
            "detail": safe_line(each.detail),
            "what to do": "" if each.reason is None else each.reason.remedy,
            "by": safe_line(f"{each.order.actor.value} {each.order.actor_name}"),
            "proposal": str(each.proposal_id or ""),
            "intent": "" if each.intent is None else str(each.intent.intent_id),
        }
        for each in decisions
    ]


def _format_order(order: ProposedOrder) -> str:
    return (
        f"{order.leg.action.value} {order.count} {order.leg.outcome.value.upper()} {order.ticker} at {order.leg.price}"
    )
