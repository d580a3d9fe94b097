"""Check every order that was recorded as reserved against the rules of the admit guard.

The admit guard is a trigger of the journal. This check finds forbidden orders even if the trigger was missing when they
were reserved. ``replay`` checks the caps of scopes; this module checks the rules of the session and of a single order.
"""

from collections.abc import Iterator
from typing import Final

import sqlalchemy as sa

from kalshi_pipelines.execution.journal.tables import attempts, intents, order_events, session_ends, sessions
from kalshi_pipelines.execution.orders.states import OrderState
from kalshi_pipelines.units import MINUTE_US

_at_us: Final = order_events.c.at_us
_audit_seq: Final = order_events.c.audit_seq
_ENDED: Final = sa.exists().where(
    session_ends.c.session_id == intents.c.session_id, session_ends.c.audit_seq < _audit_seq
)
_ATTEMPTS: Final = (
    sa.select(sa.func.count())
    .select_from(attempts)
    .where(
        *[attempts.c[name] == intents.c[name] for name in ("environment", "subaccount", "mode")],
        attempts.c.at_us > _at_us - MINUTE_US,
        attempts.c.attempt_id < _audit_seq,
    )
    .correlate(intents, order_events)
    .scalar_subquery()
)
#: Conditions under which an order must not be reserved, as SQL. The text before each condition completes the sentence
#: with which the verification reports a violation: "intent 7 was reserved ...".
_WRONG: Final = {
    "outside the lifetime of its session": sa.or_(_at_us < sessions.c.opened_us, _at_us >= sessions.c.expires_us),
    "after its session had ended": _ENDED,
    "above its session's cap on the notional of one order": (
        intents.c.notional_microdollars > sessions.c.order_notional_cap_microdollars
    ),
    "above its session's cap on the worst loss of one order": sa.and_(
        intents.c.closing_centicontracts < intents.c.count_centicontracts,
        intents.c.notional_microdollars + intents.c.fee_bound_microdollars > sessions.c.order_worst_cap_microdollars,
    ),
    "above its session's cap on attempts in a minute": sessions.c.attempts_per_minute_cap < _ATTEMPTS,
}


def find_forbidden_admissions(connection: sa.Connection) -> Iterator[str]:
    """Yield a problem for each order that was recorded as reserved although a rule forbade it."""
    query = (
        sa.select(
            order_events.c.intent_id, *[wrong.label(f"wrong_{place}") for place, wrong in enumerate(_WRONG.values())]
        )
        .join(intents, intents.c.intent_id == order_events.c.intent_id)
        .join(sessions, sessions.c.session_id == intents.c.session_id)
        .where(order_events.c.to_state == OrderState.RESERVED.value, sa.or_(*_WRONG.values()))
        .order_by(order_events.c.intent_id)
    )
    for intent_id, *found in connection.execute(query):
        yield from (f"intent {intent_id} was reserved {how}" for how, wrong in zip(_WRONG, found, strict=True) if wrong)
