"""Recording foreign orders: resting orders of the sub-account that this journal never sent or tracks no longer."""

import sqlalchemy as sa

from kalshi_pipelines.execution.journal.reading.foreign_orders import ForeignOrderReading
from kalshi_pipelines.execution.journal.reading.rows import is_stored
from kalshi_pipelines.execution.journal.records import CountedForeignOrder, ForeignOrder, Intent
from kalshi_pipelines.execution.journal.tables import foreign_orders, foreign_sightings
from kalshi_pipelines.execution.journal.writing.account_postings import AccountPostings
from kalshi_pipelines.execution.journal.writing.audit_writer import AuditWriter, NewRow
from kalshi_pipelines.execution.journal.writing.facts import FactWriter
from kalshi_pipelines.execution.journal.writing.postings import Change
from kalshi_pipelines.execution.orders.account import Account
from kalshi_pipelines.execution.orders.terms import Side
from kalshi_pipelines.execution.orders.worst_case import Exposure


class ForeignOrderWriter:
    """Records foreign orders and counts them in the ledger while they rest."""

    def __init__(
        self,
        connection: sa.Connection,
        audit: AuditWriter,
        reading: ForeignOrderReading,
        facts: FactWriter,
        account_postings: AccountPostings,
    ) -> None:
        self._connection, self._audit, self._reading, self._facts = connection, audit, reading, facts
        self._account_postings = account_postings

    def record(
        self,
        account: Account,
        order: ForeignOrder,
        event_ticker: str,
        taken_from: Intent | None = None,
        fee_bound_microdollars: int = 0,
    ) -> bool:
        """Record a resting foreign order and count it in the ledger. Return False if nothing changed since.

        If the order was recorded before and its price or its remaining contracts changed, the ledger counts the
        change.

        Args:
            account: The account of the order.
            order: The order as it rests now.
            event_ticker: The event of the order's market.
            taken_from: The intent whose order this was until persons took it over. The order is then also counted in
                the scopes of that intent.
            fee_bound_microdollars: The largest possible fees of the order, or 0 if they are not known.
        """
        if is_stored(self._connection, foreign_orders.c.order_id, order.order_id):
            return self._follow(
                account, order.order_id, order.price_centicents, order.remaining_centicontracts, event_ticker
            )
        counted = CountedForeignOrder(
            order.order_id,
            order.ticker,
            order.side,
            order.price_centicents,
            order.remaining_centicontracts,
            fee_bound_microdollars,
        )
        rows = self._account_postings.make(
            account,
            order.ticker,
            event_ticker,
            "foreign",
            f"foreign:{order.order_id}",
            _change(counted, None),
            also_in=None if taken_from is None else f"reserve:{taken_from.intent_id}",
        )
        sighting = [] if fee_bound_microdollars == 0 else [_sighting(counted)]
        self._facts.record("foreign", [_first_row(order, self._audit.now_us), *sighting, *rows], {})
        return True

    def record_end(self, account: Account, order_id: str, event_ticker: str) -> bool:
        """Stop counting a foreign order that no longer rests. Return False if the ledger does not count the order."""
        counted = self._reading.get(order_id)
        if counted is None:
            return False
        return self._follow(account, order_id, counted.price_centicents, 0, event_ticker)

    def _follow(self, account: Account, order_id: str, price: int, remaining: int, event_ticker: str) -> bool:
        before = self._reading.get(order_id)
        if before is None or (before.price_centicents, before.remaining_centicontracts) == (price, remaining):
            return False
        now = CountedForeignOrder(
            order_id, before.ticker, before.side, price, remaining, before.fee_bound_microdollars if remaining else 0
        )
        rows = self._account_postings.make(
            account,
            before.ticker,
            event_ticker,
            "foreign",
            f"foreign_now:{order_id}:{self._audit.next_seq}",
            _change(now, before),
            also_in=f"foreign:{order_id}",
        )
        self._facts.record("foreign", [_sighting(now), *rows], {"gone": True} if not remaining else {})
        return True


def _first_row(order: ForeignOrder, seen_us: int) -> NewRow:
    return NewRow(
        foreign_orders,
        {
            "order_id": order.order_id,
            "ticker": order.ticker,
            "side": order.side.value,
            "price_centicents": order.price_centicents,
            "remaining_centicontracts": order.remaining_centicontracts,
            "seen_us": seen_us,
            "why": order.why,
        },
    )


def _sighting(order: CountedForeignOrder) -> NewRow:
    return NewRow(
        foreign_sightings,
        {
            "order_id": order.order_id,
            "price_centicents": order.price_centicents,
            "remaining_centicontracts": order.remaining_centicontracts,
            "fee_bound_microdollars": order.fee_bound_microdollars,
        },
    )


def _change(now: CountedForeignOrder, before: CountedForeignOrder | None) -> Change:
    """Return the change of the ledger from the state in which it counts an order to the order's present state."""
    was, opens = (Exposure(), 0) if before is None else (_exposure(before), before.remaining_centicontracts)
    more = now.remaining_centicontracts - opens
    bid = now.side is Side.BID
    return Change(_exposure(now) - was, open_bids=more if bid else 0, open_asks=0 if bid else more)


def _exposure(order: CountedForeignOrder) -> Exposure:
    if order.remaining_centicontracts == 0:
        return Exposure()
    return Exposure.of_resting(
        order.side, order.price_centicents, order.remaining_centicontracts, order.fee_bound_microdollars
    )
