"""The class that reads foreign orders: the state in which the ledger counts each of them."""

import sqlalchemy as sa

from kalshi_pipelines.execution.journal.reading.rows import first_row, is_stored
from kalshi_pipelines.execution.journal.records import CountedForeignOrder
from kalshi_pipelines.execution.journal.tables import foreign_orders, foreign_sightings, postings, scopes
from kalshi_pipelines.execution.orders.account import Account
from kalshi_pipelines.execution.orders.terms import Side


class ForeignOrderReading:
    """Reads foreign orders over one connection."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def get(self, order_id: str) -> CountedForeignOrder | None:
        """Return the state in which the ledger counts an order, or None if the order was never recorded as foreign.

        The newest sighting counts. Journals of earlier versions have no sightings; in these journals a posting with the
        key ``foreign_gone`` tells that the order rests no longer.
        """
        first = first_row(self._connection, sa.select(foreign_orders).where(foreign_orders.c.order_id == order_id))
        if first is None:
            return None
        table = foreign_sightings.c
        newest = first_row(
            self._connection,
            sa.select(foreign_sightings).where(table.order_id == order_id).order_by(table.sighting_id.desc()).limit(1),
        )
        if newest is None:
            gone = is_stored(self._connection, postings.c.dedupe, f"foreign_gone:{order_id}")
            price, remaining, fee = first["price_centicents"], first["remaining_centicontracts"], 0
            remaining = 0 if gone else remaining
        else:
            price, remaining = newest["price_centicents"], newest["remaining_centicontracts"]
            fee = newest["fee_bound_microdollars"]
        return CountedForeignOrder(order_id, first["ticker"], Side(first["side"]), price, remaining, fee)

    def resting(self, account: Account) -> list[CountedForeignOrder]:
        """Return the foreign orders that the ledger counts as resting."""
        found = (
            sa.select(foreign_orders.c.order_id)
            .join(postings, postings.c.dedupe == sa.literal("foreign:").concat(foreign_orders.c.order_id))
            .join(scopes, scopes.c.scope_id == postings.c.scope_id)
            .where(
                scopes.c.kind == "account",
                scopes.c.environment == account.environment,
                scopes.c.subaccount == account.subaccount,
            )
            .order_by(foreign_orders.c.order_id)
        )
        counted = [self.get(order_id) for order_id in self._connection.scalars(found)]
        return [each for each in counted if each is not None and each.remaining_centicontracts]
