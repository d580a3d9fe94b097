"""One collection of news: a search for every target at every provider, within the budget.

A watermark is the time up to which a provider was searched for a market or event. The watermark moves only after every
query for the item was answered and stored.
"""

import logging
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Final

import sqlalchemy as sa

from kalshi_pipelines.bookkeeping.runs import Counts, IngestRun, Report, silent
from kalshi_pipelines.bookkeeping.stamps import Stamp
from kalshi_pipelines.contracts.language.differences import Difference, merge_differences
from kalshi_pipelines.news.article_pages import PageCounts, page_fetcher, read_pages
from kalshi_pipelines.news.budget import BudgetExhausted, budget_of, budget_state, search_within_budget
from kalshi_pipelines.news.contract_findings import record_differences
from kalshi_pipelines.news.errors import NewsFailed
from kalshi_pipelines.news.fetching import Fetcher
from kalshi_pipelines.news.options import NewsOptions
from kalshi_pipelines.news.providers.protocol import NewsProvider, NewsQuery, ProviderAnswer, ProviderFailed
from kalshi_pipelines.news.reports import CollectionReport, SearchReport
from kalshi_pipelines.news.storing import SUBJECT, AnswerOrigin, StoredCounts, store_answer
from kalshi_pipelines.news.targets import Target, targets_of
from kalshi_pipelines.settings import Environment
from kalshi_pipelines.units import HOUR_US, now_us
from kalshi_pipelines.warehouse.bulk import BulkWrite, write_rows
from kalshi_pipelines.warehouse.engine import writing
from kalshi_pipelines.warehouse.tables import tracked_items, watermarks

logger = logging.getLogger(__name__)

#: Publishers and crawlers are late, so each search overlaps the previous search by six hours.
_OVERLAP_US: Final = 6 * HOUR_US
_WATERMARK: Final = BulkWrite(watermarks, ("name", "position_us", "ingest_run_id"))
_MOST_PROBLEMS: Final = 20


@dataclass
class _Tally:
    """Counts and problems of the calls to one provider in a running collection."""

    provider: NewsProvider
    calls: int = 0
    failed: int = 0
    articles: int = 0
    stopped: str | None = None
    not_sent: dict[str, int] = field(default_factory=dict)
    problems: dict[str, int] = field(default_factory=dict)

    def report(self) -> SearchReport:
        return SearchReport(
            self.provider.name,
            self.calls,
            self.failed,
            self.articles,
            tuple(f"{count} queries not sent: {why}" for why, count in self.not_sent.items()),
            tuple(list(self.problems)[:_MOST_PROBLEMS]),
        )


def collect_news(
    engine: sa.Engine,
    providers: Sequence[NewsProvider],
    options: NewsOptions,
    environment: Environment,
    *,
    dagster_run_id: str | None = None,
    report: Report = silent,
    clock: Callable[[], int] = now_us,
    pages: Fetcher | None = None,
) -> CollectionReport:
    """Search every provider for all tracked and selected items, and store the answers.

    A call that fails or exceeds the budget appears in the report. The other calls continue.

    Args:
        engine: A warehouse with the newest schema.
        providers: The providers to search, in this order.
        options: The limits of the collection.
        environment: The environment of the markets in the warehouse.
        dagster_run_id: The Dagster run that the collection is part of.
        report: Receives the progress after each answer.
        clock: Returns the current time in microseconds since 1970 UTC.
        pages: The client that fetches article pages, if the options ask for pages. The client is closed after use.

    Raises:
        NewsFailed: Calls were made, and every call failed.
        AlreadyRunning: Another run collects news into this warehouse.
    """
    with IngestRun(engine, SUBJECT, environment, dagster_run_id=dagster_run_id, report=report) as run:
        collection = _Collection(run, options, clock)
        with engine.connect() as connection:
            targets = targets_of(connection, options.selected_events)
        for provider in providers:
            collection.search_provider(provider, targets)
        if options.fetches_articles:
            with closing(pages or page_fetcher()) as fetcher:
                collection.pages = read_pages(run, options.text_characters, fetcher)
        done = collection.report(len(targets))
        record_differences(engine, environment, collection.answers_compared, collection.differences, dagster_run_id)
        if done.has_failed_entirely:
            raise _failure(done)
    return replace(done, seconds=run.seconds)


def _failure(done: CollectionReport) -> NewsFailed:
    problems = list(dict.fromkeys(problem for search in done.searches for problem in search.problems))
    calls = sum(search.calls for search in done.searches)
    return NewsFailed(
        f"No news was collected: none of {calls} calls was answered. {' '.join(problems[:3])}",
        "Check the network and the named settings, and run again. Nothing is lost: the next run covers the same time.",
    )


class _Collection:
    """The state of one running collection of news."""

    def __init__(self, run: IngestRun, options: NewsOptions, clock: Callable[[], int]) -> None:
        self._run = run
        self._options = options
        self._clock = clock
        self._tallies: list[_Tally] = []
        self._stored = StoredCounts()
        self.differences: list[Difference] = []
        self.answers_compared = 0
        self.pages = PageCounts()

    def search_provider(self, provider: NewsProvider, targets: Sequence[Target]) -> None:
        """Search one provider for every target, or read a provider that takes no queries."""
        tally = _Tally(provider)
        self._tallies.append(tally)
        if not provider.takes_queries:
            self._read_provider(tally)
            return
        for target in targets:
            self._search_target(tally, target)

    def report(self, targets: int) -> CollectionReport:
        """Return the report of the collection so far."""
        stored = self._stored
        state = budget_state(self._run.engine, self._options, self._clock(), ingest_run_id=self._run.run_id)
        return CollectionReport(
            run_id=self._run.run_id,
            seconds=self._run.seconds,
            targets=targets,
            searches=tuple(tally.report() for tally in self._tallies),
            read=stored.written + stored.unchanged + stored.rejected,
            written=stored.written,
            unchanged=stored.unchanged,
            rejected=stored.rejected,
            new_groups=stored.new_groups,
            in_known_groups=stored.in_known_groups,
            pages_read=self.pages.read,
            pages_failed=self.pages.failed,
            budget=state,
            differences=merge_differences(self.differences),
        )

    def _read_provider(self, tally: _Tally) -> None:
        now = self._clock()
        name = f"news {tally.provider.name}"
        query = NewsQuery("", now - self._options.lookback_us, now, self._options.results)
        if self._search(tally, query, AnswerOrigin(tally.provider.name)):
            with writing(self._run.engine) as connection:
                write_rows(connection, _WATERMARK, [(name, now, self._run.run_id)])

    def _search_target(self, tally: _Tally, target: Target) -> None:
        now = self._clock()
        since = self._since(target, tally.provider.name, now)
        answered = [
            self._search(
                tally,
                NewsQuery(text, since, now, self._options.results),
                AnswerOrigin(tally.provider.name, text, target),
            )
            for text in target.queries
        ]
        if answered and all(answered):
            self._advance(target, tally.provider.name, now)

    def _since(self, target: Target, provider: str, now: int) -> int:
        position = watermarks.c.position_us
        with self._run.engine.connect() as connection:
            found = connection.scalar(sa.select(position).where(watermarks.c.name == target.watermark(provider)))
        earliest = now - self._options.lookback_us
        return earliest if found is None else min(found - _OVERLAP_US, now)

    def _advance(self, target: Target, provider: str, now: int) -> None:
        with writing(self._run.engine) as connection:
            write_rows(connection, _WATERMARK, [(target.watermark(provider), now, self._run.run_id)])
            item = tracked_items.c
            connection.execute(
                sa.update(tracked_items)
                .where(item.ticker == target.ticker, item.item_type == target.item_type)
                .values(last_collected_us=now)
            )

    def _search(self, tally: _Tally, query: NewsQuery, origin: AnswerOrigin) -> bool:
        """Send a query to a provider, and store the answer. Return whether the call succeeded."""
        provider = tally.provider
        paid = provider.vendor is not None
        if tally.stopped is None and paid and tally.calls >= self._options.searches:
            tally.stopped = f"The run made all {self._options.searches} searches that KALSHI_NEWS_SEARCHES allows."
        if tally.stopped is not None:
            tally.not_sent[tally.stopped] = tally.not_sent.get(tally.stopped, 0) + 1
            return False
        try:
            answer = search_within_budget(
                self._run.engine,
                provider,
                query,
                budget_of(provider.vendor or "", self._options, self._run.run_id),
                self._clock,
            )
        except BudgetExhausted as reason:
            tally.stopped = str(reason)
            tally.not_sent[tally.stopped] = 1
            return False
        except ProviderFailed as failure:
            self._add_failure(tally, failure)
            return False
        tally.calls += 1
        tally.articles += len(answer.articles)
        self._add_answer(tally, query, answer)
        self._store(origin, answer)
        return True

    def _add_failure(self, tally: _Tally, failure: ProviderFailed) -> None:
        text = str(failure)
        tally.calls += 1
        tally.failed += 1
        tally.problems[text] = tally.problems.get(text, 0) + 1
        self.differences += failure.differences
        # A provider that was not reached gave no answer to compare with the vendor's contract.
        self.answers_compared += bool(failure.differences)
        if failure.is_fatal:
            tally.stopped = text
        logger.warning("%s", text)

    def _add_answer(self, tally: _Tally, query: NewsQuery, answer: ProviderAnswer) -> None:
        self.differences += answer.differences
        self.answers_compared += tally.provider.vendor is not None
        most = tally.provider.most_microdollars(query)
        if answer.cost_microdollars is not None and answer.cost_microdollars > most and tally.provider.vendor:
            tally.stopped = (
                f"{tally.provider.name} charged {answer.cost_microdollars} micro-dollars for a search. Its published "
                f"prices allow at most {most}. Update kalshi_pipelines."
            )
            tally.problems[tally.stopped] = 1

    def _store(self, origin: AnswerOrigin, answer: ProviderAnswer) -> None:
        stamp = Stamp(self._clock(), self._run.run_id)
        with writing(self._run.engine) as connection:
            stored = store_answer(connection, origin, answer, self._options.text_characters, stamp)
            counts = Counts(
                read=stored.written + stored.unchanged + stored.rejected,
                written=stored.written,
                unchanged=stored.unchanged,
                rejected=stored.rejected,
            )
            self._run.add_page(connection, counts)
        so_far = self._stored
        self._stored = StoredCounts(
            so_far.written + stored.written,
            so_far.unchanged + stored.unchanged,
            so_far.rejected + stored.rejected,
            so_far.new_groups + stored.new_groups,
            so_far.in_known_groups + stored.in_known_groups,
        )
        self._run.report_progress()
