"""From what a provider returned to an article that can be stored, or to a reason why not."""

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
_EARLIEST_US: Final = 631_152_000_000_000  # 1990: older dates are those of broken clocks and empty fields


class RejectedArticle(ExpectedError, ValueError):
    """An entry that is no article; the text says why, without quoting it."""


@dataclass(frozen=True, slots=True)
class NewsArticle:
    """An article as it is stored: clean text, canonical address.

    Attributes:
        url: Its canonical address: the key.
        link: The address as the provider gave it.
        title: Its title, one line.
        source_domain: The site.
        published_us: When it was published; ``None`` if that is not known.
        language: As a tag in small letters; ``None`` if that is not known.
        snippet: How its text begins; ``None`` if it came without text.
        text: Its text, as much as is kept.
        sketch: What its text is compared by; ``None`` if there is too little.
        provider_id: The provider's own key of it.
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
    """The article a provider returned.

    A time of publication in the future, or from before the web, is no time: it becomes unknown.

    Raises:
        RejectedArticle: It has no usable address or no title.
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
    """What is kept of an entry that is no article: as JSON, cut."""
    shown = {"url": raw.url[:_MOST_PAYLOAD], "title": (raw.title or "")[:_MOST_PAYLOAD], "id": raw.provider_id}
    return json.dumps(shown).encode()[: 2 * _MOST_PAYLOAD]
