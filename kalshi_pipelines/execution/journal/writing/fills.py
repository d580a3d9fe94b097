"""Recording fills of our own orders and of foreign orders."""

import sqlalchemy as sa

from kalshi_pipelines.execution.journal.reading.rows import is_stored
from kalshi_pipelines.execution.journal.records import Fill, Intent
from kalshi_pipelines.execution.journal.tables import fills
from kalshi_pipelines.execution.journal.writing.account_postings import AccountPostings
from kalshi_pipelines.execution.journal.writing.audit_writer import NewRow
from kalshi_pipelines.execution.journal.writing.facts import FactWriter
from kalshi_pipelines.execution.journal.writing.ledger import LedgerWriter
from kalshi_pipelines.execution.journal.writing.postings import change_by_position
from kalshi_pipelines.execution.orders.account import Account
from kalshi_pipelines.execution.orders.states import NEVER_THERE
from kalshi_pipelines.execution.orders.terms import Side


class FillWriter:
    """Records fills with their postings."""

    def __init__(
        self, connection: sa.Connection, facts: FactWriter, ledger: LedgerWriter, account_postings: AccountPostings
    ) -> None:
        self._connection, self._facts = connection, facts
        self._ledger, self._account_postings = ledger, account_postings

    def record(self, fill: Fill, intent: Intent) -> bool:
        """Record a fill of one of our orders. Return False if the fill was recorded before.

        The same transaction engages the kill switch if the fill exceeds a cap or contradicts its order. For example, a
        fill contradicts its order if more contracts were filled than ordered.
        """
        if is_stored(self._connection, fills.c.fill_id, fill.fill_id):
            return False
        rows = self._ledger.make_fill(fill, intent)
        fact = NewRow(fills, _fill_values(fill, intent.intent_id))
        self._facts.record("fill", [fact, *rows], {"client_order_id": intent.client_order_id})
        contradiction = _contradiction(fill, intent)
        if contradiction:
            self._facts.halt(f"fill {fill.fill_id} of {fill.ticker}: {contradiction}")
        return True

    def record_foreign(self, account: Account, fill: Fill, event_ticker: str) -> bool:
        """Record a fill of a foreign order. Return False if the fill was recorded before."""
        if is_stored(self._connection, fills.c.fill_id, fill.fill_id):
            return False
        change = change_by_position(fill)
        rows = self._account_postings.make(
            account,
            fill.ticker,
            event_ticker,
            "foreign",
            f"fill:{fill.fill_id}",
            change,
            also_in=f"foreign:{fill.order_id}",
        )
        rows = [NewRow(row.table, {**row.values, "fill_id": fill.fill_id}) for row in rows]
        self._facts.record("foreign", [NewRow(fills, _fill_values(fill, None)), *rows], {})
        return True


def _sign(side: Side) -> int:
    return 1 if side is Side.BID else -1


def _fill_values(fill: Fill, intent_id: int | None) -> dict[str, object]:
    return {
        "fill_id": fill.fill_id,
        "order_id": fill.order_id,
        "intent_id": intent_id,
        "ticker": fill.ticker,
        "side": fill.side.value,
        "price_centicents": fill.price_centicents,
        "count_centicontracts": fill.count_centicontracts,
        "fee_microdollars": fill.fee_microdollars,
        "at_us": fill.at_us,
    }


def _contradiction(fill: Fill, intent: Intent) -> str | None:
    """Return why this fill contradicts its order, or None if it does not."""
    if intent.state in NEVER_THERE:
        return f"the order is {intent.state}"
    if (fill.ticker, fill.side) != (intent.ticker, intent.side):
        return "it is of another market or side than the order"
    if intent.filled_centicontracts + fill.count_centicontracts > intent.count_centicontracts:
        return "more was filled than ordered"
    better = (intent.price_centicents - fill.price_centicents) * _sign(intent.side)
    if better < 0:
        return "its price is worse than the order's limit"
    if intent.fees_microdollars + fill.fee_microdollars > intent.fee_bound_microdollars:
        return "its fee is above the bound"
    return None
