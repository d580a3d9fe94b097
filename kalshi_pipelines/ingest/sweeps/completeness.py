"""Whether the lists that an ingest read were complete, and what follows if one was not.

A count alone proves nothing, because markets open and settle all day. So a list is judged by single records: those that
are stored as live, that the list did not show, and that the exchange reports when asked for directly. Belongs here: the
reads of lists, their problems, and recording both. Does not belong here: asking for records (``absences``).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from kalshi_pipelines.bookkeeping.list_reads import StoredRead, save_reads, stored_read
from kalshi_pipelines.bookkeeping.runs import IngestRun
from kalshi_pipelines.contracts.comparison.page_checks import PageChecks
from kalshi_pipelines.contracts.declared import CONTRACTS
from kalshi_pipelines.contracts.language.differences import Difference, Kind, Severity
from kalshi_pipelines.ingest.sweeps.inputs import IngestInputs
from kalshi_pipelines.ingest.sweeps.market_states import MarketState
from kalshi_pipelines.kalshi import client
from kalshi_pipelines.kalshi.pagination import ListEndpoint, Page

#: A list may omit this share of its records without a finding. Rows can move between pages while a list is read.
OMITTED_SHARE: Final = 1 / 1_000
#: If more than this share of the records that should be there vanishes between two runs, that is a finding.
VANISHED_SHARE: Final = 1 / 100

_ADVICE: Final = (
    "Records that the exchange reported when asked for directly were stored. Run again. If the list stays incomplete, "
    "do not rely on records that are new since the last complete read."
)


@dataclass
class ListRead:
    """One read of one list, while the ingest goes on.

    Attributes:
        endpoint: The endpoint, such as ``GET /markets``.
        filter: The filter of the list, such as ``status=open``; empty for a list without a filter.
        started_us: When the read began, by the exchange's clock, in microseconds since 1970 UTC.
        since_us: The list shows only records settled at or after this instant; None if it shows all.
        records: The number of records received.
        empty_pages: The number of pages without records after which the list went on.
        omitted: The number of records that the list should have shown, because the exchange reports them elsewhere.
        example: The key of one omitted record.
        vanished: The number of records that are no longer anywhere, if too many of them vanished at once.
        unexplained: The number of records that the list showed before and that nothing accounts for.
        resumed: The stored read, if an earlier ingest read the list and this ingest only adds omitted records.
    """

    endpoint: str
    filter: str
    started_us: int
    since_us: int | None = None
    records: int = 0
    empty_pages: int = 0
    omitted: int = 0
    example: str = ""
    vanished: int = 0
    unexplained: int = 0
    resumed: StoredRead | None = None

    @property
    def name(self) -> str:
        """The name of the list in ``list_reads``."""
        return f"{self.endpoint} {self.filter}".strip()

    @property
    def place(self) -> str:
        """The place of the list in a finding."""
        return f"list {self.filter}".strip()

    def follow(self, pages: Iterable[Page]) -> Iterator[Page]:
        """Yield the pages of the list, and count them."""
        for page in pages:
            self.records += len(page.raw_records)
            self.empty_pages += bool(page.cursor and not page.raw_records)
            yield page

    def should_show(self, state: MarketState, now_us: int) -> bool:
        """Return whether this list, which selects the market's status, should have shown a market.

        A market that may have changed since the read began is not expected.
        """
        if self.since_us is not None and (state.settled_us or 0) < self.since_us:
            return False
        return not state.has_changed_between(self.started_us, now_us)

    def add_omitted(self, key: str) -> None:
        """Count a record that the list should have shown."""
        self.omitted += 1
        self.example = self.example or key


@dataclass(frozen=True)
class _Problem:
    severity: Severity
    after: str
    sentence: str


def _problems(read: ListRead) -> Iterator[_Problem]:
    if read.omitted > int((read.records + read.omitted) * OMITTED_SHARE):
        yield _Problem(
            Severity.BREAKING,
            "records that exist are missing in the list",
            f"{read.omitted:,} missing records exist, such as {read.example}.",
        )
    if read.empty_pages:
        yield _Problem(
            Severity.RISKY,
            "a page without records, though the list goes on",
            f"{read.empty_pages:,} pages had no records, though the list went on.",
        )
    if read.vanished:
        yield _Problem(
            Severity.RISKY,
            "listed records have vanished",
            f"{read.vanished:,} records vanished: neither the live nor the historical endpoints have them.",
        )
    if read.unexplained:
        yield _Problem(
            Severity.RISKY,
            "far fewer records than before",
            f"Nothing accounts for {read.unexplained:,} of the missing records.",
        )


class Completeness:
    """The lists that one ingest reads."""

    def __init__(self, inputs: IngestInputs, subject: str) -> None:
        self._inputs = inputs
        self._subject = subject
        self._reads: dict[str, ListRead] = {}

    def begin(self, endpoint: ListEndpoint, filter_: str = "", since_us: int | None = None) -> ListRead:
        """Begin the read of a list."""
        read = ListRead(f"GET {endpoint.path}", filter_, self._inputs.exchange_now_us(), since_us)
        self._reads[read.name] = read
        return read

    def resume(self, endpoint: ListEndpoint, filter_: str) -> ListRead | None:
        """Take up a read that an earlier ingest finished, to add omitted records; None if there was none."""
        stored = stored_read(self._inputs.engine, f"GET {endpoint.path} {filter_}".strip())
        if stored is None:
            return None
        read = ListRead(f"GET {endpoint.path}", filter_, stored.read_us, records=stored.records, resumed=stored)
        self._reads[read.name] = read
        return read

    def list_of(self, endpoint: ListEndpoint, filter_: str) -> ListRead | None:
        """Return the read of a list; None if this ingest did not read the list."""
        return self._reads.get(f"GET {endpoint.path} {filter_}".strip())

    def judge_market(self, state: MarketState) -> None:
        """Count a market that no list showed as omitted, if the list of its status should have shown it."""
        read = self.list_of(client.MARKETS, f"status={state.group}")
        if read is not None and read.should_show(state, self._inputs.exchange_now_us()):
            read.add_omitted(state.ticker)

    def judge_event(self, event_ticker: str, states: Sequence[MarketState]) -> None:
        """Count an event that no list showed as omitted, if its markets prove that a list should have shown it.

        An event with an active market is open. An event is unopened if all its markets are. The documents do not say in
        which lists other events are, so they prove nothing.
        """
        groups = {state.group for state in states}
        group = "open" if "open" in groups else "unopened" if groups == {"unopened"} else None
        read = self.list_of(client.EVENTS, f"status={group}")
        if read is None:
            return
        now_us = self._inputs.exchange_now_us()
        if any(state.group == group and read.should_show(state, now_us) for state in states):
            read.add_omitted(event_ticker)

    def is_complete(self, endpoint: ListEndpoint, filter_: str) -> bool:
        """Return whether this ingest read a list, and has found no problem with it."""
        read = self.list_of(endpoint, filter_)
        return read is not None and not any(_problems(read))

    def finish(self, run: IngestRun, checks: PageChecks | None) -> tuple[str, ...]:
        """Store the reads and their problems, report the problems as differences, and return them as sentences."""
        counted = [read for read in self._reads.values() if read.resumed is None or any(_problems(read))]
        reads = [self._judged(read, checks) for read in counted]
        save_reads(run.engine, reads, run.run_id)
        return tuple(f"{read.name}: {read.problem}" for read in reads if read.problem)

    def _judged(self, read: ListRead, checks: PageChecks | None) -> StoredRead:
        before = stored_read(self._inputs.engine, read.name) if read.resumed is None else None
        problems = list(_problems(read))
        counts = _counts(read, before)
        text = " ".join([counts, *(each.sentence for each in problems)]) if problems else None
        if checks is not None:
            checks.lists.setdefault(read.endpoint, set()).add(read.place)
            for each in problems:
                checks.add(list_difference(read, each.severity, each.after, f"{counts} {each.sentence}"))
        complete: tuple[int | None, int | None] = (read.records, read.started_us)
        if text is not None:
            complete = (None, None) if before is None else (before.complete_records, before.complete_us)
        return StoredRead(read.name, self._subject, read.records, read.started_us, text, *complete)


def _counts(read: ListRead, before: StoredRead | None) -> str:
    if before is None or before.complete_records is None:
        return f"{read.records:,} records read; there is no complete read to compare with."
    return f"{before.complete_records:,} records at the last complete read, {read.records:,} now."


def list_difference(read: ListRead, severity: Severity, after: str, example: str) -> Difference:
    """Return the difference to report for an incomplete list."""
    contract = CONTRACTS.get(read.endpoint)
    return Difference(
        read.endpoint,
        read.place,
        Kind.LIST_INCOMPLETE,
        severity,
        before="every record of the list",
        after=after,
        example=example,
        assets=contract.used_by if contract else (),
        advice=_ADVICE,
    )
