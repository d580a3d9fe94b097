"""What the steps of a news run say they did; every figure ends up as metadata or as a check."""

from dataclasses import dataclass, field

from kalshi_pipelines.contracts.language.differences import Difference


@dataclass(frozen=True)
class BudgetState:
    """The news budget of today and of one run, in micro-dollars.

    Attributes:
        day_limit: What may be spent in a UTC day.
        spent_today: What is spent, or still set aside, since midnight UTC.
        run_limit: What one run may spend.
        spent_by_run: What the run spent or set aside; 0 where no run is meant.
        unsettled: How many calls of today have no known price: they count with what was set aside for them.
    """

    day_limit: int
    spent_today: int
    run_limit: int
    spent_by_run: int = 0
    unsettled: int = 0

    @property
    def remaining_today(self) -> int:
        """What is left of the day; never negative."""
        return max(self.day_limit - self.spent_today, 0)

    @property
    def is_exceeded(self) -> bool:
        """Whether more was spent than allowed: the vendor charged more than its published price."""
        return self.spent_today > self.day_limit or self.spent_by_run > self.run_limit


@dataclass(frozen=True)
class SearchReport:
    """What one provider did in a run.

    Attributes:
        provider: Its name.
        calls: Calls that were made.
        failed: Calls without a usable answer.
        articles: Articles it returned.
        not_sent: Queries that were not sent, each with why: no budget, too many searches.
        problems: Why calls failed, each different text once; safe to show.
    """

    provider: str
    calls: int = 0
    failed: int = 0
    articles: int = 0
    not_sent: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class CollectionReport:
    """What a collection did.

    Attributes:
        run_id: Key of its row in ``ingest_runs``.
        seconds: How long it took.
        targets: Markets and events that were looked for.
        searches: What each provider did.
        read: Articles that came in, an article as often as it was returned.
        written: Articles that are new, or of which something new is known.
        unchanged: Articles that were known as they came.
        rejected: Entries that are no article: no usable address, no title; they are in quarantine.
        new_groups: Stories among the new articles that no article told before.
        in_known_groups: New articles that tell a story that was known.
        pages_read: Articles whose pages were fetched for their text.
        pages_failed: Articles whose pages could not or may not be fetched.
        budget: The budget after the run.
        differences: How answers differ from their vendors' contracts.
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
        """Which share of the new articles tells a story that another article tells, 0 to 1."""
        new = self.new_groups + self.in_known_groups
        return self.in_known_groups / new if new else 0.0

    @property
    def has_failed_entirely(self) -> bool:
        """Whether calls were made and none was answered."""
        calls = sum(each.calls for each in self.searches)
        return calls > 0 and calls == sum(each.failed for each in self.searches)


@dataclass(frozen=True)
class LinkingReport:
    """What a linking did.

    Attributes:
        considered: Pairs of an article and a market or event that were scored.
        markets: Links to markets that are new or changed.
        events: Links to events that are new or changed.
        unrelated: Pairs that were found by a search but have too little in common to be linked.
        method: The name and version of the score.
    """

    considered: int
    markets: int
    events: int
    unrelated: int
    method: str


@dataclass(frozen=True)
class ScoringReport:
    """What a scoring did.

    Attributes:
        articles: Articles that were scored now.
        windows: Rows of sums that were written, one for a market or event and a length of window.
        method: The name and version of the lexicon.
        labels: How many of the articles scored now read positive, negative and neutral.
    """

    articles: int
    windows: int
    method: str
    labels: dict[str, int] = field(default_factory=dict)
