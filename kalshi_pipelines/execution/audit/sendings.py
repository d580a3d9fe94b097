"""Check every order that was recorded as sent against the rules of the send guard.

The send guard is a trigger of the journal. This check finds forbidden orders even if the trigger was missing when they
were sent.

This module also finds armings that were used twice.

Two rules are checked elsewhere: ``verification`` checks that the kill switch permitted an order, and ``replay`` checks
the caps. This module checks the other rules of the send guard.
"""

from collections.abc import Iterator
from typing import Final

import sqlalchemy as sa

from kalshi_pipelines.execution.audit.event_rules import WRONG_SESSION, at_us, audit_seq, find_forbidden
from kalshi_pipelines.execution.journal.tables import (
    approvals,
    fences,
    intents,
    kill_events,
    order_events,
    sessions,
    used_armings,
)
from kalshi_pipelines.execution.orders.states import OrderState

_APPROVED: Final = sa.exists().where(
    approvals.c.request_sha256 == intents.c.request_sha256,
    approvals.c.approved_by != intents.c.actor_name,
    approvals.c.approval_id < audit_seq,
    approvals.c.approved_us <= at_us,
    approvals.c.expires_us > at_us,
)
_FENCED: Final = sa.exists().where(fences.c.order_group_id == intents.c.order_group_id, fences.c.fence_id < audit_seq)
_HALTED: Final = sa.exists().where(
    kill_events.c.engaged == 1, kill_events.c.audit_seq > sessions.c.audit_seq, kill_events.c.audit_seq < audit_seq
)
#: Conditions under which an order must not be sent, as SQL. The text before each condition completes the sentence with
#: which the verification reports a violation: "intent 7 was sent ...".
_WRONG: Final = {
    "in a dry run or a run not started by hand": sa.or_(intents.c.mode != "live", intents.c.origin != "by_hand"),
    **WRONG_SESSION,
    "after the kill switch had stopped its session": _HALTED,
    "by another version of the code than its session's": order_events.c.code_version != sessions.c.code_version,
    "before it was planned": at_us < intents.c.planned_us,
    "outside its validity": sa.or_(at_us < intents.c.as_of_us, at_us > intents.c.valid_until_us),
    "without an order group": intents.c.order_group_id.is_(None),
    "after its order group was fenced": _FENCED,
    "without the approval it needed": sa.and_(intents.c.approval_required == 1, sa.not_(_APPROVED)),
}


def find_misused_armings(connection: sa.Connection) -> Iterator[str]:
    """Yield a problem for each arming that was used for two sessions, or for a session that is not live."""
    twice = (
        sa.select(used_armings.c.arming_sha256, sa.func.count())
        .group_by(used_armings.c.arming_sha256)
        .having(sa.func.count() > 1)
    )
    for digest, count in connection.execute(twice):
        yield f"arming {digest} opened {count} sessions"
    dry = (
        sa.select(used_armings.c.session_id)
        .outerjoin(sessions, sessions.c.session_id == used_armings.c.session_id)
        .where(sa.or_(sessions.c.mode.is_(None), sessions.c.mode != "live"))
        .order_by(used_armings.c.session_id)
    )
    yield from (f"session {session} is not live, but used up an arming" for (session,) in connection.execute(dry))


def find_forbidden_sends(connection: sa.Connection) -> Iterator[str]:
    """Yield a problem for each order that was recorded as sent although a rule forbade sending it."""
    return find_forbidden(connection, OrderState.SENDING, _WRONG, "sent")
