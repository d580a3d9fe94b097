"""Catalogue of all series, events, markets and trades in a folder of recordings.

Belongs here: finding series, events, markets and trades in recorded bodies. Does not belong here: their behavior
(``recorded_rows``), and replaying whole responses (``recordings``).
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from kalshi_pipelines.sandbox.markets.json_spans import JsonSpan, elements, members
from kalshi_pipelines.sandbox.markets.listing import Catalogue
from kalshi_pipelines.sandbox.markets.recorded_rows import (
    Levels,
    RecordedEvent,
    RecordedMarket,
    RecordedSeries,
    RecordedTrades,
    instant_us,
    quote_of,
)
from kalshi_pipelines.sandbox.markets.recordings import RecordedFile


class _Newest:
    """The newest recording of each object, by its identifier. Of equally new recordings, the first is kept."""

    def __init__(self, key: str, updated: str) -> None:
        self._key = key
        self._updated = updated
        self.kept: dict[str, tuple[str, dict[str, Any]]] = {}

    def offer(self, text: str, value: dict[str, Any]) -> None:
        known = self.kept.get(value[self._key])
        if known is None or instant_us(value.get(self._updated)) > instant_us(known[1].get(self._updated)):
            self.kept[value[self._key]] = (text, value)


class _RecordsByKind:
    """All recorded objects of a folder, separated by kind: series, events, markets, quotes and trades."""

    def __init__(self) -> None:
        self.series = _Newest("ticker", "last_updated_ts")
        self.events = _Newest("event_ticker", "last_updated_ts")
        self.markets = _Newest("ticker", "updated_time")
        self.archived: set[str] = set()
        self.quotes: list[tuple[tuple[Levels, Levels], str]] = []
        self.trades = RecordedTrades()

    def gather(self, file: RecordedFile) -> None:
        """Collect every series, event, market and trade of a recorded file."""
        for name, span in file.top().items():
            records = elements(file.text, span.start) if isinstance(span.value, list) else [span]
            for record in records:
                if isinstance(record.value, dict):
                    self._take(file, name, record)

    def _take(self, file: RecordedFile, name: str, record: JsonSpan) -> None:
        text, value = file.text[record.start : record.end], record.value
        if name == "series" and "ticker" in value:
            self.series.offer(text, value)
        elif name in {"event", "events"} and "event_ticker" in value:
            self.events.offer(text, value)
            nested = members(text).get("markets")
            for market in elements(text, nested.start) if nested is not None else ():
                self._take_market(text[market.start : market.end], market.value)
        elif name in {"market", "markets"} and "status" in value:
            self._take_market(text, value)
            if file.path.startswith("/historical/"):
                self.archived.add(value["ticker"])
        elif name == "trades" and "trade_id" in value:
            self.trades.keep(text, value)

    def _take_market(self, text: str, value: dict[str, Any]) -> None:
        self.markets.offer(text, value)
        self.quotes.append((quote_of(value), value["ticker"]))


class RecordedCatalogue(Catalogue):
    """The catalogue of a folder of recordings.

    Archived markets appear in the live lists too, so a client that reads all live pages sees every market.
    """

    def __init__(self, files: Sequence[RecordedFile]) -> None:
        records = _RecordsByKind()
        for file in files:
            records.gather(file)
        super().__init__(records.trades)
        rows = [RecordedMarket(text, value) for text, value in records.markets.kept.values()]
        by_event: dict[str, RecordedMarket] = {
            row.event_ticker: row for row in sorted(rows, key=lambda row: row.created_us)
        }
        events = [
            RecordedEvent(text, value, by_event.get(ticker)) for ticker, (text, value) in records.events.kept.items()
        ]
        series_of_event = {event.ticker: event.series_ticker for event in events}
        for row in rows:
            row.series_ticker = series_of_event.get(row.event_ticker, row.series_ticker)
        self.add(
            series=[RecordedSeries(text, value) for text, value in records.series.kept.values()],
            events=events,
            markets=rows,
            archived_markets=[row for row in rows if row.ticker in records.archived],
        )
        recorded = {row.ticker: row for row in rows}
        for file in files:
            _keep_books(file, recorded, records.quotes)
            _keep_candlesticks(file, recorded)


def _keep_books(
    file: RecordedFile, markets: dict[str, RecordedMarket], quotes: Sequence[tuple[tuple[Levels, Levels], str]]
) -> None:
    for span in file.rows("orderbooks"):
        if span.value.get("ticker") in markets and "orderbook_fp" in span.value:
            markets[span.value["ticker"]].keep_book(span.value["orderbook_fp"])
    single = file.top().get("orderbook_fp")
    if single is None:
        return
    ticker = file.path.removeprefix("/markets/").removesuffix("/orderbook")
    if ticker in markets:
        markets[ticker].keep_book(single.value)
        return
    # This book was recorded without a ticker. Assign it to the market that was recorded with exactly the same quote.
    best = (single.value["yes_dollars"][-1:], single.value["no_dollars"][-1:])
    for quote, owner in quotes:
        if quote == best and any(best):
            markets[owner].keep_book(single.value)
            return


def _keep_candlesticks(file: RecordedFile, markets: dict[str, RecordedMarket]) -> None:
    for ticker, candles, text in _candle_lists(file):
        ends = [span.value["end_period_ts"] for span in candles]
        minutes = min((later - earlier for earlier, later in pairwise(ends)), default=60) // 60
        if ticker in markets:
            for span, end_s in zip(candles, ends, strict=True):
                markets[ticker].keep_candlestick(minutes, end_s, text[span.start : span.end])


def _candle_lists(file: RecordedFile) -> Iterator[tuple[str, list[JsonSpan], str]]:
    top = file.top()
    if file.path.startswith("/historical/"):
        return
    if "candlesticks" in top and "ticker" in top:
        yield top["ticker"].value, list(file.rows("candlesticks")), file.text
    for record in file.rows("markets"):
        if "market_ticker" in record.value:
            text = file.text[record.start : record.end]
            yield record.value["market_ticker"], list(elements(text, members(text)["candlesticks"].start)), text
