"""Rules that every recorded step of an order must obey, as SQL, and the search for steps that break them."""

from collections.abc import Iterator, Mapping
from typing import Final

import sqlalchemy as sa

from kalshi_pipelines.execution.journal.tables import intents, order_events, session_ends, sessions
from kalshi_pipelines.execution.orders.states import OrderState

at_us: Final = order_events.c.at_us
audit_seq: Final = order_events.c.audit_seq
_ENDED: Final = sa.exists().where(
    session_ends.c.session_id == intents.c.session_id, session_ends.c.audit_seq < audit_seq
)
#: Conditions of a session under which an order must be neither reserved nor sent. The text before each condition
#: completes the sentence with which the verification reports a violation: "intent 7 was sent ...".
WRONG_SESSION: Final[Mapping[str, sa.ColumnElement[bool]]] = {
    "outside the lifetime of its session": sa.or_(at_us < sessions.c.opened_us, at_us >= sessions.c.expires_us),
    "after its session had ended": _ENDED,
}


def find_forbidden(
    connection: sa.Connection, state: OrderState, wrong: Mapping[str, sa.ColumnElement[bool]], done: str
) -> Iterator[str]:
    """Yield a problem for each order that entered a state although a condition forbade it, in the order of intents.

    Args:
        connection: A connection to the journal.
        state: The state that the orders entered.
        wrong: The forbidding conditions, each with the text that completes the problem's sentence.
        done: What happened to an order that entered the state, such as "reserved".
    """
    query = (
        sa.select(
            order_events.c.intent_id, *[each.label(f"wrong_{place}") for place, each in enumerate(wrong.values())]
        )
        .join(intents, intents.c.intent_id == order_events.c.intent_id)
        .join(sessions, sessions.c.session_id == intents.c.session_id)
        .where(order_events.c.to_state == state.value, sa.or_(*wrong.values()))
        .order_by(order_events.c.intent_id)
    )
    for intent_id, *found in connection.execute(query):
        yield from (f"intent {intent_id} was {done} {how}" for how, is_so in zip(wrong, found, strict=True) if is_so)
