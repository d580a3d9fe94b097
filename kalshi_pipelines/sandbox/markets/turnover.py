"""Turnover of a generated catalogue: new markets are listed every hour, for as long as the exchange runs.

Belongs here: how many markets are listed, how long they live, and pauses of markets. Does not belong here: the later
status changes of a market (``life_cycle``). Source of the proportions: the exchange in August and September 2026. It
had 117,000 open and 73,000 unopened markets, 75,000 settlements a day, 8 markets an event and 13,400 series. Lengths of
lives are chosen so that these numbers stay as they are.
"""

from functools import partial
from random import Random
from typing import Final

from kalshi_pipelines.sandbox.clock import midnight_us
from kalshi_pipelines.sandbox.markets.catalogue import GeneratedCatalogue, weighted
from kalshi_pipelines.sandbox.markets.generated import GeneratedMarket
from kalshi_pipelines.sandbox.markets.generation import MarketDates
from kalshi_pipelines.sandbox.markets.venue import Venue
from kalshi_pipelines.sandbox.trading.events import MarketChanged, MarketStatus
from kalshi_pipelines.units import DAY_US, HOUR_US, MINUTE_US

QUOTE_PERIODS: Final = {1: 4, 5: 8, 15: 12, 60: 16, 240: 20, 1_440: 20, 10_080: 20}
"""Shares of markets, in percent, by the number of ticks between two moves of the quote.

With ticks of one minute, 18 % of the quotes move within five minutes, and two thirds within six hours.
"""
_HOURS_OPEN: Final = {(0, 1): 253, (3, 12): 250, (12, 30): 300, (36, 96): 140, (120, 288): 45, (480, 1_440): 12}
"""Weights of ranges of hours for which the markets of an event are open. The mean is 1.6 days."""
_MOST_HOURS_NOTICE: Final = 46
_MARKETS_PER_SERIES: Final = 6
_DAYS_BETWEEN_SERIES: Final = 10
_PAUSED_SHARE: Final = 0.02


class Turnover:
    """Lists markets of new events every hour, on average ``per_day`` markets a day."""

    def __init__(self, catalogue: GeneratedCatalogue, venue: Venue, per_day: int, seed: int) -> None:
        self._catalogue, self._venue, self._per_day, self._seed = catalogue, venue, per_day, seed
        self._hours = self._listed = 0

    def start(self, at_us: int) -> None:
        """Create the missing series, and list markets from the next full hour on."""
        rng = Random(f"{self._seed}:turnover")
        for _ in range(self._per_day // _MARKETS_PER_SERIES - len(self._catalogue.series)):
            self._catalogue.add_series(rng, at_us - rng.randrange(400 * DAY_US))
        self._venue.schedule(at_us - at_us % HOUR_US + HOUR_US, self._list_hour)

    def _list_hour(self, at_us: int) -> None:
        self._hours += 1
        rng = Random(f"{self._seed}:turnover:{at_us}")
        if self._hours % (24 * _DAYS_BETWEEN_SERIES) == 0:
            self._catalogue.add_series(rng, at_us)
        while self._listed * 24 < self._per_day * self._hours:
            self._listed += self._list_event(rng, at_us)
        self._venue.schedule(at_us + HOUR_US, self._list_hour)

    def _list_event(self, rng: Random, at_us: int) -> int:
        created_us = at_us - rng.randrange(HOUR_US)
        open_us = at_us + rng.randrange(_MOST_HOURS_NOTICE * 60) * MINUTE_US
        least, most = weighted(rng, _HOURS_OPEN)
        close_us = open_us + rng.randrange(max(15, least * 60), most * 60) * MINUTE_US
        dates = MarketDates("initialized", midnight_us(close_us), created_us, close_us, open_us)
        markets = self._catalogue.add_event(rng, dates, QUOTE_PERIODS)
        for market in markets:
            if rng.random() < _PAUSED_SHARE:
                self._plan_pause(market)
        return len(markets)

    def _plan_pause(self, market: GeneratedMarket) -> None:
        life_us = market.close_us - market.open_us
        pause_us, resume_us = market.open_us + life_us // 3, market.open_us + life_us // 2
        self._venue.schedule(pause_us, partial(self._switch, market, "active", "inactive"))
        self._venue.schedule(resume_us, partial(self._switch, market, "inactive", "active"))

    def _switch(self, market: GeneratedMarket, before: MarketStatus, after: MarketStatus, at_us: int) -> None:
        if market.status == before:
            self._venue.change_market(MarketChanged(at_us=at_us, ticker=market.ticker, status=after))
