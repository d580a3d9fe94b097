"""The event and the series of markets, of those in the warehouse and of those that left for the lake."""

from collections.abc import Collection, Mapping
from typing import Final

import sqlalchemy as sa

from kalshi_pipelines.history.fees.pricing import Family
from kalshi_pipelines.lake.datasets import SETTLED_MARKETS
from kalshi_pipelines.lake.lake import Lake
from kalshi_pipelines.lake.reading import read
from kalshi_pipelines.warehouse.bulk import wanted_keys
from kalshi_pipelines.warehouse.tables import events, markets

_TICKERS_AT_ONCE: Final = 5_000
_UNKNOWN: Final = Family(None, None)


class Families:
    """Events and series of markets. Each market is looked up once."""

    def __init__(self, lake: Lake, engine: sa.Engine) -> None:
        self._lake, self._engine = lake, engine
        self._known: dict[str, Family] = {}

    def of(self, tickers: Collection[str]) -> Mapping[str, Family]:
        """Return the families of markets. The family of a market that was never read has no tickers."""
        new = [ticker for ticker in tickers if ticker not in self._known]
        for start in range(0, len(new), _TICKERS_AT_ONCE):
            self._look_up(new[start : start + _TICKERS_AT_ONCE])
        return {ticker: self._known[ticker] for ticker in tickers}

    def _look_up(self, tickers: list[str]) -> None:
        wanted = wanted_keys(tickers, self._engine.dialect.name)
        query = (
            sa.select(markets.c.ticker, markets.c.event_ticker, events.c.series_ticker)
            .outerjoin(events, events.c.event_ticker == markets.c.event_ticker)
            .where(markets.c.ticker.in_(sa.select(wanted.c.value)), markets.c.facts_digest.is_not(None))
        )
        with self._engine.connect() as connection:
            found = {ticker: Family(event, series) for ticker, event, series in connection.execute(query)}
        gone = [ticker for ticker in tickers if ticker not in found]
        if gone:
            columns = ("ticker", "event_ticker", "series_ticker")
            for batch in read(self._lake, self._engine, SETTLED_MARKETS, tickers=gone, columns=columns):
                found |= {row["ticker"]: Family(row["event_ticker"], row["series_ticker"]) for row in batch.to_pylist()}
        self._known |= dict.fromkeys(tickers, _UNKNOWN) | found
