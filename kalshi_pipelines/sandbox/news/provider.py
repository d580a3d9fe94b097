"""Generated news of one sandbox as clients see them: articles, accepted keys, charges, and addresses shown.

Belongs here: the state of the news, and building search responses and feeds from it. Does not belong here: HTTP.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

from kalshi_pipelines.sandbox.markets.listing import Catalogue
from kalshi_pipelines.sandbox.news import exa, feeds, hostile
from kalshi_pipelines.sandbox.news.charges import SearchCharge, SearchCharges
from kalshi_pipelines.sandbox.news.search import ArticleQuery, find_articles, newest_articles
from kalshi_pipelines.sandbox.news.stories import GeneratedArticle, StoryIndex
from kalshi_pipelines.sandbox.noise import mixed

CORPORA: Final = ("usual", "hostile")
_FEED_ARTICLES: Final = 25
_NOWHERE: Final = "http://127.0.0.1:1"


@dataclass
class GeneratedNewsProvider:
    """State of the generated news.

    Attributes:
        corpus: ``usual`` for ordinary news. ``hostile`` makes half of the search results hostile and adds hostile items
            to RSS feeds.
        trap: Address that links in hostile articles and feeds lead to.
        keys: The accepted API keys, or None to accept any key that is not empty.
        shown: Every article address shown so far, with the article's story and its kind of copy (``original``,
            ``syndicated`` or ``edited``).
    """

    stories: StoryIndex
    corpus: str = "usual"
    trap: str = _NOWHERE
    keys: Collection[str] | None = None
    charges: SearchCharges = field(default_factory=SearchCharges)
    shown: dict[str, tuple[str, str]] = field(default_factory=dict)
    _searches: int = 0

    @classmethod
    def of(cls, catalogue: Catalogue) -> "GeneratedNewsProvider":
        """Create the news provider for a catalogue of markets."""
        return cls(StoryIndex(catalogue))

    def next_request_id(self) -> str:
        """Return a new request id for a search response."""
        self._searches += 1
        return f"{mixed(1, self._searches):016x}{mixed(2, self._searches):016x}"

    def check_access(self, key: str) -> None:
        """Check that the caller's API key is accepted and that the account has credit.

        Raises:
            exa.SearchRefused: 401 for a key that is not accepted, 402 if the credit is used up.
        """
        if not key or (self.keys is not None and key not in self.keys):
            raise exa.SearchRefused(401, "Invalid API key", "INVALID_API_KEY")
        if not self.charges.has_credit():
            raise exa.SearchRefused(402, "You have no more credits. Please top up.", "NO_MORE_CREDITS")

    def search(
        self, body: bytes, now_us: int, request_id: str, *, cost: int | None = None, tells_cost: bool = True
    ) -> bytes:
        """Answer a search and charge its price, or ``cost`` micro-dollars if given.

        Raises:
            exa.SearchRefused: 400 for a bad request, which is not charged.
        """
        asked = exa.search_of(body)
        hurting = self._hostile_results(asked.wanted.most)
        articles = self._record_shown(find_articles(self.stories, asked.wanted, now_us))[
            : asked.wanted.most - len(hurting)
        ]
        results = [*hurting, *(exa.result(article, asked, place) for place, article in enumerate(articles))]
        charged = self.charges.price(len(results)) if cost is None else cost
        reported = charged if tells_cost else None
        self.charges.charges.append(SearchCharge(request_id, "POST /search", now_us, charged, reported))
        return exa.answer(results, reported, request_id)

    def rss(self, query: str | None, now_us: int) -> bytes:
        """Return an RSS feed for a query, or the front page if the query is None."""
        items = hostile.hostile_items(self.trap) if self.corpus == "hostile" else ()
        return feeds.rss(f"News: {query or 'top stories'}", self._articles(query, now_us), now_us, items)

    def atom(self, query: str | None, now_us: int) -> bytes:
        """Return an Atom feed for a query, or the front page if the query is None."""
        return feeds.atom(f"News: {query or 'top stories'}", self._articles(query, now_us), now_us)

    def wire(self) -> dict[str, object]:
        """Return all articles shown so far as the admin route lists them."""
        return {
            "articles": [
                {"url": url, "story": story, "variant": variant} for url, (story, variant) in self.shown.items()
            ]
        }

    def _articles(self, query: str | None, now_us: int) -> list[GeneratedArticle]:
        if query is None:
            return self._record_shown(newest_articles(self.stories, _FEED_ARTICLES, now_us))
        return self._record_shown(find_articles(self.stories, ArticleQuery(query, _FEED_ARTICLES), now_us))

    def _record_shown(self, articles: Sequence[GeneratedArticle]) -> list[GeneratedArticle]:
        self.shown.update((article.url, (article.story, article.variant)) for article in articles)
        return list(articles)

    def _hostile_results(self, most: int) -> list[dict[str, Any]]:
        """Return hostile results for half of a search's results.

        Consecutive searches get different hostile results until all hostile results have been used.
        """
        if self.corpus != "hostile":
            return []
        every = hostile.hostile_results(self.trap)
        half = most // 2
        first = len(self.charges.charges) * half % len(every)
        return list(islice((*every[first:], *every), half))
