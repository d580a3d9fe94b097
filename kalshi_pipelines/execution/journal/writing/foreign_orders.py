"""Recording foreign orders: resting orders of the sub-account that this journal never sent."""

import sqlalchemy as sa

from kalshi_pipelines.execution.journal.reading.rows import first_row, is_stored
from kalshi_pipelines.execution.journal.records import ForeignOrder
from kalshi_pipelines.execution.journal.tables import foreign_orders, postings
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
        self, connection: sa.Connection, audit: AuditWriter, facts: FactWriter, account_postings: AccountPostings
    ) -> None:
        self._connection, self._audit, self._facts = connection, audit, facts
        self._account_postings = account_postings

    def record(self, account: Account, order: ForeignOrder, event_ticker: str) -> bool:
        """Record a resting foreign order and count it in the ledger. Return False if it was recorded before."""
        if is_stored(self._connection, foreign_orders.c.order_id, order.order_id):
            return False
        exposure = Exposure.of_resting(order.side, order.price_centicents, order.remaining_centicontracts, 0)
        bid = order.side is Side.BID
        change = Change(
            exposure,
            open_bids=order.remaining_centicontracts if bid else 0,
            open_asks=0 if bid else order.remaining_centicontracts,
        )
        values = {
            "order_id": order.order_id,
            "ticker": order.ticker,
            "side": order.side.value,
            "price_centicents": order.price_centicents,
            "remaining_centicontracts": order.remaining_centicontracts,
            "seen_us": self._audit.now_us,
            "why": order.why,
        }
        rows = self._account_postings.make(
            account, order.ticker, event_ticker, "foreign", f"foreign:{order.order_id}", change
        )
        self._facts.record("foreign", [NewRow(foreign_orders, values), *rows], {})
        return True

    def record_end(self, account: Account, order_id: str, event_ticker: str) -> bool:
        """Stop counting a foreign order that no longer rests. Return False if the ledger does not count the order."""
        dedupe = f"foreign_gone:{order_id}"
        row = first_row(self._connection, foreign_orders.select().where(foreign_orders.c.order_id == order_id))
        if row is None or is_stored(self._connection, postings.c.dedupe, dedupe):
            return False
        side, count = Side(row["side"]), row["remaining_centicontracts"]
        change = Change(
            Exposure() - Exposure.of_resting(side, row["price_centicents"], count, 0),
            open_bids=-count if side is Side.BID else 0,
            open_asks=-count if side is Side.ASK else 0,
        )
        rows = self._account_postings.make(account, row["ticker"], event_ticker, "foreign", dedupe, change)
        self._facts.record("foreign", rows, {"order_id": order_id, "gone": True})
        return True
