"""A kill that is given while an order's connection is being made stops the order: no byte of the request arrives."""

import datetime as dt
import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import certifi
import httpx
import pytest
import sqlalchemy as sa
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from kalshi_pipelines.execution.executor.decisions import DecisionOutcome
from kalshi_pipelines.execution.journal.records import Sent
from kalshi_pipelines.execution.kill.emergency import EmergencyFile
from kalshi_pipelines.execution.kill.sources import EnvironmentSource, FileSource
from kalshi_pipelines.execution.kill.switch import KillSwitch
from kalshi_pipelines.execution.orders.account import Account
from kalshi_pipelines.execution.orders.answers import OrderAnswer, SendFailure
from kalshi_pipelines.execution.orders.request import request_sha256
from kalshi_pipelines.execution.orders.states import OrderState
from kalshi_pipelines.execution.transport import last_look
from kalshi_pipelines.execution.transport.last_look import LookNotTaken
from kalshi_pipelines.execution.transport.order_transport import OrderTransport
from kalshi_pipelines.execution.transport.permits import SendPermit
from kalshi_pipelines.execution.transport.write_budget import WriteBudget
from kalshi_pipelines.kalshi.signing import Signer
from kalshi_pipelines_tests.support.execution.order_steps import ACCOUNT
from kalshi_pipelines_tests.support.execution.raw_server import RawServer, http, raw_server
from kalshi_pipelines_tests.support.execution.requests import REQUEST
from kalshi_pipelines_tests.support.execution.scripted_exchange import ScriptedExchange, scripted_session

SIGNER = Signer("6aa9dd34-2e8a-49eb-887f-0963dca78d43", Ed25519PrivateKey.generate())
DEMO = "external-api.demo.kalshi.co"
REFUSED = '{"error":{"code":"no","message":"no"}}'
KEEP_ALIVE = http("400 Bad Request", REFUSED, "Content-Type: application/json", "Connection: keep-alive")


def _permit(transport: OrderTransport, look: Callable[[], str | None]) -> SendPermit:
    sent = Sent(
        7,
        "session-1",
        12,
        1,
        REQUEST.json,
        request_sha256(REQUEST.json),
        transport.host,
        SIGNER.fingerprint,
        str(REQUEST.client_order_id),
    )
    return SendPermit(sent, look)


@dataclass
class SlowConnections:
    """Connections that take effect only after ``meanwhile`` was called. ``made`` counts them."""

    meanwhile: Callable[[], object] = lambda: None
    made: int = 0

    def patch(self, monkeypatch: pytest.MonkeyPatch, redirect: int | None = None) -> None:
        real = socket.create_connection

        def connect(address: tuple[str, int], *rest: Any, **options: Any) -> socket.socket:
            made = real(address if redirect is None else ("127.0.0.1", redirect), *rest, **options)
            self.made += 1
            self.meanwhile()
            return made

        monkeypatch.setattr(socket, "create_connection", connect)


@dataclass
class OverSockets(ScriptedExchange):
    """A scripted exchange whose orders go through the real transport."""

    transport: OrderTransport = field(kw_only=True)

    def place(self, permit: SendPermit) -> OrderAnswer:
        return self.transport.place(permit)


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> SlowConnections:
    slow = SlowConnections()
    slow.patch(monkeypatch)
    return slow


@pytest.mark.parametrize("given", ["file", "journal", "variable"])
@pytest.mark.parametrize("number", [1, 2])
def test_F41_F62_kill_while_connecting_stops_the_order(
    sqlite_journal: sa.Engine,
    connections: SlowConnections,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    given: str,
    number: int,
) -> None:
    with raw_server(KEEP_ALIVE) as server, OrderTransport(ACCOUNT, server.url, SIGNER) as transport:
        exchange = OverSockets(transport=transport, host=transport.host, key_fingerprint=SIGNER.fingerprint)
        made = scripted_session(sqlite_journal, exchange)
        switch = KillSwitch(
            lambda: made.journal,
            EmergencyFile(tmp_path / "emergency.jsonl"),
            (EnvironmentSource(), FileSource(tmp_path / "KILL")),
            account=ACCOUNT,
        )
        made.read_kill = switch.why_engaged
        for _ in range(number - 1):
            made.decide()
        connections.meanwhile = {
            "file": (tmp_path / "KILL").touch,
            "journal": made.engage_kill,
            "variable": lambda: monkeypatch.setitem(os.environ, "KALSHI_TRADE_KILL", "1"),
        }[given]
        stopped = made.decide()
    assert (connections.made, stopped.outcome) == (number, DecisionOutcome.REFUSED)
    assert stopped.intent is not None
    assert (stopped.intent.state, made.facts()["failure"]) == (OrderState.REJECTED, "not_sent")
    assert "the kill switch was engaged before the request left" in stopped.detail
    assert [request for request in server.requests if request.strip()] == server.requests[: number - 1]
    assert stopped.intent not in made.open_intents()


def test_F41_last_look_is_taken_once_after_connecting(connections: SlowConnections) -> None:
    taken: list[int] = []
    with raw_server(http("201 Created", "{}")) as server, OrderTransport(ACCOUNT, server.url, SIGNER) as transport:
        transport.place(_permit(transport, lambda: taken.append(connections.made)))
    assert (taken, len(server.requests)) == ([1], 1)


def test_F52_tokens_spent_while_connecting_stop_the_order(connections: SlowConnections) -> None:
    budget = WriteBudget(1, 50, kept=40)
    with (
        raw_server(http("201 Created", "{}")) as server,
        OrderTransport(ACCOUNT, server.url, SIGNER, budget=budget) as transport,
    ):
        assert transport.take_order_tokens()
        connections.meanwhile = lambda: budget.spend_on_reduction(30)
        answer = transport.place(_permit(transport, lambda: None))
    assert (answer.failure, answer.detail) == (
        SendFailure.NOT_SENT,
        "too few write tokens besides those kept for cancels",
    )
    assert server.requests in ([], [b""])


def test_F62_order_cannot_leave_without_a_last_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(last_look, "_BEFORE_THE_FIRST_BYTE", "an event that httpcore no longer reports")
    with (
        raw_server(http("201 Created", "{}")) as server,
        OrderTransport(ACCOUNT, server.url, SIGNER) as transport,
        pytest.raises(LookNotTaken),
    ):
        transport.place(_permit(transport, lambda: None))
    assert REQUEST.json.encode() not in b"".join(server.requests)


@contextmanager
def tls_server(folder: Path, before_handshake: Callable[[], object]) -> Iterator[RawServer]:
    """Run a TLS server that accepts a connection and calls ``before_handshake`` before it begins the handshake."""
    key = generate_private_key(SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, DEMO)])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(DEMO)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "server.pem").write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + certificate.public_bytes(Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    listener = socket.create_server(("127.0.0.1", 0))
    server = RawServer(listener.getsockname()[1])

    def serve() -> None:
        connection, _ = listener.accept()
        server.connections += 1
        before_handshake()
        with context.wrap_socket(connection, server_side=True) as secure:
            secure.settimeout(5)
            server.requests.append(secure.recv(65_536))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        thread.join(10)
        listener.close()


@pytest.mark.parametrize("killed", [True, False])
def test_F41_F62_kill_during_the_tls_handshake_stops_the_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed: bool
) -> None:
    file = tmp_path / "KILL"
    source = FileSource(file)
    monkeypatch.setattr(certifi, "where", lambda: str(tmp_path / "server.pem"))
    with tls_server(tmp_path, file.touch if killed else lambda: None) as server:
        SlowConnections().patch(monkeypatch, redirect=server.port)
        with OrderTransport(Account("demo", 0), f"https://{DEMO}", SIGNER) as transport:
            assert not source.read().engaged
            answer = transport.place(_permit(transport, lambda: "killed" if source.read().engaged else None))
    assert server.connections == 1
    if killed:
        assert (answer.failure, answer.detail, server.requests) == (SendFailure.NOT_SENT, "killed", [b""])
    else:
        assert server.requests[0].startswith(b"POST /trade-api/v2/portfolio/events/orders HTTP/1.1")


def test_httpx_still_reports_the_event_before_the_first_byte() -> None:
    events: list[str] = []
    with raw_server(http("200 OK", "{}")) as server, httpx.Client(trust_env=False) as client:
        client.get(server.url, extensions={"trace": lambda event, _: events.append(event)})
    assert events.index("connection.connect_tcp.complete") < events.index("http11.send_request_headers.started")
