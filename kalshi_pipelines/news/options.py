"""The limits of a news collection, read from the settings."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Self

from kalshi_pipelines.settings import Settings
from kalshi_pipelines.units import DAY_US

_MICRO = Decimal(1_000_000)


@dataclass(frozen=True)
class NewsOptions:
    """The limits of a collection.

    Attributes:
        results: The highest number of articles for one query.
        searches: The highest number of calls of paid providers in one run.
        selected_events: The number of events to search for besides tracked items, taken from the most traded events.
        lookback_us: The period that the first search for an item covers, in microseconds.
        text_characters: The number of characters kept of an article's text.
        run_microdollars: The budget of one run in micro-dollars.
        day_microdollars: The budget of all runs in a UTC day in micro-dollars; 0 allows no paid call.
        fetches_articles: Whether to fetch the pages of articles that came without text.
        sentiment_days: The lengths of sentiment windows in days.
    """

    results: int = 10
    searches: int = 50
    selected_events: int = 10
    lookback_us: int = 7 * DAY_US
    text_characters: int = 10_000
    run_microdollars: int = 250_000
    day_microdollars: int = 0
    fetches_articles: bool = False
    sentiment_days: tuple[int, ...] = (1, 7)

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Return the options given by the settings."""
        return cls(
            results=settings.news_results,
            searches=settings.news_searches,
            selected_events=settings.news_selected_events,
            lookback_us=settings.news_lookback_days * DAY_US,
            text_characters=settings.news_text_characters,
            run_microdollars=int(settings.news_run_dollars * _MICRO),
            day_microdollars=int(settings.resolved_news_daily_dollars * _MICRO),
            fetches_articles=settings.news_fetch_articles,
        )
