"""Writes over real sockets: each write is one request, even if the server fails, and only allowed writes exist."""

import base64
import copy
import json
import pickle
import re
import socket
from typing import Any, cast

import httpx
import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from kalshi_pipelines.execution.journal.records import Sent
from kalshi_pipelines.execution.orders.account import Account
from kalshi_pipelines.execution.orders.answers import OrderAnswer, SendFailure, judge_answer
from kalshi_pipelines.execution.orders.request import request_sha256
from kalshi_pipelines.execution.orders.states import OrderState
from kalshi_pipelines.execution.orders.terms import Contracts, MarketTicker, OrderId
from kalshi_pipelines.execution.transport.allow_list import AllowedWrite, WriteNotAllowed
from kalshi_pipelines.execution.transport.order_transport import OrderTransport
from kalshi_pipelines.execution.transport.permits import PermitRefused, SendPermit
from kalshi_pipelines.execution.transport.write_budget import WriteBudget
from kalshi_pipelines.kalshi.errors import EnvironmentMismatch
from kalshi_pipelines.kalshi.signing import Signer
from kalshi_pipelines.settings import Environment
from kalshi_pipelines_tests.support.checkout import CHECKOUT, SHARED
from kalshi_pipelines_tests.support.execution.order_steps import ACCOUNT
from kalshi_pipelines_tests.support.execution.raw_server import (
    RawServer,
    Reply,
    answering,
    dribbling,
    http,
    raw_server,
    reset,
    reset_unread,
    silence,
)
from kalshi_pipelines_tests.support.execution.requests import REQUEST

PRIVATE = Ed25519PrivateKey.generate()
SIGNER = Signer("6aa9dd34-2e8a-49eb-887f-0963dca78d43", PRIVATE)
ORDER = OrderId("09cb3de3-aacb-4446-b98b-3fe3b8355d59")
TICKER = MarketTicker("KXMLB-26NOV22-TOR")
OPENAPI = SHARED / "facts" / "kalshi_openapi_3.34.0.yaml"


def _transport(server: RawServer, **options: Any) -> OrderTransport:
    return OrderTransport(Account("sandbox", 3), server.url, SIGNER, **options)


def _permit(transport: OrderTransport, **changes: Any) -> SendPermit:
    values = {
        "intent_id": 7,
        "session_id": "session-1",
        "audit_seq": 12,
        "at_us": 1,
        "request_json": REQUEST.json,
        "request_sha256": request_sha256(REQUEST.json),
        "host": transport.host,
        "key_fingerprint": SIGNER.fingerprint,
        "client_order_id": str(REQUEST.client_order_id),
    }
    return SendPermit(Sent(**{**values, **changes}), lambda: None)


def _placed(reply: Reply, *, read: bool = True) -> tuple[OrderAnswer, RawServer]:
    with raw_server(reply, read=read) as server, _transport(server) as transport:
        return transport.place(_permit(transport)), server


@pytest.mark.parametrize(
    "reply",
    [
        silence,
        reset,
        answering("HTTP/1.1 201 Created\r\nContent-Length: 500\r\n\r\n{"),
        answering("HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
        answering("garbage\r\n\r\n"),
        answering("HTTP/1.1 201 Created\r\nContent-Length: 9\r\nContent-Encoding: gzip\r\n\r\nnot gzip!"),
        http("500 Internal Server Error", "oops"),
        http("503 Service Unavailable"),
        http("408 Request Timeout"),
        http("307 Temporary Redirect", "", "Location: /trade-api/v2/portfolio/events/orders"),
        http("308 Permanent Redirect", "", "Location: http://127.0.0.1:1/"),
        http("301 Moved Permanently", "", "Location: /elsewhere"),
        http("409 Conflict", '{"error":{"code":"order_already_exists"}}'),
        http("429 Too Many Requests", '{"error":{"code":"too_many_requests"}}'),
        http("201 Created", "{}"),
        answering("HTTP/1.1 201 Created\r\nContent-Length: 2000000\r\n\r\n" + "x" * 2_000_000),
    ],
)
def test_F08_failing_exchange_gets_the_order_once_and_it_stays_unknown(reply: Reply) -> None:
    answer, server = _placed(reply)
    assert (server.connections, len(server.requests)) == (1, 1)
    assert judge_answer(answer, REQUEST).state is OrderState.UNKNOWN


@pytest.mark.parametrize(
    ("dribbled", "status"),
    [
        ("HTTP/1.1 201 Created\r\nX-Long: ", None),
        ("HTTP/1.1 201 Created\r\nContent-Length: 900000\r\n\r\n", None),
        ("HTTP/1.1 201 Created\r\n\r\n", 201),
    ],
)
def test_F08_slow_answer_ends_as_unknown_at_the_deadline(dribbled: str, status: int | None) -> None:
    with raw_server(dribbling(dribbled)) as server, _transport(server, answer_seconds=0.3) as transport:
        answer = transport.place(_permit(transport))
    assert (len(server.requests), server.left) == (1, 1)
    assert (answer.status, answer.failure) == (status, SendFailure.LOST)
    assert judge_answer(answer, REQUEST).state is OrderState.UNKNOWN


def test_F08_answer_is_read_only_up_to_one_megabyte() -> None:
    whole, _ = _placed(http("201 Created", "x" * 1_000_000))
    assert (whole.failure, whole.body) == (None, b"x" * 1_000_000)
    answer, server = _placed(_endless)
    assert (answer.status, answer.failure, server.left) == (201, SendFailure.LOST, 1)


def _endless(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 201 Created\r\n\r\n")
    for _ in range(50):
        connection.sendall(b"x" * 1_000_000)


def test_F08_request_that_cannot_be_signed_is_not_sent() -> None:
    class Unsigned:
        fingerprint = SIGNER.fingerprint

        def headers(self, *_: str) -> dict[str, str]:
            raise OSError("the key is gone")

    with raw_server(http("201 Created", "{}")) as server:
        signer = cast("Signer", Unsigned())
        with OrderTransport(Account("sandbox", 3), server.url, signer) as transport:
            answer = transport.place(_permit(transport))
    assert (answer.status, answer.failure, server.connections) == (None, SendFailure.NOT_SENT, 0)


def test_F08_http_client_never_retries_redirects_or_keeps_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    made: dict[str, Any] = {}
    monkeypatch.setattr(httpx, "HTTPTransport", lambda **given: given)
    monkeypatch.setattr(httpx, "Client", lambda **given: made.update(given))
    OrderTransport(ACCOUNT, "http://127.0.0.1:1", SIGNER)
    limits = httpx.Limits(max_keepalive_connections=0)
    assert made["transport"] == {"retries": 0, "http2": False, "trust_env": False, "limits": limits}
    assert (made["trust_env"], made["follow_redirects"]) == (False, False)
    assert made["timeout"] == httpx.Timeout(connect=5, read=10, write=5, pool=5)


def test_closed_transport_writes_nothing() -> None:
    with raw_server(http("200 OK", "{}")) as server:
        with _transport(server) as transport:
            assert transport.host == f"127.0.0.1:{server.port}"
        with pytest.raises(RuntimeError, match="closed"):
            transport.cancel_all()
    assert server.connections == 0


@pytest.mark.parametrize("status", ["400 Bad Request", "401 Unauthorized", "403 Forbidden", "410 Gone"])
def test_F08_refused_order_is_not_sent_again(status: str) -> None:
    body = '{"error":{"code":"no","message":"no"}}'
    answer, server = _placed(http(status, body, "Content-Type: application/json"))
    assert server.connections == 1
    assert judge_answer(answer, REQUEST).state is OrderState.REJECTED


@pytest.mark.parametrize(
    "status", ["400 Bad Request", "401 Unauthorized", "403 Forbidden", "404 Not Found", "410 Gone"]
)
@pytest.mark.parametrize(
    ("body", "header"),
    [
        ("<html>denied by the proxy</html>", "Content-Type: text/html"),
        ("<html>denied by the proxy</html>", "Content-Type: application/json"),
        ('{"error":{"code":"no","message":"no"}}', "Content-Type: text/html"),
        ('{"error":{"code":"no","message":"no"}}', "X-Other: 1"),
        ("", "Content-Type: application/json"),
    ],
)
def test_F11_F65_answer_of_a_proxy_leaves_the_order_unknown(status: str, body: str, header: str) -> None:
    answer, server = _placed(http(status, body, header))
    assert len(server.requests) == 1
    assert judge_answer(answer, REQUEST).state is OrderState.UNKNOWN


def test_F08_connection_reset_before_the_read_leaves_the_order_unknown() -> None:
    answer, server = _placed(reset_unread, read=False)
    assert server.connections == 1
    assert judge_answer(answer, REQUEST).state is OrderState.UNKNOWN


def test_F08_refused_connection_proves_that_nothing_was_sent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    with _transport(RawServer(port)) as transport:
        answer = transport.place(_permit(transport))
    assert answer.failure is SendFailure.NOT_SENT
    assert judge_answer(answer, REQUEST).state is OrderState.REJECTED


def test_sent_bytes_are_the_recorded_bytes_signed_on_one_connection() -> None:
    answer, server = _placed(http("201 Created", "{}"))
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /trade-api/v2/portfolio/events/orders HTTP/1.1")
    assert b"KALSHI-ACCESS-SIGNATURE:" in head
    assert b"Connection: close" in head
    assert body == REQUEST.json.encode()
    assert answer.server_us == 1_795_348_801_000_000


@pytest.mark.parametrize(
    "date", ["Mon, 01 Jan 99999999999999999999 00:00:00 GMT", "Fri, 31 Dec 9999 23:59:59 GMT", "never", ""]
)
def test_F44_answer_with_an_impossible_date_still_counts(date: str) -> None:
    answer, _ = _placed(answering(f"HTTP/1.1 201 Created\r\nContent-Length: 2\r\nDate: {date}\r\n\r\n{{}}"))
    assert (answer.status, answer.body, answer.server_us) == (201, b"{}", None)


def test_proxy_variables_of_the_environment_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    with raw_server(http("201 Created", "{}")) as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        monkeypatch.delenv("NO_PROXY", raising=False)
        _, server = _placed(http("201 Created", "{}"))
    assert (proxy.connections, server.connections) == (0, 1)


def test_F08_permit_allows_one_request() -> None:
    with raw_server(http("201 Created", "{}")) as server, _transport(server) as transport:
        permit = _permit(transport)
        transport.place(permit)
        with pytest.raises(PermitRefused, match="already used"):
            transport.place(permit)
    assert server.connections == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"host": "127.0.0.1:1"},
        {"key_fingerprint": "SHA256:0123456789abcdef"},
        {"request_json": "{}"},
        {"request_sha256": "0" * 64},
    ],
)
def test_F27_permit_for_another_host_key_or_request_sends_nothing(changes: dict[str, str]) -> None:
    with (
        raw_server(http("201 Created", "{}")) as server,
        _transport(server) as transport,
        pytest.raises(PermitRefused),
    ):
        transport.place(_permit(transport, **changes))
    assert server.connections == 0


def test_permit_needs_the_recorded_bytes_and_the_recorded_digest() -> None:
    with raw_server(silence) as server, _transport(server) as transport:
        for changes in ({"request_json": "{}"}, {"request_sha256": "0" * 64}):
            permit = _permit(transport, **changes)
            with pytest.raises(PermitRefused, match="another request"):
                permit.consume(host=transport.host, key_fingerprint=SIGNER.fingerprint, body=REQUEST.json.encode())


def test_permit_cannot_leave_its_process_or_be_copied() -> None:
    with raw_server(silence) as server, _transport(server) as transport:
        permit = _permit(transport)
    for doubled in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError):
            doubled(permit)


@pytest.mark.parametrize(
    ("environment", "url"),
    [
        (Environment.DEMO, "https://external-api.kalshi.com"),
        (Environment.PROD, "https://external-api.demo.kalshi.co"),
        (Environment.PROD, "http://external-api.kalshi.com"),
        (Environment.PROD, "https://external-api.kalshi.com.example.org"),
        (Environment.SANDBOX, "https://external-api.kalshi.com"),
        (Environment.SANDBOX, "http://192.0.2.1:8765"),
    ],
)
def test_F27_address_of_another_environment_is_refused(environment: Environment, url: str) -> None:
    with pytest.raises(EnvironmentMismatch):
        OrderTransport(Account(environment.value, 0), url, SIGNER)


def test_F46_writes_have_the_listed_paths_with_shard_and_sub_account() -> None:
    with raw_server(http("200 OK", "{}")) as server, _transport(server) as transport:
        transport.create_order_group(2, 50)
        transport.trigger_order_group(ORDER, 2)
        transport.cancel(ORDER, TICKER)
        transport.decrease(ORDER, TICKER, Contracts(250))
        transport.cancel_all()
    lines = [request.partition(b"\r\n")[0].decode() for request in server.requests]
    root = "/trade-api/v2/portfolio"
    assert lines == [
        f"POST {root}/order_groups/create HTTP/1.1",
        f"PUT {root}/order_groups/{ORDER}/trigger?exchange_index=2&subaccount=3 HTTP/1.1",
        f"DELETE {root}/events/orders/{ORDER}?market_ticker={TICKER}&subaccount=3 HTTP/1.1",
        f"POST {root}/events/orders/{ORDER}/decrease?subaccount=3 HTTP/1.1",
        f"DELETE {root}/events/orders?subaccount=3 HTTP/1.1",
    ]
    for request, line in zip(server.requests, lines, strict=True):
        head, _, body = request.partition(b"\r\n\r\n")
        sent = dict(each.split(": ", 1) for each in head.decode().split("\r\n")[1:])
        assert sent.get("Content-Type") == ("application/json" if body else None)
        method, path = line.split(" ")[:2]
        signed = f"{sent['KALSHI-ACCESS-TIMESTAMP']}{method}{path.partition('?')[0]}".encode()
        PRIVATE.public_key().verify(base64.b64decode(sent["KALSHI-ACCESS-SIGNATURE"]), signed)
    bodies = [json.loads(request.partition(b"\r\n\r\n")[2] or "null") for request in server.requests]
    assert bodies == [
        {"contracts_limit": 50, "exchange_index": 2, "subaccount": 3},
        {},
        None,
        {"market_ticker": str(TICKER), "reduce_to": "2.50"},
        None,
    ]


@pytest.mark.parametrize("write", [write for write in AllowedWrite if "{id}" in write.value.path])
def test_F47_write_about_one_order_without_its_id_is_refused(write: AllowedWrite) -> None:
    for missing in (None, "", "abc"):
        with pytest.raises(WriteNotAllowed):
            write.path(missing)  # type: ignore[arg-type]


def test_F38_other_writes_of_the_vendor_are_impossible() -> None:
    if not OPENAPI.is_file():
        pytest.skip("the vendor's OpenAPI document is not on this machine")
    document = yaml.load(OPENAPI.read_text("utf-8"), Loader=yaml.CSafeLoader)
    published = {
        (method.upper(), path)
        for path, methods in document["paths"].items()
        for method in methods
        if method in ("post", "put", "delete", "patch")
    }
    ours = {
        (write.value.method, write.value.path.replace("{id}", name))
        for write in AllowedWrite
        for name in ("{order_group_id}" if "group" in write.value.path else "{order_id}",)
    }
    assert ours <= published
    assert len(published) >= 38
    public = {name for name in vars(OrderTransport) if not name.startswith("_")}
    assert public == {
        "cancel",
        "cancel_all",
        "close",
        "create_order_group",
        "decrease",
        "take_order_tokens",
        "host",
        "key_fingerprint",
        "place",
        "trigger_order_group",
    }


def test_F35_F37_amendments_batches_and_resets_have_no_route() -> None:
    assert not [write for write in AllowedWrite if "amend" in write.value.path or "batch" in write.value.path]
    assert not [write for write in AllowedWrite if "reset" in write.value.path]


def test_F52_new_orders_leave_tokens_for_cancels() -> None:
    clock = [0]
    budget = WriteBudget(100, 100, kept=40, monotonic_ns=lambda: clock[0])
    assert [budget.spend_on_risk(10) for _ in range(8)] == [True] * 6 + [False] * 2
    for _ in range(20):
        budget.spend_on_reduction(2)
    assert not budget.spend_on_risk(10)
    clock[0] += 500_000_000
    assert budget.spend_on_risk(10)
    assert not budget.spend_on_risk(10)


def test_F52_tokens_of_a_late_request_are_taken_when_it_leaves() -> None:
    clock = [0]
    budget = WriteBudget(100, 100, kept=40, monotonic_ns=lambda: clock[0])
    assert [budget.spend_on_risk(10) for _ in range(6)] == [True] * 6
    assert budget.spend_again_on_risk(10)
    clock[0] += 10_000_000_000
    assert [budget.spend_again_on_risk(10) for _ in range(3)] == [True] * 3
    assert [budget.spend_on_risk(10) for _ in range(6)] == [True] * 5 + [False]
    budget.spend_on_reduction(11)
    assert not budget.spend_again_on_risk(10)
    assert not budget.spend_on_risk(1)


def test_F52_tokens_are_counted_exactly_and_reductions_take_the_rest() -> None:
    clock = [0]
    budget = WriteBudget(100, 100, kept=0, monotonic_ns=lambda: clock[0])
    budget.spend_on_reduction(2)
    assert [budget.spend_on_risk(98), budget.spend_on_risk(1)] == [True, False]
    clock[0] += 9_999_999
    assert not budget.spend_on_risk(1)
    clock[0] += 10_000_000_000
    assert [budget.spend_on_risk(100), budget.spend_on_risk(1)] == [True, False]
    clock[0] += 90_000_000
    budget.spend_on_reduction(10)
    clock[0] += 9_990_000
    assert not budget.spend_on_risk(1)
    clock[0] += 10_000
    assert budget.spend_on_risk(1)
    for _ in range(2_000):
        clock[0] += 9_999
        assert not budget.spend_on_risk(1)


def test_F52_every_write_takes_its_tokens() -> None:
    with raw_server(http("200 OK", "{}")) as server:
        budget = WriteBudget(0, 100, kept=0)
        with OrderTransport(Account("sandbox", 3), server.url, SIGNER, budget=budget) as transport:
            transport.cancel(ORDER, TICKER)
            transport.trigger_order_group(ORDER, 2)
            assert [transport.take_order_tokens() for _ in range(9)] == [True] * 8 + [False]
            transport.cancel_all()
    assert [budget.spend_on_risk(6), budget.spend_on_risk(1)] == [True, False]


def test_F52_new_order_group_leaves_tokens_for_cancels() -> None:
    with raw_server(http("201 Created", "{}")) as server:
        budget = WriteBudget(100, 100, kept=95)
        with OrderTransport(Account("sandbox", 3), server.url, SIGNER, budget=budget) as transport:
            assert transport.create_order_group(0, 50).failure is SendFailure.NOT_SENT
            assert transport.cancel(ORDER, TICKER).status == 201
    assert [request.split(b" ")[0] for request in server.requests] == [b"DELETE"]


def test_F57_text_of_a_transport_never_contains_the_key(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    with raw_server(http("500 no", "oops")) as server, _transport(server) as transport:
        answer = transport.place(_permit(transport))
        text = repr(transport) + repr(answer) + caplog.text
    assert "KALSHI-ACCESS" not in text
    assert SIGNER.headers("GET", "/")["KALSHI-ACCESS-KEY"] not in text


def test_no_other_http_client_can_write() -> None:
    package = CHECKOUT / "kalshi_pipelines" / "execution"
    clients = re.compile(r"^\s*(?:import|from)\s+(?:httpx|requests|urllib|urllib3|aiohttp|http)\b", re.MULTILINE)
    users = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if clients.search(path.read_text("utf-8").replace("from urllib.parse import", ""))
    }
    assert users == {"transport/order_transport.py"}
