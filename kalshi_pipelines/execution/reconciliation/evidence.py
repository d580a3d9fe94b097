"""The evidence that persons acknowledge: what differs between account and journal, and facts that nobody explained yet.

The evidence of an unchanged account is the same at any time, so that its digest stands for what a person has read.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from kalshi_pipelines.errors import ExpectedError
from kalshi_pipelines.execution.journal.records import EvidenceItem, Intent
from kalshi_pipelines.execution.journal.transaction import JournalTransaction
from kalshi_pipelines.execution.orders import amounts
from kalshi_pipelines.execution.orders.account import Account
from kalshi_pipelines.execution.orders.canonical_json import canonical_json
from kalshi_pipelines.execution.orders.evidence import ExchangeOrder
from kalshi_pipelines.execution.orders.states import OrderState
from kalshi_pipelines.execution.orders.terms import Side
from kalshi_pipelines.execution.reconciliation.comparison import Comparison
from kalshi_pipelines.execution.reconciliation.matching import contradictions, end_contradiction
from kalshi_pipelines.execution.reconciliation.report import AccountDifference, DifferenceKind
from kalshi_pipelines.execution.reconciliation.snapshot import AccountSnapshot
from kalshi_pipelines.execution.text import safe_line

#: The number of the digest's digits that a person copies.
SHORT_DIGEST: Final = 12
_MOST_TEXT: Final = 1_000
#: Kinds of difference that are facts of the journal. They are read from the journal, not from a comparison.
_RECORDED: Final = frozenset({DifferenceKind.FOREIGN_FILL, DifferenceKind.FEE_ABOVE_BOUND})
#: Kinds of difference that concern one of our own orders.
_OF_AN_ORDER: Final = frozenset(
    {
        DifferenceKind.ORDER_DIVERGED,
        DifferenceKind.ORDER_MISSING,
        DifferenceKind.FILLS_MISSING,
        DifferenceKind.UNKNOWN_TOO_LONG,
    }
)


class NotAcknowledged(ExpectedError):
    """The evidence cannot be acknowledged, so nothing was recorded."""


class NothingToAcknowledge(NotAcknowledged):
    """The account matches the journal, and every fact is explained."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """The evidence of an account, with the changes of the ledger that its acknowledgement would make."""

    action: str
    account: Account
    items: tuple[EvidenceItem, ...]
    changes: tuple[str, ...] = ()
    needs_second: bool = False

    @property
    def sha256(self) -> str:
        """The SHA-256 of the evidence and of the changes, as 64 hexadecimal digits."""
        content = {
            "action": self.action,
            "account": str(self.account),
            "items": [{name: getattr(item, name) for name in EvidenceItem.__slots__} for item in self.items],
            "changes": list(self.changes),
            "needs_second": self.needs_second,
        }
        return hashlib.sha256(canonical_json(content).encode()).hexdigest()

    def __str__(self) -> str:
        lines = [f"Evidence of {self.account}:"]
        lines += [f"{number}. {each.kind} {each.subject}: {each.detail}" for number, each in enumerate(self.items, 1)]
        lines += ["The ledger would change:"] if self.changes else ["The ledger would not change."]
        lines += [f"- {change}" for change in self.changes]
        if self.needs_second:
            lines.append("A second person has to sign the same evidence.")
        return "\n".join([*lines, f"Digest: {self.sha256[:SHORT_DIGEST]}"])


def items_of(
    transaction: JournalTransaction, account: Account, snapshot: AccountSnapshot, comparison: Comparison
) -> tuple[EvidenceItem, ...]:
    """Return all evidence of an account, sorted by kind and subject.

    Raises:
        NotAcknowledged: A difference exists that no person can take responsibility for.
    """
    gathering = _Gathering(transaction, account, snapshot)
    found = [*gathering.of_orders(comparison.differences), *gathering.of_unknown_orders(comparison.differences)]
    found += [_item(each) for each in comparison.differences if each.kind not in _RECORDED | _OF_AN_ORDER]
    reading = transaction.reading.acknowledgements
    resting = {order.order_id for order in snapshot.orders.orders.values() if order.is_resting}
    found += reading.foreign_fills(account)
    found += reading.ended_foreign_orders(account, resting)
    found += reading.fees_above_bound(account)
    return tuple(sorted(found, key=lambda item: (item.kind, item.subject, item.order_id or "")))


def _item(difference: AccountDifference) -> EvidenceItem:
    if difference.kind is DifferenceKind.FACT_REFUSED and difference.subject == "account":
        raise NotAcknowledged(
            f"The journal cannot store what the exchange reports, and no single fact is the cause: {difference}.",
            "Report this as a defect of the program.",
        )
    kind, subject, detail = (
        difference.kind.value,
        safe_line(difference.subject),
        safe_line(difference.detail, _MOST_TEXT),
    )
    for order in difference.orders:
        shown = safe_line(f"{detail}; {describe(order)}", _MOST_TEXT)
        return EvidenceItem.of_order(kind, subject, shown, order)
    return EvidenceItem(kind, subject, detail)


class _Gathering:
    """Gathers the evidence about our own orders."""

    def __init__(self, transaction: JournalTransaction, account: Account, snapshot: AccountSnapshot) -> None:
        self._reading, self._account, self._snapshot = transaction.reading, account, snapshot
        self._taken = self._reading.acknowledgements.orders(account)

    def of_orders(self, differences: Iterable[AccountDifference]) -> Iterator[EvidenceItem]:
        """Yield the evidence about orders that differ at the exchange."""
        details: defaultdict[int, list[AccountDifference]] = defaultdict(list)
        for difference in differences:
            if difference.intent_id is not None and difference.kind is not DifferenceKind.UNKNOWN_TOO_LONG:
                details[difference.intent_id].append(difference)
        for intent_id, found in details.items():
            intent = self._reading.orders.intent(intent_id)
            orders = {order.order_id: order for difference in found for order in difference.orders}
            what = "; ".join(dict.fromkeys(safe_line(each.detail, 300) for each in found))
            kinds = {each.kind for each in found}
            diverged = DifferenceKind.ORDER_DIVERGED
            kind = (diverged if diverged in kinds else min(kinds)).value
            yield from self._taken_over(intent, kind, what, list(orders.values()))

    def of_unknown_orders(self, differences: Iterable[AccountDifference]) -> Iterator[EvidenceItem]:
        """Yield the evidence about orders whose outcome no reconciliation could prove."""
        differing = {
            each.intent_id
            for each in differences
            if each.kind in _OF_AN_ORDER and each.kind is not DifferenceKind.UNKNOWN_TOO_LONG
        }
        for intent in self._reading.orders.open_intents(self._account, states=[OrderState.UNKNOWN]):
            if intent.intent_id not in differing:
                orders = [
                    order
                    for order in self._snapshot.orders.of_client(intent.client_order_id)
                    if order.order_id not in self._taken
                    or self._taken[order.order_id].subject != intent.client_order_id
                ]
                yield from self._taken_over(intent, DifferenceKind.UNRESOLVED.value, "its outcome is unknown", orders)

    def _taken_over(self, intent: Intent, kind: str, what: str, orders: list[ExchangeOrder]) -> Iterator[EvidenceItem]:
        """Yield the evidence with which persons take over orders of an intent.

        If exactly one of several orders agrees with the intent, the journal keeps that order and the intent.
        """
        agreeing = [
            order for order in orders if not contradictions(intent, order) and end_contradiction(intent, order) is None
        ]
        keeps = len(orders) > 1 and len(agreeing) == 1
        closed = None if keeps else intent.intent_id
        in_journal = f"{what}. Journal: {_describe_intent(intent)}"
        taken = [order for order in orders if not (keeps and order in agreeing)]
        for order in sorted(taken, key=lambda each: each.order_id):
            detail = safe_line(f"{in_journal}. Exchange: {describe(order)}", _MOST_TEXT)
            yield EvidenceItem.of_order(kind, intent.client_order_id, detail, order, closed)
        if not taken:
            detail = f"{in_journal}. Exchange: no such order, group {intent.order_group_id}"
            yield EvidenceItem(
                kind,
                intent.client_order_id,
                safe_line(detail, _MOST_TEXT),
                intent.intent_id,
                intent.order_id,
                None if intent.order_id is None else intent.price_centicents,
                None if intent.order_id is None else intent.filled_centicontracts,
                None if intent.order_id is None else 0,
            )


def describe(order: ExchangeOrder) -> str:
    """Return an order at the exchange as text for people."""
    return (
        f"order {order.order_id}, {_terms(order.side, order.count_centicontracts, order.price_centicents)}, "
        f"{order.status.value}, {amounts.count(order.filled_centicontracts)} filled, "
        f"{amounts.count(order.remaining_centicontracts)} remaining"
    )


def _describe_intent(intent: Intent) -> str:
    return (
        f"{_terms(intent.side, intent.count_centicontracts, intent.price_centicents)} of {intent.ticker}, "
        f"{intent.state.value}, {amounts.count(intent.filled_centicontracts)} filled"
    )


def _terms(side: Side, count: int, price: int) -> str:
    return f"{side.value} {amounts.count(count)} at {amounts.price(price)}"
