"""What a reconciliation and the kill switch look up in the journal: leases, groups, orders by the exchange's id."""

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from kalshi_pipelines.execution.journal.records import ForeignOrder, KillState, Mode, ReconciliationMade
from kalshi_pipelines.execution.journal.tables import (
    fences,
    foreign_orders,
    kill_events,
    leases,
    order_events,
    postings,
    reconciliations,
    scopes,
    session_groups,
    sessions,
)
from kalshi_pipelines.execution.orders.terms import Side


@dataclass(frozen=True, slots=True)
class LeaseHeld:
    """The session that has a sub-account for itself, and until when."""

    session_id: str
    until_us: int


class RecoveryReading:
    """Part of every reading of the journal."""

    _connection: sa.Connection

    def lease(self, environment: str, subaccount: int) -> LeaseHeld | None:
        """The lease of a sub-account, even one that has run out."""
        table = leases.c
        row = self._connection.execute(
            sa.select(table.session_id, table.until_us).where(
                table.environment == environment, table.subaccount == subaccount
            )
        ).first()
        return None if row is None else LeaseHeld(row[0], row[1])

    def first_live_session_us(self, environment: str, subaccount: int) -> int | None:
        """When the first live session of a sub-account was opened: since then the journal counts what happens."""
        table = sessions.c
        found: int | None = self._connection.scalar(
            sa.select(sa.func.min(table.opened_us)).where(
                table.environment == environment, table.subaccount == subaccount, table.mode == Mode.LIVE.value
            )
        )
        return found

    def intent_id_of_order(self, order_id: str) -> int | None:
        """The intent an order of the exchange became known for."""
        table = order_events.c
        found: int | None = self._connection.scalar(
            sa.select(table.intent_id).where(
                table.order_id == order_id, table.from_state.in_(["sending", "unknown"]), table.order_id.is_not(None)
            )
        )
        return found

    def foreign_orders_counted(self, environment: str, subaccount: int) -> list[ForeignOrder]:
        """Orders of others that the ledger counts as resting."""
        gone = postings.alias("gone")
        counted = (
            sa.select(foreign_orders)
            .join(postings, postings.c.dedupe == sa.literal("foreign:").concat(foreign_orders.c.order_id))
            .join(scopes, scopes.c.scope_id == postings.c.scope_id)
            .outerjoin(gone, gone.c.dedupe == sa.literal("foreign_gone:").concat(foreign_orders.c.order_id))
            .where(
                scopes.c.kind == "account",
                scopes.c.environment == environment,
                scopes.c.subaccount == subaccount,
                gone.c.dedupe.is_(None),
            )
            .order_by(foreign_orders.c.order_id)
        )
        return [
            ForeignOrder(
                row["order_id"],
                row["ticker"],
                Side(row["side"]),
                row["price_centicents"],
                row["remaining_centicontracts"],
                row["why"],
            )
            for row in self._connection.execute(counted).mappings()
        ]

    def unfenced_groups(self, environment: str, subaccount: int, since_us: int) -> list[tuple[str, int]]:
        """Order groups, each with its shard, of sessions that lived at an instant or later, and that take orders."""
        found = (
            sa.select(session_groups.c.order_group_id, session_groups.c.exchange_index)
            .join(sessions, sessions.c.session_id == session_groups.c.session_id)
            .outerjoin(fences, fences.c.order_group_id == session_groups.c.order_group_id)
            .where(
                sessions.c.environment == environment,
                sessions.c.subaccount == subaccount,
                sessions.c.expires_us >= since_us,
                fences.c.fence_id.is_(None),
            )
            .order_by(session_groups.c.order_group_id)
        )
        return [(row[0], row[1]) for row in self._connection.execute(found)]

    def engagements_since_release(self) -> Sequence[KillState]:
        """What engaged the kill switch since it was released last, the oldest first."""
        table = kill_events.c
        released = sa.select(sa.func.coalesce(sa.func.max(table.seq), 0)).where(table.engaged == 0).scalar_subquery()
        found = sa.select(kill_events).where(table.seq > released).order_by(table.seq)
        return [
            KillState(
                True, row["level"], row["source"], row["by_whom"], row["reason"], row["at_us"], row["seq"]
            )
            for row in self._connection.execute(found).mappings()
        ]  # fmt: skip

    def last_clean_reconciliation(self, environment: str, subaccount: int) -> ReconciliationMade | None:
        """The newest reconciliation of a sub-account that found no difference."""
        table = reconciliations.c
        row = self._connection.execute(
            sa.select(
                table.reconciliation_id,
                table.started_us,
                table.as_of_us,
                table.finished_us,
                table.clean,
                table.differences,
            )
            .where(table.environment == environment, table.subaccount == subaccount, table.clean == 1)
            .order_by(table.reconciliation_id.desc())
            .limit(1)
        ).first()
        return None if row is None else ReconciliationMade(row[0], row[1], row[2], row[3], bool(row[4]), row[5])

    def reconciled_in_a_session(self, environment: str, subaccount: int) -> bool:
        """Whether a sub-account was read and compared with its positions since its first live session was opened."""
        first = self.first_live_session_us(environment, subaccount)
        table = reconciliations.c
        if first is None:
            return False
        found = sa.select(sa.literal(1)).where(
            table.environment == environment,
            table.subaccount == subaccount,
            table.started_us >= first,
            table.as_of_us > 0,
        )
        return self._connection.execute(found.limit(1)).first() is not None
