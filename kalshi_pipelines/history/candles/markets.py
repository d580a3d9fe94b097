"""Which markets are asked for the candlesticks of a day, and on which side of the exchange first.

By default these are the markets that were traded on the day, by the public trades in the lake. A market has one
candlestick after its close, so a market that closed at the end of the day before is asked, too. Markets that were not
traded have candlesticks as well if their quotes changed. They are asked only if the settings say so, because most
markets are hardly ever traded.
"""

import datetime as dt
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import pyarrow.compute as pc
import sqlalchemy as sa

from kalshi_pipelines.errors import ExpectedError
from kalshi_pipelines.history.candles.periods import CandleSpan
from kalshi_pipelines.history.candles.reading import AskedMarket, FirstSide
from kalshi_pipelines.history.trade_columns import COMBO_PREFIX
from kalshi_pipelines.kalshi.history import OVERLAP_US
from kalshi_pipelines.lake.datasets import PUBLIC_TRADES, SETTLED_MARKETS
from kalshi_pipelines.lake.lake import Lake
from kalshi_pipelines.lake.reading import read
from kalshi_pipelines.units import DAY_US, SECOND_US
from kalshi_pipelines.warehouse.bulk import wanted_keys
from kalshi_pipelines.warehouse.tables import history_partitions, markets

#: The largest number of tickers in one query.
_TICKERS_AT_ONCE: Final = 5_000


class TradesMissing(ExpectedError):
    """The lake lacks public trades of the day, so the traded markets are not known."""


class MarketTimes(NamedTuple):
    """The times of a market that the warehouse knows."""

    close_us: int | None
    settled_us: int | None


@dataclass(frozen=True)
class CandleMarkets:
    """How the markets of a day are found.

    Attributes:
        lake: The lake, which has the public trades.
        engine: The warehouse.
        includes_combos: Whether combos are asked, too.
        includes_untraded: Whether every market that was open on the day is asked, traded or not.
    """

    lake: Lake
    engine: sa.Engine
    includes_combos: bool = False
    includes_untraded: bool = False

    def asked(self, span: CandleSpan, cutoff_us: int) -> list[AskedMarket]:
        """Return the markets to ask for the span of a day, by ticker.

        Args:
            span: The span that is read.
            cutoff_us: The exchange's historical cutoff of markets.

        Raises:
            TradesMissing: The lake has no public trades of the day, and only traded markets are wanted.
        """
        start_us, end_us = _bounds(span)
        if not self.includes_untraded:
            self._require_trades(span)
        traded = self._traded(start_us, end_us)
        before = self._traded(start_us - DAY_US, start_us) - traded
        others = self._open(start_us, end_us) - traded if self.includes_untraded else set()
        known = self._times({*traded, *before, *others})
        after_close = {
            ticker
            for ticker in before
            if (close_us := known.get(ticker, _NO_TIMES).close_us) is None
            or start_us - span.length.period_us <= close_us < end_us
        }
        chosen = traded | after_close | others
        return [
            _asked(ticker, known.get(ticker), end_us, cutoff_us, is_traded=ticker in traded)
            for ticker in sorted(chosen, key=str.encode)
            if self.includes_combos or not ticker.startswith(COMBO_PREFIX)
        ]

    def asked_about(
        self, tickers: Collection[str], traded: Collection[str], end_us: int, cutoff_us: int
    ) -> list[AskedMarket]:
        """Return how to ask about some markets, by ticker.

        Args:
            tickers: The markets.
            traded: The markets among them, or among others, that were traded in the span.
            end_us: End of the span.
            cutoff_us: The exchange's historical cutoff of markets.
        """
        known = self._times(tickers)
        return [
            _asked(ticker, known.get(ticker), end_us, cutoff_us, is_traded=ticker in traded)
            for ticker in sorted(tickers, key=str.encode)
        ]

    def trade_days(self, span: CandleSpan) -> Mapping[dt.date, str | None]:
        """Return the UTC days of public trades that a span needs, with their status; None if never read."""
        return {} if self.includes_untraded else self._statuses(*_bounds(span))

    def _statuses(self, start_us: int, end_us: int) -> dict[dt.date, str | None]:
        first, last = PUBLIC_TRADES.day_of(start_us), PUBLIC_TRADES.day_of(end_us - 1)
        days = [first + dt.timedelta(days=number) for number in range((last - first).days + 1)]
        columns = history_partitions.c
        query = sa.select(columns.partition_date, columns.status).where(
            columns.dataset == PUBLIC_TRADES.name,
            columns.partition_date.in_([day.isoformat() for day in days]),
            columns.read_us.is_not(None),
        )
        with self.engine.connect() as connection:
            read_days = {row[0]: str(row[1]) for row in connection.execute(query)}
        return {day: read_days.get(day.isoformat()) for day in days}

    def _require_trades(self, span: CandleSpan) -> None:
        """Refuse a day without any public trades. A day with some of them is read, and stays open."""
        days = self.trade_days(span)
        if not any(days.values()):
            raise TradesMissing(
                f"The public trades of {' and '.join(map(str, days))} (UTC) are not in the lake, "
                "so it is not known which markets were traded.",
                "Backfill public_trades for these days first, or set KALSHI_CANDLES_OF to open.",
            )

    def _traded(self, start_us: int, end_us: int) -> set[str]:
        found: set[str] = set()
        for batch in read(self.lake, self.engine, PUBLIC_TRADES, start_us, end_us, columns=["ticker"]):
            found.update(pc.unique(batch.column(0)).to_pylist())
        return found

    def _open(self, start_us: int, end_us: int) -> set[str]:
        """Return the markets that were open at some time of the day, by the warehouse and the settled markets."""
        columns = markets.c
        was_open = sa.and_(columns.open_time_us < end_us, columns.close_time_us > start_us)
        with self.engine.connect().execution_options(yield_per=_TICKERS_AT_ONCE) as connection:
            found = set(connection.scalars(sa.select(columns.ticker).where(~columns.is_placeholder, was_open)))
        names = ["ticker", "open_time", "close_time"]
        for batch in read(self.lake, self.engine, SETTLED_MARKETS, start_us, columns=names):
            opened, closed = (batch.column(name).cast("int64") for name in names[1:])
            is_open: Any = pc.and_(pc.less(opened, end_us), pc.greater(closed, start_us))
            found.update(batch.column(0).filter(is_open).to_pylist())
        return found

    def _times(self, tickers: Collection[str]) -> dict[str, MarketTimes]:
        columns = markets.c
        found: dict[str, MarketTimes] = {}
        with self.engine.connect() as connection:
            for part in _parts(sorted(tickers)):
                wanted = wanted_keys(part, connection.dialect.name)
                query = sa.select(columns.ticker, columns.close_time_us, columns.settlement_time_us)
                query = query.join_from(wanted, markets, columns.ticker == wanted.c.value)
                rows = connection.execute(query.where(~columns.is_placeholder))
                found.update({ticker: MarketTimes(close_us, settled_us) for ticker, close_us, settled_us in rows})
        return found


_NO_TIMES: Final = MarketTimes(None, None)


def _bounds(span: CandleSpan) -> tuple[int, int]:
    """Return the first microsecond whose trades belong to the span, and the first one after the span."""
    return (span.start_s - 1) * SECOND_US, span.end_s * SECOND_US


def _asked(ticker: str, times: MarketTimes | None, end_us: int, cutoff_us: int, *, is_traded: bool) -> AskedMarket:
    """Return which side to ask about a market first, and whether the other side may have its candlesticks."""
    if times is None:
        # The warehouse does not have the market. The older the day, the likelier it is that the market is archived.
        first = FirstSide.HISTORICAL if end_us < cutoff_us - OVERLAP_US else FirstSide.LIVE
        return AskedMarket(ticker, first, is_traded)
    if times.settled_us is not None and times.settled_us < cutoff_us - OVERLAP_US:
        return AskedMarket(ticker, FirstSide.HISTORICAL, is_traded)
    is_live = times.settled_us is None or times.settled_us > cutoff_us + OVERLAP_US
    return AskedMarket(ticker, FirstSide.LIVE, is_traded, may_be_elsewhere=is_traded or not is_live)


def _parts(tickers: list[str]) -> Iterator[list[str]]:
    for first in range(0, len(tickers), _TICKERS_AT_ONCE):
        yield tickers[first : first + _TICKERS_AT_ONCE]
