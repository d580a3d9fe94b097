"""Check every order that was recorded as reserved against the rules of the admit guard.

The admit guard is a trigger of the journal. This check finds forbidden orders even if the trigger was missing when they
were reserved. ``replay`` checks the caps of scopes; this module checks the rules of the session and of a single order.
"""

from collections.abc import Iterator
from typing import Final

import sqlalchemy as sa

from kalshi_pipelines.execution.audit.event_rules import WRONG_SESSION, at_us, audit_seq, find_forbidden
from kalshi_pipelines.execution.journal.tables import attempts, intents, order_events, sessions
from kalshi_pipelines.execution.orders.states import OrderState
from kalshi_pipelines.units import MINUTE_US

_ATTEMPTS: Final = (
    sa.select(sa.func.count())
    .select_from(attempts)
    .where(
        *[attempts.c[name] == intents.c[name] for name in ("environment", "subaccount", "mode")],
        attempts.c.at_us > at_us - MINUTE_US,
        attempts.c.attempt_id < audit_seq,
    )
    .correlate(intents, order_events)
    .scalar_subquery()
)
#: Conditions under which an order must not be reserved, as SQL. The text before each condition completes the sentence
#: with which the verification reports a violation: "intent 7 was reserved ...".
_WRONG: Final = {
    **WRONG_SESSION,
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
    return find_forbidden(connection, OrderState.RESERVED, _WRONG, "reserved")
