"""The class that reads fences and order groups. A group without a fence may still accept orders at the exchange."""

import sqlalchemy as sa

from kalshi_pipelines.execution.journal.tables import fences, session_groups, sessions
from kalshi_pipelines.execution.orders.account import Account


class EvidenceReading:
    """Reads fences of order groups over one connection."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def fence_of(self, order_group_id: str) -> tuple[int, int] | None:
        """Return the number and the time (microseconds) of an order group's fence; None if the group is not fenced."""
        found = sa.select(fences.c.fence_id, fences.c.fenced_us).where(fences.c.order_group_id == order_group_id)
        row = self._connection.execute(found).first()
        return None if row is None else (row[0], row[1])

    def unfenced_groups(self, account: Account, since_us: int) -> list[tuple[str, int]]:
        """Return order groups without a fence, each with its shard.

        Groups whose session expired before ``since_us`` are left out.
        """
        found = (
            sa.select(session_groups.c.order_group_id, session_groups.c.exchange_index)
            .join(sessions, sessions.c.session_id == session_groups.c.session_id)
            .outerjoin(fences, fences.c.order_group_id == session_groups.c.order_group_id)
            .where(
                sessions.c.environment == account.environment,
                sessions.c.subaccount == account.subaccount,
                sessions.c.expires_us >= since_us,
                fences.c.fence_id.is_(None),
            )
            .order_by(session_groups.c.order_group_id)
        )
        return [(row[0], row[1]) for row in self._connection.execute(found)]
