"""The detection of another journal, person or program that trades the same sub-account.

Each journal grants its caps on its own. Before a live session opens, the exchange is therefore asked for the order
groups of the sub-account and for its orders since yesterday. Orders that this journal does not know were made
elsewhere. If their maker may still trade, no session opens. If not, the caps begin with what those orders used.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from kalshi_pipelines.execution.journal.reading.journal_reading import JournalReading
from kalshi_pipelines.execution.journal.records import EvidenceItem, Mode
from kalshi_pipelines.execution.journal.tables import LONGEST_SESSION_US
from kalshi_pipelines.execution.orders import amounts
from kalshi_pipelines.execution.orders.account import Account
from kalshi_pipelines.execution.orders.evidence import ExchangeOrder
from kalshi_pipelines.execution.orders.idempotency import is_made_by_this_program
from kalshi_pipelines.execution.reconciliation.account import ExchangeAccount
from kalshi_pipelines.execution.text import format_count
from kalshi_pipelines.units import HOUR_US, instant

#: How far back the account is read: the longest session, the rolling window and the longest trading day. The day on
#: which summer time ends has 25 hours.
LOOK_BACK_US: Final = LONGEST_SESSION_US + 2 * HOUR_US
#: The kind of evidence under which persons take responsibility for an order group that this journal did not make.
ORDER_GROUP: Final = "order_group"


@dataclass(frozen=True, slots=True)
class AccountActivity:
    """The activity of a sub-account at the exchange: its order groups, and its orders since an instant."""

    orders: Mapping[str, ExchangeOrder]
    groups: frozenset[str]


@dataclass(frozen=True, slots=True)
class OtherActivity:
    """The activity of a sub-account that this journal does not know.

    Attributes:
        orders: Every order that this journal did not send, the oldest first.
        live: The orders among them whose maker may still trade, and for which no person took responsibility.
        idle_groups: Order groups that this journal did not make and that no order of the period belongs to.
        groups: All order groups that the exchange listed.
    """

    orders: tuple[ExchangeOrder, ...]
    live: tuple[ExchangeOrder, ...]
    idle_groups: frozenset[str]
    groups: frozenset[str]

    def __str__(self) -> str:
        count = format_count(len(self.live) or len(self.orders), "order")
        if not self.live:
            return f"{count} of the last day made elsewhere"
        newest = self.live[-1]
        group = f", of order group {newest.order_group_id}" if newest.order_group_id else ""
        return (
            f"{count} of the last day made elsewhere; the newest is {newest.order_id} in {newest.ticker}, made at "
            f"{instant(newest.placed_us):%Y-%m-%d %H:%M:%S} UTC{group}"
        )

    def evidence(self) -> tuple[EvidenceItem, ...]:
        """Return the evidence for which persons take responsibility when they adopt the account."""
        groups = sorted({order.order_group_id for order in self.live if order.order_group_id} | self.idle_groups)
        return (
            *(EvidenceItem(ORDER_GROUP, group, "an order group that this journal did not make") for group in groups),
            *(_order_item(order) for order in self.orders),
        )


def read_activity(exchange: ExchangeAccount, now_us: int) -> AccountActivity:
    """Read the activity of a sub-account at the exchange.

    Raises:
        KalshiError, UnreadableAccount: The account cannot be read completely.
    """
    groups = exchange.order_groups()
    return AccountActivity(exchange.orders(now_us - LOOK_BACK_US).orders, groups)


def find_other_activity(reading: JournalReading, account: Account, activity: AccountActivity) -> OtherActivity:
    """Return the activity that a journal does not know.

    The maker of an order may still trade in two cases: the order rests with a client order id of this program, or the
    exchange still lists its order group. The exchange does not tell whether a group was triggered.
    """
    responsible = reading.acknowledgements.orders(account)
    explained = reading.acknowledgements.subjects(account, ORDER_GROUP)
    groups = activity.groups - reading.sessions.all_groups(account)
    unknown = sorted(
        (order for order in activity.orders.values() if not _is_known(reading, account, order)),
        key=lambda order: (order.placed_us, order.order_id),
    )
    live = tuple(
        order
        for order in unknown
        if order.order_id not in responsible
        and (order.order_group_id in groups or (order.is_resting and is_made_by_this_program(order.client_order_id)))
    )
    used = {order.order_group_id for order in unknown}
    return OtherActivity(tuple(unknown), live, frozenset(groups - used - explained), activity.groups)


def _is_known(reading: JournalReading, account: Account, order: ExchangeOrder) -> bool:
    intent = reading.orders.intent_of_client_order_id(Mode.LIVE, order.client_order_id)
    if intent is not None and intent.account == account:
        return True
    return reading.orders.intent_id_of_order(order.order_id) is not None


def _order_item(order: ExchangeOrder) -> EvidenceItem:
    side, price = order.side.value, amounts.price(order.price_centicents)
    detail = (
        f"{side} {amounts.count(order.count_centicontracts)} of {order.ticker} at {price}, {order.status.value}, "
        f"{amounts.count(order.filled_centicontracts)} filled"
    )
    return EvidenceItem.of_order("foreign_order", order.order_id, detail, order)
