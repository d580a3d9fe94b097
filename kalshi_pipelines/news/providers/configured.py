"""The providers chosen by the settings, and the reasons why other providers are skipped."""

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Self
from urllib.parse import urlsplit

from kalshi_pipelines.news.fetching import Fetcher, origin
from kalshi_pipelines.news.providers.exa import ExaProvider
from kalshi_pipelines.news.providers.feeds import FeedProvider
from kalshi_pipelines.news.providers.protocol import NewsProvider
from kalshi_pipelines.settings import Environment, InvalidSettings, Settings

#: Free feeds of public institutions whose news settles markets. They need no key.
DEFAULT_FEEDS: Final = (
    "https://www.federalreserve.gov/feeds/press_all.xml",
    "https://www.bls.gov/feed/bls_latest.rss",
    "https://apps.bea.gov/rss/rss.xml",
    "https://www.nhc.noaa.gov/index-at.xml",
)
SANDBOX_FEEDS: Final = ("/rss/top.xml", "/rss/search?q={query}")
_SANDBOX_KEY: Final = "sandbox"
_NONE: Final = "none"


@dataclass(frozen=True)
class ConfiguredProviders:
    """The providers of a run. A ``with`` block closes their connections at its end.

    Attributes:
        providers: The providers to search or read.
        skip_reasons: The reason for each kind of provider that is skipped, as a sentence.
        fetcher: The client that fetches feeds.
    """

    providers: tuple[NewsProvider, ...]
    skip_reasons: tuple[str, ...] = ()
    fetcher: Fetcher | None = field(default=None, repr=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.fetcher is not None:
            self.fetcher.close()


def configured_providers(settings: Settings, sandbox_url: str | None) -> ConfiguredProviders:
    """Return the providers chosen by the settings.

    Args:
        settings: The settings that choose providers.
        sandbox_url: An address of this run's sandbox; ``None`` if the run has no sandbox.

    Raises:
        InvalidSettings: The address of a feed is invalid.
    """
    exa = _exa(settings, sandbox_url)
    feeds = _feeds(settings, sandbox_url)
    skip_reasons = [each for each in (exa,) if isinstance(each, str)]
    if not feeds:
        skip_reasons.append("Feeds are skipped because KALSHI_NEWS_FEEDS is none.")
    providers: list[NewsProvider] = [*feeds] if isinstance(exa, str) else [exa, *feeds]
    return ConfiguredProviders(tuple(providers), tuple(skip_reasons), feeds[0].fetcher if feeds else None)


def _exa(settings: Settings, sandbox_url: str | None) -> ExaProvider | str:
    if not settings.resolved_news_daily_dollars:
        return "Exa is skipped because it has no budget. Set KALSHI_NEWS_DAILY_DOLLARS to the dollars of a day."
    if not settings.news_searches:
        return "Exa is skipped because KALSHI_NEWS_SEARCHES is 0."
    if settings.environment is Environment.SANDBOX:
        # The sandbox gets a key of its own, because the operator's key is sent only to the real Exa.
        if sandbox_url is None:
            return "Exa is skipped because this run has no sandbox."
        return ExaProvider(
            _SANDBOX_KEY, settings.environment.value, f"{origin(sandbox_url)}/exa", settings.news_text_characters
        )
    if settings.exa_api_key is None:
        return "Exa is skipped because it has no key. Set EXA_API_KEY."
    return ExaProvider(
        settings.exa_api_key.get_secret_value(),
        settings.environment.value,
        text_characters=settings.news_text_characters,
    )


def _feeds(settings: Settings, sandbox_url: str | None) -> list[FeedProvider]:
    addresses = list(dict.fromkeys(_addresses(settings, sandbox_url)))
    for address in addresses:
        if not _is_address(address):
            raise InvalidSettings(
                "KALSHI_NEWS_FEEDS holds an address that is not http or https, or that has a password.",
                "Write addresses of feeds, separated by spaces, or `none`.",
            )
    # Only a feed that an operator configured may be on a private network.
    trusted = frozenset() if addresses == list(DEFAULT_FEEDS) else frozenset(map(origin, addresses))
    fetcher = Fetcher(trusted)
    places = Counter(map(_place, addresses))
    return [
        FeedProvider(address, fetcher, _mark(address) if places[_place(address)] > 1 else "") for address in addresses
    ]


def _place(address: str) -> str:
    """Return host and path of a feed's address, which are safe to show. The query string may hold a key."""
    parts = urlsplit(address)
    return f"{parts.hostname}{parts.path}"


def _mark(address: str) -> str:
    return hashlib.sha256(address.encode()).hexdigest()[:6]


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname and origin(text)) and parts.username is None
    except ValueError:
        return False


def _addresses(settings: Settings, sandbox_url: str | None) -> Iterable[str]:
    if settings.news_feeds is not None:
        written = settings.news_feeds.get_secret_value().replace(",", " ").split()
        return () if written == [_NONE] else written
    if settings.environment is Environment.SANDBOX:
        return [f"{origin(sandbox_url)}{path}" for path in SANDBOX_FEEDS] if sandbox_url else ()
    return DEFAULT_FEEDS
