"""The interface of news providers, which take a query and return raw articles. Each provider has its own file."""

from dataclasses import dataclass
from typing import Protocol

from kalshi_pipelines.contracts.language.differences import Difference
from kalshi_pipelines.errors import ExpectedError


class ProviderFailed(ExpectedError):
    """A provider gave no usable answer. The message names the provider and the reason, and never holds a key.

    Attributes:
        is_charged: Whether the call may have cost money. A call that was sent may have cost money unless an
            answer shows that the call was free.
        is_fatal: Whether further calls in the same run would fail too, for example because the key is refused.
        differences: Differences between the answer and the vendor's contract.
    """

    is_retryable = True

    def __init__(
        self,
        problem: str,
        remedy: str = "",
        *,
        is_charged: bool = True,
        is_fatal: bool = False,
        differences: tuple[Difference, ...] = (),
    ) -> None:
        super().__init__(problem, remedy)
        self.is_charged = is_charged
        self.is_fatal = is_fatal
        self.differences = differences


@dataclass(frozen=True)
class NewsQuery:
    """One query to a provider.

    Attributes:
        text: The text to search for; empty for providers without queries.
        since_us: The earliest time of publication in microseconds since 1970 UTC, if the provider can filter.
        until_us: The latest time of publication in microseconds since 1970 UTC, if the provider can filter.
        most_results: The highest number of articles wanted.
    """

    text: str
    since_us: int
    until_us: int
    most_results: int


@dataclass(frozen=True)
class RawArticle:
    """An article as received from a provider, neither cleaned nor checked.

    Attributes:
        url: The address.
        title: The title, possibly with markup; ``None`` if the provider gives no title.
        published_us: The time of publication in microseconds since 1970 UTC; ``None`` if unknown or unreadable.
        text: The text or summary, possibly with markup.
        language: The language stated by the provider.
        provider_id: The provider's own key of the article.
    """

    url: str
    title: str | None
    published_us: int | None = None
    text: str | None = None
    language: str | None = None
    provider_id: str | None = None


@dataclass(frozen=True)
class ProviderAnswer:
    """A provider's answer to one query.

    Attributes:
        articles: Articles in the provider's order, the best first.
        cost_microdollars: The price stated in the answer, in micro-dollars; ``None`` if the answer has no price.
        request_id: The provider's identifier of the call.
        left_out: The number of entries dropped because the answer exceeded the query's limit.
        differences: Differences between the answer and the vendor's contract.
    """

    articles: tuple[RawArticle, ...]
    cost_microdollars: int | None = None
    request_id: str | None = None
    left_out: int = 0
    differences: tuple[Difference, ...] = ()


class NewsProvider(Protocol):
    """A source of news articles: a search vendor or a feed."""

    @property
    def name(self) -> str:
        """The provider's name in rows and reports, such as ``exa`` or ``feed www.bls.gov``."""

    @property
    def vendor(self) -> str | None:
        """The vendor whose budget pays for calls; ``None`` if calls are free."""

    @property
    def takes_queries(self) -> bool:
        """Whether the provider is searched once for each query. A provider without queries is read once in each run."""

    def most_microdollars(self, query: NewsQuery) -> int:
        """Return the highest possible price of a call, which is reserved before the call."""

    def find(self, query: NewsQuery) -> ProviderAnswer:
        """Return the articles for a query.

        Raises:
            ProviderFailed: The provider gave no usable answer.
        """
