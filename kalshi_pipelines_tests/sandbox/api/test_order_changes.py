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


def test_an_amendment_that_changes_the_count_reports_the_counts(me: SignedMember, ticker: str) -> None:
    placed = me.place(ticker, "bid", "0.5000", "5.00", client_order_id="a")
    terms = {"ticker": ticker, "side": "bid", "price": "0.5000", "count": "8.00"}
    answer = me.send("POST", f"{ORDERS}/{placed['order_id']}/amend", {**terms, "updated_client_order_id": "b"})
    assert answer.status_code == 200
    assert answer.json() == {
        "client_order_id": "b",
        "fill_count": "0.00",
        "order_id": placed["order_id"],
        "remaining_count": "8.00",
        "ts_ms": NOON_S * 1_000,
    }
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
def test_a_decrease_needs_exactly_one_of_its_two_fields(me: SignedMember, ticker: str, body: Row, code: str) -> None:
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


def test_a_batch_of_cancels_looks_on_the_shard_of_each_item(sandbox: LocalSandbox, me: SignedMember) -> None:
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
