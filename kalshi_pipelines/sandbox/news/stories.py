"""News stories about the exchange's catalogue, and the copies that outlets publish of each story.

Stories depend only on the catalogue and the day.

Belongs here: which stories exist, their publication times, and the differences between their copies. Does not belong
here: searching (``search``), and wire formats (``exa``, ``feeds``).
"""

import re
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

import orjson

from kalshi_pipelines import units
from kalshi_pipelines.sandbox.markets.listing import Catalogue
from kalshi_pipelines.sandbox.news.wording import (
    AUTHORS,
    EDITED,
    HEADLINES,
    LEADS,
    OUTLETS,
    PEOPLE,
    PLACES,
    TONES,
    Outlet,
)
from kalshi_pipelines.sandbox.noise import mixed
from kalshi_pipelines.units import DAY_US, MINUTE_US

_WORD: Final = re.compile(r"[^\W_]+")
_SLUG_WORDS: Final = 8
_SENTENCES: Final = 4
_DAILY_CHANCE: Final = 45
"""Chance in percent that a topic has a story on a given day."""


@dataclass(frozen=True)
class GeneratedArticle:
    """One copy of a story as an outlet published it.

    Attributes:
        story: Identifier that all copies of a story share.
        variant: Kind of copy: ``original``, ``syndicated`` or ``edited``.
        text: Plain text with empty lines between paragraphs.
        published_us: Microseconds since 1970, or None if the outlet gives no date.
    """

    story: str
    variant: str
    url: str
    title: str
    text: str
    published_us: int | None
    author: str | None
    outlet: Outlet


@dataclass(frozen=True)
class Topic:
    """Topic of news stories: the title that one or more events of the catalogue have."""

    number: int
    title: str
    category: str

    @property
    def words(self) -> frozenset[str]:
        """Words of the topic's title, in lower case."""
        return words_of(self.title)


class StoryIndex:
    """Topics of a catalogue, indexed by the words of their titles.

    The index is rebuilt when the catalogue has grown.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._events = -1
        self._topics: list[Topic] = []
        self._by_word: defaultdict[str, list[Topic]] = defaultdict(list)

    @property
    def topics(self) -> Sequence[Topic]:
        """All topics of news stories, in the order of the catalogue's events."""
        self._look()
        return self._topics

    def topics_about(self, query: str) -> list[Topic]:
        """Return the topics that share more than a third of their words with a query, best match first."""
        self._look()
        asked = words_of(query)
        shared: Counter[Topic] = Counter()
        for word in asked:
            shared.update(self._by_word.get(word, ()))
        fitting = [(count / len(topic.words), topic) for topic, count in shared.items()]
        return [topic for share, topic in sorted(fitting, key=lambda each: (-each[0], each[1].number)) if share > 1 / 3]

    def _look(self) -> None:
        events = self._catalogue.events
        if len(events) == self._events:
            return
        self._events = len(events)
        found: dict[str, Topic] = {}
        for event in events.values():
            if event.is_combo:
                continue
            members = orjson.loads(b"{" + event.members(alone=False) + b"}")
            title = members["title"].rstrip("?").strip()
            found.setdefault(title, Topic(zlib.crc32(title.encode()), title, members.get("category") or "News"))
        self._topics = list(found.values())
        self._by_word.clear()
        for topic in self._topics:
            for word in topic.words:
                self._by_word[word].append(topic)


def words_of(text: str) -> frozenset[str]:
    """Return the words of a text, in lower case."""
    return frozenset(_WORD.findall(text.lower()))


def articles_about(topic: Topic, from_us: int, until_us: int) -> Iterator[GeneratedArticle]:
    """Iterate over all copies of a topic's stories published in a range of microseconds, newest story first."""
    for day in range(until_us // DAY_US, from_us // DAY_US - 1, -1):
        chance = mixed(topic.number, day)
        published_us = day * DAY_US + chance % (20 * 60) * MINUTE_US
        if (chance >> 32) % 100 < _DAILY_CHANCE and from_us <= published_us <= until_us:
            for article in _copies(topic, day, published_us):
                if article.published_us is None or article.published_us <= until_us:
                    yield article


def _copies(topic: Topic, day: int, published_us: int) -> Iterator[GeneratedArticle]:
    number = mixed(topic.number, day, 1)
    story = f"{topic.number:08x}-{day}"
    # Choose the headline by day, so that a topic does not repeat a headline within two weeks.
    headline = _fill_in(HEADLINES[(topic.number + day) % len(HEADLINES)], number, topic=topic.title)
    text = _text(topic, headline, day, number)
    home = number % len(OUTLETS)

    def copy(variant: str, place: int, title: str, later_minutes: int) -> GeneratedArticle:
        outlet = OUTLETS[(home + place) % len(OUTLETS)]
        at_us = published_us + later_minutes * MINUTE_US
        author = AUTHORS[(number >> 8) % len(AUTHORS)]
        # One outlet in eight gives no publication date.
        published_or_none_us = None if outlet is OUTLETS[-1] else at_us
        return GeneratedArticle(
            story, variant, _url(outlet, title, at_us), title, text, published_or_none_us, author, outlet
        )

    yield copy("original", 0, headline, 0)
    for place in range(1, 1 + (number >> 16) % 3):
        outlet = OUTLETS[(home + place) % len(OUTLETS)]
        yield copy("syndicated", place, f"{headline} - {outlet.name}", 7 * place)
    if (number >> 20) % 3 == 0:
        yield copy("edited", 3, EDITED[(number >> 24) % len(EDITED)].format(headline), 35)


def _text(topic: Topic, headline: str, day: int, number: int) -> str:
    written = units.instant(day * DAY_US).strftime("%A, %d %B")
    tone = TONES[number % len(TONES)]
    lead = LEADS[(number >> 4) % len(LEADS)].format(headline=headline, topic=topic.title, day=written)
    chosen = Random(number).sample(tone, _SENTENCES)
    sentences = [_fill_in(sentence, mixed(number, place)) for place, sentence in enumerate(chosen)]
    paragraphs = (lead, " ".join(sentences[:2]), " ".join(sentences[2:]), f"{topic.category} desk.")
    return "\n\n".join(paragraphs)


def _fill_in(sentence: str, number: int, **more: str) -> str:
    """Fill the placeholders of a sentence with a person, a place and a number."""
    return sentence.format(
        place=PLACES[mixed(number, 1) % len(PLACES)],
        person=PEOPLE[mixed(number, 2) % len(PEOPLE)],
        number=mixed(number, 3) % 900 + 10,
        **more,
    )


def _url(outlet: Outlet, title: str, at_us: int) -> str:
    slug = "-".join(_WORD.findall(title.lower())[:_SLUG_WORDS])
    date = units.instant(at_us).strftime("%Y/%m/%d")
    return f"https://www.{outlet.domain}/{outlet.section}/{date}/{slug}-{zlib.crc32(title.encode()) % 10_000}"


def variant_of(url: str, number: int) -> str:
    """Return one of eight addresses of the page at ``url``.

    They differ in tracking parameters, scheme, case of the host, mobile host, AMP path or fragment.
    """
    scheme_less = url.removeprefix("https://")
    host, _, path = scheme_less.partition("/")
    bare = host.removeprefix("www.")
    return (
        url,
        f"{url}?utm_source=feed&utm_medium=rss&utm_campaign={number % 97}",
        f"http://{scheme_less}",
        f"https://{host.upper()}/{path}?fbclid=Iw{number % 9973}",
        f"https://m.{bare}/{path}",
        f"https://{host}/amp/{path}",
        f"{url}#comments",
        f"https://{bare}/{path}/?gclid={number % 9973}",
    )[number % 8]
