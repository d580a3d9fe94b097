"""Faults on the write path: what the exchange really did is read from its state or truth log, never from answers."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from kalshi_pipelines.sandbox.options import SandboxOptions
from kalshi_pipelines.sandbox.process import SandboxProcess, running_sandbox
from kalshi_pipelines.sandbox.wire import NoConnection
from kalshi_pipelines_tests.sandbox.conftest import API, LocalSandbox, local_sandbox
from kalshi_pipelines_tests.sandbox.signing import Signer

ORDERS = "/portfolio/events/orders"
CREATE = f"POST {ORDERS}"
CANCEL = f"DELETE {ORDERS}/{{order_id}}"
QUIET = SandboxOptions(markets=40, combos=0, tick_seconds=0, tier="unlimited", crowd=False, warm=False)


def _order(ticker: str, client_order_id: str) -> dict[str, Any]:
    return {
        "ticker": ticker, "client_order_id": client_order_id, "side": "bid", "count": "3.00", "price": "0.0100",
        "time_in_force": "good_till_canceled", "self_trade_prevention_type": "taker_at_cross",
    }  # fmt: skip


@dataclass
class Desk:
    """A member that trades by API on an exchange in this process."""

    sandbox: LocalSandbox
    signer: Signer
    ticker: str

    def create(self, client_order_id: str, **terms: Any) -> httpx.Response:
        body = {**_order(self.ticker, client_order_id), **terms}
        return self.sandbox.client.post(API + ORDERS, json=body, auth=self.signer)

    def cancel(self, order_id: str) -> httpx.Response:
        path = f"{API}{ORDERS}/{order_id}"
        return self.sandbox.client.delete(path, params={"market_ticker": self.ticker}, auth=self.signer)

    def inject(self, kind: str, endpoint: str = CREATE, **fields: Any) -> None:
        self.sandbox.steer("POST", "/faults", endpoint=endpoint, kind=kind, **fields)

    def placed(self) -> list[str | None]:
        """The client order ids of all orders that were really taken."""
        return [order.client_order_id for order in self.sandbox.exchange.venue.state.orders.values()]


@pytest.fixture
def desk() -> Iterator[Desk]:
    sandbox = local_sandbox(QUIET)
    with sandbox.client:
        signer = Signer("mine", now_ms=lambda: sandbox.time.microseconds // 1_000)
        sandbox.steer("POST", "/keys", key_id="mine", public_key_pem=signer.public_pem)
        yield Desk(sandbox, signer, sandbox.markets(status="open")[0]["ticker"])


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
def test_an_order_is_taken_whatever_the_answer_says(
    desk: Desk, fields: dict[str, Any], status: int, start: bytes
) -> None:
    desk.inject(**fields)
    answer = desk.create("a")
    assert answer.status_code == status
    assert answer.content.startswith(start)
    assert desk.placed() == ["a"]
    assert desk.create("a").json()["error"]["code"] == "order_already_exists"


def test_garbage_is_no_json(desk: Desk) -> None:
    desk.inject("garbage_after_apply")
    with pytest.raises(ValueError, match=r"."):
        desk.create("a").json()


def test_what_the_exchange_refuses_is_not_applied_by_a_fault(desk: Desk) -> None:
    desk.inject("status_after_apply", times=2)
    assert desk.create("a", price="2.0000").status_code == 500
    desk.signer.key_id = "unknown"
    assert desk.create("b").status_code == 500
    assert desk.placed() == []


@pytest.mark.parametrize("kind", ["rate_limit", "server_error", "html_error"])
def test_a_request_that_is_turned_away_first_is_never_applied(desk: Desk, kind: str) -> None:
    desk.inject(kind, times=3)
    assert {desk.create(name).status_code >= 400 for name in "abc"} == {True}
    assert desk.placed() == []
    assert desk.create("d").status_code == 201


def test_a_request_applied_twice_shows_its_second_answer(desk: Desk) -> None:
    desk.inject("applied_twice")
    answer = desk.create("a")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "order_already_exists")
    assert desk.placed() == ["a"]
    order_id = next(iter(desk.sandbox.exchange.venue.state.orders))
    desk.inject("applied_twice", CANCEL)
    assert desk.cancel(order_id).status_code == 404
    assert not desk.sandbox.exchange.venue.state.orders[order_id].is_resting


def test_a_wrong_echo_describes_another_order(desk: Desk) -> None:
    desk.inject("wrong_echo")
    answer = desk.create("a")
    echo = answer.json()
    (order,) = desk.sandbox.exchange.venue.state.orders.values()
    assert answer.status_code == 201
    assert echo["order_id"] != order.order_id
    assert echo["client_order_id"] != "a"
    assert echo["remaining_count"] == "4.00"
    desk.inject("wrong_echo", CANCEL, field="order_id", value="someone-elses")
    canceled = desk.cancel(order.order_id).json()
    assert (canceled["order_id"], canceled["reduced_by"]) == ("someone-elses", "3.00")


def test_a_fault_chooses_its_request_by_members_of_the_body_or_path(desk: Desk) -> None:
    desk.inject("status_after_apply", where={"client_order_id": "b"}, status=503)
    assert [desk.create(name).status_code for name in "abc"] == [201, 503, 201]
    first, second, _ = desk.sandbox.exchange.venue.state.orders
    desk.inject("status_after_apply", "write", where={"order_id": second}, status=502)
    assert [desk.cancel(order_id).status_code for order_id in (first, second)] == [200, 502]


def test_a_fault_chooses_a_batch_by_one_of_its_orders(desk: Desk) -> None:
    desk.inject("status_after_apply", "write", where={"client_order_id": "b"})
    for names, status in (("xy", 201), ("ab", 500)):
        body = {"orders": [_order(desk.ticker, name) for name in names]}
        answer = desk.sandbox.client.post(f"{API}{ORDERS}/batched", json=body, auth=desk.signer)
        assert answer.status_code == status
    assert desk.placed() == ["x", "y", "a", "b"]


def test_any_write_and_any_endpoint_are_names_of_their_own(desk: Desk) -> None:
    desk.inject("server_error", "write", times=2)
    assert desk.sandbox.get("/markets").status_code == 200
    assert [desk.create("a").status_code, desk.cancel("x").status_code, desk.create("a").status_code] == [500, 500, 201]
    desk.inject("server_error", "*")
    assert desk.sandbox.get("/markets").status_code == 500


def test_the_list_of_faults_tells_what_they_struck(desk: Desk) -> None:
    desk.inject("status_after_apply", at=2, where={"client_order_id": "a"})
    desk.create("b")
    desk.create("a")
    (fault,) = desk.sandbox.steer("GET", "/faults")["faults"]
    assert (fault["kind"], fault["seen"], fault["struck"]) == ("status_after_apply", 1, 0)
    desk.create("a")
    (fault,) = desk.sandbox.steer("GET", "/faults")["faults"]
    assert (fault["seen"], fault["struck"]) == (2, 1)


def test_a_fault_for_an_endpoint_that_does_not_exist_is_refused(desk: Desk) -> None:
    for body in (
        {"endpoint": "POST /portfolio/orders/events", "kind": "refuse"},
        {"endpoint": CREATE, "kind": "delay", "seconds": -1},
        {"endpoint": CREATE, "kind": "status_after_apply", "status": 200},
        {"endpoint": CREATE, "kind": "refuse", "where": "everywhere"},
    ):
        assert desk.sandbox.client.post("/sandbox/faults", json=body).status_code == 400


def test_a_delayed_order_is_applied_at_its_time_by_the_exchange_clock(desk: Desk) -> None:
    desk.inject("delay", seconds=30)
    with pytest.raises(NoConnection):
        desk.create("late")
    sent_us = desk.sandbox.time.microseconds
    desk.sandbox.pass_seconds(29)
    desk.sandbox.get("/exchange/status")
    assert desk.placed() == []
    desk.sandbox.pass_seconds(60)
    desk.sandbox.get("/exchange/status")
    assert desk.placed() == ["late"]
    (order,) = desk.sandbox.exchange.venue.state.orders.values()
    assert order.created_us == sent_us + 30_000_000
    record = desk.sandbox.steer("GET", "/requests")["endpoints"][CREATE]
    assert (record["statuses"], record["unanswered"], record["applied_late"]) == ({}, 1, {"201": 1})


def test_a_delayed_order_that_was_sent_again_meanwhile_is_a_duplicate(desk: Desk) -> None:
    desk.inject("delay", seconds=30)
    with pytest.raises(NoConnection):
        desk.create("a")
    assert desk.create("a").status_code == 201
    desk.sandbox.pass_seconds(31)
    desk.sandbox.get("/exchange/status")
    assert desk.placed() == ["a"]
    assert desk.sandbox.steer("GET", "/requests")["endpoints"][CREATE]["applied_late"] == {"409": 1}


def test_a_delayed_request_pays_and_is_checked_when_it_comes(desk: Desk) -> None:
    desk.inject("delay", seconds=30)
    desk.signer.key_id = "unknown"
    assert desk.create("a").status_code == 401
    desk.sandbox.pass_seconds(31)
    desk.sandbox.get("/exchange/status")
    assert desk.placed() == []


def test_faults_of_the_wire_say_that_a_call_inside_the_process_has_none(desk: Desk) -> None:
    for number, (kind, applied) in enumerate((("refuse", False), ("drop_after_apply", True), ("answered_twice", True))):
        desk.inject(kind)
        with pytest.raises(NoConnection, match="inside the process"):
            desk.create(str(number))
        assert (str(number) in desk.placed()) is applied


def test_a_stale_read_does_not_know_of_an_order_that_was_just_taken(desk: Desk) -> None:
    def shown() -> list[str]:
        answer = desk.sandbox.client.get(API + "/portfolio/orders", auth=desk.signer)
        return [order["client_order_id"] for order in answer.json()["orders"]]

    desk.create("old")
    desk.sandbox.pass_seconds(60)
    desk.create("new")
    desk.sandbox.pass_seconds(5)
    desk.inject("stale_read", "GET /portfolio/orders", seconds=30)
    assert shown() == ["old"]
    assert shown() == ["new", "old"]
    desk.inject("stale_read", "GET /portfolio/orders", seconds=600)
    assert shown() == []


def test_a_stale_exchange_tells_how_old_its_data_is_and_still_takes_orders(desk: Desk) -> None:
    desk.create("a")
    desk.sandbox.pass_seconds(60)
    desk.inject("stale_read", "*", seconds=30, times=2)
    assert desk.sandbox.read("/exchange/user_data_timestamp")["as_of_time"] == "2026-11-22T12:00:30Z"
    assert desk.create("b").status_code == 201
    assert desk.placed() == ["a", "b"]


def test_reads_lag_behind_as_told_and_catch_up(desk: Desk) -> None:
    desk.sandbox.steer("POST", "/conduct", read_lag=2.5)
    order_id = desk.create("a").json()["order_id"]
    path = f"{API}/portfolio/orders/{order_id}"
    assert desk.sandbox.client.get(path, auth=desk.signer).status_code == 404
    desk.sandbox.pass_seconds(3)
    assert desk.sandbox.client.get(path, auth=desk.signer).status_code == 200


@pytest.mark.parametrize(("tail", "status"), [("always", "canceled"), ("never", "resting")])
def test_what_follows_a_cancel_all_is_as_the_conduct_says(desk: Desk, tail: str, status: str) -> None:
    conduct = desk.sandbox.steer("POST", "/conduct", cancel_all_tail=tail)
    assert conduct == {"read_lag": 0, "cancel_all_tail": tail, "crowd": False}
    assert desk.sandbox.client.delete(API + ORDERS, auth=desk.signer).status_code == 204
    order_id = desk.create("a").json()["order_id"]
    assert desk.sandbox.exchange.venue.state.orders[order_id].status == status


def test_conduct_that_is_not_known_is_refused_and_changes_nothing(desk: Desk) -> None:
    for body in ({"read_lag": -1}, {"read_lag": "1"}, {"cancel_all_tail": "now"}, {"crowd": 1}, {"manners": "good"}):
        answer = desk.sandbox.client.post("/sandbox/conduct", json={"read_lag": 9, **body})
        assert answer.status_code == 400
    assert desk.sandbox.steer("POST", "/conduct")["read_lag"] == 0


def test_a_skewed_clock_refuses_good_signatures_and_stamps_its_own_time(desk: Desk) -> None:
    good = desk.create("a")
    desk.inject("clock_skew", seconds=-60)
    refused = desk.create("b")
    assert (refused.status_code, refused.json()["error"]["code"]) == (401, "header_timestamp_expired")
    assert refused.headers["Date"] == "Sun, 22 Nov 2026 11:59:00 GMT"
    assert good.headers["Date"] == "Sun, 22 Nov 2026 12:00:00 GMT"
    desk.inject("clock_skew", seconds=5)
    skewed = desk.create("c")
    assert skewed.json()["ts_ms"] == good.json()["ts_ms"] + 5_000
    orders = list(desk.sandbox.exchange.venue.state.orders.values())
    assert [order.created_us for order in orders] == [desk.sandbox.time.microseconds] * 2


@dataclass
class Counter:
    """A member that trades on a running exchange."""

    sandbox: SandboxProcess
    signer: Signer
    ticker: str

    def inject(self, kind: str, endpoint: str = CREATE, **fields: Any) -> None:
        body = {"endpoint": endpoint, "kind": kind, **fields}
        httpx.post(f"{self.sandbox.admin_url}/sandbox/faults", json=body).raise_for_status()

    def create(self, client_order_id: str, timeout: float = 10) -> httpx.Response:
        body = _order(self.ticker, client_order_id)
        return httpx.post(self.sandbox.url + ORDERS, json=body, auth=self.signer, timeout=timeout)

    def is_placed(self, client_order_id: str) -> bool:
        events = httpx.get(f"{self.sandbox.admin_url}/sandbox/truth").json()["events"]
        return any(event.get("client_order_id") == client_order_id for event in events)

    def unanswered(self) -> int:
        record = httpx.get(f"{self.sandbox.admin_url}/sandbox/requests").json()["endpoints"][CREATE]
        return int(record["unanswered"])


@pytest.fixture(scope="module")
def counter() -> Iterator[Counter]:
    with running_sandbox(QUIET) as sandbox:
        signer = Signer("mine")
        body = {"key_id": "mine", "public_key_pem": signer.public_pem}
        httpx.post(f"{sandbox.admin_url}/sandbox/keys", json=body).raise_for_status()
        market = httpx.get(f"{sandbox.url}/markets?status=open").json()["markets"][0]
        yield Counter(sandbox, signer, market["ticker"])


def _until(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return False


def test_a_refused_connection_applies_nothing(counter: Counter) -> None:
    counter.inject("refuse")
    with pytest.raises(httpx.RemoteProtocolError):
        counter.create("refused")
    assert not counter.is_placed("refused")


def test_a_dropped_connection_has_applied_the_order_and_says_not_a_byte(counter: Counter) -> None:
    counter.inject("drop_after_apply", where={"client_order_id": "dropped"})
    assert counter.create("before").status_code == 201
    before = counter.unanswered()
    with pytest.raises(httpx.RemoteProtocolError):
        counter.create("dropped")
    assert counter.is_placed("dropped")
    assert counter.unanswered() == before + 1
    assert counter.create("after").status_code == 201


def test_a_reset_connection_is_reset(counter: Counter) -> None:
    counter.inject("drop_after_apply", reset=True)
    with pytest.raises(httpx.ReadError):
        counter.create("reset")
    assert counter.is_placed("reset")


def test_a_held_request_is_applied_after_the_client_gave_up_and_looked(counter: Counter) -> None:
    counter.inject("delay", seconds=1.0)
    with pytest.raises(httpx.ReadTimeout):
        counter.create("held", timeout=0.2)
    assert not counter.is_placed("held")
    assert _until(lambda: counter.is_placed("held"))


def test_a_delayed_request_may_be_cut_at_once_and_is_applied_while_nobody_asks(counter: Counter) -> None:
    counter.inject("delay", seconds=0.3, hold=False)
    with pytest.raises(httpx.RemoteProtocolError):
        counter.create("cut")
    assert _until(lambda: counter.is_placed("cut"))


def test_one_request_may_get_two_whole_answers_on_a_connection_that_stays_open(counter: Counter) -> None:
    counter.inject("answered_twice")
    address = urlsplit(counter.sandbox.url)
    body = json.dumps(_order(counter.ticker, "twice")).encode()
    headers = {
        **counter.signer.headers("POST", address.path + ORDERS),
        "Host": address.netloc, "Content-Type": "application/json", "Content-Length": str(len(body)),
    }  # fmt: skip
    head = f"POST {address.path}{ORDERS} HTTP/1.1\r\n" + "".join(f"{key}: {text}\r\n" for key, text in headers.items())
    with socket.create_connection((address.hostname or "", address.port or 0), timeout=10) as connection:
        connection.sendall(head.encode() + b"\r\n" + body)
        first, second = (_read_answer(connection) for _ in range(2))
        assert first[0] == second[0] == 201
        assert first[1] == second[1]
        connection.sendall(f"GET {address.path}/exchange/status HTTP/1.1\r\nHost: {address.netloc}\r\n\r\n".encode())
        assert _read_answer(connection)[0] == 200
    assert counter.is_placed("twice")


def _read_answer(connection: socket.socket) -> tuple[int, bytes]:
    """One answer off a connection, and not a byte more."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += connection.recv(1)
    lines = head.decode().lower().splitlines()
    length = next(int(line.partition(":")[2]) for line in lines if line.startswith("content-length"))
    body = b""
    while len(body) < length:
        body += connection.recv(length - len(body))
    return int(lines[0].split()[1]), body


def test_the_exchange_serves_others_while_one_request_is_held(counter: Counter) -> None:
    counter.inject("delay", seconds=30, where={"client_order_id": "slow"})
    outcome: list[str] = []

    def wait() -> None:
        try:
            counter.create("slow", timeout=1.5)
        except httpx.ReadTimeout:
            outcome.append("gave up")

    waiting = threading.Thread(target=wait)
    waiting.start()
    assert counter.create("quick").status_code == 201
    waiting.join()
    assert outcome == ["gave up"]


def test_shutting_down_does_not_wait_for_a_held_request() -> None:
    with running_sandbox(QUIET) as sandbox:
        body = {"endpoint": "GET /exchange/status", "kind": "delay", "seconds": 600}
        httpx.post(f"{sandbox.admin_url}/sandbox/faults", json=body).raise_for_status()
        address = urlsplit(sandbox.url)
        connection = socket.create_connection((address.hostname or "", address.port or 0))
        connection.sendall(f"GET {address.path}/exchange/status HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    with connection:
        connection.settimeout(20)
        # Whatever is said at the end, the connection does end.
        while connection.recv(1024):
            pass


def test_a_shard_that_is_down_refuses_orders_with_503_and_works_again(desk: Desk) -> None:
    shard = desk.sandbox.read(f"/markets/{desk.ticker}")["market"]["exchange_index"]
    desk.sandbox.steer("POST", f"/shards/{shard}", exchange_active=False)
    assert desk.create("a").status_code == 503
    desk.sandbox.steer("POST", f"/shards/{shard}", exchange_active=True, trading_active=False)
    refused = desk.create("a")
    assert refused.status_code >= 400
    assert desk.placed() == []
    desk.sandbox.steer("POST", f"/shards/{shard}", trading_active=True)
    assert desk.create("a").status_code == 201


def test_a_pause_of_the_exchange_pauses_all_shards(desk: Desk) -> None:
    shown = desk.sandbox.steer("POST", "/exchange", trading_active=False)["shards"]
    assert [(row["exchange_active"], row["trading_active"]) for row in shown] == [(True, False)] * 4
    assert desk.create("a").status_code >= 400
    desk.sandbox.steer("POST", "/exchange", trading_active=True)
    assert desk.create("a").status_code == 201
    for path, body in (
        ("/shards/4", {"trading_active": True}),
        ("/shards/0", {}),
        ("/exchange", {"trading_active": 1}),
    ):
        assert desk.sandbox.client.post("/sandbox" + path, json=body).status_code == 400
