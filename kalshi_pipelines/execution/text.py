"""Text for people about orders, caps and positions, shared by the command line and Dagster.

Texts from agents and vendors are made safe for terminals and logs. This module makes no decisions.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from kalshi_pipelines.alerts.scrubbing import shortened, visible
from kalshi_pipelines.execution.journal.reading.journal_reading import JournalReading
from kalshi_pipelines.execution.journal.records import (
    CountedForeignOrder,
    MarketStanding,
    Mode,
    ScopeKind,
    ScopeStanding,
)
from kalshi_pipelines.execution.journal.tables import UNCAPPED
from kalshi_pipelines.execution.orders.account import Account
from kalshi_pipelines.execution.orders.amounts import money
from kalshi_pipelines.execution.orders.terms import Contracts, YesPrice
from kalshi_pipelines.units import SECOND_US, contracts, instant

_WIDEST: int = 160
_UNNAMED = {ScopeKind.ROLLING: "last 24 hours", ScopeKind.ACCOUNT: "account"}


def safe_line(text: str, most: int = _WIDEST) -> str:
    """Return a text from agents or vendors as one short line without control characters."""
    return shortened(visible(text), most)


def format_count(number: int, thing: str) -> str:
    """Return a number with its noun, such as "1 proposal" or "2 proposals"."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def format_instant(at_us: int) -> str:
    """Return an instant in UTC to the second.

    If the calendar cannot express the instant, its number of microseconds is returned.
    """
    try:
        return instant(at_us).strftime("%Y-%m-%d %H:%M:%S UTC")
    except OverflowError:
        return f"{at_us:,} microseconds"


def proposal_row(row: Any) -> dict[str, str]:  # noqa: ANN401  # a row of the database
    """Return a stored proposal as a row of a table."""
    by_login = f" (login {row['login']})" if row["login"] else ""
    return {
        "proposal": str(row["proposal_id"]),
        "by": safe_line(f"{row['actor_kind']} {row['actor_name']}{by_login}", 90),
        # The terms of a stored proposal may be impossible, because a database login that may insert proposals chooses
        # them freely.
        "order": f"{row['action']} {contracts(row['count_centicontracts'])} {row['outcome'].upper()} "
        f"{safe_line(row['ticker'], 120)} at {YesPrice(row['price_centicents'])}",
        "signal": safe_line(f"{row['strategy']}: {row['signal']}", 80),
        "valid until": format_instant(row["valid_until_us"]),
        "reason": safe_line(row["reason"], 80),
    }


def status_lines(reading: JournalReading, account: Account, now_us: int) -> Iterator[str]:
    """Yield lines about the kill switch, the session, open orders, the last reconciliation and breached caps."""
    kill = reading.halts.kill_state()
    state = f"engaged (level {kill.level})" if kill.engaged else "clear"
    since = f"since {format_instant(kill.at_us)} by {safe_line(kill.by_whom)}"
    yield f"kill switch      {state} {since}: {safe_line(kill.reason)}"
    session = reading.sessions.live_session(account)
    yield f"live session     {session or 'none'}"
    open_now = reading.orders.open_intents(account)
    yield f"open orders      {len(open_now)}"
    for intent in open_now:
        yield (
            f"  {intent.intent_id:>6}  {intent.state:<15}{safe_line(intent.ticker)}  {intent.side} "
            f"{Contracts(intent.count_centicontracts)} at {YesPrice(intent.price_centicents)}"
        )
    yield from _foreign_order_lines(reading.foreign_orders.resting(account))
    last = reading.reconciliations.newest(account)
    if last is None:
        yield "reconciliation   never"
    else:
        age = (now_us - last.finished_us) // SECOND_US
        result = "clean" if last.clean else format_count(last.differences, "difference")
        yield f"reconciliation   {result}, {age:,} seconds ago"
    for breached in reading.ledger.breached_scopes(account):
        yield f"breached         {safe_line(breached)}"


def _foreign_order_lines(orders: Sequence[CountedForeignOrder]) -> Iterator[str]:
    """Yield a heading and one line for each foreign order that rests. Yield nothing if there is none."""
    if orders:
        yield f"foreign orders   {len(orders)}"
    for order in orders:
        yield (
            f"  {safe_line(order.ticker)}  {order.side} {Contracts(order.remaining_centicontracts)} "
            f"at {YesPrice(order.price_centicents)}  order {safe_line(order.order_id, 80)}"
        )


def cap_lines(standings: Sequence[ScopeStanding]) -> Iterator[str]:
    """Yield one line for each scope: its number of orders, its notional and its worst loss, each with its cap."""
    for scope in standings:
        mode = " (dry run)" if scope.mode is Mode.DRY_RUN else ""
        named = scope.kind in (ScopeKind.SESSION, ScopeKind.DAY, ScopeKind.EVENT)
        kind = f"{scope.kind.value} {safe_line(scope.key, 80)}" if named else _UNNAMED[scope.kind]
        is_capped = scope.orders_cap < UNCAPPED
        orders = f"{scope.orders} of {scope.orders_cap} orders" if is_capped else format_count(scope.orders, "order")
        notional = money(scope.notional_microdollars)
        if scope.notional_cap_microdollars < UNCAPPED:
            notional += f" of {money(scope.notional_cap_microdollars)}"
        worst = f"{money(scope.worst_microdollars)} of {money(scope.worst_cap_microdollars)}"
        breached = "  BREACHED" if scope.breached else ""
        yield f"  {kind + mode:<40}  {orders:>17}  notional {notional}  worst loss {worst}{breached}"


def position_lines(markets: Sequence[MarketStanding], most_contracts: int) -> Iterator[str]:
    """Yield a heading, and one line for each market with the account's position and open orders."""
    yield f"positions        {format_count(len(markets), 'market')}, at most {most_contracts:,} contracts each"
    for market in markets:
        held = market.position_centicontracts
        yield (
            f"  {safe_line(market.ticker):<40}  {contracts(abs(held))} {'NO' if held < 0 else 'YES'}  "
            f"open bids {contracts(market.open_bids_centicontracts)}  asks {contracts(market.open_asks_centicontracts)}"
        )
