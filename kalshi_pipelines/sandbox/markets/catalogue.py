"""The generated catalogue: series, events and markets produced from a random seed.

Belongs here: numbers of rows, dates, statuses, settlements, combos, and markets added while the exchange runs. Does not
belong here: wording (``themes``, ``shapes``), JSON (``generated``) and price paths (``quotes``).
"""

import gc
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from random import Random
from typing import Final, TypeVar

from kalshi_pipelines import units
from kalshi_pipelines.sandbox.clock import PriceTime
from kalshi_pipelines.sandbox.markets.generated import (
    STATUSES_WITH_RESULT,
    GeneratedMarket,
    GeneratedSettlement,
    MarketOutcome,
)
from kalshi_pipelines.sandbox.markets.generated_events import EventText, GeneratedEvent, GeneratedSeries
from kalshi_pipelines.sandbox.markets.generation import HISTORY_DAYS, Generation, MarketDates
from kalshi_pipelines.sandbox.markets.listing import Catalogue
from kalshi_pipelines.sandbox.markets.quotes import QuotePath
from kalshi_pipelines.sandbox.markets.shapes import EventShape, shape_event
from kalshi_pipelines.sandbox.markets.themes import THEMES, Theme
from kalshi_pipelines.sandbox.markets.trades import GeneratedTrades
from kalshi_pipelines.sandbox.noise import mixed
from kalshi_pipelines.sandbox.prices import ALL_GRIDS, COMBO_GRID, PriceGrid
from kalshi_pipelines.units import DAY_US, DOLLAR_CENTICENTS, HOUR_US, MINUTE_US

Choice = TypeVar("Choice")
#: Age of the oldest open markets. They opened before the historical cutoff, so their first trades are history.
_OLDEST_DAYS: Final = 75
COMBO_THEME: Final = Theme(
    "", "combo", "Exotics", "Combo", (), (), "custom", 1, fee_type="quadratic_with_combo_maker_fees"
)
_COMBO_SERIES: Final = ("KXMVESPORTSMULTIGAMEEXTENDED", "KXMVECROSSCATEGORY")
_GRIDS: Final = {grid.label: grid for grid in ALL_GRIDS}
_STATUSES: Final = {
    "active": 80.0,
    "initialized": 8.0,
    "inactive": 1.0,
    "closed": 2.0,
    "determined": 0.8,
    "disputed": 0.1,
    "amended": 0.1,
    "finalized": 8.0,
}
_PERIOD_TICKS: Final = {1: 4, 5: 12, 15: 26, 60: 38, 240: 20}
#: Of this many events that are added to a running exchange, one has a text of secondary rules of its own.
_EVENTS_WITH_OWN_RULES: Final = 10
#: Markets that are added to a running exchange have one to four paragraphs of secondary rules.
_MOST_PARAGRAPHS: Final = 4
_LIQUIDITY: Final = 41
_MOST_COMBO_LIQUIDITY: Final = 1_000_000
_SIDES: Final = {"both": 80, "yes": 7, "no": 8, "none": 5}


class GeneratedCatalogue(Catalogue):
    """A catalogue generated from a seed. Quotes move by themselves and can be moved by hand."""

    def __init__(self, generation: Generation, time: PriceTime) -> None:
        self._trades = GeneratedTrades(time)
        super().__init__(self._trades)
        self.generation = generation
        self._time = time
        self._moves = 0
        self._additions = 0
        self._writer = _Writer(generation, time, Random(generation.seed))
        with garbage_collection_paused():
            self._write_series(generation)
            markets = self._writer.markets(generation.markets)
            self._take(markets)
            archived = self._writer.archived_markets(generation.archived if generation.markets else 0)
            self._trades.follow({market.ticker: market for market in archived})
            self.add(events=self._writer.take_new_events(), archived_markets=archived)
            self._take(self._writer.combos(generation.combos, markets))

    def add_markets(self, count: int, *, is_provisional: bool = False) -> list[str]:
        """Create ``count`` active markets in new events, with the present time as their creation time.

        The exchange may delete provisional markets. Return the tickers of the new markets.
        """
        self._additions += 1
        self._writer.rng = Random(f"{self.generation.seed}:added:{self._additions}")
        created = self._writer.markets(count, created_us=self._time.now_us())
        for market in created:
            market.is_provisional = is_provisional
        self._take(created)
        return [market.ticker for market in created]

    def add_series(self, rng: Random, updated_us: int) -> None:
        """Create one more series, last updated at an instant in microseconds since 1970."""
        self._writer.rng = rng
        series = self._writer.add_series(len(self.series))
        series.updated_us = updated_us
        self.add(series=[series])

    def add_event(self, rng: Random, dates: MarketDates, period_ticks: Mapping[int, float]) -> list[GeneratedMarket]:
        """Create a new event in any series, and return its markets.

        ``period_ticks`` weights the time between two quotes of a market, in ticks of the price time.
        """
        self._writer.rng, self._writer.period_ticks = rng, period_ticks
        created = self._writer.event_of_any_series(dates)
        self._take(created)
        return created

    def move_prices(self, hundredths_of_a_percent: int) -> list[str]:
        """Move the quotes of a share of the active markets, and return the tickers of the moved markets.

        The share is in hundredths of a percent. The number of moved markets is rounded to a whole number.
        """
        self._moves += 1
        active = [row for row in self.markets.values() if isinstance(row, GeneratedMarket) and row.is_quoted]
        count = (len(active) * hundredths_of_a_percent + 5_000) // 10_000
        chosen = Random(f"{self.generation.seed}:moves:{self._moves}").sample(active, count)
        for market in chosen:
            market.move()
        self._trades.quotes_moved()
        return [market.ticker for market in chosen]

    def _write_series(self, generation: Generation) -> None:
        count = max(len(THEMES), generation.markets // 25)
        self.add(series=[self._writer.add_series(number) for number in range(count)])
        if generation.combos:
            self.add(series=[self._writer.combo_series(ticker) for ticker in _COMBO_SERIES])

    def _take(self, markets: list[GeneratedMarket]) -> None:
        self._trades.follow({market.ticker: market for market in markets})
        self.add(events=self._writer.take_new_events(), markets=markets)


class _Writer:
    """Builder of a catalogue's series, events and markets.

    It works in a fixed order with one source of random numbers.
    """

    def __init__(self, generation: Generation, time: PriceTime, rng: Random) -> None:
        self.rng = rng
        self.period_ticks: Mapping[int, float] = _PERIOD_TICKS
        self._generation = generation
        self._time = time
        self._series: list[GeneratedSeries] = []
        self._combo_series: list[GeneratedSeries] = []
        self._tickers: Counter[str] = Counter()
        self._days_ahead: Counter[str] = Counter()
        self._days_back: Counter[str] = Counter()
        self._new_events: list[GeneratedEvent] = []
        self._events = 0
        self._markets = 0

    def add_series(self, number: int) -> GeneratedSeries:
        theme = THEMES[number % len(THEMES)]
        subject = theme.subjects[number // len(THEMES) % len(theme.subjects)]
        letters = "".join(letter for letter in subject.upper() if "A" <= letter <= "Z")
        ticker = self._unused(f"{theme.prefix}{letters}{theme.code}")
        updated_us = self._generation.anchor_us - self.rng.randrange(400 * DAY_US)
        series = GeneratedSeries(ticker, theme, subject, number, updated_us, self._time, self._generation.anchor_us)
        self._series.append(series)
        return series

    def combo_series(self, ticker: str) -> GeneratedSeries:
        series = GeneratedSeries(
            ticker, COMBO_THEME, "Combo", 1, self._generation.anchor_us - DAY_US, self._time, self._generation.anchor_us
        )
        self._combo_series.append(series)
        return series

    def take_new_events(self) -> list[GeneratedEvent]:
        """Return the events created since the last call of this method."""
        events, self._new_events = self._new_events, []
        return events

    def markets(self, count: int, created_us: int | None = None) -> list[GeneratedMarket]:
        """Create exactly ``count`` markets in new events.

        If ``created_us`` is given, all markets are active and were created at that instant.
        """
        written: list[GeneratedMarket] = []
        while len(written) < count:
            series = self.rng.choice(self._series)
            status = "active" if created_us is not None else weighted(self.rng, _STATUSES)
            dates = self._dates(series, status, created_us)
            written += self._event(series, dates, count - len(written))
        return written

    def archived_markets(self, count: int) -> list[GeneratedMarket]:
        """Create markets that settled before the historical cutoff."""
        written: list[GeneratedMarket] = []
        while len(written) < count:
            series = self.rng.choice(self._series)
            self._days_back[series.ticker] += 1
            day = self._generation.cutoff_us - (3 + self._days_back[series.ticker]) * DAY_US
            dates = MarketDates("finalized", day, day - self.rng.randrange(DAY_US, 20 * DAY_US), day + 20 * HOUR_US)
            written += self._event(series, dates, count - len(written))
        return written

    def event_of_any_series(self, dates: MarketDates) -> list[GeneratedMarket]:
        """Create the markets of one new event, with exactly the given dates."""
        markets = self._event(self.rng.choice(self._series), dates, sys.maxsize)
        event = markets[0].event
        event.updated_us = dates.created_us
        event.has_own_rules = event.number % _EVENTS_WITH_OWN_RULES == 0
        event.paragraphs = 1 + event.series.number % _MOST_PARAGRAPHS
        for market in markets:
            market.updated_us = dates.created_us
            market.open_us = market.open_us if dates.open_us is None else dates.open_us
        return markets

    def combos(self, count: int, markets: list[GeneratedMarket]) -> list[GeneratedMarket]:
        """Create combos of existing markets, each in an event of its own."""
        return [self._combo(number, markets) for number in range(count)] if markets else []

    def _unused(self, ticker: str) -> str:
        self._tickers[ticker] += 1
        seen = self._tickers[ticker]
        return ticker if seen == 1 else self._unused(f"{ticker}{seen}")

    def _dates(self, series: GeneratedSeries, status: str, created_us: int | None) -> MarketDates:
        rng, anchor = self.rng, self._generation.anchor_us
        if status in {"active", "initialized", "inactive"}:
            self._days_ahead[series.ticker] += 1
            today = anchor if created_us is None else max(anchor, created_us - created_us % DAY_US)
            day = today + (2 + self._days_ahead[series.ticker]) * DAY_US
            if created_us is None:
                created_us = anchor - 1 - int(rng.random() ** 3 * _OLDEST_DAYS * DAY_US)
            return MarketDates(status, day, created_us, day + rng.randrange(12, 24) * HOUR_US)
        self._days_back[series.ticker] += 1
        day = anchor - min(self._days_back[series.ticker], HISTORY_DAYS - 10) * DAY_US
        return MarketDates(status, day, day - rng.randrange(HOUR_US, 8 * DAY_US), day + rng.randrange(6, 23) * HOUR_US)

    def _event(self, series: GeneratedSeries, dates: MarketDates, most: int) -> list[GeneratedMarket]:
        day = units.instant(dates.event_day_us).strftime("%y%b%d").upper()
        shape = shape_event(series.theme, series.subject, day, self.rng)
        event = self._add_event(series, self._unused(f"{series.ticker}-{day}{shape.suffix}"), shape.text, dates, shape)
        grid = _GRIDS[series.theme.grids[event.number % len(series.theme.grids)]]
        winner = self._winner(shape)
        return [
            self._market(event, outcome, fair, grid, dates, place == winner)
            for place, (outcome, fair) in enumerate(shape.outcomes[:most])
        ]

    def _add_event(
        self,
        series: GeneratedSeries,
        ticker: str,
        text: EventText,
        dates: MarketDates,
        shape: EventShape | None = None,
    ) -> GeneratedEvent:
        self._events += 1
        collection = f"{series.ticker}-R" if shape is None else None
        event = GeneratedEvent(
            ticker,
            series,
            text,
            exclusive=shape is not None and shape.exclusive,
            number=self._events,
            created_us=dates.created_us,
            close_us=dates.close_us,
            time=self._time,
            collection_ticker=collection,
        )
        self._new_events.append(event)
        return event

    def _winner(self, shape: EventShape) -> int | None:
        # An exclusive event has exactly one winning market. In other events, each market wins or loses independently of
        # the others, so this method names no winner and returns None.
        return self.rng.randrange(len(shape.outcomes)) if shape.exclusive else None

    def _market(
        self, event: GeneratedEvent, outcome: MarketOutcome, fair: int, grid: PriceGrid, dates: MarketDates, wins: bool
    ) -> GeneratedMarket:
        rng = self.rng
        self._markets += 1
        settlement = settled_us = None
        if dates.status in STATUSES_WITH_RESULT:
            settlement = self._settlement(wins if event.exclusive else rng.random() * DOLLAR_CENTICENTS < fair)
            settled_us = (
                dates.close_us + rng.randrange(MINUTE_US, 40 * MINUTE_US) if dates.status == "finalized" else None
            )
        volume = int(rng.random() ** 5 * 50_000_000) if rng.random() < 0.75 else 0
        path = self._path(fair, grid, rng)
        volume = volume if path.is_quoted else 0
        event.series.traded += volume
        return GeneratedMarket(
            event,
            outcome,
            path,
            self._time,
            number=self._markets,
            status=dates.status,
            created_us=dates.created_us,
            close_us=dates.close_us,
            liquidity=volume,
            settlement=settlement,
            settled_us=settled_us,
        )

    def _settlement(self, wins: bool) -> GeneratedSettlement:
        if self.rng.random() < 0.02:
            value = self.rng.randrange(1, 100) * 100
            return GeneratedSettlement("scalar", value, "fair price")
        return (
            GeneratedSettlement("yes", DOLLAR_CENTICENTS, "occurred")
            if wins
            else GeneratedSettlement("no", 0, "did not occur")
        )

    def _path(self, fair: int, grid: PriceGrid, rng: Random) -> QuotePath:
        period_us = weighted(rng, self.period_ticks) * self._time.tick_us
        return QuotePath(
            seed=rng.getrandbits(60),
            grid=grid,
            anchor=min(max(fair, 150), DOLLAR_CENTICENTS - 150),
            volatility=rng.choice((30, 60, 120, 300)),
            half_spread=rng.choice((20, 50, 50, 100, 250)),
            period_us=period_us,
            phase_us=rng.randrange(period_us),
            sides=weighted(rng, _SIDES),
        )

    def _combo(self, number: int, markets: list[GeneratedMarket]) -> GeneratedMarket:
        rng = self.rng
        series = self._combo_series[number % len(self._combo_series)]
        anchor = self._generation.anchor_us
        created = anchor - rng.randrange(30 * MINUTE_US)
        dates = MarketDates("active", anchor, created, anchor + rng.randrange(3, 9) * DAY_US)
        ticker = self._unused(f"{series.ticker}-S2026{rng.getrandbits(44):011X}")
        chosen = rng.sample(markets, min(len(markets), rng.randrange(2, 6)))
        legs = [
            {"event_ticker": leg.event_ticker, "market_ticker": leg.ticker, "side": rng.choice(("yes", "no"))}
            for leg in chosen
        ]
        name = ",".join(f"{leg['side']} {market.outcome.sub_title}" for leg, market in zip(legs, chosen, strict=True))
        event = self._add_event(series, ticker, EventText("Combo", "MVE"), dates)
        strike: dict[str, object] = {
            "custom_strike": {
                "Associated Events": ",".join(leg["event_ticker"] for leg in legs),
                "Associated Market Sides": ",".join(leg["side"] for leg in legs),
                "Associated Markets": ",".join(leg["market_ticker"] for leg in legs),
                "Multivariate Event Ticker": ticker,
            },
            "strike_type": "custom",
        }
        path = self._path(rng.randrange(100, 4_000), COMBO_GRID, rng)
        path.sides = rng.choice(("no", "no", "no", "both"))
        self._markets += 1
        return GeneratedMarket(
            event,
            MarketOutcome(f"{rng.getrandbits(44):011X}", name, strike),
            path,
            self._time,
            number=self._markets,
            status="active",
            created_us=created,
            close_us=dates.close_us,
            liquidity=_combo_liquidity(path),
            legs=legs,
        )


def _combo_liquidity(path: QuotePath) -> int:
    """Return the liquidity of a combo, which its seed decides. Two of three combos are never traded."""
    noise = mixed(path.seed, _LIQUIDITY)
    return 0 if noise % 3 else 1 + (noise >> 8) % _MOST_COMBO_LIQUIDITY


def weighted(rng: Random, weights: Mapping[Choice, float]) -> Choice:
    """Draw one of the keys. The chance of a key is proportional to its weight."""
    return rng.choices(list(weights), list(weights.values()))[0]


@contextmanager
def garbage_collection_paused() -> Iterator[None]:
    """Pause garbage collection while millions of objects are created.

    All of them stay in memory, so scanning them would free nothing.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
