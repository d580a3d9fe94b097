"""Search of the generated articles: relevant articles first, then a few unrelated ones.

Does not belong here: prices and JSON of a search (``charges``, ``exa``), and feeds (``feeds``).
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final

from kalshi_pipelines.sandbox.news.stories import GeneratedArticle, StoryIndex, articles_about, variant_of
from kalshi_pipelines.sandbox.noise import mixed
from kalshi_pipelines.units import DAY_US

_LOOK_BACK_US: Final = 30 * DAY_US
_UNRELATED_TOPICS: Final = 2


@dataclass(frozen=True)
class ArticleQuery:
    """A search for articles.

    Results can be limited to a publication time from ``from_us`` to ``until_us``. If ``domains`` is not empty, only
    articles of outlets with one of these domains match. Articles of outlets in ``other_domains`` never match.
    """

    query: str
    most: int
    from_us: int | None = None
    until_us: int | None = None
    domains: tuple[str, ...] = ()
    other_domains: tuple[str, ...] = ()

    def matches(self, article: GeneratedArticle) -> bool:
        """Return whether an article matches the domains and the publication time.

        An article without a date matches no time limit.
        """
        is_of = article.outlet.domain.endswith
        if (self.domains and not is_of(self.domains)) or (self.other_domains and is_of(self.other_domains)):
            return False
        if article.published_us is None:
            return self.from_us is None and self.until_us is None
        return (self.from_us is None or article.published_us >= self.from_us) and (
            self.until_us is None or article.published_us <= self.until_us
        )


def find_articles(stories: StoryIndex, wanted: ArticleQuery, now_us: int) -> list[GeneratedArticle]:
    """Return the articles for a query, most relevant first.

    The page of each article has eight addresses. The query decides which address is returned.
    """
    number = zlib.crc32(wanted.query.encode(errors="replace"))
    chosen = islice(_matching_articles(stories, wanted, now_us, number), wanted.most)
    return [
        replace(article, url=variant_of(article.url, mixed(number, zlib.crc32(article.url.encode()))))
        for article in chosen
    ]


def newest_articles(stories: StoryIndex, most: int, now_us: int) -> list[GeneratedArticle]:
    """Return the newest articles on any topic, as on a front page."""
    today = [
        article
        for topic in stories.topics[: most * 8]
        for article in articles_about(topic, now_us - 2 * DAY_US, now_us)
    ]
    return sorted(today, key=lambda article: article.published_us or 0, reverse=True)[:most]


def _matching_articles(
    stories: StoryIndex, wanted: ArticleQuery, now_us: int, number: int
) -> Iterator[GeneratedArticle]:
    until_us = min(now_us, wanted.until_us or now_us)
    from_us = max(until_us - _LOOK_BACK_US, wanted.from_us or 0)
    about = stories.topics_about(wanted.query)
    # A search by meaning always returns results, so add a few unrelated articles.
    unrelated = [
        stories.topics[(number + place) % len(stories.topics)] for place in range(_UNRELATED_TOPICS) if stories.topics
    ]
    for topic in dict.fromkeys((*about, *unrelated)):
        articles = (each for each in articles_about(topic, from_us, until_us) if wanted.matches(each))
        yield from articles if topic in about else islice(articles, 1)
