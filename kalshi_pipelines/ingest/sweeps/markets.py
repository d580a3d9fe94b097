"""The sweeps over markets, with their quotes: one list for each status, then the markets that no list showed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from kalshi_pipelines.bookkeeping.quarantine import unresolved_keys
from kalshi_pipelines.bookkeeping.runs import IngestRun
from kalshi_pipelines.contracts.comparison.page_checks import PageChecks
from kalshi_pipelines.ingest.kinds import MARKETS
from kalshi_pipelines.ingest.pages import store_page
from kalshi_pipelines.ingest.sweeps.absences import absent_markets, ask_for_markets, clear_marks, report_gone
from kalshi_pipelines.ingest.sweeps.completeness import Completeness
from kalshi_pipelines.ingest.sweeps.event_samples import ask_by_event
from kalshi_pipelines.ingest.sweeps.inputs import IngestInputs, IngestResult, open_checks, open_run, result_of
from kalshi_pipelines.ingest.sweeps.market_states import STATUSES_OF_GROUP
from kalshi_pipelines.ingest.sweeps.met_keys import MetKeys
from kalshi_pipelines.ingest.sweeps.settled import advance_watermark, settled_pages, settled_since
from kalshi_pipelines.kalshi import client
from kalshi_pipelines.kalshi.client import MarketStatusFilter, MveFilter
from kalshi_pipelines.kalshi.pagination import Page
from kalshi_pipelines.units import MINUTE_US, SECOND_US, microseconds

#: Every status of the exchange's filter vocabulary, in the order in which a market passes through them.
ALL_STATUSES: Final[tuple[MarketStatusFilter, ...]] = ("unopened", "open", "paused", "closed", "settled")

_CLOCK_DIFFERENCE_US: Final = MINUTE_US


def ingest_markets(inputs: IngestInputs, statuses: Sequence[MarketStatusFilter] = ALL_STATUSES) -> IngestResult:
    """Read markets with their quotes: quarantined markets first, then one list for each status, then absent markets.

    Args:
        inputs: The exchange to read and the warehouse to fill.
        statuses: Statuses to sweep, in this order, in the exchange's filter vocabulary.
    """
    with open_run(inputs, MARKETS.subject) as run, open_checks(inputs, run, client.MARKETS) as checks:
        sweep = _Sweep(inputs, run, checks, tuple(statuses))
        sweep.read_lists()
        sweep.read_absent()
        problems = sweep.finish()
    return result_of(run, checks, sweep.unknown, problems)


@dataclass
class _Sweep:
    """One sweep over markets, from its first page to its last."""

    inputs: IngestInputs
    run: IngestRun
    checks: PageChecks | None
    statuses: tuple[MarketStatusFilter, ...]
    met: MetKeys = field(default_factory=MetKeys)
    unknown: dict[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # This request also measures the difference between the clocks, which the times of the lists need.
        self.cutoff_us = microseconds(self.inputs.client.historical_cutoff().market_settled_ts)
        self.started_us = self.inputs.exchange_now_us()
        self.completeness = Completeness(self.inputs, MARKETS.subject)

    @property
    def is_full(self) -> bool:
        """Whether the sweep reads every status."""
        return self.statuses == ALL_STATUSES

    def store(self, page: Page) -> None:
        """Store a page, and remember its markets as met."""
        self.unknown |= store_page(self.run, MARKETS, page, self.checks, self.met.add)

    def read_lists(self) -> None:
        """Read quarantined markets by ticker, then each list."""
        for page in self._pages():
            self.store(page)

    def _pages(self) -> Iterator[Page]:
        exchange = self.inputs.client
        quarantined = unresolved_keys(self.inputs.engine, MARKETS.subject)
        if quarantined:
            yield from exchange.market_pages(tickers=quarantined, mve_filter=None)
        mve_filter: MveFilter | None = None if self.inputs.include_combos else "exclude"
        for status in self.statuses:
            since_us = settled_since(self.inputs) if status == "settled" else None
            read = self.completeness.begin(client.MARKETS, f"status={status}", since_us)
            if status == "settled":
                yield from read.follow(settled_pages(self.inputs, since_us, self.cutoff_us))
            else:
                yield from read.follow(exchange.market_pages(status=status, mve_filter=mve_filter))
        if self.is_full:
            # A market that returned from paused or closed to open during the sweeps may have been missed by the lists
            # of both statuses.
            since = (self.started_us - _CLOCK_DIFFERENCE_US) // SECOND_US
            yield from exchange.market_pages(min_updated_ts=since)

    def read_absent(self) -> None:
        """Read markets that are stored with a status of a list, and that no list showed."""
        statuses = [each for group in self.statuses if group != "settled" for each in STATUSES_OF_GROUP[group]]
        if not statuses:
            return
        absent, expected = absent_markets(self.inputs, statuses, self.met, is_full=self.is_full)
        gone = ask_for_markets(self.inputs, absent, self.completeness, self.store)
        report_gone(gone, expected, self.completeness, self.checks)
        if self.is_full:
            ask_by_event(self.inputs, self.met, self.completeness, self.store, seed=self.run.run_id)
        clear_marks(self.inputs.engine, self.met)

    def finish(self) -> tuple[str, ...]:
        """Store how complete the lists were, and return their problems as sentences."""
        if self.completeness.is_complete(client.MARKETS, "status=settled"):
            advance_watermark(self.run, self.started_us)
        return self.completeness.finish(self.run, self.checks)
