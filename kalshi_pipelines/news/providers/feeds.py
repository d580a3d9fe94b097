"""RSS and Atom feeds. feedparser receives bytes that were fetched within limits, never an address.

A feed whose address holds ``{query}`` is read once for each query. Any other feed is read once in each run.
"""

import calendar
import io
import re
import time
from typing import Any, Final
from urllib.parse import quote_plus, urlsplit

from kalshi_pipelines.errors import ExpectedError
from kalshi_pipelines.news.fetching import Fetcher, NotFetched
from kalshi_pipelines.news.providers.protocol import NewsQuery, ProviderAnswer, ProviderFailed, RawArticle

QUERY: Final = "{query}"
_MOST_TAGS: Final = 100_000
_MOST_ENTRIES: Final = 500
#: The highest number of characters of a feed with broken XML. Repairing the XML of a longer feed takes too long.
_MOST_GUESSED: Final = 512 * 1024
_DECLARED: Final = re.compile(
    rb"""^\s*<\?xml[^>]{0,200}?encoding\s*=\s*["']([A-Za-z0-9_.:-]{1,40})["'][^>]{0,200}?\?>"""
)
_DECLARATION: Final = re.compile(r"^\s*<\?xml[^>]{0,400}\?>")
_FORBIDDEN: Final = re.compile(r"<!\s*(?:DOCTYPE|ENTITY)", re.IGNORECASE)
_ENCODINGS: Final = re.compile(r"utf-?8|utf-?16(le|be)?|us-ascii|ascii|iso-8859-\d{1,2}|latin-?1|windows-125\d|cp125\d")
#: Errors that feedparser raises on hostile or damaged feeds.
_PARSER_ERRORS: Final = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)
_MARKS: Final = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))


class MalformedFeed(ExpectedError, ValueError):
    """Bytes that are no feed, or a feed that could do harm. The message gives the reason."""


class FeedProvider:
    """One RSS or Atom feed as a news provider.

    Args:
        address: The address of the feed, with ``{query}`` in place of the query.
        fetcher: The client that fetches the feed.
        mark: A suffix of the provider's name, to distinguish feeds at the same host and path.
    """

    vendor: None = None

    def __init__(self, address: str, fetcher: Fetcher, mark: str = "") -> None:
        self._address = address
        self.fetcher = fetcher
        parts = urlsplit(address)
        # The query string of an address may hold a key, so the provider's name omits the query string.
        self.name = f"feed {parts.hostname or ''}{parts.path}{mark and f' {mark}'}"
        self.takes_queries = QUERY in address

    def __repr__(self) -> str:
        return f"FeedProvider({self.name})"

    def most_microdollars(self, query: NewsQuery) -> int:
        """Return 0, because feeds cost nothing."""
        return 0

    def find(self, query: NewsQuery) -> ProviderAnswer:
        """Read the feed.

        Raises:
            ProviderFailed: The feed cannot be fetched or read.
        """
        try:
            fetched = self.fetcher.fetch(self._address.replace(QUERY, quote_plus(query.text)))
            articles = articles_of(fetched.body)
        except (NotFetched, MalformedFeed) as problem:
            raise ProviderFailed(f"{self.name} cannot be read. {problem}", is_charged=False) from None
        recent = [each for each in articles if each.published_us is None or each.published_us >= query.since_us]
        most = query.most_results if self.takes_queries else _MOST_ENTRIES
        return ProviderAnswer(tuple(recent[:most]), 0, left_out=len(recent[most:]))


def articles_of(body: bytes) -> list[RawArticle]:
    """Return the entries of a feed.

    Raises:
        MalformedFeed: The bytes are no feed, or the feed has a document type, entities or too many tags.
    """
    import feedparser  # noqa: PLC0415  # the import takes half a second

    text = _decoded(body)
    try:
        parsed: Any = feedparser.parse(
            io.BytesIO(b'<?xml version="1.0" encoding="utf-8"?>' + text.encode()),
            sanitize_html=False,
            resolve_relative_uris=False,
        )
    except _PARSER_ERRORS as error:
        raise MalformedFeed(f"feedparser cannot read the feed ({type(error).__name__}).") from None
    if not parsed.get("version"):
        raise MalformedFeed("The answer is no RSS or Atom feed.")
    language = parsed.feed.get("language")
    return [_article(entry, language) for entry in parsed.entries]


def _decoded(body: bytes) -> str:
    """Return the text of a feed without its XML declaration, after refusing document types and entities."""
    declared = _DECLARED.match(body)
    encoding = next((name for mark, name in _MARKS if body.startswith(mark)), None)
    if encoding is None:
        encoding = declared[1].decode().lower() if declared else "utf-8"
        if not _ENCODINGS.fullmatch(encoding):
            raise MalformedFeed("The feed has an unsupported character encoding.")
    text = body.decode(encoding, errors="replace").replace("\x00", "")
    text = _DECLARATION.sub("", text, count=1)
    if _FORBIDDEN.search(text):
        raise MalformedFeed("The feed declares a document type or entities, which could make a small document huge.")
    if text.count("<") > _MOST_TAGS:
        raise MalformedFeed(f"The feed has more than {_MOST_TAGS:,} tags.")
    if len(text) > _MOST_GUESSED and not _is_well_formed(text):
        raise MalformedFeed("The feed is long and not well-formed XML.")
    return text


def _is_well_formed(text: str) -> bool:
    from xml.parsers import expat  # noqa: PLC0415

    parser = expat.ParserCreate(encoding="utf-8")
    try:
        parser.Parse(text.encode(), True)
    except expat.ExpatError:
        return False
    return True


def _article(entry: Any, feed_language: Any) -> RawArticle:  # noqa: ANN401  # feedparser's own kind of dict
    content = entry.get("content") or []
    text = next((each.get("value") for each in content if isinstance(each.get("value"), str)), None)
    language = next((each.get("language") for each in content), None) or feed_language
    return RawArticle(
        url=str(entry.get("link") or ""),
        title=_text(entry.get("title")),
        published_us=_instant(dict.get(entry, "published_parsed") or dict.get(entry, "updated_parsed")),
        text=text or _text(entry.get("summary")),
        language=_text(language),
        provider_id=_text(entry.get("id")),
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _instant(parsed: time.struct_time | None) -> int | None:
    """Return a UTC time from feedparser in microseconds; None if the time is missing or invalid."""
    if parsed is None:
        return None
    try:
        return calendar.timegm(parsed) * 1_000_000
    except (OverflowError, ValueError, TypeError):
        return None
