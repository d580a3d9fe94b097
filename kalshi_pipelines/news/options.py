"""What one collection of news may do, as the settings say: how much is looked for, kept and paid."""

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
        results: Articles a query asks for at most.
        searches: Calls of paid providers in a run at most.
        selected_events: How many of the day's most traded events are looked for beside what is tracked.
        lookback_us: How far back the first search of a market or event looks.
        text_characters: How much of an article's text is kept.
        run_microdollars: What a run may spend.
        day_microdollars: What all runs together may spend in a UTC day; 0 is nothing.
        fetches_articles: Whether pages of articles that came without text are fetched.
        sentiment_days: The windows that sentiment is summed up over.
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
        """The options that the settings say."""
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
