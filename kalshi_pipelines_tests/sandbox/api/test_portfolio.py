import pytest

from kalshi_pipelines_tests.support.sandbox.local_sandbox import LocalSandbox, Row
from kalshi_pipelines_tests.support.sandbox.signed_member import (
    ORDERS,
    SignedMember,
    buy,
    by_event,
    error_of,
    recorded,
    tickers,
)

NOON_S = 1_795_348_800


def test_a_resting_order_has_the_recorded_shape(me: SignedMember, ticker: str) -> None:
    _, told = recorded("orders__get_after_create")
    placed = me.place(ticker, "bid", "0.0100", client_order_id=told["order"]["client_order_id"])
    ours = me.order(placed["order_id"])
    own = {"order_id", "ticker", "user_id", "created_time", "last_update_time", "exchange_index"}
    assert list(ours) == sorted([*told["order"], "exchange_index"])
    assert {name: ours[name] for name in set(ours) - own} == {name: told["order"][name] for name in set(ours) - own}
    assert ours["created_time"] == "2026-11-22T12:00:00Z"


def test_an_order_to_sell_has_the_recorded_shape(me: SignedMember, ticker: str) -> None:
    _, told = recorded("portfolio__orders_list")
    sold = next(row for row in told["orders"] if row["book_side"] == "ask")
    ours = me.order(me.place(ticker, "ask", "0.0200", time_in_force="immediate_or_cancel")["order_id"])
    same = ("action", "book_side", "outcome_side", "side", "status", "initial_count_fp", "remaining_count_fp")
    assert {name: ours[name] for name in same} == {name: sold[name] for name in same}
    assert (ours["yes_price_dollars"], ours["no_price_dollars"]) == ("0.0200", "0.9800")
    assert ours["client_order_id"] == ""


def test_an_executed_order_and_its_fill_have_the_recorded_shape(
    sandbox: LocalSandbox, me: SignedMember, other: SignedMember, ticker: str
) -> None:
    _, told = recorded("fills__after_taker")
    other.place(ticker, "ask", "0.5200")
    placed = me.place(ticker, "bid", "0.9900", time_in_force="immediate_or_cancel")
    fill = me.read("/portfolio/fills")["fills"][0]
    theirs = told["fills"][0]
    assert list(fill) == sorted([*theirs, "exchange_index"])
    same = (
        "action", "book_side", "count_fp", "fee_cost", "is_taker", "no_price_dollars", "outcome_side", "side",
        "subaccount_number", "yes_price_dollars",
    )  # fmt: skip
    assert {name: fill[name] for name in same} == {name: theirs[name] for name in same}
    assert fill["order_id"] == placed["order_id"]
    assert fill["fill_id"] == fill["trade_id"]
    order = me.order(placed["order_id"])
    assert (order["status"], order["taker_fill_cost_dollars"], order["taker_fees_dollars"]) == (
        "executed",
        "0.520000",
        "0.017500",
    )
    maker = other.read("/portfolio/fills")["fills"][0]
    assert (maker["is_taker"], maker["book_side"], maker["outcome_side"], maker["trade_id"]) == (
        False,
        "ask",
        "no",
        fill["trade_id"],
    )


def test_orders_are_filtered(sandbox: LocalSandbox, me: SignedMember, other: SignedMember) -> None:
    first, second = by_event(sandbox)[:2]
    far = tickers(sandbox, shard=3)[0]
    resting = me.place(first, "bid", "0.1000")["order_id"]
    executed = buy(me, other, second)["order_id"]
    sandbox.pass_seconds(10)
    canceled = me.place(far, "bid", "0.1000", time_in_force="immediate_or_cancel")["order_id"]
    other.place(first, "bid", "0.1000")

    def found(**query: object) -> set[str]:
        return {row["order_id"] for row in me.read("/portfolio/orders", **query)["orders"]}

    event = sandbox.exchange.catalogue.markets[second].event_ticker
    assert found() == {resting, executed, canceled}
    assert [found(status=status) for status in ("resting", "executed", "canceled")] == [
        {resting},
        {executed},
        {canceled},
    ]
    assert found(ticker=first) == {resting}
    assert found(event_ticker=event) == {executed}
    assert found(exchange_index=3) == {canceled}
    assert found(subaccount=1) == set()
    assert found(min_ts=NOON_S + 10) == {canceled}
    assert found(max_ts=NOON_S) == {resting, executed}
    assert me.send("GET", "/portfolio/orders", status="open").status_code == 400
    assert me.send("GET", "/portfolio/orders", event_ticker=",".join(map(str, range(101)))).status_code == 400


def test_orders_are_paged_newest_first_and_pages_stay_put_while_orders_come(me: SignedMember, ticker: str) -> None:
    placed = [me.place(ticker, "bid", "0.1000")["order_id"] for _ in range(7)]
    first = me.read("/portfolio/orders", limit=3)
    newer = me.place(ticker, "bid", "0.1000")["order_id"]
    assert newer not in {row["order_id"] for row in first["orders"]}
    second = me.read("/portfolio/orders", limit=3, cursor=first["cursor"])
    third = me.read("/portfolio/orders", limit=3, cursor=second["cursor"])
    seen = [row["order_id"] for page in (first, second, third) for row in page["orders"]]
    assert seen == placed[::-1]
    assert third["cursor"] == ""
    assert [row["order_id"] for row in me.rows("/portfolio/orders", "orders", limit=3)] == [newer, *placed[::-1]]


@pytest.mark.parametrize("limit", ["0", "1001", "-1", "x", "1e2", "1_0"])
@pytest.mark.parametrize("path", ["orders", "fills", "settlements", "positions"])
def test_a_page_holds_1_to_1000_rows(me: SignedMember, path: str, limit: str) -> None:
    response = me.send("GET", f"/portfolio/{path}", limit=limit)
    assert (response.status_code, list(response.json())) == (400, ["msg"])


def test_no_one_sees_the_orders_of_others(me: SignedMember, other: SignedMember, ticker: str) -> None:
    order_id = other.place(ticker, "bid", "0.1000")["order_id"]
    for path in (f"/portfolio/orders/{order_id}", f"/portfolio/orders/{order_id}/queue_position"):
        assert error_of(me.send("GET", path)) == (404, "not_found")
    assert me.read("/portfolio/orders/queue_positions") == {"queue_positions": []}


def test_the_queue_counts_better_prices_and_earlier_orders(
    sandbox: LocalSandbox, me: SignedMember, other: SignedMember, ticker: str
) -> None:
    other.place(ticker, "bid", "0.3000", "4.00")
    other.place(ticker, "bid", "0.2000", "2.50")
    behind = me.place(ticker, "bid", "0.2000")["order_id"]
    other.place(ticker, "bid", "0.2000", "9.00")
    best = me.place(ticker, "ask", "0.5000")["order_id"]
    elsewhere = me.place(tickers(sandbox)[1], "bid", "0.5000")["order_id"]
    told = {row["order_id"]: row["queue_position_fp"] for row in _queue(me)}
    assert told == {behind: "6.50", best: "0.00", elsewhere: "0.00"}
    assert me.read(f"/portfolio/orders/{behind}/queue_position") == {"queue_position_fp": "6.50"}
    assert {row["order_id"] for row in _queue(me, market_tickers=f"{ticker},X")} == {behind, best}
    event = sandbox.exchange.catalogue.markets[ticker].event_ticker
    assert {behind, best} <= {row["order_id"] for row in _queue(me, event_ticker=event)}
    assert _queue(me, subaccount=1) == []
    me.send("DELETE", f"{ORDERS}/{behind}")
    assert me.send("GET", f"/portfolio/orders/{behind}/queue_position").status_code == 404


def _queue(me: SignedMember, **query: object) -> list[Row]:
    rows: list[Row] = me.read("/portfolio/orders/queue_positions", **query)["queue_positions"]
    return rows


def test_fills_are_filtered(sandbox: LocalSandbox, me: SignedMember, other: SignedMember) -> None:
    first, second, third, *_ = tickers(sandbox)
    orders = [buy(me, other, name)["order_id"] for name in (first, second, third)]

    def found(**query: object) -> list[str]:
        return [row["order_id"] for row in me.read("/portfolio/fills", **query)["fills"]]

    assert found() == orders[::-1]
    assert found(ticker=f"{first},{third}") == [orders[2], orders[0]]
    assert found(order_id=orders[1]) == [orders[1]]
    assert found(min_ts=NOON_S + 1) == found(subaccount=1) == found(exchange_index=3) == []
    assert found(max_ts=NOON_S) == orders[::-1]
    assert me.send("GET", "/portfolio/fills", ticker=",".join(map(str, range(101)))).status_code == 400


def test_reads_lag_behind_writes_with_a_read_lag(sandbox: LocalSandbox, me: SignedMember, ticker: str) -> None:
    sandbox.exchange.venue.read_lag_us = 2_000_000
    sandbox.pass_seconds(10)
    order_id = me.place(ticker, "bid", "0.1000")["order_id"]
    assert me.send("GET", f"/portfolio/orders/{order_id}").status_code == 404
    assert me.balance()["balance"] == 400_000
    sandbox.pass_seconds(2)
    assert me.order(order_id)["status"] == "resting"
    assert me.balance()["balance"] == 399_990
    assert me.send("DELETE", f"{ORDERS}/{order_id}").status_code == 200
    assert me.order(order_id)["status"] == "resting"
