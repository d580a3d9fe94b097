"""Tests of a running sandbox with the vendor's own, unchanged Python client.

The client needs Python 3.13, where the development requirements install it.
"""

import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from kalshi_pipelines.sandbox.process import SandboxOptions, SandboxProcess, running_sandbox

vendor = pytest.importorskip("kalshi_python_sync", reason="the vendor's client needs Python 3.13")

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning:kalshi_python_sync", "ignore::pydantic.PydanticDeprecatedSince20"
)


@dataclass
class ClientSession:
    """A running sandbox, the vendor's client with an API key, and a market with two orders of another trader.

    One order bids 0.40 and the other asks 0.60, each for 300 contracts.
    """

    sandbox: SandboxProcess
    client: Any
    ticker: str

    def steer(self, path: str, **body: Any) -> None:
        httpx.post(f"{self.sandbox.admin_url}/sandbox{path}", json=body, timeout=10).raise_for_status()

    def create(self, side: str, price: str, count: str = "10.00", **terms: Any) -> Any:
        defaults = {
            "ticker": self.ticker,
            "client_order_id": str(uuid.uuid4()),
            "time_in_force": "good_till_canceled",
            "self_trade_prevention_type": "taker_at_cross",
        }
        return self.client.create_order_v2(**{**defaults, "side": side, "price": price, "count": count, **terms})

    def order(self, order_id: str) -> Any:
        return self.client.get_order(order_id).order


@pytest.fixture(scope="module", params=["ed25519", "rsa"])
def client(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, Any]]:
    options = SandboxOptions(markets=60, combos=0, tick_seconds=0, tier="unlimited")
    with running_sandbox(options) as sandbox:
        httpx.post(f"{sandbox.admin_url}/sandbox/conduct", json={"cancel_all_tail": "never"}).raise_for_status()
        file = tmp_path_factory.mktemp("keys") / "key.pem"
        yield sandbox, _signed_in(sandbox, file, request.param)


def _signed_in(sandbox: SandboxProcess, file: Path, key_type: str) -> Any:
    command = [sys.executable, "-m", "kalshi_pipelines.sandbox.create_key", "--url", sandbox.admin_url]
    made = subprocess.run(
        [*command, "--type", key_type, "--out", str(file)], capture_output=True, text=True, check=True
    )
    configuration = vendor.Configuration(host=sandbox.url, retries=False)
    configuration.api_key_id = made.stdout.splitlines()[0].partition("=")[2]
    configuration.private_key_pem = file.read_text("utf-8")
    return vendor.KalshiClient(configuration)


@pytest.fixture
def exchange(client: tuple[SandboxProcess, Any]) -> ClientSession:
    sandbox, signed_in = client
    markets = signed_in.get_markets(status="open", limit=200).markets
    traded = {position.ticker for position in signed_in.get_positions(limit=200).market_positions}
    market = next(m for m in markets if m.exchange_index == 0 and m.ticker not in traded and _has_cents(m))
    exchange = ClientSession(sandbox, signed_in, market.ticker)
    exchange.steer(f"/markets/{market.ticker}/clear_book")
    for side, price in (("bid", "0.4000"), ("ask", "0.6000")):
        exchange.steer(f"/markets/{market.ticker}/orders", side=side, price=price, count="300.00")
    return exchange


def _has_cents(market: Any) -> bool:
    return bool(market.price_level_structure == "linear_cent")


def test_the_official_client_reads_public_data_page_by_page(exchange: ClientSession) -> None:
    client = exchange.client
    assert client.get_exchange_status().trading_active
    first = client.get_markets(limit=25)
    second = client.get_markets(limit=25, cursor=first.cursor)
    assert not {market.ticker for market in first.markets} & {market.ticker for market in second.markets}
    book = client.get_market_orderbook(exchange.ticker).orderbook_fp
    assert [list(level) for level in book.yes_dollars] == [["0.4000", "300.00"]]
    assert [list(level) for level in book.no_dollars] == [["0.4000", "300.00"]]


def test_the_official_client_reads_its_account(exchange: ClientSession) -> None:
    balance = exchange.client.get_balance()
    assert balance.balance == int(float(balance.balance_dollars) * 100)
    assert {entry.exchange_index for entry in balance.balance_breakdown} == {0, 1, 2, 3}
    assert exchange.client.get_account_api_limits().usage_tier
    assert exchange.client.get_api_keys().api_keys


def test_the_official_client_creates_amends_decreases_and_cancels(exchange: ClientSession) -> None:
    client = exchange.client
    created = exchange.create("bid", "0.3000")
    assert (created.fill_count, created.remaining_count) == ("0.00", "10.00")
    assert exchange.order(created.order_id).status.value == "resting"
    amended = client.amend_order_v2(created.order_id, ticker=exchange.ticker, side="bid", price="0.3100", count="12.00")
    assert amended.remaining_count == "12.00"
    decreased = client.decrease_order_v2(created.order_id, reduce_to="5.00", market_ticker=exchange.ticker)
    assert decreased.remaining_count == "5.00"
    canceled = client.cancel_order_v2(created.order_id, market_ticker=exchange.ticker)
    assert canceled.reduced_by == "5.00"
    order = exchange.order(created.order_id)
    assert (order.status.value, order.yes_price_dollars) == ("canceled", "0.3100")
    with pytest.raises(vendor.exceptions.NotFoundException):
        client.cancel_order_v2(created.order_id, market_ticker=exchange.ticker)


def test_the_official_client_fills_and_reads_fills_and_positions(exchange: ClientSession) -> None:
    client = exchange.client
    bought = exchange.create("bid", "0.6000", time_in_force="immediate_or_cancel")
    assert (bought.fill_count, bought.average_fill_price) == ("10.00", "0.6000")
    fills = client.get_fills(ticker=exchange.ticker).fills
    assert [(fill.order_id, fill.count_fp, fill.is_taker) for fill in fills] == [(bought.order_id, "10.00", True)]
    position = client.get_positions(ticker=exchange.ticker).market_positions[0]
    assert (position.position_fp, position.market_exposure_dollars) == ("10.00", "6.000000")
    assert client.get_portfolio_resting_order_total_value().total_resting_order_value == 0
    exchange.steer(f"/markets/{exchange.ticker}/status", status="closed")
    exchange.steer(f"/markets/{exchange.ticker}/status", status="determined", result="yes")
    exchange.steer(f"/markets/{exchange.ticker}/status", status="finalized")
    settlement = client.get_settlements(ticker=exchange.ticker).settlements[0]
    assert (settlement.market_result, settlement.revenue) == ("yes", 1_000)


def test_the_official_client_pages_through_its_orders(exchange: ClientSession) -> None:
    created = {exchange.create("bid", f"0.0{cents}00").order_id for cents in range(1, 6)}
    found, cursor = [], None
    while True:
        page = exchange.client.get_orders(ticker=exchange.ticker, status="resting", limit=2, cursor=cursor)
        found += [order.order_id for order in page.orders]
        cursor = page.cursor
        if not cursor:
            break
    assert len(found) == 5
    assert set(found) == created
    exchange.client.cancel_all_orders()
    assert not exchange.client.get_orders(ticker=exchange.ticker, status="resting").orders


def test_the_official_client_creates_and_cancels_in_batches(exchange: ClientSession) -> None:
    terms = {
        "ticker": exchange.ticker,
        "side": "bid",
        "count": "1.00",
        "time_in_force": "good_till_canceled",
        "self_trade_prevention_type": "taker_at_cross",
    }
    created = exchange.client.batch_create_orders_v2(
        orders=[{**terms, "price": price, "client_order_id": str(uuid.uuid4())} for price in ("0.1000", "0.1050")]
    ).orders
    assert created[0].remaining_count == "1.00"
    assert created[1].error is not None
    canceled = exchange.client.batch_cancel_orders_v2(
        orders=[{"order_id": created[0].order_id, "market_ticker": exchange.ticker}, {"order_id": "none"}]
    ).orders
    assert (canceled[0].reduced_by, canceled[1].reduced_by) == ("1.00", "0.00")
    assert canceled[1].error is not None


def test_the_official_client_uses_order_groups(exchange: ClientSession) -> None:
    client = exchange.client
    group = client.create_order_group(contracts_limit=5).order_group_id
    assert group in {each.id for each in client.get_order_groups().order_groups}
    created = exchange.create("bid", "0.2000", order_group_id=group)
    assert client.get_order_group(group).orders == [created.order_id]
    client.trigger_order_group(group)
    assert exchange.order(created.order_id).status.value == "canceled"
    with pytest.raises(vendor.exceptions.BadRequestException):
        exchange.create("bid", "0.2000", order_group_id=group)
    client.reset_order_group(group)
    client.update_order_group_limit(group, contracts_limit_fp="7.50")
    assert client.get_order_group(group).contracts_limit_fp == "7.50"
    client.delete_order_group(group)
    with pytest.raises(vendor.exceptions.NotFoundException):
        client.get_order_group(group)


def test_a_client_order_id_is_good_for_one_order(exchange: ClientSession) -> None:
    used = str(uuid.uuid4())
    first = exchange.create("bid", "0.0100", client_order_id=used)
    exchange.client.cancel_order_v2(first.order_id, market_ticker=exchange.ticker)
    with pytest.raises(vendor.exceptions.ApiException) as refused:
        exchange.create("bid", "0.0100", client_order_id=used)
    assert refused.value.status == 409


def test_the_official_client_reads_history(exchange: ClientSession) -> None:
    client = exchange.client
    cutoff = client.get_historical_cutoff()
    archived = [market for market in client.get_historical_markets(limit=100).markets if float(market.volume_fp)]
    market = archived[0]
    close_s = int(market.close_time.timestamp())
    candles = client.get_market_candlesticks_historical(
        market.ticker, start_ts=close_s - 86_400, end_ts=close_s + 3_600, period_interval=60
    ).candlesticks
    assert candles[-1].end_period_ts > close_s
    assert any(candle.price.close is None for candle in candles)
    trades = client.get_trades_historical(ticker=market.ticker, limit=1000).trades
    assert trades
    assert all(trade.created_time < cutoff.trades_created_ts for trade in trades)
    assert not client.get_trades(ticker=market.ticker).trades


def test_the_official_client_reads_fee_changes(exchange: ClientSession) -> None:
    client = exchange.client
    assert client.get_series_fee_changes(show_historical=True).series_fee_change_arr
    changes = client.get_event_fee_changes(limit=1000).event_fee_changes
    assert any(change.fee_multiplier_override for change in changes)
