"""A simulated day in which everything happens to markets, also while sweeps run: no list is called incomplete."""

from collections import Counter
from dataclasses import replace
from random import Random
from typing import Any, Final

import pytest
import sqlalchemy as sa

from kalshi_pipelines.ingest.sweeps import ingest_markets
from kalshi_pipelines.warehouse.tables import markets
from kalshi_pipelines_tests.support.ingest.swept_exchange import SweptExchange, swept_exchange

SWEEPS: Final = 24
NEXT: Final = {
    "initialized": ("active", "inactive", "closed"),
    "active": ("inactive", "closed", "closed"),
    "inactive": ("active", "closed"),
    "closed": ("determined", "active"),
    "determined": ("disputed", "amended", "finalized"),
    "disputed": ("amended", "determined", "finalized"),
    "amended": ("disputed", "finalized"),
}


class Life:
    """The events of the day, drawn from a seed."""

    def __init__(self, exchange: SweptExchange) -> None:
        self._exchange = exchange
        self._rng = Random(16)
        self._provisional: list[str] = []
        self.happened: Counter[str] = Counter()

    def between_pages(self, _progress: Any) -> None:
        """Let some markets change, as they do while a sweep reads page after page."""
        self._change(self._rng.randrange(4))
        if self._rng.random() < 0.3:
            self._add()
        if self._provisional and self._rng.random() < 0.3:
            self._delete()
        self._exchange.pass_seconds(self._rng.randrange(40))

    def _change(self, times: int) -> None:
        if not times:
            return
        self._changed: set[str] = set()
        live = [row for row in self._exchange.ask("/markets", limit=1000)["markets"] if row["status"] in NEXT]
        # Few markets are between their close and their settlement. They are drawn as often as all others together.
        ending = [row for row in live if row["status"] in {"closed", "determined", "disputed", "amended"}]
        for _ in range(times):
            row = self._rng.choice(ending if ending and self._rng.random() < 0.5 else live)
            if row["ticker"] in self._provisional or row["ticker"] in self._changed:
                continue
            self._changed.add(row["ticker"])
            status = self._rng.choice(NEXT[row["status"]])
            result = {"result": row["result"] or "no"} if status in {"determined", "finalized", "disputed"} else {}
            if status == "amended":
                result = {"result": "yes" if row["result"] == "no" else "no"}
            self._exchange.steer("POST", f"/markets/{row['ticker']}/status", status=status, **result)
            self.happened[f"{row['status']} to {status}"] += 1

    def _add(self) -> None:
        is_provisional = self._rng.random() < 0.5
        tickers = self._exchange.steer("POST", "/markets", count=2, provisional=is_provisional)["tickers"]
        self.happened["added"] += 2
        if is_provisional:
            self._provisional += tickers

    def _delete(self) -> None:
        ticker = self._provisional.pop(self._rng.randrange(len(self._provisional)))
        self._exchange.steer("DELETE", f"/markets/{ticker}")
        self.happened["deleted"] += 1


@pytest.mark.timeout(900)
def test_day_with_every_change_of_status_causes_no_false_finding(sqlite_engine: sa.Engine) -> None:
    with swept_exchange(sqlite_engine, markets=300, tick_seconds=60) as exchange:
        life = Life(exchange)
        for number in range(SWEEPS):
            results = exchange.nightly(report=life.between_pages)
            assert [result.problems for result in results] == [()] * 4, number
            snapshot = ingest_markets(replace(exchange.inputs, report=life.between_pages), statuses=["open"])
            assert snapshot.problems == (), number
            exchange.pass_seconds(3_600)
        assert set(exchange.list_findings()) <= {"additive GET /markets list tickers"}
        assert {f"{before} to {after}" for before, afters in NEXT.items() for after in afters} <= life.happened.keys()
        assert life.happened["deleted"] > 10
        everything = exchange.nightly()
        assert [result.problems for result in everything] == [()] * 4
        truth = {row["ticker"]: row["status"] for row in exchange.ask("/markets", limit=1000)["markets"]}
        assert exchange.stored(markets.c.missing_since_us.is_(None)) == truth
