"""What a reconciliation found, as data and as text for people."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from kalshi_pipelines.execution.orders.account import Account
from kalshi_pipelines.execution.orders.states import OrderState
from kalshi_pipelines.execution.text import safe_line
from kalshi_pipelines.units import instant


class DifferenceKind(StrEnum):
    """What is not as it must be. Those in ``HALTING`` engage the kill switch."""

    CLOCK_SKEWED = "clock_skewed"
    """This computer's clock is not the exchange's: nothing was judged by it, and nothing posted."""
    EXCHANGE_UNREADABLE = "exchange_unreadable"
    """Orders, fills, positions or settlements could not be read whole."""
    FENCE_NOT_CONFIRMED = "fence_not_confirmed"
    """The exchange did not confirm that an order group is triggered."""
    WATERMARK_BEHIND = "watermark_behind"
    """Reads had not caught up with the fence in the time there was."""
    UNRESOLVED = "unresolved"
    """The outcome of an order is still unknown; its reservation is held and its market blocked."""
    UNKNOWN_TOO_LONG = "unknown_too_long"
    ORDER_DIVERGED = "order_diverged"
    """Two orders of one client order id, other terms than were sent, or an order that must not be there."""
    ORDER_MISSING = "order_missing"
    """An order that rested is not told of any more."""
    FILLS_MISSING = "fills_missing"
    """An order is said to be filled further than its fills are told."""
    FOREIGN_ORDER = "foreign_order"
    FOREIGN_FILL = "foreign_fill"
    POSITION_DRIFT = "position_drift"
    FEE_ABOVE_BOUND = "fee_above_bound"
    SCOPE_BREACHED = "scope_breached"
    FACT_REFUSED = "fact_refused"
    """The journal can not store what the exchange tells; nothing of that reading was posted."""


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
#: What may be gone at the next look, because the exchange's lists are not of one instant.
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
    """One thing that is not as it must be; ``subject`` is an order, market or group."""

    kind: DifferenceKind
    subject: str
    detail: str

    @property
    def halts(self) -> bool:
        """Whether it engages the kill switch."""
        return self.kind in HALTING

    def __str__(self) -> str:
        return f"{self.kind.value} {safe_line(self.subject)}: {safe_line(self.detail, _MOST_DETAIL)}"


@dataclass(frozen=True, slots=True)
class ResolvedOrder:
    """An order whose state became known, or was left behind before it was sent."""

    intent_id: int
    client_order_id: str
    before: OrderState
    after: OrderState


@dataclass(frozen=True, slots=True)
class ReconciliationReport:
    """A reconciliation. ``as_of_us`` is up to when the exchange vouches for what was read, None if it did not say."""

    account: Account
    started_us: int
    finished_us: int
    as_of_us: int | None
    differences: tuple[AccountDifference, ...] = ()
    resolved: tuple[ResolvedOrder, ...] = ()
    unresolved: tuple[str, ...] = ()
    """Client order ids whose outcome is unknown."""
    figures: Mapping[str, int] = field(default_factory=dict)
    reconciliation_id: int | None = None

    @property
    def clean(self) -> bool:
        """Whether everything could be read and nothing differs."""
        return not self.differences and not self.unresolved and self.as_of_us is not None

    @property
    def alerts(self) -> tuple[str, ...]:
        """What a person has to hear of, a sentence each."""
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
            *(f"{name.replace('_', ' ')}: {count}" for name, count in sorted(self.figures.items())),
        ]
        return "\n".join(lines)
