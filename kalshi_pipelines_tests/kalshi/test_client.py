import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa

from kalshi_pipelines.kalshi.client import KalshiClient
from kalshi_pipelines.kalshi.decoding import decode_records
from kalshi_pipelines.kalshi.errors import (
    EnvironmentMismatch,
    InvalidRequest,
    NotFound,
    ServerError,
    TransportFailed,
    Unauthorized,
)
from kalshi_pipelines.kalshi.pagination import Page
from kalshi_pipelines.kalshi.rate_budget import Bucket, BucketRate
from kalshi_pipelines.kalshi.records import Orderbook
from kalshi_pipelines.kalshi.signing import PrivateKey, Signer
from kalshi_pipelines.settings import Environment, Settings
from kalshi_pipelines_tests.support.kalshi.keys import pem_of
from kalshi_pipelines_tests.support.kalshi.recordings import recording
from kalshi_pipelines_tests.support.kalshi.transports import Answer, Connect

ClientOf = Callable[[Answer], KalshiClient]


class RequestRecorder:
    """An exchange that answers every list with one empty page and records the requests."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, list[tuple[str, str]]]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append((request.url.path.removeprefix("/trade-api/v2"), request.url.params.multi_items()))
        return httpx.Response(
            200, json={"cursor": "", "markets": [], "events": [], "series": [], "orderbooks": [], "trades": []}
        )


@pytest.mark.parametrize(
    ("read", "asked"),
    [
        (lambda c: c.market_pages(), ("/markets", [("limit", "1000"), ("mve_filter", "exclude")])),
        (
            lambda c: c.market_pages(status="settled", mve_filter=None, min_settled_ts=5, limit=7),
            ("/markets", [("limit", "7"), ("status", "settled"), ("min_settled_ts", "5")]),
        ),
        (
            lambda c: c.market_pages(tickers=["A", "B"]),
            ("/markets", [("limit", "1000"), ("mve_filter", "exclude"), ("tickers", "A,B")]),
        ),
        (lambda c: c.event_pages(status="open"), ("/events", [("limit", "200"), ("status", "open")])),
        (lambda c: c.event_pages(combos=True), ("/events/multivariate", [("limit", "200")])),
        (lambda c: c.series_pages(), ("/series", [])),
        (lambda c: c.history.trade_pages(), ("/markets/trades", [("limit", "1000")])),
        (
            lambda c: c.history.trade_pages(ticker="A", min_ts=5, max_ts=6, is_block_trade=False, limit=7),
            (
                "/markets/trades",
                [("limit", "7"), ("ticker", "A"), ("min_ts", "5"), ("max_ts", "6"), ("is_block_trade", "false")],
            ),
        ),
        (
            lambda c: c.history.historical_trade_pages(min_ts=0, max_ts=0),
            ("/historical/trades", [("limit", "1000"), ("min_ts", "0"), ("max_ts", "0")]),
        ),
    ],
)
def test_each_read_sends_the_documented_request(
    client_of: ClientOf,
    read: Callable[[KalshiClient], Iterator[Page]],
    asked: tuple[str, list[tuple[str, str]]],
) -> None:
    exchange = RequestRecorder()
    (page,) = read(client_of(exchange))
    assert page.raw_records == []
    assert exchange.asked == [asked]


def test_many_tickers_are_requested_in_batches_of_a_hundred(client_of: ClientOf) -> None:
    exchange = RequestRecorder()
    assert len(list(client_of(exchange).market_pages(tickers=(f"T{n}" for n in range(250))))) == 3
    sizes = [len(dict(params)["tickers"].split(",")) for _, params in exchange.asked]
    assert sizes == [100, 100, 50]


def test_no_tickers_mean_no_request(client_of: ClientOf) -> None:
    exchange = RequestRecorder()
    assert list(client_of(exchange).market_pages(tickers=[])) == []
    assert list(client_of(exchange).orderbook_batches([])) == []
    assert not exchange.asked


def test_filters_that_combo_events_lack_are_refused(client_of: ClientOf) -> None:
    with pytest.raises(InvalidRequest):
        client_of(RequestRecorder()).event_pages(combos=True, status="open")


def test_trades_until_before_their_start_are_refused(client_of: ClientOf) -> None:
    exchange = RequestRecorder()
    with pytest.raises(InvalidRequest, match="earlier"):
        client_of(exchange).history.trade_pages(min_ts=6, max_ts=5)
    assert not exchange.asked


@pytest.mark.parametrize("tickers", [[], [f"T{n}" for n in range(101)]])
def test_a_batch_of_orderbooks_has_1_to_100_markets(client_of: ClientOf, tickers: list[str]) -> None:
    exchange = RequestRecorder()
    with pytest.raises(InvalidRequest, match="1 to 100"):
        client_of(exchange).orderbooks(tickers)
    assert not exchange.asked


def test_orderbook_batches_run_in_parallel_and_keep_their_order(client_of: ClientOf) -> None:
    lock, at_once, most = threading.Lock(), 0, 0

    def answer(request: httpx.Request) -> httpx.Response:
        nonlocal at_once, most
        tickers = request.url.params.get_list("tickers")
        with lock:
            at_once += 1
            most = max(most, at_once)
        time.sleep(0.03 if tickers[0] in ("T0", "T300") else 0.01)
        with lock:
            at_once -= 1
        sides = {"yes_dollars": [["0.10", "1.00"]], "no_dollars": []}
        books = [{"ticker": ticker, "orderbook_fp": sides} for ticker in reversed(tickers)]
        return httpx.Response(200, json={"orderbooks": books})

    wanted = [f"T{n}" for n in range(2_050)]
    found = list(client_of(answer).orderbook_batches(iter(wanted)))
    assert [ticker for tickers, _ in found for ticker in tickers] == wanted
    for tickers, page in found:
        decoded = decode_records(Orderbook, page.raw_records)
        assert {row.record.ticker for row in decoded.records} == set(tickers)
    assert 2 <= most <= 8


def test_failed_batch_of_orderbooks_is_reported_in_order(client_of: ClientOf) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        bad = "T100" in request.url.params.get_list("tickers")
        return httpx.Response(404) if bad else httpx.Response(200, json={"orderbooks": []})

    batches = client_of(answer).orderbook_batches(f"T{n}" for n in range(1_500))
    next(batches)
    with pytest.raises(NotFound):
        next(batches)


def test_one_orderbook_is_read_with_its_ticker(client_of: ClientOf) -> None:
    body = recording("prod_2026_08/orderbook_single.json")
    book = client_of(lambda _: httpx.Response(200, content=body)).orderbook("KXA", depth=10)
    assert book.ticker == "KXA"
    assert book.orderbook_fp.no_dollars
    with pytest.raises(InvalidRequest):
        client_of(RequestRecorder()).orderbook("KXA", depth=101)


def test_single_records_are_read(client_of: ClientOf, caplog: pytest.LogCaptureFixture) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        name = {
            "/trade-api/v2/exchange/status": "exchange_status",
            "/trade-api/v2/exchange/schedule": "exchange_schedule",
            "/trade-api/v2/historical/cutoff": "historical_cutoff",
            "/trade-api/v2/account/limits": "account_limits",
            "/trade-api/v2/account/endpoint_costs": "endpoint_costs",
        }[request.url.path]
        return httpx.Response(200, content=recording(f"derived_3_34_0/{name}.json"))

    client = client_of(answer)
    status = client.exchange_status()
    assert [shard.exchange_index for shard in status.exchange_index_statuses or []] == [0, 1]
    assert client.exchange_schedule().standard_hours[0].thursday[0].close_time == "03:00"
    assert client.historical_cutoff().market_settled_ts.isoformat() == "2026-06-25T00:00:00+00:00"
    assert client.account_limits().read.refill_rate == 200
    assert client.endpoint_costs().default_cost == 10
    assert "does not know" not in caplog.text


def test_unknown_field_of_a_single_record_is_logged(client_of: ClientOf, caplog: pytest.LogCaptureFixture) -> None:
    body = {"exchange_active": True, "trading_active": False, "mood": "calm"}
    with caplog.at_level(logging.INFO):
        client_of(lambda _: httpx.Response(200, json=body)).exchange_status()
    assert "GET /exchange/status has fields that this version does not know: mood" in caplog.text


def test_the_status_is_read_while_the_exchange_is_down(client_of: ClientOf) -> None:
    body = {"exchange_active": False, "trading_active": False}
    assert client_of(lambda _: httpx.Response(503, json=body)).exchange_status().exchange_active is False
    with pytest.raises(ServerError):
        client_of(lambda _: httpx.Response(503, content=b"<html>")).exchange_status()


def test_client_with_a_key_uses_the_accounts_own_limits_and_costs(connect: Connect, ed25519_key: PrivateKey) -> None:
    limits = json.loads(recording("demo_2026_06/account__limits.json"))
    costs = {"default_cost": 7, "endpoint_costs": []}
    answer = lambda request: httpx.Response(200, json=limits if "limits" in request.url.path else costs)  # noqa: E731
    transport = connect(answer, signer=Signer("key-id", ed25519_key))
    with KalshiClient(transport):
        assert transport._budget.rates[Bucket.READ] == BucketRate(200, 200)
        assert transport._costs.cost("GET", "/markets") == 7


def test_limits_that_cannot_be_read_leave_the_published_limits(
    connect: Connect, ed25519_key: PrivateKey, caplog: pytest.LogCaptureFixture
) -> None:
    transport = connect(lambda _: httpx.Response(500), signer=Signer("key-id", ed25519_key))
    before = transport._budget.rates
    with KalshiClient(transport):
        assert transport._budget.rates == before
    assert "published limits" in caplog.text


def test_a_wrong_key_is_reported_when_the_client_is_opened(connect: Connect, ed25519_key: PrivateKey) -> None:
    answer = lambda _: httpx.Response(401, json={"error": {"code": "authentication_error"}})  # noqa: E731
    with (
        pytest.raises(Unauthorized, match="KALSHI_API_KEY_ID"),
        KalshiClient(connect(answer, signer=Signer("key-id", ed25519_key))),
    ):
        pytest.fail("opened")


def test_settings_decide_address_key_and_budget(
    sqlite_engine: sa.Engine, ed25519_key: PrivateKey, tmp_path: Path
) -> None:
    file = tmp_path / "key.pem"
    file.write_bytes(pem_of(ed25519_key))
    demo = Settings(environment=Environment.DEMO, api_key_id="my-key-id", private_key_file=file)
    signed = KalshiClient.from_settings(demo, sqlite_engine)
    assert "https://external-api.demo.kalshi.co/trade-api/v2" in repr(signed)
    assert "SHA256:" in repr(signed)
    assert "my-key-id" not in repr(signed)
    signed.close()
    sandbox = Settings(environment=Environment.SANDBOX, sandbox_url="http://127.0.0.1:8790")
    anonymous = KalshiClient.from_settings(sandbox, sqlite_engine)
    assert repr(anonymous) == "KalshiClient(Transport(http://127.0.0.1:8790/trade-api/v2, anonymous))"
    anonymous.close()
    with pytest.raises(EnvironmentMismatch):
        KalshiClient.from_settings(demo, sqlite_engine, url="http://127.0.0.1:8790")
    # A sandbox address left in the settings must not redirect requests of another environment.
    prod = Settings(environment=Environment.PROD, sandbox_url="http://127.0.0.1:8790")
    with KalshiClient.from_settings(prod, sqlite_engine) as client:
        assert "https://external-api.kalshi.com" in repr(client)


def test_closing_the_client_ends_the_wait_for_the_budget(sqlite_engine: sa.Engine) -> None:
    settings = Settings(environment=Environment.SANDBOX, sandbox_url="http://127.0.0.1:1")
    client = KalshiClient.from_settings(settings, sqlite_engine)
    client._transport._budget.rates = {Bucket.READ: BucketRate(1, 10)}
    client._transport._budget.empty(Bucket.READ)  # The next request waits ten seconds for tokens.
    ended: list[BaseException] = []

    def read() -> None:
        try:
            client.exchange_status()
        except TransportFailed as error:
            ended.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    time.sleep(0.1)
    client.close()
    reader.join(8)
    assert [str(error) for error in ended] == [
        "GET /exchange/status was not sent: the client is closed. Open a new client."
    ]
