"""The class that reads what persons acknowledged, and recorded facts that nobody acknowledged yet."""

from typing import Final

import sqlalchemy as sa

from kalshi_pipelines.execution.journal.records import EvidenceItem, Mode, Signature
from kalshi_pipelines.execution.journal.tables import (
    acknowledged_items,
    acknowledgements,
    evidence_signatures,
    fills,
    foreign_orders,
    intents,
    postings,
    scopes,
)
from kalshi_pipelines.execution.orders import amounts
from kalshi_pipelines.execution.orders.account import Account
from kalshi_pipelines.execution.orders.terms import Side

#: The columns of a scope that a correction may change in a person's favour.
_COUNTED: Final = (
    scopes.c.orders,
    scopes.c.notional_microdollars,
    scopes.c.worst_microdollars,
    scopes.c.worst_cap_microdollars,
)


class AcknowledgementReading:
    """Reads acknowledgements over one connection."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def orders(self, account: Account) -> dict[str, EvidenceItem]:
        """Return the newest acknowledged state of each order at the exchange, by the exchange's order id."""
        found = self._items(account).where(acknowledged_items.c.order_id.is_not(None))
        return {row["order_id"]: _item(row) for row in self._connection.execute(found).mappings()}

    def subjects(self, account: Account, kind: str) -> set[str]:
        """Return the subjects of all acknowledged pieces of evidence of one kind."""
        found = self._items(account).where(acknowledged_items.c.kind == kind)
        return {row["subject"] for row in self._connection.execute(found).mappings()}

    def filled_elsewhere(self, intent_id: int) -> int:
        """Return the filled centi-contracts of the orders that persons took over from an intent."""
        table = acknowledged_items.c
        found = sa.select(sa.func.coalesce(sa.func.max(table.filled_centicontracts), 0))
        return int(self._connection.scalar(found.where(table.intent_id == intent_id)) or 0)

    def signatures(self, account: Account, action: str, evidence_sha256: str, since_us: int) -> list[Signature]:
        """Return the signatures under evidence since an instant, oldest first."""
        table = evidence_signatures.c
        found = (
            sa.select(table.signed_by, table.reason)
            .where(
                table.environment == account.environment,
                table.subaccount == account.subaccount,
                table.action == action,
                table.evidence_sha256 == evidence_sha256,
                table.signed_us >= since_us,
            )
            .order_by(table.signature_id)
        )
        return [Signature(row[0], row[1]) for row in self._connection.execute(found)]

    def counters(self, account: Account) -> dict[tuple[str, str], tuple[int, ...]]:
        """Return the counted orders, notional, worst loss and its cap of each live scope, by kind and key."""
        found = sa.select(scopes.c.kind, scopes.c.key, *_COUNTED).where(
            scopes.c.environment == account.environment,
            scopes.c.subaccount == account.subaccount,
            scopes.c.mode == Mode.LIVE.value,
        )
        return {(row[0], row[1]): tuple(row[2:]) for row in self._connection.execute(found)}

    def foreign_fills(self, account: Account) -> list[EvidenceItem]:
        """Return the recorded fills of foreign orders that nobody acknowledged, oldest first."""
        table = fills.c
        of_account = _is_posted_to(account, "fill:", table.fill_id)
        found = sa.select(fills).where(table.intent_id.is_(None), of_account).order_by(table.audit_seq)
        known, orders = self.subjects(account, "foreign_fill"), self.orders(account)
        return [
            EvidenceItem("foreign_fill", row["fill_id"], _fill_text(row))
            for row in self._connection.execute(found).mappings()
            if row["fill_id"] not in known and row["order_id"] not in orders
        ]

    def ended_foreign_orders(self, account: Account, resting: set[str]) -> list[EvidenceItem]:
        """Return recorded foreign orders that rest no longer and that nobody acknowledged.

        Args:
            account: The account of the orders.
            resting: The ids of the orders that rest now.
        """
        of_account = _is_posted_to(account, "foreign:", foreign_orders.c.order_id)
        known = self.orders(account)
        found = sa.select(foreign_orders).where(of_account).order_by(foreign_orders.c.audit_seq)
        return [
            EvidenceItem(
                "foreign_order",
                row["order_id"],
                f"{amounts.count(row['remaining_centicontracts'])} of {row['ticker']} rested at "
                f"{amounts.price(row['price_centicents'])}; the order rests no longer",
                order_id=row["order_id"],
                price_centicents=row["price_centicents"],
                filled_centicontracts=row["remaining_centicontracts"],
                remaining_centicontracts=0,
            )
            for row in self._connection.execute(found).mappings()
            if row["order_id"] not in known and row["order_id"] not in resting
        ]

    def fees_above_bound(self, account: Account) -> list[EvidenceItem]:
        """Return the orders whose recorded fees exceed their bound and that nobody acknowledged."""
        paid = sa.cast(sa.func.sum(fills.c.fee_microdollars), sa.BigInteger)
        found = (
            sa.select(intents.c.client_order_id, intents.c.fee_bound_microdollars, paid.label("paid"))
            .join(fills, fills.c.intent_id == intents.c.intent_id)
            .where(
                intents.c.environment == account.environment,
                intents.c.subaccount == account.subaccount,
                intents.c.mode == Mode.LIVE.value,
            )
            .group_by(intents.c.intent_id, intents.c.client_order_id, intents.c.fee_bound_microdollars)
            .having(paid > intents.c.fee_bound_microdollars)
            .order_by(intents.c.intent_id)
        )
        known = self.subjects(account, "fee_above_bound")
        return [
            EvidenceItem(
                "fee_above_bound",
                row["client_order_id"],
                f"the fees are {amounts.money(row['paid'])}, the bound was "
                f"{amounts.money(row['fee_bound_microdollars'])}",
            )
            for row in self._connection.execute(found).mappings()
            if row["client_order_id"] not in known
        ]

    def _items(self, account: Account) -> sa.Select[tuple[object, ...]]:
        return (
            sa.select(acknowledged_items)
            .join(
                acknowledgements,
                acknowledgements.c.acknowledgement_id == acknowledged_items.c.acknowledgement_id,
            )
            .where(
                acknowledgements.c.environment == account.environment,
                acknowledgements.c.subaccount == account.subaccount,
            )
            .order_by(acknowledged_items.c.acknowledgement_id, acknowledged_items.c.number)
        )


def _is_posted_to(account: Account, prefix: str, fact_id: sa.ColumnElement[str]) -> sa.ColumnElement[bool]:
    """Return the condition that a fact was posted to an account. The fact's posting has the prefix in its key."""
    return (
        sa.exists()
        .where(postings.c.dedupe == sa.literal(prefix).concat(fact_id))
        .where(scopes.c.scope_id == postings.c.scope_id)
        .where(scopes.c.environment == account.environment, scopes.c.subaccount == account.subaccount)
    )


def _item(row: sa.RowMapping) -> EvidenceItem:
    return EvidenceItem(**{name: row[name] for name in EvidenceItem.__slots__})


def _fill_text(row: sa.RowMapping) -> str:
    side = "bought" if row["side"] == Side.BID.value else "sold"
    return (
        f"{side} {amounts.count(row['count_centicontracts'])} of {row['ticker']} at "
        f"{amounts.price(row['price_centicents'])} by order {row['order_id']}"
    )
