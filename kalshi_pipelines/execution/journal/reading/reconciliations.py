"""The class that reads reconciliations: when an account was compared with the journal, and whether they differed."""

import sqlalchemy as sa

from kalshi_pipelines.execution.journal.reading.rows import Row, first_row
from kalshi_pipelines.execution.journal.reading.sessions import SessionReading
from kalshi_pipelines.execution.journal.records import ReconciliationRecord
from kalshi_pipelines.execution.journal.tables import reconciliations
from kalshi_pipelines.execution.orders.account import Account


class ReconciliationReading:
    """Reads the results of reconciliations over one connection."""

    def __init__(self, connection: sa.Connection, sessions: SessionReading) -> None:
        self._connection, self._sessions = connection, sessions

    def newest(self, account: Account) -> ReconciliationRecord | None:
        """Return the reconciliation that was recorded last, or None if there is none.

        Its timestamps may be older than those of an earlier record, if the clock went back.
        """
        table = reconciliations.c
        found = (
            sa.select(reconciliations)
            .where(table.environment == account.environment, table.subaccount == account.subaccount)
            .order_by(table.reconciliation_id.desc())
        )
        row = first_row(self._connection, found.limit(1))
        return None if row is None else _reconciliation(row)

    def newest_clean(self, account: Account) -> ReconciliationRecord | None:
        """Return the newest reconciliation that found no difference; None if there is none."""
        table = reconciliations.c
        found = (
            sa.select(
                table.reconciliation_id,
                table.started_us,
                table.as_of_us,
                table.finished_us,
                table.clean,
                table.differences,
            )
            .where(table.environment == account.environment, table.subaccount == account.subaccount, table.clean == 1)
            .order_by(table.reconciliation_id.desc())
            .limit(1)
        )
        row = first_row(self._connection, found)
        return None if row is None else _reconciliation(row)

    def has_any_since_first_session(self, account: Account) -> bool:
        """Return whether a reconciliation has compared a sub-account's positions since its first live session."""
        first = self._sessions.first_live_session_us(account)
        table = reconciliations.c
        if first is None:
            return False
        found = sa.select(sa.literal(1)).where(
            table.environment == account.environment,
            table.subaccount == account.subaccount,
            table.started_us >= first,
            table.as_of_us > 0,
        )
        return self._connection.execute(found.limit(1)).first() is not None


def _reconciliation(row: Row) -> ReconciliationRecord:
    return ReconciliationRecord(
        row["reconciliation_id"],
        row["started_us"],
        row["as_of_us"],
        row["finished_us"],
        bool(row["clean"]),
        row["differences"],
    )
