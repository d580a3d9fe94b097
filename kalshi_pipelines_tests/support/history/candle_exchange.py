"""An exchange with candlesticks on its two sides, for tests of the read of whole days."""

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import httpx
import pyarrow as pa
import sqlalchemy as sa

from kalshi_pipelines.history.candles.day import CandleDayReader
from kalshi_pipelines.history.candles.markets import CandleMarkets
from kalshi_pipelines.history.inputs import HistoryInputs
from kalshi_pipelines.kalshi.client import KalshiClient
from kalshi_pipelines.lake.datasets import PUBLIC_TRADES
from kalshi_pipelines.lake.lake import Lake
from kalshi_pipelines.settings import Environment
from kalshi_pipelines.units import SECOND_US, instant
from kalshi_pipelines.warehouse import tables
from kalshi_pipelines.warehouse.engine import writing
from kalshi_pipelines_tests.support.kalshi.transports import scripted_transport
from kalshi_pipelines_tests.support.lake.lakes import local_lake

Candle = dict[str, Any]
PRICES: Final = ("open", "high", "low", "close")


def live_candle(end_s: int, price: str | None = "0.5000", volume: str = "1.00") -> Candle:
    """Return a candlestick as the live side sends it. A price of None means that nothing was traded."""
    quotes = {f"{name}_dollars": "0.4900" for name in PRICES}
    trades = {f"{name}_dollars": price for name in (*PRICES, "mean")} if price else {}
    return {
        "end_period_ts": end_s,
        "yes_bid": quotes,
        "yes_ask": dict.fromkeys(quotes, "0.5100"),
        "price": trades,
        "volume_fp": volume if price else "0.00",
        "open_interest_fp": "7.00",
    }


def historical_candle(candle: Candle) -> Candle:
    """Return a live candlestick as the historical side sends it: without suffixes, and with nulls."""
    plain = {key.removesuffix("_fp"): value for key, value in candle.items()}
    for part in ("yes_bid", "yes_ask", "price"):
        plain[part] = {key.removesuffix("_dollars"): value for key, value in candle[part].items()}
    plain["price"] = dict.fromkeys((*PRICES, "mean", "previous")) | plain["price"]
    return plain


class CandleExchange:
    """An exchange of one period length. A test adds markets, breaks some, and reads days."""

    def __init__(self, engine: sa.Engine, folder: Path) -> None:
        self.engine = engine
        self.lake: Lake = local_lake(folder / "lake")
        self.work_folder = folder / "work"
        self.cutoff_us = 0
        self.now_us = 0
        self.live: dict[str, list[Candle]] = {}
        self.archived: dict[str, list[Candle]] = {}
        self.broken: set[str] = set()
        self.is_down = False
        self.asked: list[tuple[str, str]] = []
        self.stops_after: int | None = None

    def answer(self, request: httpx.Request) -> httpx.Response:
        """Answer a request of the client."""
        path = request.url.path.removeprefix("/trade-api/v2")
        if path == "/historical/cutoff":
            moment = instant(self.cutoff_us).isoformat()
            return httpx.Response(
                200, json=dict.fromkeys(("market_settled_ts", "trades_created_ts", "orders_updated_ts"), moment)
            )
        if path == "/exchange/status":
            return httpx.Response(200, json={"exchange_active": not self.is_down, "trading_active": True})
        if self.stops_after is not None and len(self.asked) >= self.stops_after:
            raise KeyboardInterrupt
        if path == "/markets/candlesticks":
            return self._live(request.url.params["market_tickers"].split(","), *self._span(request))
        return self._historical(path.split("/")[3], *self._span(request))

    def _span(self, request: httpx.Request) -> tuple[int, int]:
        return int(request.url.params["start_ts"]), int(request.url.params["end_ts"])

    def _live(self, tickers: list[str], start_s: int, end_s: int) -> httpx.Response:
        self.asked.append(("live", ",".join(tickers)))
        if self.is_down or self.broken & set(tickers):
            return httpx.Response(504)
        found = [
            {"market_ticker": ticker, "candlesticks": _within(self.live[ticker], start_s, end_s)}
            for ticker in tickers
            if ticker in self.live
        ]
        return httpx.Response(200, json={"markets": found[::-1]})

    def _historical(self, ticker: str, start_s: int, end_s: int) -> httpx.Response:
        self.asked.append(("historical", ticker))
        if self.is_down or ticker in self.broken:
            return httpx.Response(504)
        if ticker not in self.archived:
            return httpx.Response(404, json={"error": {"code": "not_found", "message": "not found"}})
        found = [historical_candle(candle) for candle in _within(self.archived[ticker], start_s, end_s)]
        return httpx.Response(200, json={"ticker": ticker, "candlesticks": found})

    def reader(self, *, includes_untraded: bool = False, includes_combos: bool = False) -> CandleDayReader:
        """Return a reader of days of this exchange."""
        inputs = HistoryInputs(
            KalshiClient(scripted_transport(self.engine, self.answer)),
            self.engine,
            self.lake,
            Environment.SANDBOX,
            self.work_folder,
            clock=lambda: self.now_us,
        )
        markets = CandleMarkets(self.lake, self.engine, includes_combos, includes_untraded)
        return CandleDayReader(inputs, markets)

    def add_trades(self, day: dt.date, trades: list[tuple[str, int]], status: str = "closed") -> None:
        """Publish a UTC day of public trades: tickers with the seconds of their trades."""
        rows = [_trade(number, *trade) for number, trade in enumerate(sorted(trades))]
        batch = pa.RecordBatch.from_pylist(rows, PUBLIC_TRADES.schema)
        self.lake.replace_day(self.engine, PUBLIC_TRADES, day, [[batch]], "test")
        record = {
            "dataset": PUBLIC_TRADES.name,
            "partition_date": day.isoformat(),
            "status": status,
            "rows": len(rows),
            "holes": 0,
            "read_us": 1,
            "proof": "not_checked",
            "figures": "{}",
        }
        with writing(self.engine) as connection:
            connection.execute(sa.insert(tables.history_partitions), record)


def _trade(number: int, ticker: str, second: int) -> dict[str, Any]:
    return {
        "ticker": ticker,
        "created_time": instant(second * SECOND_US),
        "trade_id": number.to_bytes(16, "big"),
        "yes_price": Decimal("0.5"),
        "contracts": Decimal(1),
        "taker_side": "yes",
        "taker_book_side": "bid",
        "is_block": False,
        "is_combo": False,
    }


def _within(candles: list[Candle], start_s: int, end_s: int) -> list[Candle]:
    return [candle for candle in candles if start_s <= candle["end_period_ts"] <= end_s]
