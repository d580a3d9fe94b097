"""Acts of persons elsewhere: the exchange's orders that differ from the journal, and foreign orders and fills.

Such a thing is explained, never corrupt. Corrupt is only an order of this journal without a record of its sending.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import sqlalchemy as sa

from kalshi_pipelines.alerts.scrubbing import shortened, visible
from kalshi_pipelines.execution.journal.tables import (
    acknowledged_items,
    acknowledgements,
    fills,
    foreign_orders,
    intents,
    order_events,
)
from kalshi_pipelines.execution.orders.evidence import ExchangeOrder
from kalshi_pipelines.execution.orders.idempotency import is_made_by_this_program

_NOT_YET: Final = "not acknowledged yet"
#: What persons did with the evidence, for each kind of acknowledgement.
_DONE: Final = {"acknowledge": "acknowledged", "adopt": "adopted"}


class Elsewhere:
    """Compares the exchange's orders with the journal, and lists what persons did elsewhere."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection
        self._changed: list[str] = []

    def problems(self, orders: Iterable[ExchangeOrder] | None) -> Iterator[str]:
        """Yield the exchange's orders that this program must have sent and that no record of a sending explains.

        An order with other terms than its intent was changed elsewhere, which ``explanations`` lists.
        """
        if orders is None:
            return
        live = self._connection.execute(sa.select(intents).where(intents.c.mode == "live")).mappings()
        ours = {row["client_order_id"]: row for row in live}
        sent = set(
            self._connection.scalars(sa.select(order_events.c.intent_id).where(order_events.c.to_state == "sending"))
        )
        named = sa.select(order_events.c.order_id, order_events.c.intent_id).where(order_events.c.order_id.is_not(None))
        intent_of = {row[0]: row[1] for row in self._connection.execute(named)}
        by_number = {row["intent_id"]: row for row in ours.values()}
        acknowledged, seen = self._acknowledged("order_id"), dict[str, str]()
        foreign = self._foreign_order_ids()
        for order in orders:
            row = ours.get(order.client_order_id) or by_number.get(intent_of.get(order.order_id, 0))
            if order.order_id in acknowledged:
                continue
            if row is None:
                yield from self._foreign(order, foreign)
                continue
            if row["intent_id"] not in sent:
                yield f"order {order.order_id} belongs to intent {row['intent_id']}, which was never recorded as sent"
            before = seen.setdefault(row["client_order_id"], order.order_id)
            if before != order.order_id:
                yield f"orders {before} and {order.order_id} both belong to intent {row['intent_id']}"
            self._compare_terms(order, dict(row))

    def explanations(self) -> Iterator[str]:
        """Yield what persons did elsewhere or took responsibility for, with who explained it.

        The lines about orders at the exchange are complete only after all ``problems`` were read.
        """
        yield from self._changed
        by_order, by_fill = self._acknowledged("order_id"), self._acknowledged("subject", "foreign_fill")
        seen = sa.select(foreign_orders.c.order_id, foreign_orders.c.ticker).order_by(foreign_orders.c.audit_seq)
        for order_id, ticker in self._connection.execute(seen):
            yield f"foreign order {_safe(order_id)} of {_safe(ticker)}: {by_order.get(order_id, _NOT_YET)}"
        traded = sa.select(fills.c.fill_id, fills.c.order_id, fills.c.ticker).where(fills.c.intent_id.is_(None))
        for fill_id, order_id, ticker in self._connection.execute(traded.order_by(fills.c.audit_seq)):
            who = by_fill.get(fill_id) or by_order.get(order_id) or _NOT_YET
            yield f"foreign fill {_safe(fill_id)} of {_safe(ticker)}: {who}"
        table = acknowledged_items.c
        others = (
            sa.select(table.kind, table.subject, table.acknowledgement_id)
            .where(table.kind.not_in(["foreign_fill", "foreign_order"]))
            .order_by(table.acknowledgement_id, table.number)
        )
        persons = self._persons()
        for kind, subject, number in self._connection.execute(others):
            yield f"{kind} {_safe(subject)}: {persons[number]}"

    def _foreign(self, order: ExchangeOrder, known: set[str]) -> Iterator[str]:
        if order.order_id in known or order.did_nothing:
            return
        what = f"order {order.order_id} of {order.ticker}"
        if is_made_by_this_program(order.client_order_id):
            yield f"{what} was sent by this program, but not with this journal"
        else:
            self._changed.append(f"{what} is neither this journal's nor recorded: {_NOT_YET}; run `reconcile`")

    def _compare_terms(self, order: ExchangeOrder, row: Mapping[str, Any]) -> None:
        if row["reduce_only"] and order.count_centicontracts < row["count_centicontracts"]:
            # The exchange caps the count of a reduce-only order at the position.
            row = {**row, "count_centicontracts": order.count_centicontracts}
        there = (
            order.client_order_id,
            order.ticker,
            order.side.value,
            order.price_centicents,
            order.count_centicontracts,
        )
        names = ("client_order_id", "ticker", "side", "price_centicents", "count_centicontracts")
        if there != tuple(row[name] for name in names):
            self._changed.append(
                f"order {order.order_id} has other terms than intent {row['intent_id']}, so it was changed elsewhere"
            )

    def _foreign_order_ids(self) -> set[str]:
        found = set(self._connection.scalars(sa.select(foreign_orders.c.order_id)))
        return found | set(self._connection.scalars(sa.select(fills.c.order_id).where(fills.c.intent_id.is_(None))))

    def _acknowledged(self, column: str, kind: str | None = None) -> dict[str, str]:
        """Return who acknowledged each order or subject."""
        key, persons = acknowledged_items.c[column], self._persons()
        found = sa.select(key, acknowledged_items.c.acknowledgement_id).where(key.is_not(None))
        if kind is not None:
            found = found.where(acknowledged_items.c.kind == kind)
        return {row[0]: persons[row[1]] for row in self._connection.execute(found)}

    def _persons(self) -> dict[int, str]:
        found = self._connection.execute(sa.select(acknowledgements)).mappings()
        return {
            row["acknowledgement_id"]: f"{_DONE[row['action']]} by {_people(row)}: {_safe(row['reason'])}"
            for row in found
        }


def _people(row: sa.RowMapping) -> str:
    first, second = _safe(row["by_whom"], 60), row["second_by"]
    return first if second is None else f"{first} and {_safe(second, 60)}"


def _safe(text: str, most: int = 160) -> str:
    """Return a text of the exchange or of a person as one short line without control characters."""
    return shortened(visible(text), most)
