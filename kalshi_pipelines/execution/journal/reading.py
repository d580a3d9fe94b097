"""What can be read of the journal: intents, sessions, the kill switch, what is left of the caps."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import sqlalchemy as sa

from kalshi_pipelines.execution.journal.guards import ACCOUNT_KEY
from kalshi_pipelines.execution.journal.questions import Question
from kalshi_pipelines.execution.journal.records import (
    AuditRecord,
    Intent,
    KillState,
    MarketStanding,
    Mode,
    ReconciliationMade,
    ScopeKind,
    ScopeStanding,
    Sent,
)
from kalshi_pipelines.execution.journal.recovery_reading import RecoveryReading
from kalshi_pipelines.execution.journal.tables import (
    approvals,
    attempts,
    audit_log,
    fences,
    fills,
    intents,
    kill_events,
    leases,
    open_intents,
    order_events,
    proposals,
    reconciliations,
    scope_markets,
    scopes,
    session_groups,
    sessions,
)
from kalshi_pipelines.execution.orders.denials import BY_CODE
from kalshi_pipelines.execution.orders.states import OPEN_STATES, OrderState
from kalshi_pipelines.execution.orders.terms import Side
from kalshi_pipelines.units import MINUTE_US

Row = sa.RowMapping

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
_BY_KEY: Final = Question(
    sa.select(intents.c.intent_id).where(
        intents.c.mode == sa.bindparam("mode"), intents.c.idempotency_key == sa.bindparam("key")
    )
)
_BY_CLIENT_ORDER_ID: Final = _INTENTS.where(
    intents.c.mode == sa.bindparam("mode"), intents.c.client_order_id == sa.bindparam("client_order_id")
)
_KILL: Final = sa.select(kill_events).order_by(kill_events.c.seq.desc()).limit(1)
_SESSION: Final = sa.select(sessions).where(sessions.c.session_id == sa.bindparam("session_id"))
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


#: How many attempts there were since some instant.
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


@dataclass
class Known:
    """Rows that never change, kept from one transaction to the next once they are committed."""

    sessions: dict[str, Row] = field(default_factory=dict)
    caps: dict[str, dict[str, Row]] = field(default_factory=dict)

    def copy(self) -> "Known":
        """One that a transaction may add to, which may come to nothing."""
        return Known(dict(self.sessions), dict(self.caps))


class JournalReading(RecoveryReading):
    """One consistent view of the journal."""

    def __init__(self, connection: sa.Connection, known: Known | None = None) -> None:
        self._connection = connection
        self._known_rows = known or Known()

    def kill(self) -> KillState:
        """The newest word of the kill switch; engaged if there is none."""
        row = self._one(_KILL)
        if row is None:
            return KillState(True, 1, "journal", "journal", "the journal has no kill event", 0, 0)
        return KillState(
            bool(row["engaged"]),
            row["level"],
            row["source"],
            row["by_whom"],
            row["reason"],
            row["at_us"],
            row["seq"],
        )

    def intent(self, intent_id: int) -> Intent:
        """An intent and where it is now.

        Raises:
            LookupError: There is none of this number.
        """
        row = self._one(_BY_ID, intent_id=intent_id)
        if row is None:
            raise LookupError(f"the journal has no intent {intent_id}")
        return _intent(row)

    def intent_of_key(self, mode: Mode, idempotency_key: str) -> Intent | None:
        """The intent a signal became before, if it did."""
        rows = _BY_KEY.asked(self._connection, {"mode": mode.value, "key": idempotency_key})
        return self.intent(rows[0]["intent_id"]) if rows else None

    def intent_of_client_order_id(self, mode: Mode, client_order_id: str) -> Intent | None:
        """The intent an order of the exchange belongs to."""
        row = self._one(_BY_CLIENT_ORDER_ID, mode=mode.value, client_order_id=client_order_id)
        return None if row is None else _intent(row)

    def open_intents(
        self,
        environment: str,
        subaccount: int,
        *,
        mode: Mode = Mode.LIVE,
        states: Collection[OrderState] = OPEN_STATES,
    ) -> list[Intent]:
        """Intents whose reservation is held, the oldest first."""
        found = _INTENTS.join(open_intents, open_intents.c.intent_id == intents.c.intent_id).where(
            open_intents.c.environment == environment,
            open_intents.c.subaccount == subaccount,
            open_intents.c.mode == mode.value,
            open_intents.c.state.in_([state.value for state in states]),
        )
        return [_intent(row) for row in self._all(found.order_by(intents.c.intent_id))]

    def sent(self, intent_id: int) -> Sent:
        """What was committed before the order was to be sent.

        Raises:
            LookupError: It never was.
        """
        row = self._one(_SENT, intent_id=intent_id)
        if row is None:
            raise LookupError(f"intent {intent_id} was never to be sent")
        return Sent(**row)

    def live_session(self, environment: str, subaccount: int) -> str | None:
        """The session that holds the sub-account's lease, even if that has run out."""
        found: str | None = self._connection.scalar(
            sa.select(leases.c.session_id).where(leases.c.environment == environment, leases.c.subaccount == subaccount)
        )
        return found

    def lease_holder(self, session_id: str) -> str:
        """Host and process of a session that has a lease."""
        return str(self._connection.scalar(sa.select(leases.c.holder).where(leases.c.session_id == session_id)))

    def groups(self, session_id: str) -> dict[int, str]:
        """The order group of each shard of a session."""
        found = sa.select(session_groups.c.exchange_index, session_groups.c.order_group_id).where(
            session_groups.c.session_id == session_id
        )
        return {row[0]: row[1] for row in self._connection.execute(found)}

    def fence_of(self, order_group_id: str) -> tuple[int, int] | None:
        """The fence of a group and when it was set, if it was."""
        found = sa.select(fences.c.fence_id, fences.c.fenced_us).where(fences.c.order_group_id == order_group_id)
        row = self._connection.execute(found).first()
        return None if row is None else (row[0], row[1])

    def actor_of(self, intent: Intent) -> str:
        """The name of who proposed an intent; no approval of theirs counts."""
        found = sa.select(intents.c.actor_name).where(intents.c.intent_id == intent.intent_id)
        return str(self._connection.scalar(found))

    def is_approved(self, intent: Intent, at_us: int) -> bool:
        """Whether somebody other than its actor approved exactly this request, and that still counts."""
        actor = sa.select(intents.c.actor_name).where(intents.c.intent_id == intent.intent_id).scalar_subquery()
        found = sa.select(approvals.c.approval_id).where(
            approvals.c.request_sha256 == intent.request_sha256,
            approvals.c.approved_by != actor,
            approvals.c.approved_us <= at_us,
            approvals.c.expires_us > at_us,
        )
        return self._connection.execute(found.limit(1)).first() is not None

    def last_reconciliation(self, environment: str, subaccount: int) -> ReconciliationMade | None:
        """The newest reconciliation of a sub-account: the one recorded last, whatever a clock said."""
        table = reconciliations.c
        found = (
            sa.select(reconciliations)
            .where(table.environment == environment, table.subaccount == subaccount)
            .order_by(table.reconciliation_id.desc())
        )
        row = self._one(found.limit(1))
        if row is None:
            return None
        return ReconciliationMade(
            row["reconciliation_id"],
            row["started_us"],
            row["as_of_us"],
            row["finished_us"],
            bool(row["clean"]),
            row["differences"],
        )

    def live_subaccounts(self, environment: str) -> list[int]:
        """Every sub-account a live session was ever opened for."""
        table = sessions.c
        found = sa.select(table.subaccount).where(table.environment == environment, table.mode == Mode.LIVE.value)
        return list(self._connection.scalars(found.distinct().order_by(table.subaccount)))

    def standings(
        self, environment: str, subaccount: int, mode: Mode, keys: Mapping[ScopeKind, str]
    ) -> list[ScopeStanding]:
        """Caps and counters of some scopes; one that was never used is not there."""
        wanted = [sa.and_(scopes.c.kind == kind.value, scopes.c.key == key) for kind, key in keys.items()]
        found = sa.select(scopes).where(
            scopes.c.environment == environment,
            scopes.c.subaccount == subaccount,
            scopes.c.mode == mode.value,
            sa.or_(sa.false(), *wanted),
        )
        return [_standing(row) for row in self._all(found.order_by(scopes.c.scope_id))]

    def live_scopes(
        self, environment: str, subaccount: int, mode: Mode, day: str, hours: tuple[int, int]
    ) -> list[ScopeStanding]:
        """The scopes that orders of now count in: of the live session, the day, the hours and the account.

        Of the events those that hold something. ``day`` is today, ``hours`` the first and the last that count.
        """
        live = mode is Mode.LIVE
        table = scopes.c
        event = sa.or_(table.worst_microdollars != 0, table.breached == 1)
        wanted = {
            ScopeKind.SESSION: table.key == (self.live_session(environment, subaccount) if live else None),
            # No day comes back, whatever a clock says: one that is ahead counts until its end.
            ScopeKind.DAY: table.key >= day,
            ScopeKind.ROLLING: table.hour.between(*hours),
            ScopeKind.EVENT: event if live else sa.and_(event, table.key.endswith(f" {day}", autoescape=True)),
            ScopeKind.ACCOUNT: table.key == (ACCOUNT_KEY if live else day),
        }
        found = sa.select(scopes).where(
            table.environment == environment,
            table.subaccount == subaccount,
            table.mode == mode.value,
            sa.or_(*[sa.and_(table.kind == kind.value, which) for kind, which in wanted.items()]),
        )
        standings = [_standing(row) for row in self._all(found.order_by(table.scope_id))]
        of_kind = {kind: [each for each in standings if each.kind is kind] for kind in wanted}
        if hourly := of_kind[ScopeKind.ROLLING]:
            of_kind[ScopeKind.ROLLING] = [_summed(hourly)]
        return [each for kind in wanted for each in of_kind[kind]]

    def breached(self, environment: str, subaccount: int, mode: Mode = Mode.LIVE) -> list[str]:
        """The scopes that facts went beyond a cap of, as ``kind key``."""
        found = sa.select(scopes.c.kind, scopes.c.key).where(
            scopes.c.environment == environment,
            scopes.c.subaccount == subaccount,
            scopes.c.mode == mode.value,
            scopes.c.breached == 1,
        )
        return [f"{kind} {key}" for kind, key in self._connection.execute(found)]

    def markets(self, environment: str, subaccount: int, key: str = "account") -> list[MarketStanding]:
        """The markets of the account's ledger that hold a position, an order or a loss."""
        table = scope_markets.c
        found = (
            sa.select(scope_markets)
            .join(scopes, scopes.c.scope_id == table.scope_id)
            .where(
                scopes.c.kind == ScopeKind.ACCOUNT.value,
                scopes.c.environment == environment,
                scopes.c.subaccount == subaccount,
                scopes.c.mode == Mode.LIVE.value,
                scopes.c.key == key,
                sa.or_(
                    table.position_centicontracts != 0,
                    table.spent_microdollars != 0,
                    table.open_bids_centicontracts != 0,
                    table.open_asks_centicontracts != 0,
                    table.if_no_microdollars != 0,
                    table.if_yes_microdollars != 0,
                ),
            )
            .order_by(table.ticker)
        )
        return [
            MarketStanding(
                row["ticker"],
                row["position_centicontracts"],
                row["spent_microdollars"],
                row["open_bids_centicontracts"],
                row["open_asks_centicontracts"],
                row["if_no_microdollars"],
                row["if_yes_microdollars"],
            )
            for row in self._all(found)
        ]

    def attempts_in_last_minute(self, environment: str, subaccount: int, mode: Mode, now_us: int) -> int:
        """How often somebody tried to have an order sent, whatever became of it."""
        found: int = self._connection.execute(
            ATTEMPTS,
            {"environment": environment, "subaccount": subaccount, "mode": mode.value, "since": now_us - MINUTE_US},
        ).scalar_one()
        return found

    def pending_proposals(self, mode: Mode, not_before_us: int, limit: int = 100) -> list[Row]:
        """Proposals nobody tried to have sent in this mode yet and that were valid then or later, the oldest first."""
        tried = sa.exists().where(attempts.c.proposal_id == proposals.c.proposal_id, attempts.c.mode == mode.value)
        found = sa.select(proposals).where(~tried, proposals.c.valid_until_us >= not_before_us)
        return self._all(found.order_by(proposals.c.proposal_id).limit(limit))

    def audit_tail(self, limit: int) -> list[AuditRecord]:
        """The newest records of the audit log, the newest first."""
        found = sa.select(audit_log.c.seq, audit_log.c.hash, audit_log.c.kind, audit_log.c.body)
        rows = self._connection.execute(found.order_by(audit_log.c.seq.desc()).limit(limit))
        return [AuditRecord(*row) for row in rows]

    def session(self, session_id: str) -> Row:
        """A session as it was opened.

        Raises:
            LookupError: There is none of this id.
        """
        known = self._known_rows.sessions.get(session_id)
        if known is None:
            known = self._one(_SESSION, session_id=session_id)
            if known is None:
                raise LookupError(f"the journal has no session {session_id}")
            self._known_rows.sessions[session_id] = known
        return known

    def _one(self, statement: sa.Select[Any], **values: object) -> Row | None:
        return self._connection.execute(statement, values).mappings().first()

    def _all(self, statement: sa.Select[Any]) -> list[Row]:
        return list(self._connection.execute(statement).mappings())


def _standing(row: Row) -> ScopeStanding:
    return ScopeStanding(
        ScopeKind(row["kind"]),
        row["key"],
        Mode(row["mode"]),
        row["orders"],
        row["orders_cap"],
        row["notional_microdollars"],
        row["notional_cap_microdollars"],
        row["worst_microdollars"],
        row["worst_cap_microdollars"],
        bool(row["breached"]),
    )


def _summed(hours: Sequence[ScopeStanding]) -> ScopeStanding:
    """The hours of a rolling cap as one scope; the newest says what the cap is."""
    return replace(
        hours[-1],
        orders=sum(each.orders for each in hours),
        notional_microdollars=sum(each.notional_microdollars for each in hours),
        worst_microdollars=sum(each.worst_microdollars for each in hours),
        breached=any(each.breached for each in hours),
    )


def _intent(row: Row) -> Intent:
    return Intent(
        intent_id=row["intent_id"],
        session_id=row["session_id"],
        environment=row["environment"],
        subaccount=row["subaccount"],
        mode=Mode(row["mode"]),
        client_order_id=row["client_order_id"],
        ticker=row["ticker"],
        event_ticker=row["event_ticker"],
        exchange_index=row["exchange_index"],
        order_group_id=row["order_group_id"],
        side=Side(row["side"]),
        price_centicents=row["price_centicents"],
        count_centicontracts=row["count_centicontracts"],
        fee_bound_microdollars=row["fee_bound_microdollars"],
        reserved_if_no_microdollars=row["reserved_if_no_microdollars"],
        reserved_if_yes_microdollars=row["reserved_if_yes_microdollars"],
        notional_microdollars=row["notional_microdollars"],
        idempotency_key=row["idempotency_key"],
        request_json=row["request_json"],
        request_sha256=row["request_sha256"],
        valid_until_us=row["valid_until_us"],
        expires_us=row["expires_us"],
        planned_us=row["planned_us"],
        proposal_id=row["proposal_id"],
        state=OrderState(row["state"]),
        state_seq=row["state_seq"],
        state_us=row["state_us"],
        order_id=row["order_id"],
        denial=None if row["denial"] is None else BY_CODE[row["denial"]],
        told_filled_centicontracts=row["told_filled"],
        filled_centicontracts=row["filled"],
        fees_microdollars=row["fees"],
    )
