"""Events of orders: moving an intent to its next state, together with its audit record."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from kalshi_pipelines.execution.journal.records import Details, Intent
from kalshi_pipelines.execution.journal.tables import order_events
from kalshi_pipelines.execution.journal.writing.audit_writer import AuditWriter, NewRow
from kalshi_pipelines.execution.orders.states import OrderState, Writer

NO_DETAILS: Final = Details()


def record_event(
    audit: AuditWriter,
    intent: Intent,
    to_state: OrderState,
    kind: str,
    details: Details,
    *,
    writer: Writer = Writer.EXECUTOR,
    more: Sequence[NewRow] = (),
    **values: object,
) -> int:
    """Store the next event of an intent, and return the number of its audit record.

    ``more`` are the postings to store with the event. ``values`` are further columns of the event.
    """
    row = event_row(intent, to_state, audit.now_us, writer, values)
    facts = {**facts_of(details), "client_order_id": intent.client_order_id, "ticker": intent.ticker}
    return audit.record(kind, [row, *more], facts)


def event_row(intent: Intent, to_state: OrderState, at_us: int, writer: Writer, values: Mapping[str, object]) -> NewRow:
    """Return the row of an intent's next event, which leads from the present state to another state."""
    return NewRow(
        order_events,
        {
            "intent_id": intent.intent_id,
            "seq": intent.state_seq + 1,
            "mode": intent.mode.value,
            "prev_seq": intent.state_seq,
            "from_state": intent.state.value,
            "to_state": to_state.value,
            "at_us": at_us,
            "writer": writer.value,
            **values,
        },
    )


def moved(intent: Intent, state: OrderState, at_us: int, **changes: object) -> Intent:
    """Return a copy of the intent in the state after its next event."""
    values: dict[str, Any] = {name: getattr(intent, name) for name in Intent.__slots__}
    values |= {"state": state, "state_seq": intent.state_seq + 1, "state_us": at_us, **changes}
    return Intent(**values)


def facts_of(details: Details) -> dict[str, object]:
    """Return facts and checks in the format of the audit log. The checks are sorted by code."""
    if not details.checks:
        return dict(details.facts)
    checks = sorted(details.checks, key=lambda check: (check.code, check.limit, check.observed))
    return {
        **details.facts,
        "checks": [
            {"code": check.code, "ok": check.ok, "limit": check.limit, "observed": check.observed} for check in checks
        ],
    }
