"""The Kalshi client reads a sandbox exchange over real HTTP on this computer. Client and sandbox share no wire code."""

import threading
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from msgspec import Raw, Struct

from kalshi_pipelines.kalshi.client import KalshiClient
from kalshi_pipelines.kalshi.decoding import Decoded, decode_records
from kalshi_pipelines.kalshi.errors import (
    KalshiError,
    MalformedResponse,
    PaginationStuck,
    RateLimited,
    ServerError,
    TransportFailed,
    Unauthorized,
)
from kalshi_pipelines.kalshi.history_records import Trade
from kalshi_pipelines.kalshi.pagination import Page
from kalshi_pipelines.kalshi.rate_budget import Bucket, BucketRate, RateBudget, documented_rates
from kalshi_pipelines.kalshi.records import Event, Market, Orderbook, Series
from kalshi_pipelines.kalshi.signing import PrivateKey, Signer
from kalshi_pipelines.kalshi.transport import Transport
from kalshi_pipelines.sandbox.process import SandboxOptions, SandboxProcess, running_sandbox
from kalshi_pipelines.settings import RateTier, Settings
from kalshi_pipelines.units import now_us
from kalshi_pipelines.warehouse.engine import open_engine
from kalshi_pipelines_tests.support.kalshi.keys import pem_of

MARKETS = 500


@pytest.fixture(scope="module")
def sandbox() -> Iterator[SandboxProcess]:
    with running_sandbox(SandboxOptions(markets=MARKETS, tier="unlimited")) as running:
        yield running


@pytest.fixture
def inject(sandbox: SandboxProcess) -> Iterator[Callable[..., None]]:
    def inject(kind: str, **fault: Any) -> None:
        body = {"endpoint": "GET /markets", "kind": kind, "at": 2, **fault}
        httpx.post(f"{sandbox.admin_url}/sandbox/faults", json=body).raise_for_status()

    yield inject
    httpx.delete(f"{sandbox.admin_url}/sandbox/faults").raise_for_status()


@pytest.fixture
def client(sandbox: SandboxProcess, sqlite_engine: sa.Engine) -> Iterator[KalshiClient]:
    with KalshiClient.from_settings(Settings(rate_tier=RateTier.PRESTIGE), sqlite_engine, url=sandbox.url) as opened:
        yield opened


def journal(sandbox: SandboxProcess, endpoint: str) -> dict[str, Any]:
    answer = httpx.get(f"{sandbox.admin_url}/sandbox/requests").raise_for_status().json()
    record: dict[str, Any] = answer["endpoints"][endpoint]
    return record


def test_every_record_of_the_sandbox_is_decoded_without_unknown_fields(client: KalshiClient) -> None:
    keys: dict[type[Struct], set[str]] = {}
    lists: list[tuple[type[Struct], Iterator[Page]]] = [
        (Series, client.series_pages()),
        (Event, client.event_pages(limit=50)),
        (Event, client.event_pages(combos=True)),
        (Market, client.market_pages(limit=100)),
        (Market, client.market_pages(mve_filter="only")),
        (Trade, islice(client.history.trade_pages(limit=100), 20)),
        (Trade, islice(client.history.historical_trade_pages(limit=100), 20)),
    ]
    for kind, pages in lists:
        decoded = [decode_records(kind, page.raw_records) for page in pages]
        assert not [rejected for each in decoded for rejected in each.rejected]
        assert not [field for each in decoded for field in each.unknown_fields]
        field = "event_ticker" if kind is Event else "ticker"
        keys.setdefault(kind, set()).update(getattr(row.record, field) for each in decoded for row in each.records)
    assert len(keys[Market]) == MARKETS + 100
    assert keys[Series]
    assert keys[Event]
    tickers = sorted(keys[Market])
    books = {row.record.ticker for _, page in client.orderbook_batches(tickers) for row in _books(page.raw_records)}
    assert books <= set(tickers)
    assert len(books) > MARKETS / 2
    assert client.orderbook(tickers[0], depth=3).ticker == tickers[0]
    assert client.exchange_status().trading_active in (True, False)
    assert client.exchange_schedule().standard_hours
    assert client.historical_cutoff().market_settled_ts.tzinfo
    assert client.endpoint_costs().default_cost == 10


def _books(raws: Sequence[Raw]) -> list[Decoded[Orderbook]]:
    decoded = decode_records(Orderbook, raws)
    assert not decoded.rejected
    return decoded.records


@pytest.mark.parametrize(
    "kind",
    [
        "server_error",
        "rate_limit",
        "html_error",
        "cut_connection",
        "truncated_json",
        "repeated_cursor",
        "latency",
    ],
)
def test_temporary_fault_loses_no_row(client: KalshiClient, inject: Callable[..., None], kind: str) -> None:
    inject(kind, **({"seconds": 0.1} if kind == "latency" else {}))
    rows = [row for page in client.market_pages(limit=100) for row in decode_records(Market, page.raw_records).records]
    assert len({row.record.ticker for row in rows}) == len(rows) == MARKETS


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("server_error", ServerError),
        ("html_error", ServerError),
        ("rate_limit", RateLimited),
        ("cut_connection", TransportFailed),
        ("truncated_json", MalformedResponse),
        ("repeated_cursor", PaginationStuck),
    ],
)
def test_error_of_a_lasting_fault_names_page_and_rows(
    client: KalshiClient, inject: Callable[..., None], kind: str, error: type[KalshiError]
) -> None:
    inject(kind, at=3, times=20)
    found: list[Page] = []
    with pytest.raises(error, match=r"page 3 of GET /markets, after 200 rows") as caught:
        found.extend(client.market_pages(limit=100))
    assert [page.number for page in found] == [1, 2]
    assert caught.value.remedy in str(caught.value)


def test_a_malformed_record_is_rejected_alone(client: KalshiClient, inject: Callable[..., None]) -> None:
    inject("malformed_record")
    decoded = [decode_records(Market, page.raw_records) for page in client.market_pages(limit=100)]
    (rejected,) = [rejected for each in decoded for rejected in each.rejected]
    assert rejected.reason == "Expected `str`, got `float` - at `$.yes_bid_dollars`"
    assert rejected.key
    assert sum(len(each.records) for each in decoded) == MARKETS - 1


@pytest.mark.whole_suite  # the client opens a socket, and fast tests may not open sockets
def test_request_without_a_response_is_reported(sqlite_engine: sa.Engine) -> None:
    with (
        KalshiClient.from_settings(Settings(), sqlite_engine, url="http://127.0.0.1:1") as client,
        pytest.raises(TransportFailed, match="attempt 5"),
    ):
        client.exchange_status()


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory, rsa_key: PrivateKey, ed25519_key: PrivateKey) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("keys")
    for name, key in (("rsa", rsa_key), ("ed25519", ed25519_key)):
        (folder / name).write_bytes(pem_of(key))
        (folder / name).chmod(0o600)
    return {name: folder / name for name in ("rsa", "ed25519")}


@pytest.fixture(scope="module")
def locked_sandbox(keys: dict[str, Path]) -> Iterator[SandboxProcess]:
    with running_sandbox(SandboxOptions(markets=MARKETS, tier="expert", keys=keys)) as running:
        yield running


@pytest.mark.parametrize("key_id", ["rsa", "ed25519"])
def test_signatures_are_accepted_and_the_accounts_limits_apply(
    locked_sandbox: SandboxProcess, keys: dict[str, Path], sqlite_engine: sa.Engine, key_id: str
) -> None:
    settings = Settings(api_key_id=key_id, private_key_file=keys[key_id])
    with KalshiClient.from_settings(settings, sqlite_engine, url=locked_sandbox.url) as client:
        assert client._transport._budget.rates[Bucket.READ] == BucketRate(600, 600)
        assert sum(len(page.raw_records) for page in client.market_pages()) == MARKETS
        assert client.account_limits().usage_tier == "expert"


def test_key_of_another_account_is_refused_when_the_client_opens(
    locked_sandbox: SandboxProcess, keys: dict[str, Path], sqlite_engine: sa.Engine
) -> None:
    settings = Settings(api_key_id="rsa", private_key_file=keys["ed25519"])
    with (
        pytest.raises(Unauthorized, match="INCORRECT_API_KEY_SIGNATURE"),
        KalshiClient.from_settings(settings, sqlite_engine, url=locked_sandbox.url),
    ):
        pytest.fail("opened")


def test_a_clock_ten_minutes_slow_is_corrected(
    locked_sandbox: SandboxProcess, ed25519_key: PrivateKey, sqlite_engine: sa.Engine
) -> None:
    signer = Signer("ed25519", ed25519_key, clock_us=lambda: now_us() - 600_000_000)
    budget = RateBudget(sqlite_engine, "slow", documented_rates(RateTier.BASIC))
    with KalshiClient(Transport(locked_sandbox.url, budget, signer=signer)) as client:
        assert client.account_limits().usage_tier == "expert"


def test_two_clients_at_full_speed_are_never_refused(
    locked_sandbox: SandboxProcess, keys: dict[str, Path], sqlite_engine: sa.Engine
) -> None:
    settings = Settings(api_key_id="rsa", private_key_file=keys["rsa"])
    engines = [open_engine(str(sqlite_engine.url)) for _ in range(2)]
    failures: list[BaseException] = []

    def read(own: sa.Engine) -> None:
        try:
            with KalshiClient.from_settings(settings, own, url=locked_sandbox.url) as client:
                first = next(client.market_pages(limit=100)).raw_records
                tickers = [row.record.ticker for row in decode_records(Market, first).records]
                for _ in client.orderbook_batches(islice(cycle(tickers), 9_000)):
                    pass
        except BaseException as error:  # noqa: BLE001
            failures.append(error)

    threads = [threading.Thread(target=read, args=(own,)) for own in engines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for own in engines:
        own.dispose()
    assert not failures
    asked = journal(locked_sandbox, "GET /markets/orderbooks")
    assert asked["count"] == 180
    assert asked["rate_limited"] == 0
