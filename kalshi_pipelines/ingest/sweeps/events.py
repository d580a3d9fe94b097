"""The sweeps over events. No sweep reads all events that ever were.

The lists of unopened, open and closed events show the events of live markets. Two bounded lists show events that
settled since the last run, and events whose metadata changed. Events that only a market names are read by ticker. A
read of each series, spread over a week, finds events that no status shows: those whose markets are all paused.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from kalshi_pipelines.bookkeeping.list_reads import stored_read
from kalshi_pipelines.bookkeeping.runs import IngestRun
from kalshi_pipelines.contracts.comparison.page_checks import PageChecks
from kalshi_pipelines.ingest.kinds import EVENTS
from kalshi_pipelines.ingest.pages import store_page
from kalshi_pipelines.ingest.sweeps.completeness import Completeness
from kalshi_pipelines.ingest.sweeps.event_absences import EventAsker, absent_events, mark_listed, named_events
from kalshi_pipelines.ingest.sweeps.events_by_series import EventsBySeries
from kalshi_pipelines.ingest.sweeps.inputs import IngestInputs, IngestResult, open_checks, open_run, result_of
from kalshi_pipelines.ingest.sweeps.met_keys import MetKeys
from kalshi_pipelines.kalshi import client
from kalshi_pipelines.kalshi.client import EventStatusFilter
from kalshi_pipelines.kalshi.pagination import Page
from kalshi_pipelines.units import DAY_US, HOUR_US, SECOND_US
from kalshi_pipelines.warehouse.locks import AlreadyRunning

LIVE_STATUSES: Final[tuple[EventStatusFilter, ...]] = ("unopened", "open", "closed")

_OVERLAP_US: Final = HOUR_US
#: A market settles up to 20 hours after it closes (25,000 markets, September 2026).
_SETTLES_WITHIN_US: Final = DAY_US
_UPDATED: Final = "updated"
_SETTLED: Final = "status=settled"


def ingest_events(inputs: IngestInputs) -> IngestResult:
    """Read the events of live and recently settled markets, changed events, and events that a market names.

    Multivariate events are read by ticker, if a stored market names them: their list has no filter by time.
    """
    with open_run(inputs, EVENTS.subject) as run, open_checks(inputs, run, client.EVENTS) as checks:
        sweep = _Sweep(inputs, run, checks)
        sweep.read_lists()
        EventsBySeries(inputs, run.run_id).read_slice(sweep.store)
        sweep.read_absent()
        problems = sweep.completeness.finish(run, checks)
    return result_of(run, checks, sweep.unknown, problems)


def ingest_named_events(inputs: IngestInputs) -> IngestResult | None:
    """Read the events that stored markets name and that no list showed; None if there are none.

    An event that the lists of the last day should have shown is a problem of these lists.
    """
    if not named_events(inputs.engine):
        return None
    # Another run may be reading events. It then reads the named events, too.
    with suppress(AlreadyRunning), open_run(inputs, EVENTS.subject) as run:
        with open_checks(inputs, run, client.EVENTS) as checks:
            sweep = _Sweep(inputs, run, checks)
            for status in LIVE_STATUSES:
                sweep.completeness.resume(client.EVENTS, f"status={status}")
            EventAsker(inputs, sweep.completeness, sweep.store).ask_named()
            problems = sweep.completeness.finish(run, checks)
        return result_of(run, checks, sweep.unknown, problems)
    return None


@dataclass
class _Sweep:
    """One sweep over events, from its first page to its last."""

    inputs: IngestInputs
    run: IngestRun
    checks: PageChecks | None
    met: MetKeys = field(default_factory=MetKeys)
    unknown: dict[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # The answer is not used. This request measures the difference between the clocks.
        self.inputs.client.historical_cutoff()
        self.completeness = Completeness(self.inputs, EVENTS.subject)

    def store(self, page: Page) -> None:
        """Store a page, and remember its events as met."""
        self.unknown |= store_page(self.run, EVENTS, page, self.checks, self.met.add)

    def read_lists(self) -> None:
        """Read the lists of live events, then the bounded lists of settled and of changed events."""
        exchange = self.inputs.client
        for status in LIVE_STATUSES:
            read = self.completeness.begin(client.EVENTS, f"status={status}")
            for page in read.follow(exchange.event_pages(status=status)):
                self.store(page)
                mark_listed(self.run.engine, page)
        for page in self._bounded_lists():
            self.store(page)

    def _bounded_lists(self) -> Iterator[Page]:
        exchange = self.inputs.client
        closes_after = self._settled_since()
        read = self.completeness.begin(client.EVENTS, _SETTLED)
        yield from read.follow(exchange.event_pages(status="settled", min_close_ts=closes_after))
        before = stored_read(self.inputs.engine, f"GET {client.EVENTS.path} {_UPDATED}")
        read = self.completeness.begin(client.EVENTS, _UPDATED)
        if before is not None and before.complete_us is not None:
            since = (min(before.complete_us, self.inputs.exchange_now_us()) - _OVERLAP_US) // SECOND_US
            yield from read.follow(exchange.event_pages(min_updated_ts=since))

    def _settled_since(self) -> int | None:
        """Return the Unix second after which a market of a settled event must close; None to read all."""
        before = stored_read(self.inputs.engine, f"GET {client.EVENTS.path} {_SETTLED}")
        if before is not None and before.complete_us is not None:
            since_us = min(before.complete_us, self.inputs.exchange_now_us())
        elif self.inputs.settled_lookback_hours is None:
            return None
        else:
            since_us = self.inputs.exchange_now_us() - self.inputs.settled_lookback_hours * HOUR_US
        return (since_us - _SETTLES_WITHIN_US) // SECOND_US

    def read_absent(self) -> None:
        """Read events of live markets that no list showed, and events that only a market names."""
        asker = EventAsker(self.inputs, self.completeness, self.store)
        asker.ask_absent(absent_events(self.inputs.engine, self.met))
        asker.ask_named()
        asker.clear_marks(self.met)
