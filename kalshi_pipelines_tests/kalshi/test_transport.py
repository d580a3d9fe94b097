import email.utils
import gzip
import logging
import time
from collections.abc import Callable, Iterator

import httpx
import pytest
import sqlalchemy as sa
import stamina

from kalshi_pipelines.kalshi.errors import (
    AbsurdAnswer,
    ApiError,
    Forbidden,
    InvalidRequest,
    KalshiError,
    MalformedResponse,
    NotFound,
    RateLimited,
    Redirected,
    ServerError,
    TransportFailed,
    Unauthorized,
    UnreadableBody,
)
from kalshi_pipelines.kalshi.signing import PrivateKey, Signer
from kalshi_pipelines.kalshi.transport import Patience, Transport, path_with
from kalshi_pipelines.warehouse.tables import rate_budgets
from kalshi_pipelines_tests.support.kalshi.keys import verify
from kalshi_pipelines_tests.support.kalshi.transports import Connect


class ScriptedExchange:
    """An exchange that gives scripted responses or failures, one per request, and records the requests.

    The last response is repeated forever.
    """

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers = answers
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers[min(len(self.requests), len(self.answers)) - 1]
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)


def ok(body: bytes = b"fine") -> httpx.Response:
    return httpx.Response(200, content=body)


def strict(body: bytes) -> str:
    if body != b"fine":
        raise UnreadableBody("not fine")
    return body.decode()


def get(transport: Transport, **options: object) -> str:
    return transport.get("/markets", [("limit", "5")], decode=strict, **options)  # type: ignore[arg-type]


TOO_MANY = httpx.Response(429, json={"error": "too many requests"})
EXPIRED = {"error": {"code": "header_timestamp_expired", "message": "header timestamp expired"}}


@pytest.mark.parametrize(
    "trouble",
    [
        httpx.Response(500),
        httpx.Response(502, content=b"<html>bad gateway</html>"),
        httpx.Response(503, json={"error": {"code": "maintenance"}}),
        TOO_MANY,
        ok(b"fin"),
        ok(b""),
        httpx.ConnectError("refused"),
        httpx.ReadTimeout("slow"),
        httpx.RemoteProtocolError("peer closed connection without sending complete message body"),
        httpx.DecodingError("bad gzip"),
    ],
    ids=repr,
)
def test_temporary_failure_is_retried(connect: Connect, trouble: httpx.Response | Exception) -> None:
    exchange = ScriptedExchange(trouble, trouble, ok())
    assert get(connect(exchange)) == "fine"
    assert len(exchange.requests) == 3


@pytest.mark.parametrize(
    ("status", "kind"),
    [(301, Redirected), (308, Redirected), (400, ApiError), (401, Unauthorized), (403, Forbidden), (404, NotFound)],
)
def test_refused_request_is_not_retried(connect: Connect, status: int, kind: type[ApiError]) -> None:
    exchange = ScriptedExchange(httpx.Response(status, headers={"Location": "https://elsewhere.example/"}))
    with pytest.raises(kind) as caught:
        get(connect(exchange))
    assert len(exchange.requests) == 1
    assert caught.value.attempts == 1


@pytest.mark.parametrize(
    ("trouble", "kind"),
    [
        (httpx.Response(500), ServerError),
        (TOO_MANY, RateLimited),
        (ok(b"{"), MalformedResponse),
        (httpx.ReadTimeout("slow"), TransportFailed),
    ],
)
def test_lasting_failure_is_reported_after_the_last_attempt(
    connect: Connect, trouble: httpx.Response | Exception, kind: type[KalshiError]
) -> None:
    exchange = ScriptedExchange(trouble)
    with pytest.raises(kind, match=r"^GET /markets\?limit=5 .*5"):
        get(connect(exchange))
    assert len(exchange.requests) == 5


def test_attempts_are_bounded_in_total_time(connect: Connect) -> None:
    stamina.set_testing(False)
    exchange = ScriptedExchange(httpx.Response(500))
    with pytest.raises(ServerError):
        get(connect(exchange, patience=Patience(attempts=50, total_seconds=1e-9)))
    assert len(exchange.requests) == 1


def test_only_get_without_a_body_and_in_english_is_sent(connect: Connect) -> None:
    exchange = ScriptedExchange(ok())
    get(connect(exchange))
    (request,) = exchange.requests
    assert request.method == "GET"
    assert request.content == b""
    assert request.headers["Accept-Language"] == "en-US"
    assert str(request.url) == "http://127.0.0.1:9/trade-api/v2/markets?limit=5"
    assert not [name for name in dir(Transport) if name.lower() in ("post", "put", "patch", "delete", "request")]


def test_each_attempt_has_its_own_signature(connect: Connect, private_key: PrivateKey) -> None:
    now = iter(range(1_790_000_000_000_000, 1_790_001_000_000_000, 1_000_000))
    exchange = ScriptedExchange(httpx.Response(500), httpx.Response(500), ok())
    get(connect(exchange, signer=Signer("key-id", private_key, clock_us=lambda: next(now))))
    stamps = [request.headers["KALSHI-ACCESS-TIMESTAMP"] for request in exchange.requests]
    assert stamps == ["1790000000000", "1790000001000", "1790000002000"]
    for request, stamp in zip(exchange.requests, stamps, strict=True):
        verify(private_key, request.headers["KALSHI-ACCESS-SIGNATURE"], stamp + "GET/trade-api/v2/markets")


def test_the_signature_covers_the_path_as_it_is_sent(connect: Connect, ed25519_key: PrivateKey) -> None:
    exchange = ScriptedExchange(ok())
    path = path_with("/markets/{ticker}/orderbook", ticker="KX A/Bé-1.5%")
    connect(exchange, signer=Signer("key-id", ed25519_key)).get(path, [("depth", "0")], decode=strict)
    (request,) = exchange.requests
    sent = request.url.raw_path.decode().partition("?")[0]
    assert sent == "/trade-api/v2/markets/KX%20A%2FB%C3%A9-1.5%25/orderbook"
    headers = request.headers
    verify(ed25519_key, headers["KALSHI-ACCESS-SIGNATURE"], headers["KALSHI-ACCESS-TIMESTAMP"] + "GET" + sent)


@pytest.mark.parametrize("ticker", ["", ".", ".."])
def test_a_ticker_that_would_change_the_path_is_refused(ticker: str) -> None:
    with pytest.raises(InvalidRequest):
        path_with("/markets/{ticker}/orderbook", ticker=ticker)


def test_each_attempt_is_charged(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    exchange = ScriptedExchange(httpx.Response(500), ok())
    transport = connect(exchange)
    charged: list[int] = []
    monkeypatch.setattr(transport._budget, "acquire", lambda cost, _: charged.append(cost))
    get(transport)
    assert charged == [10, 10]


def test_a_429_empties_the_shared_bucket(connect: Connect, sqlite_engine: sa.Engine) -> None:
    get(connect(ScriptedExchange(TOO_MANY, ok())))
    with sqlite_engine.connect() as connection:
        (row,) = connection.execute(rate_budgets.select()).all()
    # A full bucket holds 10,000,000 tokens and gains 1,000,000 a second, less a margin. After a 429
    # empties the bucket, ``theoretical_arrival_us`` is more than five seconds ahead. For a full bucket, the column
    # holds a past instant.
    assert row.theoretical_arrival_us > (time.time() + 5) * 1_000_000


def _dated(ahead_seconds: float) -> httpx.Response:
    date = email.utils.formatdate(time.time() + ahead_seconds, usegmt=True)
    return httpx.Response(401, json=EXPIRED, headers={"Date": date})


def test_a_wrong_clock_is_set_by_the_exchange_once(connect: Connect, ed25519_key: PrivateKey) -> None:
    exchange = ScriptedExchange(_dated(300), ok())
    transport = connect(exchange, signer=Signer("key-id", ed25519_key))
    assert get(transport) == "fine"
    first, second = (int(request.headers["KALSHI-ACCESS-TIMESTAMP"]) for request in exchange.requests)
    assert 298_000 < second - first < 303_000
    get(transport)
    assert int(exchange.requests[-1].headers["KALSHI-ACCESS-TIMESTAMP"]) - first > 298_000


@pytest.mark.parametrize(
    ("answers", "sent"),
    [
        (lambda: [_dated(300), _dated(600)], 2),
        (lambda: [_dated(0)], 1),
        (lambda: [httpx.Response(401, json=EXPIRED)], 1),
        (lambda: [httpx.Response(401, json=EXPIRED, headers={"Date": "yesterday"})], 1),
        (lambda: [httpx.Response(401, json={"error": {"code": "x"}}, headers=_dated(300).headers)], 1),
    ],
    ids=["still refused", "clock is right", "no date", "bad date", "other reason"],
)
def test_refused_timestamp_is_retried_only_if_the_clock_was_wrong(
    connect: Connect, ed25519_key: PrivateKey, answers: Callable[[], list[httpx.Response]], sent: int
) -> None:
    exchange = ScriptedExchange(*answers())
    with pytest.raises(Unauthorized, match="clock"):
        get(connect(exchange, signer=Signer("key-id", ed25519_key)))
    assert len(exchange.requests) == sent


def test_wrong_clock_on_the_last_attempt_is_reported(connect: Connect, ed25519_key: PrivateKey) -> None:
    transport = connect(
        ScriptedExchange(_dated(300)), signer=Signer("key-id", ed25519_key), patience=Patience(attempts=1)
    )
    with pytest.raises(Unauthorized, match="header_timestamp_expired"):
        get(transport)


def test_a_meaningful_error_status_is_decoded(connect: Connect) -> None:
    assert get(connect(ScriptedExchange(httpx.Response(503, content=b"fine"))), meaningful=(503,)) == "fine"
    with pytest.raises(ServerError):
        get(connect(ScriptedExchange(httpx.Response(503, content=b"<html>"))), meaningful=(503,))


def test_compressed_responses_are_read(connect: Connect) -> None:
    compressed = gzip.compress(b"fine")
    answer: Callable[[httpx.Request], httpx.Response] = lambda _: httpx.Response(  # noqa: E731
        200, stream=httpx.ByteStream(compressed), headers={"Content-Encoding": "gzip"}
    )
    assert get(connect(answer)) == "fine"


class _Drip(httpx.SyncByteStream):
    def __iter__(self) -> Iterator[bytes]:
        while True:
            yield b"x" * 1000


@pytest.mark.parametrize("patience", [Patience(answer_seconds=0.0), Patience(answer_bytes=10_000)])
def test_endless_response_is_cut_off(connect: Connect, patience: Patience) -> None:
    with pytest.raises(AbsurdAnswer, match=r"not complete|longer than"):
        get(connect(lambda _: httpx.Response(200, stream=_Drip()), patience=patience))


def test_closed_transport_raises_and_sends_nothing(connect: Connect) -> None:
    exchange = ScriptedExchange(ok())
    transport = connect(exchange)
    transport.close()
    with pytest.raises(TransportFailed, match="closed"):
        get(transport)
    assert not exchange.requests


def test_closing_ends_the_attempts(connect: Connect) -> None:
    sent: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        transport.close()
        return httpx.Response(500)

    transport = connect(answer)
    with pytest.raises(ServerError):
        get(transport)
    assert len(sent) == 1


def test_attempts_are_logged_with_their_reason(connect: Connect, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        get(connect(ScriptedExchange(httpx.Response(500, json={"error": {"code": "boom"}}), ok())))
    assert [record.message for record in caplog.records if record.name == "kalshi_pipelines.kalshi"] == [
        "GET /markets?limit=5 was answered 500 (boom)."
    ]
