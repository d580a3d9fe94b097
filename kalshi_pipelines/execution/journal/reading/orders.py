"""The class that reads approvals, attempts, and intents with their states."""

from collections.abc import Collection
from typing import Final

import sqlalchemy as sa

from kalshi_pipelines.execution.journal.driver_query import DriverQuery
from kalshi_pipelines.execution.journal.intent_rows import read_intent
from kalshi_pipelines.execution.journal.reading.rows import all_rows, first_row
from kalshi_pipelines.execution.journal.records import Intent, Mode, Sent
from kalshi_pipelines.execution.journal.tables import (
    approvals,
    attempts,
    fills,
    former_keys,
    intents,
    open_intents,
    order_events,
    sessions,
)
from kalshi_pipelines.execution.orders.account import Account
from kalshi_pipelines.execution.orders.states import OPEN_STATES, OrderState
from kalshi_pipelines.units import MINUTE_US

_LAST = order_events.alias("last_event")
_FILLED: Final = (
    sa.select(sa.cast(sa.func.coalesce(sa.func.sum(fills.c.count_centicontracts), 0), sa.BigInteger))
    .where(fills.c.intent_id == intents.c.intent_id)
    .scalar_subquery()
)
_FEES: Final = (
    sa.select(sa.cast(sa.func.coalesce(sa.func.sum(fills.c.fee_microdollars), 0), sa.BigInteger))
    .where(fills.c.intent_id == intents.c.intent_id)
    .scalar_subquery()
)
_ORDER_ID: Final = (
    sa.select(sa.func.max(order_events.c.order_id))
    .where(order_events.c.intent_id == intents.c.intent_id)
    .scalar_subquery()
)
_LAST_SEQ: Final = (
    sa.select(sa.func.max(order_events.c.seq)).where(order_events.c.intent_id == intents.c.intent_id).scalar_subquery()
)
_INTENTS: Final = sa.select(
    intents,
    _LAST.c.to_state.label("state"),
    _LAST.c.seq.label("state_seq"),
    _LAST.c.at_us.label("state_us"),
    _LAST.c.denial,
    _LAST.c.filled_centicontracts.label("told_filled"),
    _ORDER_ID.label("order_id"),
    _FILLED.label("filled"),
    _FEES.label("fees"),
).select_from(intents.join(_LAST, sa.and_(_LAST.c.intent_id == intents.c.intent_id, _LAST.c.seq == _LAST_SEQ)))
_BY_ID: Final = _INTENTS.where(intents.c.intent_id == sa.bindparam("intent_id"))
#: One query for both keys of an order, because the order waits for the answer.
_BY_KEY: Final = DriverQuery(
    sa.union_all(
        sa.select(intents.c.intent_id).where(
            intents.c.mode == sa.bindparam("mode"),
            sa.or_(
                intents.c.idempotency_key == sa.bindparam("key"), intents.c.idempotency_key == sa.bindparam("former")
            ),
        ),
        sa.select(former_keys.c.intent_id).where(
            former_keys.c.mode == sa.bindparam("mode"), former_keys.c.idempotency_key == sa.bindparam("former")
        ),
    )
)
_BY_CLIENT_ORDER_ID: Final = _INTENTS.where(
    intents.c.mode == sa.bindparam("mode"), intents.c.client_order_id == sa.bindparam("client_order_id")
)
_SENT: Final = (
    sa.select(
        order_events.c.audit_seq,
        order_events.c.at_us,
        intents.c.intent_id,
        intents.c.session_id,
        intents.c.request_json,
        intents.c.request_sha256,
        intents.c.client_order_id,
        sessions.c.host,
        sessions.c.key_fingerprint,
    )
    .join(intents, intents.c.intent_id == order_events.c.intent_id)
    .join(sessions, sessions.c.session_id == intents.c.session_id)
    .where(order_events.c.intent_id == sa.bindparam("intent_id"), order_events.c.to_state == OrderState.SENDING)
)

#: A query that counts an account's attempts since an instant.
ATTEMPTS: Final = (
    sa.select(sa.func.count())
    .select_from(attempts)
    .where(
        attempts.c.environment == sa.bindparam("environment"),
        attempts.c.subaccount == sa.bindparam("subaccount"),
        attempts.c.mode == sa.bindparam("mode"),
        attempts.c.at_us > sa.bindparam("since"),
    )
)


class OrderReading:
    """Reads orders over one connection."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def intent(self, intent_id: int) -> Intent:
        """Return an intent with its present state.

        Raises:
            LookupError: The journal has no intent with this number.
        """
        row = first_row(self._connection, _BY_ID, intent_id=intent_id)
        if row is None:
            raise LookupError(f"the journal has no intent {intent_id}")
        return read_intent(row)

    def intent_of_key(self, mode: Mode, idempotency_key: str, former_key: str | None = None) -> Intent | None:
        """Return the intent that was planned earlier with this idempotency key, or None.

        If ``former_key`` is given, an intent that an earlier version planned with that key is found, too.
        """
        keys = {"key": idempotency_key, "former": former_key or idempotency_key}
        rows = _BY_KEY.fetch_all(self._connection, {"mode": mode.value, **keys})
        return self.intent(min(row["intent_id"] for row in rows)) if rows else None

    def intent_of_client_order_id(self, mode: Mode, client_order_id: str) -> Intent | None:
        """Return the intent with this client order id, or None."""
        row = first_row(self._connection, _BY_CLIENT_ORDER_ID, mode=mode.value, client_order_id=client_order_id)
        return None if row is None else read_intent(row)

    def intent_id_of_order(self, order_id: str) -> int | None:
        """Return the number of the intent whose order has this id at the exchange, or None."""
        table = order_events.c
        found: int | None = self._connection.scalar(
            sa.select(table.intent_id).where(
                table.order_id == order_id, table.from_state.in_(["sending", "unknown"]), table.order_id.is_not(None)
            )
        )
        return found

    def open_intents(
        self,
        account: Account,
        *,
        mode: Mode = Mode.LIVE,
        states: Collection[OrderState] = OPEN_STATES,
    ) -> list[Intent]:
        """Return the intents that still hold a reservation, starting with the oldest."""
        found = _INTENTS.join(open_intents, open_intents.c.intent_id == intents.c.intent_id).where(
            open_intents.c.environment == account.environment,
            open_intents.c.subaccount == account.subaccount,
            open_intents.c.mode == mode.value,
            open_intents.c.state.in_([state.value for state in states]),
        )
        return [read_intent(row) for row in all_rows(self._connection, found.order_by(intents.c.intent_id))]

    def sent(self, intent_id: int) -> Sent:
        """Return the record that was committed just before an order was sent.

        Raises:
            LookupError: No sending of this intent was recorded.
        """
        row = first_row(self._connection, _SENT, intent_id=intent_id)
        if row is None:
            raise LookupError(f"the journal has no record that intent {intent_id} was to be sent")
        return Sent(**row)

    def is_approved(self, intent: Intent, at_us: int) -> bool:
        """Return whether a person other than the proposer gave a valid approval of exactly the intent's request."""
        found = sa.select(approvals.c.approval_id).where(
            approvals.c.request_sha256 == intent.request_sha256,
            approvals.c.approved_by != intent.actor_name,
            approvals.c.approved_us <= at_us,
            approvals.c.expires_us > at_us,
        )
        return self._connection.execute(found.limit(1)).first() is not None

    def attempts_in_last_minute(self, account: Account, mode: Mode, now_us: int) -> int:
        """Return how many orders were attempted in the last minute, denied attempts included."""
        found: int = self._connection.execute(
            ATTEMPTS,
            {
                "environment": account.environment,
                "subaccount": account.subaccount,
                "mode": mode.value,
                "since": now_us - MINUTE_US,
            },
        ).scalar_one()
        return found
