"""Tests of faults that need a real network connection. The truth log shows which requests the exchange carried out."""

import contextlib
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

from kalshi_pipelines.sandbox.process import SandboxProcess, running_sandbox
from kalshi_pipelines_tests.support.sandbox.order_client import CREATE, ORDERS, QUIET, order_of
from kalshi_pipelines_tests.support.sandbox.signing import RequestSigner


@dataclass
class Counter:
    """A member that trades on a running sandbox."""

    sandbox: SandboxProcess
    signer: RequestSigner
    ticker: str

    def inject(self, kind: str, endpoint: str = CREATE, **fields: Any) -> None:
        body = {"endpoint": endpoint, "kind": kind, **fields}
        httpx.post(f"{self.sandbox.admin_url}/sandbox/faults", json=body).raise_for_status()

    def create(self, client_order_id: str, timeout: float = 10) -> httpx.Response:
        body = order_of(self.ticker, client_order_id)
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
        signer = RequestSigner("mine")
        body = {"key_id": "mine", "public_key_pem": signer.public_pem}
        httpx.post(f"{sandbox.admin_url}/sandbox/keys", json=body).raise_for_status()
        market = httpx.get(f"{sandbox.url}/markets?status=open").json()["markets"][0]
        yield Counter(sandbox, signer, market["ticker"])


def test_a_slash_at_the_end_is_redirected_by_301_so_that_an_order_becomes_a_read(counter: Counter) -> None:
    answer = httpx.post(f"{counter.sandbox.url}{ORDERS}/?a=b", json=order_of(counter.ticker, "slash"))
    path = urlsplit(counter.sandbox.url).path
    assert (answer.status_code, answer.headers["Location"]) == (301, f"{path}{ORDERS}?a=b")
    assert httpx.get(f"{counter.sandbox.url}/markets/", follow_redirects=True).json()["markets"]
    assert httpx.get(f"{counter.sandbox.admin_url}//elsewhere.example/").status_code == 404
    assert not counter.is_placed("slash")


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


def test_a_dropped_connection_applies_the_order_and_sends_no_byte(counter: Counter) -> None:
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


def test_a_cut_answer_keeps_its_status_and_an_empty_one_is_dropped(counter: Counter) -> None:
    counter.inject("cut_connection")
    sent = counter.signer.headers("POST", urlsplit(counter.sandbox.url).path + ORDERS)
    body = order_of(counter.ticker, "halved")
    with httpx.stream("POST", counter.sandbox.url + ORDERS, json=body, headers=sent) as answer:
        assert answer.status_code == 201
        with pytest.raises(httpx.RemoteProtocolError):
            answer.read()
    assert counter.is_placed("halved")
    counter.inject("cut_connection", f"DELETE {ORDERS}")
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.delete(counter.sandbox.url + ORDERS, auth=counter.signer)


def test_a_gateway_may_give_up_on_a_request_that_is_applied_twice_later(counter: Counter) -> None:
    counter.inject("delay", seconds=0.3)
    counter.inject("applied_twice")
    counter.inject("status_after_apply", status=504)
    assert counter.create("given up").status_code == 504
    assert not counter.is_placed("given up")
    assert _until(lambda: counter.is_placed("given up"))
    record = httpx.get(f"{counter.sandbox.admin_url}/sandbox/requests").json()["endpoints"][CREATE]
    assert record["applied_late"]["409"] == 1


def test_two_answers_come_even_if_the_client_wants_the_connection_closed(counter: Counter) -> None:
    counter.inject("answered_twice", "GET /exchange/status")
    address = urlsplit(counter.sandbox.url)
    with socket.create_connection((address.hostname or "", address.port or 0), timeout=10) as connection:
        asked = f"GET {address.path}/exchange/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        connection.sendall(asked.encode())
        first, second = (_read_answer(connection) for _ in range(2))
        assert first == second
        assert connection.recv(1) == b""


def test_one_request_may_get_two_whole_answers_on_a_connection_that_stays_open(counter: Counter) -> None:
    counter.inject("answered_twice")
    address = urlsplit(counter.sandbox.url)
    body = json.dumps(order_of(counter.ticker, "twice")).encode()
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
    """Read exactly one response from a connection, and no byte of a following response."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += connection.recv(1)
    lines = head.decode().lower().splitlines()
    length = next(int(line.partition(":")[2]) for line in lines if line.startswith("content-length"))
    body = b""
    while len(body) < length:
        body += connection.recv(length - len(body))
    return int(lines[0].split()[1]), body


@pytest.mark.parametrize("path", ["/trade-api/v2" + ORDERS, "/sandbox/keys"])
def test_a_client_that_leaves_in_the_middle_of_its_request_has_asked_nothing(
    path: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"), running_sandbox(QUIET) as sandbox:
        address = urlsplit(sandbox.url)
        for head in ("Content-Length: 100", "Transfer-Encoding: chunked"):
            with socket.create_connection((address.hostname or "", address.port or 0)) as connection:
                connection.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\n{head}\r\n\r\n5\r\n{{".encode())
        assert httpx.get(f"{sandbox.url}/exchange/status").status_code == 200
        assert httpx.get(f"{sandbox.admin_url}/sandbox/truth").json()["events"] == []
    assert "Traceback" not in caplog.text


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
        with contextlib.suppress(ConnectionResetError):
            assert connection.recv(1024) == b""
