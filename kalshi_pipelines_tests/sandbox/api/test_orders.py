import json

import pytest

from kalshi_pipelines_tests.support.sandbox.local_sandbox import API, LocalSandbox, Row
from kalshi_pipelines_tests.support.sandbox.signed_member import (
    BATCH,
    ORDERS,
    SignedMember,
    error_of,
    order,
    recorded,
    tickers,
    without_service,
)

NOON_S = 1_795_348_800


def test_an_order_that_rests_is_answered_as_recorded(me: SignedMember, ticker: str) -> None:
    asked, told = recorded("orders__create_v2_maker")
    response = me.send("POST", ORDERS, {**asked["request_body"], "ticker": ticker})
    assert response.status_code == asked["status"] == 201
    answer = response.json()
    assert list(answer) == list(told)
    assert {name: answer[name] for name in ("client_order_id", "fill_count", "remaining_count")} == {
        name: told[name] for name in ("client_order_id", "fill_count", "remaining_count")
    }
    assert answer["ts_ms"] == NOON_S * 1_000


def test_an_order_that_trades_reports_average_price_and_fee_as_recorded(
    me: SignedMember, other: SignedMember, ticker: str
) -> None:
    asked, told = recorded("orders__create_v2_taker_ioc")
    other.place(ticker, "ask", "0.5200")
    answer = me.send("POST", ORDERS, {**asked["request_body"], "ticker": ticker}).json()
    assert list(answer) == list(told)
    ours = {name: value for name, value in answer.items() if name not in {"order_id", "ts_ms"}}
    theirs = {name: value for name, value in told.items() if name not in {"order_id", "ts_ms"}}
    assert ours == theirs


def test_averages_weigh_trades_by_their_counts(me: SignedMember, other: SignedMember, ticker: str) -> None:
    other.place(ticker, "ask", "0.5000", "1.00")
    other.place(ticker, "ask", "0.5100", "2.00")
    answer = me.place(ticker, "bid", "0.5100", "5.00")
    assert answer["average_fill_price"] == "0.506667"
    assert (answer["fill_count"], answer["remaining_count"]) == ("3.00", "2.00")
    assert "client_order_id" not in answer


@pytest.mark.parametrize(
    ("name", "price", "count"),
    [
        ("orders__insufficient_balance", "0.9900", "10099.00"),
        ("orders__invalid_price_structure", "0.5150", "1.00"),
    ],
)
def test_refusals_are_answered_as_recorded(me: SignedMember, ticker: str, name: str, price: str, count: str) -> None:
    asked, told = recorded(name)
    response = me.send("POST", ORDERS, order(ticker, "bid", price, count))
    assert (response.status_code, response.json()) == (asked["status"], without_service(told))


def test_a_post_only_order_that_crosses_is_refused_as_recorded(
    me: SignedMember, other: SignedMember, ticker: str
) -> None:
    asked, told = recorded("orders__post_only_cross")
    other.place(ticker, "ask", "0.5200")
    response = me.send("POST", ORDERS, order(ticker, "bid", "0.9900", post_only=True))
    assert (response.status_code, response.json()) == (asked["status"], told)


@pytest.mark.parametrize("canceled_before", [False, True])
def test_a_client_order_id_is_burned_for_ever_as_recorded(me: SignedMember, ticker: str, canceled_before: bool) -> None:
    asked, told = recorded("orders__duplicate_client_order_id")
    placed = me.place(ticker, "bid", "0.0100", client_order_id="mine")
    if canceled_before:
        assert me.send("DELETE", f"{ORDERS}/{placed['order_id']}").status_code == 200
    response = me.send("POST", ORDERS, order(ticker, "bid", "0.0100", client_order_id="mine"))
    assert (response.status_code, response.json()) == (asked["status"], without_service(told))


def test_numbers_where_texts_belong_are_refused_as_recorded(me: SignedMember, ticker: str) -> None:
    asked, told = recorded("orders__numeric_field_types")
    response = me.send("POST", ORDERS, {**asked["request_body"], "ticker": ticker})
    assert (response.status_code, response.json()) == (asked["status"], told)


def test_an_order_that_meets_its_own_member_is_answered_as_recorded(me: SignedMember, ticker: str) -> None:
    _, told = recorded("orders__stp_self_cross")
    resting = me.place(ticker, "bid", "0.4800", post_only=True)
    answer = me.place(ticker, "ask", "0.4800", time_in_force="immediate_or_cancel", client_order_id="x")
    assert list(answer) == list(told)
    assert (answer["fill_count"], answer["remaining_count"]) == (told["fill_count"], told["remaining_count"])
    assert me.order(resting["order_id"])["status"] == "resting"


@pytest.mark.parametrize(
    ("broken", "expected"),
    [
        ({"ticker": None}, "missing_parameters"),
        ({"ticker": ""}, "missing_parameters"),
        ({"side": None}, "invalid_order"),
        ({"count": None}, "invalid_order"),
        ({"price": None}, "invalid_order"),
        ({"time_in_force": None}, "missing_parameters"),
        ({"self_trade_prevention_type": None}, "missing_parameters"),
        ({"side": "yes"}, "invalid_parameters"),
        ({"time_in_force": "GTT"}, "invalid_parameters"),
        ({"self_trade_prevention_type": "both"}, "invalid_parameters"),
        ({"price": "0.5"}, "invalid_price"),
        ({"price": "0.56001"}, "invalid_price"),
        ({"price": "1.00"}, "invalid_price"),
        ({"price": "0.00"}, "invalid_price"),
        ({"price": "-0.50"}, "invalid_price"),
        ({"price": "5e-1"}, "invalid_price"),
        ({"price": "٠.٥٠"}, "invalid_price"),
        ({"count": "0"}, "invalid_order_size"),
        ({"count": "0.00"}, "invalid_order_size"),
        ({"count": "1.005"}, "invalid_order_size"),
        ({"count": "-1"}, "invalid_order_size"),
        ({"count": "1e2"}, "invalid_order_size"),
        ({"ticker": "KXNOSUCH-26NOV22-T1"}, "market_not_found"),
        ({"exchange_index": 3}, "market_not_found"),
        ({"subaccount": 5}, "subaccount_not_found"),
        ({"subaccount": -1}, "invalid_parameters"),
        ({"order_group_id": "none"}, "order_group_not_found"),
        ({"expiration_time": NOON_S}, "invalid_order"),
        ({"expiration_time": 0}, "invalid_order"),
        ({"expiration_time": 10**18}, "invalid_parameters"),
        ({"expiration_time": NOON_S + 60, "time_in_force": "immediate_or_cancel"}, "invalid_order"),
        ({"reduce_only": True}, "invalid_order"),
        ({"reduce_only": True, "time_in_force": "fill_or_kill"}, "invalid_order"),
        ({"post_only": True, "time_in_force": "fill_or_kill"}, "invalid_order"),
        ({"post_only": True, "time_in_force": "immediate_or_cancel"}, "invalid_order"),
    ],
)
def test_an_order_with_a_wrong_term_is_refused_and_leaves_no_trace(
    sandbox: LocalSandbox, me: SignedMember, ticker: str, broken: Row, expected: str
) -> None:
    sandbox.exchange.venue.ensure_open(ticker)
    before = len(sandbox.exchange.log.events)
    nulls = order(ticker, "bid", "0.5600") | broken
    absent = {name: value for name, value in nulls.items() if value is not None}
    for body in (nulls, absent):
        assert error_of(me.send("POST", ORDERS, body)) == (400, expected)
    assert len(sandbox.exchange.log.events) == before


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("count", 1, "number into Go struct field CreateOrderV2Request.count of type string"),
        ("price", 0.5, "number into Go struct field CreateOrderV2Request.price of type string"),
        ("ticker", ["X"], "array into Go struct field CreateOrderV2Request.ticker of type string"),
        ("post_only", "true", "string into Go struct field CreateOrderV2Request.post_only of type bool"),
        ("subaccount", 1.5, "number into Go struct field CreateOrderV2Request.subaccount of type int"),
        ("exchange_index", True, "bool into Go struct field CreateOrderV2Request.exchange_index of type int"),
        ("expiration_time", {}, "object into Go struct field CreateOrderV2Request.expiration_time of type int64"),
        ("subaccount", 2**63, f"number {2**63} into Go struct field CreateOrderV2Request.subaccount of type int"),
    ],
)
def test_a_field_of_another_type_is_refused_flat(
    me: SignedMember, ticker: str, field: str, value: object, told: str
) -> None:
    response = me.send("POST", ORDERS, {**order(ticker, "bid", "0.5600"), field: value})
    assert response.status_code == 400
    assert response.json() == {
        "code": "bad_request",
        "message": "bad request",
        "details": f"json: cannot unmarshal {told}",
    }


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff", b'{"ticker": NaN}'])
def test_a_body_that_is_no_json_object_is_refused_flat(me: SignedMember, content: bytes) -> None:
    response = me.sandbox.client.post(
        API + ORDERS, content=content, headers={"content-type": "application/json"}, auth=me.signer
    )
    assert (response.status_code, response.json()["code"]) == (400, "bad_request")


@pytest.mark.parametrize("headers", [{}, {"content-type": "text/plain"}])
def test_a_body_that_is_not_declared_as_json_is_refused(me: SignedMember, ticker: str, headers: dict[str, str]) -> None:
    content = json.dumps(order(ticker, "bid", "0.5600")).encode()
    response = me.sandbox.client.post(API + ORDERS, content=content, headers=headers, auth=me.signer)
    assert error_of(response) == (400, "invalid_content_type")
    headers = {"content-type": "application/json; charset=utf-8"}
    assert me.sandbox.client.post(API + ORDERS, content=content, headers=headers, auth=me.signer).status_code == 201


@pytest.mark.parametrize(("text", "count"), [("1", "1.00"), ("2.5", "2.50"), ("0.01", "0.01"), ("10.00", "10.00")])
def test_counts_have_up_to_two_decimals(me: SignedMember, ticker: str, text: str, count: str) -> None:
    placed = me.place(ticker, "bid", "0.56", text)
    told = me.order(placed["order_id"])
    assert (told["initial_count_fp"], told["yes_price_dollars"], told["no_price_dollars"]) == (
        count,
        "0.5600",
        "0.4400",
    )


def test_a_fill_or_kill_order_that_cannot_fill_is_a_conflict(
    me: SignedMember, other: SignedMember, ticker: str
) -> None:
    other.place(ticker, "ask", "0.5000", "1.00")
    response = me.send("POST", ORDERS, order(ticker, "bid", "0.5000", "2.00", time_in_force="fill_or_kill"))
    assert response.status_code == 409
    assert response.json()["error"] == {
        "code": "fill_or_kill_insufficient_resting_volume",
        "message": "fill or kill insufficient resting volume",
    }
    assert me.place(ticker, "bid", "0.5000", "1.00", time_in_force="fill_or_kill")["fill_count"] == "1.00"


def test_an_unfilled_immediate_order_is_taken_and_leaves_nothing(me: SignedMember, ticker: str) -> None:
    placed = me.place(ticker, "bid", "0.5000", time_in_force="immediate_or_cancel")
    assert (placed["fill_count"], placed["remaining_count"]) == ("0.00", "0.00")
    assert me.order(placed["order_id"])["status"] == "canceled"


def test_reduce_only_is_capped_at_the_position(me: SignedMember, other: SignedMember, ticker: str) -> None:
    other.place(ticker, "ask", "0.5000", "3.00")
    me.place(ticker, "bid", "0.5000", "3.00")
    other.place(ticker, "bid", "0.4000", "10.00")
    placed = me.place(ticker, "ask", "0.4000", "10.00", time_in_force="immediate_or_cancel", reduce_only=True)
    assert placed["fill_count"] == "3.00"
    assert me.read("/portfolio/positions")["market_positions"][0]["position_fp"] == "0.00"


def test_an_order_expires_at_its_time(sandbox: LocalSandbox, me: SignedMember, ticker: str) -> None:
    placed = me.place(ticker, "bid", "0.5000", expiration_time=NOON_S + 60)
    assert me.order(placed["order_id"])["expiration_time"] == "2026-11-22T12:01:00Z"
    sandbox.pass_seconds(60)
    assert me.order(placed["order_id"])["status"] == "canceled"


def test_an_order_can_demand_its_shard(sandbox: LocalSandbox, me: SignedMember) -> None:
    ticker = tickers(sandbox, shard=3)[0]
    for index in (None, -1, 3):
        me.place(ticker, "bid", "0.5000", exchange_index=index)
    response = me.send("POST", ORDERS, order(ticker, "bid", "0.5000", exchange_index=0))
    assert error_of(response) == (400, "market_not_found")


def test_trading_needs_its_scope(sandbox: LocalSandbox, ticker: str) -> None:
    reader = SignedMember(sandbox, "reader", terms={"scopes": ["read"]})
    assert reader.send("POST", ORDERS, order(ticker, "bid", "0.5000")).status_code == 403
    trader = SignedMember(sandbox, "reader", terms={"scopes": ["write::trade"]})
    assert trader.send("POST", ORDERS, order(ticker, "bid", "0.5000")).status_code == 201
    assert trader.send("GET", "/portfolio/orders").status_code == 403


def test_a_key_locked_to_a_sub_account_trades_there_and_nowhere_else(sandbox: LocalSandbox, ticker: str) -> None:
    locked = SignedMember(sandbox, "me", terms={"subaccount": 1})
    placed = locked.place(ticker, "bid", "0.1000")
    assert locked.order(placed["order_id"])["subaccount_number"] == 1
    assert locked.send("POST", ORDERS, order(ticker, "bid", "0.1000", subaccount=0)).status_code == 403
    assert locked.send("DELETE", f"{ORDERS}/{placed['order_id']}", subaccount=0).status_code == 403
    item = locked.send("POST", BATCH, {"orders": [order(ticker, "bid", "0.1000", subaccount=0)]}).json()["orders"][0]
    assert item["error"]["code"] == "forbidden"
    assert locked.send("DELETE", ORDERS).status_code == 204
    assert locked.order(placed["order_id"])["status"] == "canceled"


def test_trading_stops_with_the_exchange_and_cancels_go_on_with_trading_paused(
    sandbox: LocalSandbox, me: SignedMember, ticker: str
) -> None:
    placed = [me.place(ticker, "bid", "0.1000")["order_id"] for _ in range(2)]
    sandbox.exchange.venue.engine.market_control.set_shard(
        0, exchange_active=True, trading_active=False, at_us=NOON_S * 10**6
    )
    assert me.send("POST", ORDERS, order(ticker, "bid", "0.1000")).status_code == 400
    assert me.send("DELETE", f"{ORDERS}/{placed[0]}").status_code == 200
    sandbox.exchange.venue.engine.market_control.set_shard(
        0, exchange_active=False, trading_active=False, at_us=NOON_S * 10**6
    )
    assert me.send("POST", ORDERS, order(ticker, "bid", "0.1000")).status_code == 503
    assert me.send("DELETE", f"{ORDERS}/{placed[1]}").status_code == 503
