"""Incidents between two trading processes: acts of a person on the exchange's page, and lost journals."""

import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Final

from kalshi_pipelines_tests.support.execution.member_reconciler import by_hand
from kalshi_pipelines_tests.support.execution.sandbox_member import Row, SandboxMember
from kalshi_pipelines_tests.tools.trials.plans import Incident
from kalshi_pipelines_tests.tools.trials.truth import TruthOrder

_ORDERS: Final = "/portfolio/events/orders"


def _ours_that_rests(orders: Mapping[str, TruthOrder]) -> TruthOrder | None:
    return next((order for order in orders.values() if order.is_ours and order.open > 0), None)


def _amend(member: SandboxMember, orders: Mapping[str, TruthOrder], market: Row) -> bool:
    """Make a resting order of the executor larger and a cent worse."""
    del market
    order = _ours_that_rests(orders)
    if order is None:
        return False
    price = order.price + 100 * order.sign
    terms = {
        "ticker": order.ticker,
        "side": order.side,
        "price": f"0.{price:04}",
        "count": f"{(order.filled + order.open) // 100 + 2}.00",
    }
    return by_hand(member, "POST", f"{_ORDERS}/{order.order_id}/amend", **terms).status_code < 300


def _cancel(member: SandboxMember, orders: Mapping[str, TruthOrder], market: Row) -> bool:
    del market
    order = _ours_that_rests(orders)
    if order is None:
        return False
    path = f"{_ORDERS}/{order.order_id}?market_ticker={order.ticker}"
    return by_hand(member, "DELETE", path).status_code < 300


def _place(member: SandboxMember, market: Row, price: str, time_in_force: str) -> bool:
    terms = {
        "ticker": market["ticker"],
        "side": "bid",
        "price": price,
        "count": "2.00",
        "time_in_force": time_in_force,
        "self_trade_prevention_type": "taker_at_cross",
        "client_order_id": f"web-{market['ticker']}"[:60],
        "exchange_index": market["exchange_index"],
    }
    return by_hand(member, "POST", _ORDERS, **terms).status_code < 300


def _rest(member: SandboxMember, orders: Mapping[str, TruthOrder], market: Row) -> bool:
    del orders
    return _place(member, market, "0.0500", "good_till_canceled")


def _trade(member: SandboxMember, orders: Mapping[str, TruthOrder], market: Row) -> bool:
    del orders
    return _place(member, market, market["yes_ask_dollars"], "immediate_or_cancel")


#: The incidents that a person causes on the exchange's page. Each function returns whether the incident happened.
BY_HAND: Final[Mapping[Incident, Callable[[SandboxMember, Mapping[str, TruthOrder], Row], bool]]] = {
    Incident.AMENDED: _amend,
    Incident.CANCELED: _cancel,
    Incident.FOREIGN_ORDER: _rest,
    Incident.FOREIGN_TRADE: _trade,
}


def cancel_by_hand(member: SandboxMember) -> None:
    """Cancel every resting order of the member, as a person does on the exchange's page."""
    orders = by_hand(member, "GET", "/portfolio/orders?status=resting").json()["orders"]
    for order in orders:
        path = f"{_ORDERS}/{order['order_id']}?market_ticker={order['ticker']}"
        by_hand(member, "DELETE", path).raise_for_status()


def copy_journal(file: Path, copy: Path) -> None:
    """Copy a SQLite journal with its newest commits, as a backup program does."""
    copy.unlink(missing_ok=True)
    with closing(sqlite3.connect(file)) as journal, closing(sqlite3.connect(copy)) as other:
        journal.backup(other)


def replace_journal(file: Path, by: Path) -> None:
    """Replace a SQLite journal that no process uses by another file."""
    for suffix in ("-wal", "-shm"):
        file.with_name(file.name + suffix).unlink(missing_ok=True)
    file.write_bytes(by.read_bytes())
