"""Code that reads trading sessions with their caps, leases and order groups."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import sqlalchemy as sa

from kalshi_pipelines.execution.journal.errors import JournalRefused
from kalshi_pipelines.execution.journal.reading.rows import Row, first_row
from kalshi_pipelines.execution.journal.records import HeldLease, Mode
from kalshi_pipelines.execution.journal.tables import (
    leases,
    session_caps,
    session_ends,
    session_groups,
    sessions,
    used_armings,
)
from kalshi_pipelines.execution.orders.account import Account

_SESSION: Final = sa.select(sessions).where(sessions.c.session_id == sa.bindparam("session_id"))
_CAPS: Final = sa.select(session_caps).where(session_caps.c.session_id == sa.bindparam("session_id"))


@dataclass
class KnownSessions:
    """Committed sessions and their caps.

    They never change after the commit, so later transactions need not read them again.
    """

    sessions: dict[str, Row] = field(default_factory=dict)
    caps: dict[str, dict[str, Row]] = field(default_factory=dict)

    def copy(self) -> "KnownSessions":
        """Return a copy of these sessions for one transaction, which may add sessions to its copy.

        If the transaction fails, its copy is discarded.
        """
        return KnownSessions(dict(self.sessions), dict(self.caps))


class SessionReading:
    """Reads trading sessions over one connection."""

    def __init__(self, connection: sa.Connection, known: KnownSessions) -> None:
        self._connection, self._known = connection, known

    def get(self, session_id: str) -> Row:
        """Return the row that was stored when a session was opened.

        Raises:
            LookupError: The journal has no session with this id.
        """
        known = self._known.sessions.get(session_id)
        if known is None:
            known = first_row(self._connection, _SESSION, session_id=session_id)
            if known is None:
                raise LookupError(f"the journal has no session {session_id}")
            self._known.sessions[session_id] = known
        return known

    def caps(self, session_id: str) -> dict[str, Row]:
        """Return the caps of a session by kind of scope. A session's caps never change."""
        known = self._known.caps.get(session_id)
        if known is None:
            found = self._connection.execute(_CAPS, {"session_id": session_id}).mappings()
            known = self._known.caps[session_id] = {row["kind"]: row for row in found}
        return known

    def live_session(self, account: Account) -> str | None:
        """Return the session that holds the sub-account's lease, even if the lease has expired.

        Return None without a lease.
        """
        found: str | None = self._connection.scalar(
            sa.select(leases.c.session_id).where(
                leases.c.environment == account.environment, leases.c.subaccount == account.subaccount
            )
        )
        return found

    def session_of_arming(self, sha256s: Sequence[str]) -> Row | None:
        """Return the session that used up one of these armings, or None if none of them was used."""
        used = sa.select(used_armings.c.session_id).where(used_armings.c.arming_sha256.in_(sha256s))
        return first_row(self._connection, sa.select(sessions).where(sessions.c.session_id.in_(used)))

    def newest_live_session(self, account: Account) -> str:
        """Return the newest live session of a sub-account.

        A fact that belongs to none of our orders is compared with the caps of this session.

        Raises:
            JournalRefused: No live session of the sub-account was ever opened.
        """
        table = sessions.c
        found: str | None = self._connection.scalar(
            sa.select(table.session_id)
            .where(
                table.environment == account.environment,
                table.subaccount == account.subaccount,
                table.mode == Mode.LIVE.value,
            )
            .order_by(table.audit_seq.desc())
            .limit(1)
        )
        if found is None:
            raise JournalRefused(
                "no_session", f"no live session of {account.environment} {account.subaccount} was ever opened."
            )
        return found

    def first_live_session_us(self, account: Account) -> int | None:
        """Return when the first live session of a sub-account was opened.

        Reconciliations never read the account's history before that time.
        """
        table = sessions.c
        found: int | None = self._connection.scalar(
            sa.select(sa.func.min(table.opened_us)).where(
                table.environment == account.environment,
                table.subaccount == account.subaccount,
                table.mode == Mode.LIVE.value,
            )
        )
        return found

    def live_subaccounts(self, environment: str) -> list[int]:
        """Return every sub-account for which a live session was ever opened."""
        table = sessions.c
        found = sa.select(table.subaccount).where(table.environment == environment, table.mode == Mode.LIVE.value)
        return list(self._connection.scalars(found.distinct().order_by(table.subaccount)))

    def lease(self, account: Account) -> HeldLease | None:
        """Return the lease of a sub-account, even if the lease has expired. Return None if there is no lease."""
        table = leases.c
        row = self._connection.execute(
            sa.select(table.session_id, table.until_us).where(
                table.environment == account.environment, table.subaccount == account.subaccount
            )
        ).first()
        return None if row is None else HeldLease(row[0], row[1])

    def lease_holder(self, session_id: str) -> str:
        """Return the name of the host and process that hold a session's lease."""
        return str(self._connection.scalar(sa.select(leases.c.holder).where(leases.c.session_id == session_id)))

    def has_ended(self, session_id: str) -> bool:
        """Return whether the end of a session is recorded."""
        found = sa.select(session_ends.c.session_id).where(session_ends.c.session_id == session_id)
        return self._connection.scalar(found) is not None

    def all_groups(self, account: Account) -> frozenset[str]:
        """Return the order groups of all sessions of a sub-account."""
        found = (
            sa.select(session_groups.c.order_group_id)
            .join(sessions, sessions.c.session_id == session_groups.c.session_id)
            .where(sessions.c.environment == account.environment, sessions.c.subaccount == account.subaccount)
        )
        return frozenset(self._connection.scalars(found))

    def groups(self, session_id: str) -> dict[int, str]:
        """Return the order groups of a session, one for each shard."""
        found = sa.select(session_groups.c.exchange_index, session_groups.c.order_group_id).where(
            session_groups.c.session_id == session_id
        )
        return {row[0]: row[1] for row in self._connection.execute(found)}
