"""A news provider for tests that gives prepared answers and records its queries."""

from collections.abc import Sequence

from kalshi_pipelines.news.providers.protocol import NewsQuery, ProviderAnswer, ProviderFailed, RawArticle

ScriptedAnswer = ProviderAnswer | ProviderFailed


class ScriptedProvider:
    """A provider with prepared answers by query text. Any other query gets an empty answer."""

    def __init__(
        self,
        answers: dict[str, ScriptedAnswer] | None = None,
        *,
        name: str = "exa",
        vendor: str | None = None,
        takes_queries: bool = True,
        most: int = 10_000,
    ) -> None:
        self.answers = answers or {}
        self.name, self.vendor, self.takes_queries = name, vendor, takes_queries
        self.queries: list[NewsQuery] = []
        self._most = most

    def most_microdollars(self, query: NewsQuery) -> int:
        return self._most

    def find(self, query: NewsQuery) -> ProviderAnswer:
        self.queries.append(query)
        answer = self.answers.get(query.text, ProviderAnswer((), 0))
        if isinstance(answer, ProviderFailed):
            raise answer
        return answer


def reply(*articles: RawArticle, cost: int | None = 0) -> ProviderAnswer:
    """Return a provider's answer with the given articles."""
    return ProviderAnswer(articles, cost, "request-1")


def article(
    path: str = "a", title: str = "Toronto wins the series", published_us: int | None = None, text: str | None = None
) -> RawArticle:
    """Return a raw article of a public site."""
    return RawArticle(f"https://news.example/{path}", title, published_us, text, provider_id=path)


def query_texts(queries: Sequence[NewsQuery]) -> list[str]:
    """Return the texts of queries."""
    return [query.text for query in queries]
