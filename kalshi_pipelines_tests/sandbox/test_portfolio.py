from collections import Counter
from collections.abc import Iterator

import pytest

from kalshi_pipelines.sandbox.clock import DAY_US
from kalshi_pipelines_tests.sandbox.conftest import LocalSandbox, Row, local_sandbox
from kalshi_pipelines_tests.sandbox.signed_member import ORDERS, QUIET, SignedMember, error_of, tickers
from kalshi_pipelines_tests.sandbox.test_orders import recorded

NOON_S = 1_795_348_800


@pytest.fixture
def sandbox() -> Iterator[LocalSandbox]:
    local = local_sandbox(QUIET)
    with local.client:
        yield local


@pytest.fixture
def me(sandbox: LocalSandbox) -> SignedMember:
    return SignedMember(sandbox)


@pytest.fixture
def other(sandbox: LocalSandbox) -> SignedMember:
    return SignedMember(sandbox, "other")


@pytest.fixture
def ticker(sandbox: LocalSandbox) -> str:
    return tickers(sandbox)[0]


def buy(me: SignedMember, other: SignedMember, ticker: str, price: str = "0.5000", count: str = "1.00") -> Row:
    """Contracts bought from another member, as the taker."""
    other.place(ticker, "ask", price, count)
    return me.place(ticker, "bid", price, count)


def by_event(sandbox: LocalSandbox) -> list[str]:
    """One market of each event."""
    return list({sandbox.exchange.catalogue.markets[name].event_ticker: name for name in tickers(sandbox)}.values())


def settle(sandbox: LocalSandbox, ticker: str, result: str = "yes", **terms: object) -> None:
    """Close, determine and finalize a market at once."""
    for status, more in (("closed", {}), ("determined", {"result": result, **terms}), ("finalized", {})):
        sandbox.steer("POST", f"/markets/{ticker}/status", status=status, **more)


def open_for_a_year(sandbox: LocalSandbox, ticker: str) -> None:
    """Let a market close in a year only."""
    for status, more in (("inactive", {}), ("active", {"close_time": "2027-11-22T12:00:00Z"})):
        sandbox.steer("POST", f"/markets/{ticker}/status", status=status, **more)


def test_a_resting_order_is_told_as_recorded(me: SignedMember, ticker: str) -> None:
    _, told = recorded("orders__get_after_create")
    placed = me.place(ticker, "bid", "0.0100", client_order_id=told["order"]["client_order_id"])
    ours = me.order(placed["order_id"])
    own = {"order_id", "ticker", "user_id", "created_time", "last_update_time", "exchange_index"}
    assert list(ours) == sorted([*told["order"], "exchange_index"])
    assert {name: ours[name] for name in set(ours) - own} == {name: told["order"][name] for name in set(ours) - own}
    assert ours["created_time"] == "2026-11-22T12:00:00Z"


def test_an_order_to_sell_is_told_as_recorded(me: SignedMember, ticker: str) -> None:
    _, told = recorded("portfolio__orders_list")
    sold = next(row for row in told["orders"] if row["book_side"] == "ask")
    ours = me.order(me.place(ticker, "ask", "0.0200", time_in_force="immediate_or_cancel")["order_id"])
    same = ("action", "book_side", "outcome_side", "side", "status", "initial_count_fp", "remaining_count_fp")
    assert {name: ours[name] for name in same} == {name: sold[name] for name in same}
    assert (ours["yes_price_dollars"], ours["no_price_dollars"]) == ("0.0200", "0.9800")
    assert ours["client_order_id"] == ""


def test_an_executed_order_and_its_fill_are_told_as_recorded(
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
        "executed", "0.520000", "0.017500",
    )  # fmt: skip
    maker = other.read("/portfolio/fills")["fills"][0]
    assert (maker["is_taker"], maker["book_side"], maker["outcome_side"], maker["trade_id"]) == (
        False, "ask", "no", fill["trade_id"],
    )  # fmt: skip


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
        {resting}, {executed}, {canceled},
    ]  # fmt: skip
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


def test_positions_are_told_as_recorded(me: SignedMember, other: SignedMember, ticker: str) -> None:
    _, told = recorded("portfolio__positions")
    for price in ("0.9900", "0.9900", "0.5200"):
        buy(me, other, ticker, price)
    ours = me.read("/portfolio/positions")
    # The member count of resting orders is gone since July 2026.
    market = {**told["market_positions"][0], "ticker": ticker, "exchange_index": 0}
    del market["resting_orders_count"]
    assert set(ours["market_positions"][0]) == set(market)
    for name in ("market_exposure_dollars", "position_fp", "realized_pnl_dollars", "total_traded_dollars"):
        assert ours["market_positions"][0][name] == market[name]
    event, theirs = ours["event_positions"][0], told["event_positions"][0]
    assert set(event) == set(theirs)
    for name in ("event_exposure_dollars", "realized_pnl_dollars", "total_cost_dollars", "total_cost_shares_fp"):
        assert event[name] == theirs[name]
    assert ours["cursor"] == told["cursor"] == ""


def test_a_sold_position_stays_listed_with_its_gain(me: SignedMember, other: SignedMember, ticker: str) -> None:
    buy(me, other, ticker, "0.4000", "2.00")
    other.place(ticker, "bid", "0.6000", "2.00")
    me.place(ticker, "ask", "0.6000", "2.00")
    row = me.read("/portfolio/positions")["market_positions"][0]
    assert (row["position_fp"], row["realized_pnl_dollars"], row["total_traded_dollars"]) == (
        "0.00", "0.400000", "1.600000",
    )  # fmt: skip
    assert me.read("/portfolio/positions", count_filter="position")["market_positions"] == []
    assert len(me.read("/portfolio/positions", count_filter="total_traded")["market_positions"]) == 1
    assert me.send("GET", "/portfolio/positions", count_filter="fees").status_code == 400
    short = other.read("/portfolio/positions")["market_positions"][0]
    assert (short["position_fp"], short["realized_pnl_dollars"]) == ("0.00", "-0.400000")


def test_a_no_position_is_negative(me: SignedMember, other: SignedMember, ticker: str) -> None:
    buy(other, me, ticker, "0.7000", "1.50")
    row = me.read("/portfolio/positions")["market_positions"][0]
    assert (row["position_fp"], row["market_exposure_dollars"]) == ("-1.50", "0.450000")


def test_positions_are_filtered_and_paged(sandbox: LocalSandbox, me: SignedMember, other: SignedMember) -> None:
    names = tickers(sandbox)[:5]
    for name in names:
        buy(me, other, name)
    event = sandbox.exchange.catalogue.markets[names[0]].event_ticker

    def found(**query: object) -> list[str]:
        return [row["ticker"] for row in me.rows("/portfolio/positions", "market_positions", **query)]

    assert found() == found(limit=2) == names[::-1]
    assert found(ticker=names[2]) == [names[2]]
    assert names[0] in found(event_ticker=event)
    assert found(exchange_index=3) == found(subaccount=1) == found(settlement_status="settled") == []
    assert sorted(found(settlement_status="all", limit=1)) == sorted(names)
    assert me.send("GET", "/portfolio/positions", settlement_status="open").status_code == 400


@pytest.mark.parametrize(
    ("result", "terms", "revenue", "told_value", "realized"),
    [
        ("yes", {}, 300, 100, "1.500000"),
        ("no", {}, 0, 0, "-1.500000"),
        ("scalar", {"value": "0.3333"}, 99, 33, "-0.510000"),
    ],
)
def test_a_settled_position_leaves_a_settlement(
    sandbox: LocalSandbox, me: SignedMember, other: SignedMember, ticker: str, result: str, terms: Row, revenue: int,
    told_value: int, realized: str,
) -> None:  # fmt: skip
    buy(me, other, ticker, "0.5000", "3.00")
    settle(sandbox, ticker, result, **terms)
    settlement = me.read("/portfolio/settlements")["settlements"][0]
    assert settlement == {
        "event_ticker": sandbox.exchange.catalogue.markets[ticker].event_ticker, "exchange_index": 0,
        "fee_cost": "0.000000", "market_result": result, "no_count_fp": "0.00", "no_total_cost_dollars": "0.000000",
        "revenue": revenue, "settled_time": "2026-11-22T12:00:00Z", "ticker": ticker, "value": told_value,
        "yes_count_fp": "3.00", "yes_total_cost_dollars": "1.500000",
    }  # fmt: skip
    assert me.read("/portfolio/positions")["market_positions"] == []
    settled = me.read("/portfolio/positions", settlement_status="settled")["market_positions"][0]
    assert (settled["position_fp"], settled["realized_pnl_dollars"]) == ("0.00", realized)
    assert other.read("/portfolio/settlements")["settlements"][0]["no_count_fp"] == "3.00"


def test_a_position_sold_before_is_settled_with_its_market(
    sandbox: LocalSandbox, me: SignedMember, other: SignedMember, ticker: str
) -> None:
    buy(me, other, ticker)
    other.place(ticker, "bid", "0.5000")
    me.place(ticker, "ask", "0.5000")
    settle(sandbox, ticker)
    assert me.read("/portfolio/positions")["market_positions"] == []
    assert len(me.read("/portfolio/positions", settlement_status="settled")["market_positions"]) == 1
    assert me.read("/portfolio/settlements")["settlements"] == []


def test_settlements_are_filtered(sandbox: LocalSandbox, me: SignedMember, other: SignedMember) -> None:
    names = tickers(sandbox)[:2]
    for name in names:
        buy(me, other, name)
        settle(sandbox, name)
        sandbox.pass_seconds(60)

    def found(**query: object) -> list[str]:
        return [row["ticker"] for row in me.rows("/portfolio/settlements", "settlements", **query)]

    assert found() == found(limit=1) == names[::-1]
    assert found(ticker=names[0]) == found(max_ts=NOON_S + 30) == [names[0]]
    assert found(min_ts=NOON_S + 30) == [names[1]]
    assert names[1] in found(event_ticker=sandbox.exchange.catalogue.markets[names[1]].event_ticker)
    assert found(subaccount=1) == []


def test_the_balance_is_what_orders_could_use(me: SignedMember, other: SignedMember, ticker: str) -> None:
    _, told = recorded("auth__balance_ok")
    me.place(ticker, "bid", "0.1000", "10.00")
    buy(me, other, ticker, "0.5200", "2.00")
    balance = me.balance()
    assert list(balance) == list(told)
    # 4,000 less 1.00 of collateral, 1.04 paid and a fee of 0.0350 on the grid of a hundredth of a cent.
    assert (balance["balance"], balance["balance_dollars"]) == (399_792, "3997.9250")
    assert balance["portfolio_value"] == 104
    assert balance["updated_ts"] == NOON_S
    assert [row["exchange_index"] for row in balance["balance_breakdown"]] == [0, 1, 2, 3]
    assert balance["balance_breakdown"][0] == {"balance": "997.9250", "exchange_index": 0}


def test_the_balance_is_of_one_shard_or_sub_account_if_asked(
    sandbox: LocalSandbox, me: SignedMember, other: SignedMember, ticker: str
) -> None:
    me.send("POST", "/portfolio/subaccounts")
    sandbox.steer("POST", "/deposits", member="me", subaccount=1, dollars=5)
    buy(me, other, ticker)
    assert me.balance(exchange_index=3)["balance"] == 100_000
    assert me.balance(exchange_index=3)["portfolio_value"] == me.balance(subaccount=1)["portfolio_value"] == 0
    assert me.balance(exchange_index=9)["balance_dollars"] == "0.0000"
    assert me.balance(subaccount=1)["balance_dollars"] == "5.0000"
    breakdown = me.balance(subaccount=1)["balance_breakdown"]
    assert breakdown == me.balance()["balance_breakdown"]
    assert breakdown[3] == {"balance": "1000.0000", "exchange_index": 3}


def test_a_locked_key_reads_its_sub_account_only(
    sandbox: LocalSandbox, me: SignedMember, other: SignedMember, ticker: str
) -> None:
    locked = SignedMember(sandbox, "me", terms={"subaccount": 1})
    buy(me, other, ticker)
    primary = me.place(ticker, "bid", "0.1000")["order_id"]
    mine = buy(locked, other, ticker, "0.6000")["order_id"]
    assert "balance_breakdown" not in locked.balance()
    assert [row["order_id"] for row in locked.read("/portfolio/orders")["orders"]] == [mine]
    assert [row["order_id"] for row in locked.read("/portfolio/fills")["fills"]] == [mine]
    assert locked.read("/portfolio/positions")["market_positions"][0]["market_exposure_dollars"] == "0.600000"
    assert locked.send("GET", f"/portfolio/orders/{primary}").status_code == 404
    for path in ("balance", "orders", "fills", "positions", "settlements", "orders/queue_positions"):
        assert locked.send("GET", f"/portfolio/{path}", subaccount=0).status_code == 403
        assert locked.send("GET", f"/portfolio/{path}", subaccount=1).status_code == 200
    for path in ("deposits", "withdrawals"):
        assert locked.send("GET", f"/portfolio/{path}").status_code == 403
    assert len(me.read("/portfolio/orders")["orders"]) == 3


def test_a_key_for_the_balance_reads_nothing_else(sandbox: LocalSandbox) -> None:
    key = SignedMember(sandbox, terms={"scopes": ["read::portfolio_balance"]})
    assert key.balance()["balance"] == 400_000
    assert key.send("GET", "/portfolio/orders").status_code == 403


def test_the_value_of_resting_orders_is_told_by_shard(sandbox: LocalSandbox, me: SignedMember) -> None:
    me.place(tickers(sandbox)[0], "bid", "0.1000", "10.00")
    me.place(tickers(sandbox, 3)[0], "ask", "0.7000", "2.00")
    told = me.read("/portfolio/summary/total_resting_order_value")
    assert told["total_resting_order_value"] == 160
    assert [row["balance"] for row in told["resting_order_value_breakdown"]] == ["1.0000", "0.0000", "0.0000", "0.6000"]


def test_deposits_and_withdrawals_are_listed(sandbox: LocalSandbox, me: SignedMember) -> None:
    sandbox.steer("POST", "/deposits", member="me", dollars=-2.5)
    deposits = me.rows("/portfolio/deposits", "deposits", limit=3)
    assert [row["amount_cents"] for row in deposits] == [100_000] * 4
    assert len({row["id"] for row in deposits}) == 4
    withdrawal = me.read("/portfolio/withdrawals")["withdrawals"][0]
    assert {**withdrawal, "id": ""} == {
        "amount_cents": 250, "created_ts": NOON_S, "fee_cents": 0, "finalized_ts": NOON_S, "id": "",
        "status": "applied", "type": "ach",
    }  # fmt: skip
    assert me.send("GET", "/portfolio/deposits", limit=501).status_code == 400


def test_reads_lag_behind_writes_if_told_to(sandbox: LocalSandbox, me: SignedMember, ticker: str) -> None:
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
