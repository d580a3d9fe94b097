from collections import Counter

from kalshi_pipelines.units import DAY_US
from kalshi_pipelines_tests.support.sandbox.local_sandbox import LocalSandbox
from kalshi_pipelines_tests.support.sandbox.signed_member import (
    SignedMember,
    buy,
    open_for_a_year,
    settle,
    tickers,
)

NOON_S = 1_795_348_800


def test_done_orders_become_history_after_two_weeks_and_resting_ones_never(
    sandbox: LocalSandbox, me: SignedMember, other: SignedMember, ticker: str
) -> None:
    open_for_a_year(sandbox, ticker)
    resting = me.place(ticker, "bid", "0.1000")["order_id"]
    lapsed = me.place(ticker, "bid", "0.2000", time_in_force="immediate_or_cancel")["order_id"]
    done = [buy(me, other, ticker)["order_id"], lapsed]
    live, past = _lists(me, "orders")
    assert (live, past) == ([*done, resting], [])
    sandbox.time.microseconds += 15 * DAY_US
    live, past = _lists(me, "orders")
    assert (live, past) == ([resting], done)
    assert me.send("GET", f"/portfolio/orders/{done[0]}").status_code == 404
    assert me.order(resting)["status"] == "resting"
    assert [row["order_id"] for row in me.rows("/historical/orders", "orders", limit=1)] == past
    assert me.read("/historical/orders", ticker="X")["orders"] == []


def test_fills_become_history_after_sixty_days(
    sandbox: LocalSandbox, me: SignedMember, other: SignedMember, ticker: str
) -> None:
    open_for_a_year(sandbox, ticker)
    order_id = buy(me, other, ticker)["order_id"]
    sandbox.time.microseconds += 59 * DAY_US
    assert _lists(me, "fills") == ([order_id], [])
    sandbox.time.microseconds += 2 * DAY_US
    assert _lists(me, "fills") == ([], [order_id])


def test_settled_positions_become_history_by_the_event_and_open_ones_never(
    sandbox: LocalSandbox, me: SignedMember, other: SignedMember
) -> None:
    catalogue = sandbox.exchange.catalogue
    names = tickers(sandbox)
    events = Counter(catalogue.markets[name].event_ticker for name in names)
    event = next(event for event, markets in events.items() if markets > 1)
    together = [name for name in names if catalogue.markets[name].event_ticker == event][:2]
    alone = next(name for name in names if catalogue.markets[name].event_ticker != event)
    for name in (*together, alone):
        open_for_a_year(sandbox, name)
        buy(me, other, name)
    settle(sandbox, together[0])
    settle(sandbox, alone)
    sandbox.time.microseconds += 61 * DAY_US
    live = me.rows("/portfolio/positions", "market_positions", settlement_status="all")
    past = me.rows("/historical/positions", "market_positions")
    assert sorted(row["ticker"] for row in live) == sorted(together)
    assert [row["ticker"] for row in past] == [alone]
    assert me.read("/portfolio/settlements")["settlements"] == []
    settle(sandbox, together[1])
    assert me.read("/historical/positions", event_ticker=event)["market_positions"] == []
    sandbox.time.microseconds += 61 * DAY_US
    assert len(me.read("/historical/positions", event_ticker=event)["market_positions"]) == 2
    assert me.rows("/portfolio/positions", "market_positions", settlement_status="all") == []


def _lists(me: SignedMember, name: str) -> tuple[list[str], list[str]]:
    return (
        [row["order_id"] for row in me.rows(f"/portfolio/{name}", name)],
        [row["order_id"] for row in me.rows(f"/historical/{name}", name)],
    )
