"""Tests of faults on writes.

They check the exchange's state, because a response after a fault does not show what happened.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from kalshi_pipelines.sandbox.faults.wire import NoConnection
from kalshi_pipelines_tests.support.sandbox.local_sandbox import API, local_sandbox
from kalshi_pipelines_tests.support.sandbox.order_client import CANCEL, CREATE, ORDERS, QUIET, OrderClient, order_of
from kalshi_pipelines_tests.support.sandbox.signing import RequestSigner


@pytest.fixture
def client() -> Iterator[OrderClient]:
    sandbox = local_sandbox(QUIET)
    with sandbox.client:
        signer = RequestSigner("mine", now_ms=lambda: sandbox.time.microseconds // 1_000)
        sandbox.steer("POST", "/keys", key_id="mine", public_key_pem=signer.public_pem)
        yield OrderClient(sandbox, signer, sandbox.markets(status="open")[0]["ticker"])


@pytest.mark.parametrize(
    ("fields", "status", "start"),
    [
        ({"kind": "status_after_apply"}, 500, b'{"error":{"code":"internal_server_error"'),
        ({"kind": "status_after_apply", "status": 503}, 503, b'{"error":{"code":"service_unavailable"'),
        ({"kind": "status_after_apply", "status": 429}, 429, b'{"error":"too many requests"}'),
        ({"kind": "status_after_apply", "status": 408}, 408, b"<html>"),
        ({"kind": "empty_after_apply"}, 201, b"{}"),
        ({"kind": "garbage_after_apply"}, 201, b"\x1f\x8b"),
    ],
)
def test_an_order_is_accepted_even_if_its_response_is_spoiled(
    client: OrderClient, fields: dict[str, Any], status: int, start: bytes
) -> None:
    client.inject(**fields)
    answer = client.create("a")
    assert answer.status_code == status
    assert answer.content.startswith(start)
    assert client.placed() == ["a"]
    assert client.create("a").json()["error"]["code"] == "order_already_exists"


def test_garbage_is_no_json(client: OrderClient) -> None:
    client.inject("garbage_after_apply")
    with pytest.raises(ValueError, match=r"."):
        client.create("a").json()


def test_a_refused_request_is_not_applied_by_a_fault(client: OrderClient) -> None:
    client.inject("status_after_apply", times=2)
    assert client.create("a", price="2.0000").status_code == 500
    client.signer.key_id = "unknown"
    assert client.create("b").status_code == 500
    assert client.placed() == []


@pytest.mark.parametrize("kind", ["rate_limit", "server_error", "html_error"])
def test_a_request_that_is_turned_away_first_is_never_applied(client: OrderClient, kind: str) -> None:
    client.inject(kind, times=3)
    assert {client.create(name).status_code >= 400 for name in "abc"} == {True}
    assert client.placed() == []
    assert client.create("d").status_code == 201


def test_a_request_applied_twice_shows_its_second_answer(client: OrderClient) -> None:
    client.inject("applied_twice")
    answer = client.create("a")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "order_already_exists")
    assert client.placed() == ["a"]
    order_id = next(iter(client.sandbox.exchange.venue.state.orders))
    client.inject("applied_twice", CANCEL)
    assert client.cancel(order_id).status_code == 404
    assert not client.sandbox.exchange.venue.state.orders[order_id].is_resting


def test_a_wrong_echo_describes_another_order(client: OrderClient) -> None:
    client.inject("wrong_echo")
    answer = client.create("a")
    echo = answer.json()
    (order,) = client.sandbox.exchange.venue.state.orders.values()
    assert answer.status_code == 201
    assert echo["order_id"] != order.order_id
    assert echo["client_order_id"] != "a"
    assert echo["remaining_count"] == "4.00"
    client.inject("wrong_echo", CANCEL, field="order_id", value="someone-elses")
    canceled = client.cancel(order.order_id).json()
    assert (canceled["order_id"], canceled["reduced_by"]) == ("someone-elses", "3.00")


def test_a_wrong_echo_describes_another_group(client: OrderClient) -> None:
    path = "/portfolio/order_groups/create"
    client.inject("wrong_echo", f"POST {path}")
    answer = client.sandbox.client.post(API + path, json={"contracts_limit": 5}, auth=client.signer)
    assert answer.status_code == 201
    assert answer.json()["order_group_id"] not in client.sandbox.exchange.venue.state.groups


def test_a_fault_chooses_its_request_by_members_of_the_body_or_path(client: OrderClient) -> None:
    client.inject("status_after_apply", where={"client_order_id": "b"}, status=503)
    assert [client.create(name).status_code for name in "abc"] == [201, 503, 201]
    first, second, _ = client.sandbox.exchange.venue.state.orders
    client.inject("status_after_apply", "write", where={"order_id": second}, status=502)
    assert [client.cancel(order_id).status_code for order_id in (first, second)] == [200, 502]


def test_a_fault_chooses_a_batch_by_one_of_its_orders(client: OrderClient) -> None:
    client.inject("status_after_apply", "write", where={"client_order_id": "b"})
    for names, status in (("xy", 201), ("ab", 500)):
        body = {"orders": [order_of(client.ticker, name) for name in names]}
        answer = client.sandbox.client.post(f"{API}{ORDERS}/batched", json=body, auth=client.signer)
        assert answer.status_code == status
    assert client.placed() == ["x", "y", "a", "b"]


def test_any_write_and_any_endpoint_are_names_of_their_own(client: OrderClient) -> None:
    client.inject("server_error", "write", times=2)
    assert client.sandbox.get("/markets").status_code == 200
    assert [client.create("a").status_code, client.cancel("x").status_code, client.create("a").status_code] == [
        500,
        500,
        201,
    ]
    client.inject("server_error", "*")
    assert client.sandbox.get("/markets").status_code == 500


def test_the_list_of_faults_counts_requests_seen_and_struck(client: OrderClient) -> None:
    client.inject("status_after_apply", at=2, where={"client_order_id": "a"})
    client.create("b")
    client.create("a")
    (fault,) = client.sandbox.steer("GET", "/faults")["faults"]
    assert (fault["kind"], fault["seen"], fault["struck"]) == ("status_after_apply", 1, 0)
    client.create("a")
    (fault,) = client.sandbox.steer("GET", "/faults")["faults"]
    assert (fault["seen"], fault["struck"]) == (2, 1)


def test_a_fault_for_an_endpoint_that_does_not_exist_is_refused(client: OrderClient) -> None:
    for body in (
        {"endpoint": "POST /portfolio/orders/events", "kind": "refuse"},
        {"endpoint": CREATE, "kind": "delay", "seconds": -1},
        {"endpoint": CREATE, "kind": "status_after_apply", "status": 200},
        {"endpoint": CREATE, "kind": "refuse", "where": "everywhere"},
    ):
        assert client.sandbox.client.post("/sandbox/faults", json=body).status_code == 400


def test_a_delayed_order_is_applied_at_its_time_by_the_exchange_clock(client: OrderClient) -> None:
    client.inject("delay", seconds=30)
    with pytest.raises(NoConnection):
        client.create("late")
    sent_us = client.sandbox.time.microseconds
    client.sandbox.pass_seconds(29)
    client.sandbox.get("/exchange/status")
    assert client.placed() == []
    client.sandbox.pass_seconds(60)
    client.sandbox.get("/exchange/status")
    assert client.placed() == ["late"]
    (order,) = client.sandbox.exchange.venue.state.orders.values()
    assert order.created_us == sent_us + 30_000_000
    record = client.sandbox.steer("GET", "/requests")["endpoints"][CREATE]
    assert (record["statuses"], record["unanswered"], record["applied_late"]) == ({}, 1, {"201": 1})


def test_a_delayed_order_that_was_sent_again_meanwhile_is_a_duplicate(client: OrderClient) -> None:
    client.inject("delay", seconds=30)
    with pytest.raises(NoConnection):
        client.create("a")
    assert client.create("a").status_code == 201
    client.sandbox.pass_seconds(31)
    client.sandbox.get("/exchange/status")
    assert client.placed() == ["a"]
    assert client.sandbox.steer("GET", "/requests")["endpoints"][CREATE]["applied_late"] == {"409": 1}


def test_a_delayed_request_pays_and_is_checked_when_it_comes(client: OrderClient) -> None:
    client.inject("delay", seconds=30)
    client.signer.key_id = "unknown"
    assert client.create("a").status_code == 401
    client.sandbox.pass_seconds(31)
    client.sandbox.get("/exchange/status")
    assert client.placed() == []


def test_a_wire_fault_without_a_connection_raises_no_connection(client: OrderClient) -> None:
    for number, (kind, applied) in enumerate((("refuse", False), ("drop_after_apply", True), ("answered_twice", True))):
        client.inject(kind)
        with pytest.raises(NoConnection, match="inside the process"):
            client.create(str(number))
        assert (str(number) in client.placed()) is applied


def test_a_stale_read_does_not_know_of_an_order_that_was_just_taken(client: OrderClient) -> None:
    def shown() -> list[str]:
        answer = client.sandbox.client.get(API + "/portfolio/orders", auth=client.signer)
        return [order["client_order_id"] for order in answer.json()["orders"]]

    client.create("old")
    client.sandbox.pass_seconds(60)
    client.create("new")
    client.sandbox.pass_seconds(5)
    client.inject("stale_read", "GET /portfolio/orders", seconds=30)
    assert shown() == ["old"]
    assert shown() == ["new", "old"]
    client.inject("stale_read", "GET /portfolio/orders", seconds=600)
    assert shown() == []


def test_a_stale_read_is_no_fresher_than_reads_that_lag(client: OrderClient) -> None:
    client.sandbox.steer("POST", "/conduct", read_lag=100)
    client.create("a")
    client.sandbox.pass_seconds(10)
    client.inject("stale_read", "GET /portfolio/orders", seconds=1)
    answer = client.sandbox.client.get(f"{API}/portfolio/orders", auth=client.signer)
    assert answer.json()["orders"] == []


def test_a_stale_exchange_reports_its_age_and_still_accepts_orders(client: OrderClient) -> None:
    client.create("a")
    client.sandbox.pass_seconds(60)
    client.inject("stale_read", "*", seconds=30, times=2)
    assert client.sandbox.read("/exchange/user_data_timestamp")["as_of_time"] == "2026-11-22T12:00:30Z"
    assert client.create("b").status_code == 201
    assert client.placed() == ["a", "b"]


def test_reads_lag_by_the_configured_time_and_catch_up(client: OrderClient) -> None:
    client.sandbox.steer("POST", "/conduct", read_lag=2.5)
    order_id = client.create("a").json()["order_id"]
    path = f"{API}/portfolio/orders/{order_id}"
    assert client.sandbox.client.get(path, auth=client.signer).status_code == 404
    client.sandbox.pass_seconds(3)
    assert client.sandbox.client.get(path, auth=client.signer).status_code == 200


@pytest.mark.parametrize(("tail", "status"), [("always", "canceled"), ("never", "resting")])
def test_an_order_after_a_cancel_all_follows_the_conduct(client: OrderClient, tail: str, status: str) -> None:
    conduct = client.sandbox.steer("POST", "/conduct", cancel_all_tail=tail)
    assert conduct == {"read_lag": 0, "cancel_all_tail": tail, "crowd": False}
    assert client.sandbox.client.delete(API + ORDERS, auth=client.signer).status_code == 204
    order_id = client.create("a").json()["order_id"]
    assert client.sandbox.exchange.venue.state.orders[order_id].status == status


def test_conduct_that_is_not_known_is_refused_and_changes_nothing(client: OrderClient) -> None:
    for body in ({"read_lag": -1}, {"read_lag": "1"}, {"cancel_all_tail": "now"}, {"crowd": 1}, {"manners": "good"}):
        answer = client.sandbox.client.post("/sandbox/conduct", json={"read_lag": 9, **body})
        assert answer.status_code == 400
    assert client.sandbox.steer("POST", "/conduct")["read_lag"] == 0


def test_a_skewed_clock_refuses_good_signatures_and_stamps_its_own_time(client: OrderClient) -> None:
    good = client.create("a")
    client.inject("clock_skew", seconds=-60)
    refused = client.create("b")
    assert (refused.status_code, refused.json()["error"]["code"]) == (401, "header_timestamp_expired")
    assert refused.headers["Date"] == "Sun, 22 Nov 2026 11:59:00 GMT"
    assert good.headers["Date"] == "Sun, 22 Nov 2026 12:00:00 GMT"
    client.inject("clock_skew", seconds=5)
    skewed = client.create("c")
    assert skewed.json()["ts_ms"] == good.json()["ts_ms"] + 5_000
    orders = list(client.sandbox.exchange.venue.state.orders.values())
    assert [order.created_us for order in orders] == [client.sandbox.time.microseconds] * 2


def test_a_shard_that_is_down_refuses_orders_with_503_and_works_again(client: OrderClient) -> None:
    shard = client.sandbox.read(f"/markets/{client.ticker}")["market"]["exchange_index"]
    client.sandbox.steer("POST", f"/shards/{shard}", exchange_active=False)
    assert client.create("a").status_code == 503
    client.sandbox.steer("POST", f"/shards/{shard}", exchange_active=True, trading_active=False)
    refused = client.create("a")
    assert refused.status_code >= 400
    assert client.placed() == []
    client.sandbox.steer("POST", f"/shards/{shard}", trading_active=True)
    assert client.create("a").status_code == 201


def test_a_pause_of_the_exchange_pauses_all_shards(client: OrderClient) -> None:
    shown = client.sandbox.steer("POST", "/exchange", trading_active=False)["shards"]
    assert [(row["exchange_active"], row["trading_active"]) for row in shown] == [(True, False)] * 4
    assert client.create("a").status_code >= 400
    client.sandbox.steer("POST", "/exchange", trading_active=True)
    assert client.create("a").status_code == 201
    for path, body in (
        ("/shards/4", {"trading_active": True}),
        ("/shards/0", {}),
        ("/exchange", {"trading_active": 1}),
    ):
        assert client.sandbox.client.post("/sandbox" + path, json=body).status_code == 400
