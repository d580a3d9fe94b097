"""The comparison of an order with its caps, made before the order is stored.

The database's CHECK constraints and guards do the same arithmetic, and only they decide. The comparison in this module
explains a refusal to people. Only the shares of strategies and agents in the number of orders are decided here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from kalshi_pipelines.execution.journal.counting import counted_centicontracts, counted_exposure
from kalshi_pipelines.execution.journal.reading.rows import Row
from kalshi_pipelines.execution.journal.records import Check, Intent, Refusal, ScopeKind
from kalshi_pipelines.execution.orders import amounts
from kalshi_pipelines.execution.orders.denials import DenialReason
from kalshi_pipelines.execution.orders.proposals import ActorKind
from kalshi_pipelines.execution.orders.shares import most_orders
from kalshi_pipelines.execution.orders.terms import Side
from kalshi_pipelines.execution.orders.worst_case import Exposure, closable

_NOTHING: Final = Exposure()


@dataclass(frozen=True, slots=True)
class Scope:
    """The counters of a ledger scope, in total and for one market.

    ``scope_id`` is None until the scope is first used.
    """

    kind: ScopeKind
    key: str
    scope_id: int | None = None
    orders: int = 0
    notional: int = 0
    worst: int = 0
    breached: bool = False
    exposure: Exposure = _NOTHING
    position: int = 0
    open_bids: int = 0
    open_asks: int = 0

    def closable(self, side: Side) -> int:
        """Return how many centi-contracts an order of this side could close in the scope's own ledger."""
        return closable(side, self.position, self.open_bids, self.open_asks)

    def counted(self, intent: Intent) -> int:
        """Return how many centi-contracts of an order the scope counts."""
        return counted_centicontracts(intent, self.kind, self.closable(intent.side))


@dataclass(frozen=True, slots=True)
class Window:
    """The totals of the rolling window's hours except the present hour.

    Rolling caps limit these totals plus the present hour.
    """

    orders: int = 0
    notional: int = 0
    worst: int = 0


@dataclass(frozen=True, slots=True)
class AdmissionFigures:
    """All figures that an order is compared with when the journal decides whether to admit it.

    ``held`` is the live account's ledger of the market. A dry run closes what the live account holds.
    """

    scopes: Mapping[ScopeKind, Scope]
    held: Scope
    window: Window
    attempts: int
    newest_day: str


def refusal(intent: Intent, figures: AdmissionFigures, session: Row, caps: Mapping[str, Row]) -> Refusal | None:
    """Return why an order exceeds the caps of its session, with one check for each cap; None if it exceeds no cap.

    The kind of proposer (person, strategy or agent) may use only its share of each cap on the number of orders.
    """
    added = 0 if intent.only_closes else intent.notional_microdollars + intent.fee_bound_microdollars
    checks = [
        _check("order.notional", session["order_notional_cap_microdollars"], intent.notional_microdollars),
        _check("order.worst", session["order_worst_cap_microdollars"], added),
        _check("attempts.minute", session["attempts_per_minute_cap"], figures.attempts),
    ]
    for kind, scope in figures.scopes.items():
        window = figures.window if kind is ScopeKind.ROLLING else Window()
        checks += _scope_checks(intent, scope, window, caps[kind.value])
    if not intent.only_closes:
        account = figures.scopes[ScopeKind.ACCOUNT]
        checks.append(_position_check(intent, account, session["position_cap_centicontracts"]))
    failed = [check for check in checks if not check.ok]
    if not failed:
        return None
    first = failed[0]
    what = first.code.partition(".")[2]
    shared = what == "orders" and intent.actor is not ActorKind.PERSON
    cap = f"the cap for {intent.actor.value} orders" if shared else "the cap"
    return Refusal(
        _REASONS[what],
        f"{first.code} would be {_amount_text(what, first.observed)}, {cap} is {_amount_text(what, first.limit)}",
        tuple(checks),
    )


_REASONS: Final = {
    "orders": DenialReason.CAP_ORDER_COUNT,
    "notional": DenialReason.CAP_NOTIONAL,
    "worst": DenialReason.CAP_WORST_LOSS,
    "position": DenialReason.CAP_POSITION,
    "minute": DenialReason.CAP_MESSAGE_RATE,
    "breached": DenialReason.SCOPE_BREACHED,
}


def _amount_text(what: str, amount: str) -> str:
    if what in ("notional", "worst"):
        return amounts.money(int(amount))
    return amounts.count(int(amount)) if what == "position" else amount


def _check(code: str, limit: int, observed: int) -> Check:
    return Check(code, observed <= limit, str(limit), str(observed))


def _scope_checks(intent: Intent, scope: Scope, window: Window, caps: Row) -> list[Check]:
    kind = scope.kind.value
    breached = Check(f"{kind}.breached", not scope.breached, "no", "yes" if scope.breached else "no")
    if intent.only_closes:
        # An order that only closes what is held is never refused by a cap. Only a breach stops it.
        return [breached]
    exposure = scope.exposure + counted_exposure(intent, scope.counted(intent))
    worst = scope.worst - scope.exposure.worst + exposure.worst
    return [
        breached,
        _check(f"{kind}.orders", most_orders(intent.actor, caps["orders_cap"]), window.orders + scope.orders + 1),
        _check(
            f"{kind}.notional",
            caps["notional_cap_microdollars"],
            window.notional + scope.notional + intent.notional_microdollars,
        ),
        _check(f"{kind}.worst", caps["worst_cap_microdollars"], window.worst + worst),
    ]


def _position_check(intent: Intent, account: Scope, cap: int) -> Check:
    """Check the position that would result if this order and all open orders on the same side were filled."""
    if intent.side is Side.BID:
        return _check("account.position", cap, account.position + account.open_bids + account.counted(intent))
    return _check("account.position", cap, account.open_asks - account.position + account.counted(intent))
