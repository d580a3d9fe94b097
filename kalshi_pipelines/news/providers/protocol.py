"""What a provider of articles is: a query in, raw articles out. A new provider is one file with one such class."""

from dataclasses import dataclass
from typing import Protocol

from kalshi_pipelines.contracts.language.differences import Difference
from kalshi_pipelines.errors import ExpectedError


class ProviderFailed(ExpectedError):
    """A provider gave no usable answer; the text says which, why, and what to do. It never holds a key.

    Attributes:
        is_charged: Whether the call may have cost money: it was sent, and no answer says that it cost nothing.
        is_fatal: Whether asking again in the same run is pointless, as with a key that is refused.
        differences: How the answer differs from the vendor's contract, if that is why.
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
    """One question to a provider.

    Attributes:
        text: What is looked for; empty for providers that can only be read.
        since_us: Only articles published from here on, if the provider can tell; microseconds since 1970 UTC.
        until_us: Only articles published before.
        most_results: How many articles are wanted at most.
    """

    text: str
    since_us: int
    until_us: int
    most_results: int


@dataclass(frozen=True)
class RawArticle:
    """An article as a provider gave it; nothing of it is cleaned or checked.

    Attributes:
        url: Its address.
        title: Its title, possibly with markup; ``None`` if the provider knows none.
        published_us: When it was published; ``None`` if that is not known or can not be read.
        text: Its text or summary, possibly with markup.
        language: As the provider says.
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
    """What a provider answered to one query.

    Attributes:
        articles: In the provider's order, the best first.
        cost_microdollars: What it says the call cost; ``None`` if it does not say.
        request_id: The provider's name of the call.
        left_out: Entries beyond what was asked for.
        differences: How the answer differs from the vendor's contract.
    """

    articles: tuple[RawArticle, ...]
    cost_microdollars: int | None = None
    request_id: str | None = None
    left_out: int = 0
    differences: tuple[Difference, ...] = ()


class NewsProvider(Protocol):
    """A place articles come from."""

    @property
    def name(self) -> str:
        """Its name in rows and reports: ``exa``, ``feed www.bls.gov``."""

    @property
    def vendor(self) -> str | None:
        """Whose budget a call is charged to; ``None`` if calls cost nothing."""

    @property
    def takes_queries(self) -> bool:
        """Whether it is asked once for each query, or just read once a run."""

    def most_microdollars(self, query: NewsQuery) -> int:
        """What a call costs at most; set aside before it is made."""

    def find(self, query: NewsQuery) -> ProviderAnswer:
        """Ask.

        Raises:
            ProviderFailed: There is no usable answer.
        """
