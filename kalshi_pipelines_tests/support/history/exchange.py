"""An exchange of public trades in memory, whose answers tests can steer, and the inputs of reads from it."""

import datetime as dt
import json
import random
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
import sqlalchemy as sa

from kalshi_pipelines.history.inputs import HistoryInputs
from kalshi_pipelines.kalshi.client import KalshiClient
from kalshi_pipelines.lake.datasets import PUBLIC_TRADES
from kalshi_pipelines.settings import Environment
from kalshi_pipelines.units import SECOND_US, instant, microseconds
from kalshi_pipelines_tests.support.history.trades import wire_trade
from kalshi_pipelines_tests.support.kalshi.transports import scripted_transport
from kalshi_pipelines_tests.support.lake.lakes import local_lake

#: 2026-11-22T00:00Z, in microseconds, and the first microsecond after that day.
DAY_START_US = 1_795_305_600_000_000
DAY_END_US = DAY_START_US + 86_400 * SECOND_US
#: A week after the day, when all of its trades are settled and the day can be closed.
LATER_US = DAY_END_US + 7 * 86_400 * SECOND_US


def tape(number: int, start_us: int = DAY_START_US, end_us: int = DAY_END_US, seed: int = 7) -> list[dict[str, Any]]:
    """Return trades at random times of a span, some of them in the same microsecond, the oldest first."""
    choose = random.Random(seed)
    times = sorted(choose.randrange(start_us, end_us) for _ in range(number))
    trades = []
    for place, time_us in enumerate(times):
        at = times[place - 1] if place % 5 == 4 else time_us
        price, is_yes = choose.randrange(1, 10_000), choose.random() < 0.5
        trades.append(
            wire_trade(
                seed * 1_000_000 + place,
                ticker=f"{choose.choice(['KXHIGHNY', 'KXBTCD', 'KXMVESPORTS'])}-26NOV22-T{choose.randrange(20)}",
                created_time=f"{instant(at):%Y-%m-%dT%H:%M:%S.%fZ}",
                yes_price_dollars=f"{price / 10_000:.4f}",
                no_price_dollars=f"{(10_000 - price) / 10_000:.4f}",
                count_fp=f"{choose.randrange(1, 100_000) / 100:.2f}",
                taker_outcome_side="yes" if is_yes else "no",
                taker_book_side="bid" if is_yes else "ask",
                taker_side="yes" if is_yes else "no",
                is_block_trade=choose.random() < 0.01,
            )
        )
    return trades


def time_of(trade: dict[str, Any]) -> int:
    """Return the time of a trade in microseconds."""

    return _microseconds(trade["created_time"])


@cache
def _microseconds(text: str) -> int:
    return microseconds(dt.datetime.fromisoformat(text))


@dataclass
class TapeExchange:
    """The exchange.

    Attributes:
        trades: All trades. Those before the cutoff are on the historical side, the others on the live side.
        cutoff_us: The historical cutoff.
        poisoned: Unix seconds whose trades no page can show: each such page is answered 504.
        is_down: Whether every request is answered 503.
        has_exact_bounds: Whether ``max_ts`` means the first instant of its second, and not all of it.
        page_rows: The largest number of rows of a page.
        before_answer: Is called with the number of the request, counted from 1, before it is answered.
    """

    trades: list[dict[str, Any]]
    cutoff_us: int = 0
    poisoned: set[int] = field(default_factory=set)
    is_down: bool = False
    has_exact_bounds: bool = False
    page_rows: int = 1_000
    before_answer: Callable[[int], object] = lambda number: None
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path, query = request.url.path.removeprefix("/trade-api/v2"), dict(request.url.params)
        self.asked.append((path, query))
        self.before_answer(len(self.asked))
        if self.is_down:
            return httpx.Response(503)
        if path == "/exchange/status":
            return httpx.Response(200, json={"exchange_active": True, "trading_active": True})
        if path == "/historical/cutoff":
            at = f"{instant(self.cutoff_us):%Y-%m-%dT%H:%M:%SZ}"
            names = ("market_settled_ts", "trades_created_ts", "orders_updated_ts")
            return httpx.Response(200, json=dict.fromkeys(names, at))
        return self._page(path == "/historical/trades", query)

    def _page(self, is_historical: bool, query: dict[str, str]) -> httpx.Response:
        first = int(query.get("min_ts", 0)) * SECOND_US
        last = int(query.get("max_ts", 1 << 40)) * SECOND_US + (0 if self.has_exact_bounds else SECOND_US - 1)
        rows = [
            (time_of(each), each["trade_id"], each)
            for each in self.trades
            if first <= time_of(each) <= last and (time_of(each) < self.cutoff_us) == is_historical
        ]
        rows.sort(key=lambda row: row[:2], reverse=True)
        start, size = int(query.get("cursor", 0)), min(int(query["limit"]), self.page_rows)
        page = rows[start : start + size]
        if any(time_us // SECOND_US in self.poisoned for time_us, _, _ in page):
            return httpx.Response(504)
        cursor = str(start + size) if start + size < len(rows) else ""
        body = json.dumps({"cursor": cursor, "trades": [each for _, _, each in page]})
        return httpx.Response(200, content=body)

    def windows_asked(self, path: str = "/markets/trades") -> list[tuple[int, int]]:
        """Return the bounds of each window of trades that was asked, without further pages."""
        return [
            (int(query["min_ts"]), int(query["max_ts"]))
            for asked, query in self.asked
            if asked == path and "min_ts" in query and "cursor" not in query
        ]


@contextmanager
def inputs_for(
    exchange: TapeExchange, engine: sa.Engine, folder: Path, now_us: int = LATER_US
) -> Iterator[HistoryInputs]:
    """Yield the inputs of reads from the exchange into a lake in a folder."""
    transport = scripted_transport(engine, exchange)
    try:
        yield HistoryInputs(
            KalshiClient(transport),
            engine,
            local_lake(folder / "lake"),
            Environment.SANDBOX,
            folder / "work",
            clock=lambda: now_us,
        )
    finally:
        transport.close()


def stored_trades(inputs: HistoryInputs, days: Collection[dt.date] | None = None) -> list[tuple[str, ...]]:
    """Return the trades in the files of the lake, with the texts that the exchange writes, sorted by their ids."""
    found = []
    for file in inputs.lake.files(inputs.engine, PUBLIC_TRADES):
        if days is None or file.slot.day in days:
            with inputs.lake.store.fetch(file.path) as fetched:
                assert fetched is not None
                found += pq.read_table(fetched.local).to_pylist()
    return sorted(
        (
            str(row["trade_id"]),
            row["ticker"],
            f"{row['created_time']:%Y-%m-%dT%H:%M:%S.%fZ}",
            f"{row['yes_price']:.4f}",
            str(row["contracts"]),
            row["taker_side"],
            str(row["is_block"]),
        )
        for row in found
    )


def texts_of_tape(trades: Iterable[dict[str, Any]]) -> list[tuple[str, ...]]:
    """Return trades of the exchange as ``stored_trades`` returns them."""
    return sorted(
        (
            each["trade_id"],
            each["ticker"],
            each["created_time"],
            each["yes_price_dollars"],
            each["count_fp"],
            each["taker_outcome_side"],
            str(each["is_block_trade"]),
        )
        for each in trades
    )
