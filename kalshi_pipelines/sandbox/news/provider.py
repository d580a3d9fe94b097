"""The press of one sandbox as its clients meet it: what it serves, whom, what it charged, and what it showed.

Belongs here: the state, and how a search and a feed are put together from it. Does not belong here: HTTP.
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
    """What is served and to whom.

    Attributes:
        corpus: ``usual``, or ``hostile``: half of what is found is made to hurt.
        trap: Where hostile articles and feeds lead.
        keys: The API keys that are accepted; None for any that is not empty.
        shown: The story and the kind of copy behind every address shown so far.
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
        """The press about a catalogue."""
        return cls(StoryIndex(catalogue))

    def next_request_id(self) -> str:
        """The id of the next request."""
        self._searches += 1
        return f"{mixed(1, self._searches):016x}{mixed(2, self._searches):016x}"

    def check_access(self, key: str) -> None:
        """Let a caller in.

        Raises:
            exa.SearchRefused: 401 for a key that is not accepted, 402 for one without credit.
        """
        if not key or (self.keys is not None and key not in self.keys):
            raise exa.SearchRefused(401, "Invalid API key", "INVALID_API_KEY")
        if not self.charges.has_credit():
            raise exa.SearchRefused(402, "You have no more credits. Please top up.", "NO_MORE_CREDITS")

    def search(
        self, body: bytes, now_us: int, request_id: str, *, cost: int | None = None, tells_cost: bool = True
    ) -> bytes:
        """Answer a search and charge for it: its price, or ``cost`` micro-dollars.

        Raises:
            exa.SearchRefused: 400; nothing is charged.
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
        """A feed about a query, or a front page."""
        items = hostile.hostile_items(self.trap) if self.corpus == "hostile" else ()
        return feeds.rss(f"News: {query or 'top stories'}", self._articles(query, now_us), now_us, items)

    def atom(self, query: str | None, now_us: int) -> bytes:
        """The same as Atom."""
        return feeds.atom(f"News: {query or 'top stories'}", self._articles(query, now_us), now_us)

    def wire(self) -> dict[str, object]:
        """What really was shown, as the admin route tells it."""
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
        """Half of the results; searches one after the other get different ones, until all had their turn."""
        if self.corpus != "hostile":
            return []
        every = hostile.hostile_results(self.trap)
        half = most // 2
        first = len(self.charges.charges) * half % len(every)
        return list(islice((*every[first:], *every), half))
