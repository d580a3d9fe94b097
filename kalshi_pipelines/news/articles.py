"""Conversion of a provider's entry into a storable article, or into the reason for its rejection."""

import json
from dataclasses import dataclass
from typing import Final

from kalshi_pipelines.errors import ExpectedError
from kalshi_pipelines.news.addresses import InvalidAddress, canonical_address
from kalshi_pipelines.news.languages import language_of
from kalshi_pipelines.news.providers.protocol import RawArticle
from kalshi_pipelines.news.stories import sketch_of
from kalshi_pipelines.news.untrusted import plain_text, strip_invisible
from kalshi_pipelines.units import DAY_US

MOST_TITLE: Final = 500
MOST_SNIPPET: Final = 500
_MOST_NAME: Final = 500
_MOST_PAYLOAD: Final = 2_000
#: 1990-01-01. Earlier dates of publication come from broken clocks and empty fields.
_EARLIEST_US: Final = 631_152_000_000_000


class RejectedArticle(ExpectedError, ValueError):
    """A provider's entry that cannot become an article. The message gives the reason without quoting the entry."""


@dataclass(frozen=True, slots=True)
class NewsArticle:
    """A storable article with clean text and a canonical address.

    Attributes:
        url: The canonical address, which is the article's key.
        link: The address as received from the provider.
        title: The title on one line.
        source_domain: The host name of the article's site.
        published_us: The time of publication in microseconds since 1970 UTC; ``None`` if unknown.
        language: The language tag in lower case; ``None`` if unknown.
        snippet: The beginning of the text; ``None`` if the provider sent no text.
        text: The text, cut to the configured length.
        sketch: Hashes of the text, for comparison with other texts; ``None`` if the text is too short.
        provider_id: The provider's own key of the article.
    """

    url: str
    link: str
    title: str
    source_domain: str
    published_us: int | None
    language: str | None
    snippet: str | None
    text: str | None
    sketch: bytes | None
    provider_id: str | None


def article_of(raw: RawArticle, text_characters: int, now_us: int) -> NewsArticle:
    """Return the storable article of a provider's entry.

    A time of publication before 1990 or more than a day in the future becomes unknown.

    Raises:
        RejectedArticle: The entry has no usable address or no title.
    """
    try:
        url, site = canonical_address(raw.url)
    except InvalidAddress as problem:
        raise RejectedArticle(str(problem)) from None
    title = plain_text(raw.title or "", MOST_TITLE)
    if not title:
        raise RejectedArticle("The entry has no title.")
    text = plain_text(raw.text or "", text_characters) or None
    return NewsArticle(
        url,
        raw.url.strip(),
        title,
        site,
        _credible_time(raw.published_us, now_us),
        language_of(raw.language, f"{title} {text or ''}"),
        plain_text(text, MOST_SNIPPET) if text else None,
        text,
        sketch_of(text),
        strip_invisible(raw.provider_id[:_MOST_NAME]) or None if raw.provider_id else None,
    )


def _credible_time(published_us: int | None, now_us: int) -> int | None:
    if published_us is None or not _EARLIEST_US <= published_us <= now_us + DAY_US:
        return None
    return published_us


def payload_of(raw: RawArticle) -> bytes:
    """Return the address, title and key of a rejected entry as shortened JSON for the quarantine."""
    shown = {"url": raw.url[:_MOST_PAYLOAD], "title": (raw.title or "")[:_MOST_PAYLOAD], "id": raw.provider_id}
    return json.dumps(shown).encode()[: 2 * _MOST_PAYLOAD]
