import json
from collections.abc import Iterator
from typing import Any

import pytest

from kalshi_pipelines_tests.conftest import RECORDINGS
from kalshi_pipelines_tests.sandbox.conftest import API, LocalSandbox, Row, local_sandbox
from kalshi_pipelines_tests.sandbox.signed_member import (
    BATCH,
    ORDERS,
    QUIET,
    SignedMember,
    error_of,
    order,
    tickers,
)

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


def recorded(name: str) -> tuple[Row, Any]:
    folder = RECORDINGS / "demo_2026_06"
    if not (folder / f"{name}.json").is_file():
        pytest.skip(f"the recorded response {name} is not on this machine")
    asked = json.loads((folder / f"{name}.meta.json").read_text("utf-8"))
    return asked, json.loads((folder / f"{name}.json").read_text("utf-8"))


def without_service(body: Row) -> Row:
    """A recorded error without the member that is gone since August 2026."""
    return {"error": {name: text for name, text in body["error"].items() if name != "service"}}


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


def test_an_order_that_trades_tells_its_average_price_and_fee_as_recorded(
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
)  # fmt: skip
def test_a_field_of_another_type_is_refused_flat(
    me: SignedMember, ticker: str, field: str, value: object, told: str
) -> None:
    response = me.send("POST", ORDERS, {**order(ticker, "bid", "0.5600"), field: value})
    assert response.status_code == 400
    assert response.json() == {
        "code": "bad_request", "message": "bad request", "details": f"json: cannot unmarshal {told}",
    }  # fmt: skip


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


def test_a_fill_or_kill_order_that_can_not_fill_is_a_conflict(
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


def test_a_cancel_is_answered_as_recorded_and_a_second_one_is_not_found(me: SignedMember, ticker: str) -> None:
    _, told = recorded("orders__cancel_v2")
    asked, missing = recorded("orders__cancel_already_canceled")
    placed = me.place(ticker, "bid", "0.5000", "1.00", client_order_id="x")
    canceled = me.send("DELETE", f"{ORDERS}/{placed['order_id']}")
    assert canceled.status_code == 200
    assert {**canceled.json(), "ts_ms": 0} == {**told, "order_id": placed["order_id"], "ts_ms": 0}
    again = me.send("DELETE", f"{ORDERS}/{placed['order_id']}")
    assert (again.status_code, again.json()) == (asked["status"], without_service(missing))


def test_no_one_cancels_the_orders_of_others(me: SignedMember, other: SignedMember, ticker: str) -> None:
    placed = other.place(ticker, "bid", "0.5000")
    assert error_of(me.send("DELETE", f"{ORDERS}/{placed['order_id']}")) == (404, "not_found")
    assert other.order(placed["order_id"])["status"] == "resting"


@pytest.mark.parametrize(
    ("where", "status"),
    [
        ({}, 404),
        ({"exchange_index": 0}, 404),
        ({"exchange_index": -1}, 404),
        ({"exchange_index": "x"}, 404),
        ({"subaccount": 1}, 404),
        ({"exchange_index": 3}, 200),
        ({"market_ticker": True}, 200),
        ({"market_ticker": True, "exchange_index": -1}, 200),
        ({"market_ticker": True, "exchange_index": 0}, 404),
        ({"market_ticker": "KXNOSUCH"}, 404),
    ],
)
def test_a_cancel_looks_on_the_shard_it_is_sent_to(
    sandbox: LocalSandbox, me: SignedMember, where: Row, status: int
) -> None:
    ticker = tickers(sandbox, shard=3)[0]
    placed = me.place(ticker, "bid", "0.5000")
    query = {name: ticker if value is True else value for name, value in where.items()}
    assert me.send("DELETE", f"{ORDERS}/{placed['order_id']}", **query).status_code == status


def test_an_order_can_demand_its_shard(sandbox: LocalSandbox, me: SignedMember) -> None:
    ticker = tickers(sandbox, shard=3)[0]
    for index in (None, -1, 3):
        me.place(ticker, "bid", "0.5000", exchange_index=index)
    response = me.send("POST", ORDERS, order(ticker, "bid", "0.5000", exchange_index=0))
    assert error_of(response) == (400, "market_not_found")


def test_cancel_all_takes_every_shard_and_sub_account_or_one(sandbox: LocalSandbox, me: SignedMember) -> None:
    assert me.send("POST", "/portfolio/subaccounts").json() == {"subaccount_number": 1}
    sandbox.steer("POST", "/deposits", member="me", subaccount=1, dollars=100)
    places = [(tickers(sandbox)[0], 0), (tickers(sandbox)[0], 1), (tickers(sandbox, 3)[0], 0)]
    placed = [me.place(ticker, "bid", "0.1000", subaccount=number)["order_id"] for ticker, number in places]
    one = me.send("DELETE", ORDERS, subaccount=1)
    assert (one.status_code, one.content) == (204, b"")
    assert [me.order(order_id)["status"] for order_id in placed] == ["resting", "canceled", "resting"]
    assert me.send("DELETE", ORDERS).status_code == 204
    assert {me.order(order_id)["status"] for order_id in placed} == {"canceled"}


def test_cancel_all_may_echo_for_a_minute(sandbox: LocalSandbox, me: SignedMember, ticker: str) -> None:
    sandbox.exchange.venue.engine.cancel_all_tail = "always"
    assert me.send("DELETE", ORDERS).status_code == 204
    placed = me.place(ticker, "bid", "0.1000")
    assert placed["remaining_count"] == "1.00"
    assert me.order(placed["order_id"])["status"] == "canceled"
    sandbox.pass_seconds(60)
    assert me.order(me.place(ticker, "bid", "0.1000")["order_id"])["status"] == "resting"


def test_an_amendment_that_changes_the_count_tells_the_counts(me: SignedMember, ticker: str) -> None:
    placed = me.place(ticker, "bid", "0.5000", "5.00", client_order_id="a")
    terms = {"ticker": ticker, "side": "bid", "price": "0.5000", "count": "8.00"}
    answer = me.send("POST", f"{ORDERS}/{placed['order_id']}/amend", {**terms, "updated_client_order_id": "b"})
    assert answer.status_code == 200
    assert answer.json() == {
        "client_order_id": "b", "fill_count": "0.00", "order_id": placed["order_id"], "remaining_count": "8.00",
        "ts_ms": NOON_S * 1_000,
    }  # fmt: skip
    later = {**terms, "expiration_time": NOON_S + 60}
    expiry_only = me.send("POST", f"{ORDERS}/{placed['order_id']}/amend", later).json()
    assert set(expiry_only) == {"client_order_id", "order_id", "ts_ms"}
    assert me.order(placed["order_id"])["expiration_time"] == "2026-11-22T12:01:00Z"
    me.send("POST", f"{ORDERS}/{placed['order_id']}/amend", {**terms, "expiration_time": 0})
    assert "expiration_time" not in me.order(placed["order_id"])


def test_an_amendment_that_crosses_trades(me: SignedMember, other: SignedMember, ticker: str) -> None:
    other.place(ticker, "ask", "0.5200", "2.00")
    placed = me.place(ticker, "bid", "0.5000", "5.00")
    terms = {"ticker": ticker, "side": "bid", "price": "0.5200", "count": "5.00"}
    answer = me.send("POST", f"{ORDERS}/{placed['order_id']}/amend", terms).json()
    assert (answer["fill_count"], answer["remaining_count"]) == ("2.00", "3.00")
    assert answer["average_fill_price"] == "0.5200"


@pytest.mark.parametrize(
    ("broken", "status", "code"),
    [
        ({"ticker": None}, 400, "missing_parameters"),
        ({"side": None}, 400, "invalid_order"),
        ({"side": "ask"}, 400, "order_side_mismatch"),
        ({"client_order_id": "b"}, 400, "order_id_and_client_order_id_mismatch"),
        ({"price": "0.5050"}, 400, "invalid_price"),
        ({"count": "0"}, 400, "invalid_order_size"),
        ({"expiration_time": NOON_S - 1}, 400, "invalid_order"),
        ({"exchange_index": 3}, 404, "not_found"),
    ],
)
def test_a_wrong_amendment_changes_nothing(me: SignedMember, ticker: str, broken: Row, status: int, code: str) -> None:
    placed = me.place(ticker, "bid", "0.5000", "5.00", client_order_id="a")
    before = me.order(placed["order_id"])
    terms = {"ticker": ticker, "side": "bid", "price": "0.5100", "count": "5.00", **broken}
    assert error_of(me.send("POST", f"{ORDERS}/{placed['order_id']}/amend", terms)) == (status, code)
    assert me.order(placed["order_id"]) == before


def test_an_amendment_of_an_order_that_is_gone_is_not_found(me: SignedMember, ticker: str) -> None:
    terms = {"ticker": ticker, "side": "bid", "price": "0.5100", "count": "5.00"}
    assert error_of(me.send("POST", f"{ORDERS}/nothing/amend", terms)) == (404, "not_found")


def test_an_order_is_decreased_by_or_to_a_count(me: SignedMember, ticker: str) -> None:
    order_id = me.place(ticker, "bid", "0.5000", "5.00", client_order_id="a")["order_id"]
    answer = me.send("POST", f"{ORDERS}/{order_id}/decrease", {"reduce_by": "1.50"})
    assert (answer.status_code, answer.json()["remaining_count"]) == (200, "3.50")
    assert answer.json()["client_order_id"] == "a"
    answer = me.send("POST", f"{ORDERS}/{order_id}/decrease", {"reduce_to": "1", "market_ticker": ticker})
    assert answer.json()["remaining_count"] == "1.00"
    answer = me.send("POST", f"{ORDERS}/{order_id}/decrease", {"reduce_to": "0"})
    assert answer.json()["remaining_count"] == "0.00"
    assert me.order(order_id)["status"] == "canceled"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "invalid_order"),
        ({"reduce_by": "1", "reduce_to": "1"}, "invalid_order"),
        ({"reduce_by": "0"}, "invalid_order_size"),
        ({"reduce_to": "6"}, "invalid_order_size"),
        ({"reduce_by": "1", "exchange_index": -1}, "missing_parameters"),
    ],
)
def test_a_decrease_says_exactly_one_thing(me: SignedMember, ticker: str, body: Row, code: str) -> None:
    order_id = me.place(ticker, "bid", "0.5000", "5.00")["order_id"]
    assert error_of(me.send("POST", f"{ORDERS}/{order_id}/decrease", body)) == (400, code)
    assert me.order(order_id)["remaining_count_fp"] == "5.00"


def test_a_batch_takes_and_refuses_each_order_for_itself(me: SignedMember, ticker: str) -> None:
    items = [
        order(ticker, "bid", "0.1000", client_order_id="a"),
        order(ticker, "bid", "0.1000", client_order_id="a"),
        order(ticker, "bid", "0.1050"),
        order("KXNOSUCH", "bid", "0.1000"),
    ]
    response = me.send("POST", BATCH, {"orders": items})
    assert response.status_code == 201
    taken, duplicate, off_grid, unknown = response.json()["orders"]
    assert (taken["client_order_id"], taken["remaining_count"]) == ("a", "1.00")
    assert "error" not in taken
    assert duplicate == {
        "client_order_id": "a",
        "error": {"code": "order_already_exists", "message": "order already exists", "details": ""},
    }
    assert (off_grid["error"]["code"], unknown["error"]["code"]) == ("invalid_price", "market_not_found")


def test_a_batch_can_fail_wholly_with_a_good_status(me: SignedMember, ticker: str) -> None:
    response = me.send("POST", BATCH, {"orders": [order(ticker, "bid", "0.1050")] * 3})
    assert response.status_code == 201
    assert ["error" in item for item in response.json()["orders"]] == [True] * 3
    response = me.send("DELETE", BATCH, {"orders": [{"order_id": "nothing"}]})
    assert response.status_code == 200
    assert response.json()["orders"] == [
        {
            "error": {"code": "not_found", "message": "not found", "details": ""},
            "order_id": "nothing",
            "reduced_by": "0.00",
        }
    ]


@pytest.mark.parametrize("body", [{}, {"orders": []}, {"orders": None}])
def test_an_empty_batch_is_refused(me: SignedMember, body: Row) -> None:
    for method in ("POST", "DELETE"):
        assert error_of(me.send(method, BATCH, body)) == (400, "missing_parameters")


def test_a_batch_with_a_wrong_type_is_refused_as_a_whole(me: SignedMember, ticker: str) -> None:
    items = [order(ticker, "bid", "0.1000"), {**order(ticker, "bid", "0.1000"), "count": 1}]
    response = me.send("POST", BATCH, {"orders": items})
    assert response.status_code == 400
    assert response.json()["details"].endswith(
        "number into Go struct field BatchCreateOrdersV2Request.orders.count of type string"
    )
    assert me.read("/portfolio/orders")["orders"] == []
    assert me.send("POST", BATCH, {"orders": ["x"]}).json()["code"] == "bad_request"


def test_a_batch_of_cancels_looks_where_each_item_says(sandbox: LocalSandbox, me: SignedMember) -> None:
    here, there = tickers(sandbox)[0], tickers(sandbox, shard=3)[0]
    near, far, routed = (me.place(ticker, "bid", "0.1000")["order_id"] for ticker in (here, there, there))
    items = [{"order_id": near}, {"order_id": far}, {"order_id": routed, "market_ticker": there, "exchange_index": -1}]
    answers = me.send("DELETE", BATCH, {"orders": items}).json()["orders"]
    assert [answer["reduced_by"] for answer in answers] == ["1.00", "0.00", "1.00"]
    assert [answer.get("error", {}).get("code") for answer in answers] == [None, "not_found", None]
    unroutable = me.send("DELETE", BATCH, {"orders": [{"order_id": far, "exchange_index": -1}]}).json()["orders"]
    assert unroutable[0]["error"]["code"] == "missing_parameters"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/portfolio/orders"),
        ("DELETE", "/portfolio/orders/x"),
        ("POST", "/portfolio/orders/batched"),
        ("DELETE", "/portfolio/orders/batched"),
        ("POST", "/portfolio/orders/x/amend"),
        ("POST", "/portfolio/orders/x/decrease"),
    ],
)
def test_the_order_mutations_of_before_v2_are_gone(
    sandbox: LocalSandbox, me: SignedMember, method: str, path: str
) -> None:
    for auth in (me.signer, None):
        response = sandbox.client.request(method, API + path, auth=auth)
        assert response.status_code == 410
        assert response.json()["error"]["message"] == "Please switch to the V2 endpoints"


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
    sandbox.exchange.venue.engine.set_shard(0, exchange_active=True, trading_active=False, at_us=NOON_S * 10**6)
    assert me.send("POST", ORDERS, order(ticker, "bid", "0.1000")).status_code == 400
    assert me.send("DELETE", f"{ORDERS}/{placed[0]}").status_code == 200
    sandbox.exchange.venue.engine.set_shard(0, exchange_active=False, trading_active=False, at_us=NOON_S * 10**6)
    assert me.send("POST", ORDERS, order(ticker, "bid", "0.1000")).status_code == 503
    assert me.send("DELETE", f"{ORDERS}/{placed[1]}").status_code == 503
