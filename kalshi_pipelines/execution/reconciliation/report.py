"""The report of a reconciliation, as data and as text for people."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from kalshi_pipelines.execution.orders.account import Account
from kalshi_pipelines.execution.orders.evidence import ExchangeOrder
from kalshi_pipelines.execution.orders.states import OrderState
from kalshi_pipelines.execution.text import safe_line
from kalshi_pipelines.units import instant


class DifferenceKind(StrEnum):
    """The kinds of difference between account and journal.

    The kinds in ``HALTING`` engage the kill switch.
    """

    CLOCK_SKEWED = "clock_skewed"
    """The clocks of this computer and the exchange differ too much, so nothing was judged or recorded."""
    EXCHANGE_UNREADABLE = "exchange_unreadable"
    """The account's orders, fills, positions or settlements could not be read completely."""
    FENCE_NOT_CONFIRMED = "fence_not_confirmed"
    """The exchange did not confirm the trigger of an order group."""
    WATERMARK_BEHIND = "watermark_behind"
    """The reconciliation waited in vain for the exchange's reads to include a fence."""
    UNRESOLVED = "unresolved"
    """The outcome of an order is still unknown. Its reservation is held and its market is blocked."""
    UNKNOWN_TOO_LONG = "unknown_too_long"
    ORDER_DIVERGED = "order_diverged"
    """An order at the exchange contradicts the journal: by its client order id, its terms, or its existence."""
    ORDER_MISSING = "order_missing"
    """An order that rests according to the journal is missing from the exchange's lists."""
    FILLS_MISSING = "fills_missing"
    """The filled count of an order at the exchange is larger than the sum of its recorded fills."""
    FOREIGN_ORDER = "foreign_order"
    FOREIGN_FILL = "foreign_fill"
    POSITION_DRIFT = "position_drift"
    FEE_ABOVE_BOUND = "fee_above_bound"
    SCOPE_BREACHED = "scope_breached"
    FACT_REFUSED = "fact_refused"
    """The journal cannot store a value that was read from the exchange, so no fact of that reading was recorded."""


HALTING = frozenset(
    {
        DifferenceKind.UNKNOWN_TOO_LONG,
        DifferenceKind.ORDER_DIVERGED,
        DifferenceKind.ORDER_MISSING,
        DifferenceKind.FOREIGN_ORDER,
        DifferenceKind.FOREIGN_FILL,
        DifferenceKind.POSITION_DRIFT,
        DifferenceKind.FEE_ABOVE_BOUND,
        DifferenceKind.SCOPE_BREACHED,
        DifferenceKind.FACT_REFUSED,
    }
)
#: Kinds of difference that may disappear when the account is read again, because the exchange's lists are not read at
#: one instant.
MAY_SETTLE = frozenset(
    {
        DifferenceKind.ORDER_DIVERGED,
        DifferenceKind.ORDER_MISSING,
        DifferenceKind.FILLS_MISSING,
        DifferenceKind.POSITION_DRIFT,
    }
)


_MOST_DETAIL = 1_000


@dataclass(frozen=True, slots=True)
class AccountDifference:
    """One difference between account and journal.

    ``subject`` names the order, market, order group or scope that differs.
    """

    kind: DifferenceKind
    subject: str
    detail: str
    intent_id: int | None = field(default=None, compare=False)
    """The intent that differs, or None."""
    orders: tuple[ExchangeOrder, ...] = field(default=(), compare=False)
    """The orders at the exchange that differ."""

    @property
    def halts(self) -> bool:
        """Whether this difference engages the kill switch."""
        return self.kind in HALTING

    def __str__(self) -> str:
        return f"{self.kind.value} {safe_line(self.subject)}: {safe_line(self.detail, _MOST_DETAIL)}"


@dataclass(frozen=True, slots=True)
class ResolvedOrder:
    """An order whose state the reconciliation changed."""

    intent_id: int
    client_order_id: str
    before: OrderState
    after: OrderState


@dataclass(frozen=True, slots=True)
class ReconciliationReport:
    """The report of a reconciliation.

    ``as_of_us`` is the instant up to which the exchange's reads were complete, or None if that instant could not be
    read.
    """

    account: Account
    started_us: int
    finished_us: int
    as_of_us: int | None
    differences: tuple[AccountDifference, ...] = ()
    resolved: tuple[ResolvedOrder, ...] = ()
    unresolved: tuple[str, ...] = ()
    """The client order ids of the orders whose outcome is unknown."""
    figures: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    """Harmless changes that a person made elsewhere, and acknowledged orders. They are no differences."""
    reconciliation_id: int | None = None

    @property
    def clean(self) -> bool:
        """Whether the whole account could be read, no difference was found and no order is unknown."""
        return not self.differences and not self.unresolved and self.as_of_us is not None

    @property
    def alerts(self) -> tuple[str, ...]:
        """The differences that engage the kill switch, one line of text for each."""
        return tuple(str(difference) for difference in self.differences if difference.halts)

    def __str__(self) -> str:
        as_of = "unknown" if self.as_of_us is None else f"{instant(self.as_of_us):%Y-%m-%d %H:%M:%S} UTC"
        verdict = "clean" if self.clean else "NOT CLEAN"
        lines = [
            f"{verdict}: {self.account}, as of {as_of}",
            *(f"difference: {difference}" for difference in self.differences),
            *(f"still unknown: {client_order_id}" for client_order_id in self.unresolved),
            *(
                f"resolved: {each.client_order_id} was {each.before.value}, is {each.after.value}"
                for each in self.resolved
            ),
            *(f"note: {note}" for note in self.notes),
            *(f"{name.replace('_', ' ')}: {count}" for name, count in sorted(self.figures.items())),
        ]
        return "\n".join(lines)
