"""Reports of the steps of a news run. Each figure is shown as metadata or used by a check."""

from dataclasses import dataclass, field

from kalshi_pipelines.contracts.language.differences import Difference


@dataclass(frozen=True)
class BudgetState:
    """The news budget of today and of one run, in micro-dollars.

    Attributes:
        day_limit: The limit of a UTC day.
        spent_today: The amount spent or reserved since midnight UTC.
        run_limit: The limit of one run.
        spent_by_run: The amount spent or reserved by the run; 0 if the budget is shown outside of a run.
        unsettled: The number of today's calls whose price is not known. The reserved amount of each such call counts
            as spent.
    """

    day_limit: int
    spent_today: int
    run_limit: int
    spent_by_run: int = 0
    unsettled: int = 0

    @property
    def remaining_today(self) -> int:
        """Micro-dollars left in today's news budget, never negative."""
        return max(self.day_limit - self.spent_today, 0)

    @property
    def is_exceeded(self) -> bool:
        """Whether more was spent than a limit allows. A vendor may have charged more than its published price."""
        return self.spent_today > self.day_limit or self.spent_by_run > self.run_limit


@dataclass(frozen=True)
class SearchReport:
    """The calls to one provider in a run.

    Attributes:
        provider: The provider's name.
        calls: The number of calls.
        failed: The number of calls without a usable answer.
        articles: The number of articles returned.
        not_sent: One sentence for each reason, such as an exhausted budget, with the number of queries not sent.
        problems: The different messages of failed calls, safe to show.
    """

    provider: str
    calls: int = 0
    failed: int = 0
    articles: int = 0
    not_sent: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class CollectionReport:
    """The report of a collection.

    Attributes:
        run_id: The key of the run's row in ``ingest_runs``.
        seconds: The duration in seconds.
        targets: The number of markets and events searched for.
        searches: The calls to each provider.
        read: Articles received, counting each copy of an article.
        written: Articles that are new or that gained new facts.
        unchanged: Articles that were already stored with the same facts.
        rejected: Entries without a usable address or title, which go to quarantine.
        new_groups: New articles that are the first of their story.
        in_known_groups: New articles that repeat a known story.
        pages_read: Articles whose pages gave a text.
        pages_failed: Articles whose pages gave no text or must not be fetched.
        budget: The budget after the run.
        differences: Differences between answers and their vendors' contracts.
    """

    run_id: int
    seconds: float
    targets: int = 0
    searches: tuple[SearchReport, ...] = ()
    read: int = 0
    written: int = 0
    unchanged: int = 0
    rejected: int = 0
    new_groups: int = 0
    in_known_groups: int = 0
    pages_read: int = 0
    pages_failed: int = 0
    budget: BudgetState = field(default_factory=lambda: BudgetState(0, 0, 0))
    differences: tuple[Difference, ...] = ()

    @property
    def duplicate_share(self) -> float:
        """The share of new articles that repeat a known story, from 0 to 1."""
        new = self.new_groups + self.in_known_groups
        return self.in_known_groups / new if new else 0.0

    @property
    def has_failed_entirely(self) -> bool:
        """Whether the collection made calls and every call failed."""
        calls = sum(each.calls for each in self.searches)
        return calls > 0 and calls == sum(each.failed for each in self.searches)


@dataclass(frozen=True)
class LinkingReport:
    """The report of a run that links articles to markets and events.

    Attributes:
        considered: Pairs of an article and a market or event that were scored.
        markets: Links to markets that were written.
        events: Links to events that were written.
        unrelated: Pairs that were not linked because they share too few words.
        method: The name and version of the relevance score.
    """

    considered: int
    markets: int
    events: int
    unrelated: int
    method: str


@dataclass(frozen=True)
class ScoringReport:
    """The report of a run that scores the sentiment of articles.

    Attributes:
        articles: The number of articles scored in this run.
        windows: The number of window rows written, one for each item and length of window.
        method: The name and version of the lexicon.
        labels: The numbers of positive, negative and neutral articles scored in this run.
    """

    articles: int
    windows: int
    method: str
    labels: dict[str, int] = field(default_factory=dict)
