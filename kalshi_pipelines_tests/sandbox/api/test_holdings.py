import pytest

from kalshi_pipelines_tests.support.sandbox.local_sandbox import LocalSandbox, Row
from kalshi_pipelines_tests.support.sandbox.signed_member import SignedMember, buy, recorded, settle, tickers

NOON_S = 1_795_348_800


def test_positions_have_the_recorded_shape(me: SignedMember, other: SignedMember, ticker: str) -> None:
    _, told = recorded("portfolio__positions")
    for price in ("0.9900", "0.9900", "0.5200"):
        buy(me, other, ticker, price)
    ours = me.read("/portfolio/positions")
    # The exchange dropped ``resting_orders_count`` from positions in July 2026.
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
        "0.00",
        "0.400000",
        "1.600000",
    )
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
    sandbox: LocalSandbox,
    me: SignedMember,
    other: SignedMember,
    ticker: str,
    result: str,
    terms: Row,
    revenue: int,
    told_value: int,
    realized: str,
) -> None:
    buy(me, other, ticker, "0.5000", "3.00")
    settle(sandbox, ticker, result, **terms)
    settlement = me.read("/portfolio/settlements")["settlements"][0]
    assert settlement == {
        "event_ticker": sandbox.exchange.catalogue.markets[ticker].event_ticker,
        "exchange_index": 0,
        "fee_cost": "0.000000",
        "market_result": result,
        "no_count_fp": "0.00",
        "no_total_cost_dollars": "0.000000",
        "revenue": revenue,
        "settled_time": "2026-11-22T12:00:00Z",
        "ticker": ticker,
        "value": told_value,
        "yes_count_fp": "3.00",
        "yes_total_cost_dollars": "1.500000",
    }
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
    # Expected: 4,000 dollars less 1.00 of collateral, 1.04 paid for contracts and a fee of 0.0350, rounded to a
    # hundredth of a cent.
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


def test_the_value_of_resting_orders_is_listed_by_shard(sandbox: LocalSandbox, me: SignedMember) -> None:
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
        "amount_cents": 250,
        "created_ts": NOON_S,
        "fee_cents": 0,
        "finalized_ts": NOON_S,
        "id": "",
        "status": "applied",
        "type": "ach",
    }
    assert me.send("GET", "/portfolio/deposits", limit=501).status_code == 400
