"""Inputs and results of an ingest, and the steps that every ingest begins and ends with."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import sqlalchemy as sa

from kalshi_pipelines.bookkeeping.runs import Counts, IngestRun, Report, silent
from kalshi_pipelines.contracts.comparison.page_checks import PageChecks
from kalshi_pipelines.contracts.language.differences import Difference
from kalshi_pipelines.ingest.contract_checks import contract_checks
from kalshi_pipelines.kalshi.client import KalshiClient
from kalshi_pipelines.kalshi.pagination import ListEndpoint
from kalshi_pipelines.settings import Environment
from kalshi_pipelines.units import MINUTE_US, now_us


@dataclass(frozen=True)
class IngestInputs:
    """Inputs of an ingest: the exchange it reads, the warehouse it fills, and its options.

    Attributes:
        client: The client of the exchange.
        engine: The warehouse, with its schema at head.
        environment: The environment of the exchange that the client reads.
        include_combos: Whether to read multivariate combo events and markets as well.
        settled_lookback_hours: How far back the first sweep of settled markets reaches; None for no limit.
        dagster_run_id: The Dagster run to name in the run record.
        report: Receives the progress after each page.
        checks_contracts: Whether to compare pages with the contracts. The benchmark turns the comparison off to measure
            its cost.
    """

    client: KalshiClient
    engine: sa.Engine
    environment: Environment
    include_combos: bool = False
    settled_lookback_hours: int | None = None
    dagster_run_id: str | None = None
    report: Report = silent
    checks_contracts: bool = True

    def exchange_now_us(self) -> int:
        """Return the exchange's present time in microseconds since 1970 UTC, exact to about a second.

        The exchange's times are compared with this time, because this computer's clock may be wrong.
        """
        return now_us() + (self.client.clock_difference_ms or 0) * 1_000


@dataclass(frozen=True)
class IngestResult:
    """The result of one ingest.

    Attributes:
        run_id: Key of the run's row in ``ingest_runs``.
        counts: Numbers of records read, written, unchanged and rejected.
        seconds: Duration of the ingest.
        unknown_fields: An example of each field that the client does not know.
        missing: Tickers that were requested but missing in the response.
        differences: Differences between the records and their contracts, the most severe first.
        problems: Why lists were incomplete, one sentence for each list.
    """

    run_id: int
    counts: Counts
    seconds: float
    unknown_fields: dict[str, bytes] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    differences: tuple[Difference, ...] = ()
    problems: tuple[str, ...] = ()


def happened_within(then_us: int | None, period_us: int, now_us: int) -> bool:
    """Return whether an instant is at most ``period_us`` ago.

    The exchange's clock is known to the second, so an instant may seem to be a moment ahead. An instant further ahead
    is from a time when a clock was wrong, and counts as unknown.
    """
    return then_us is not None and -MINUTE_US <= now_us - then_us < period_us


def open_run(inputs: IngestInputs, subject: str) -> IngestRun:
    """Return the run of an ingest, to be entered by the caller."""
    return IngestRun(
        inputs.engine, subject, inputs.environment, dagster_run_id=inputs.dagster_run_id, report=inputs.report
    )


def open_checks(
    inputs: IngestInputs, run: IngestRun, endpoint: ListEndpoint
) -> AbstractContextManager[PageChecks | None]:
    """Return the contract checks of an ingest, or nothing if the inputs turn them off."""
    if not inputs.checks_contracts:
        return nullcontext()
    return contract_checks(run, f"GET {endpoint.path}", inputs.client.address)


def result_of(
    run: IngestRun,
    checks: PageChecks | None,
    unknown: dict[str, bytes],
    problems: Sequence[str] = (),
    missing: Sequence[str] = (),
) -> IngestResult:
    """Return the result of an ingest after its run ended."""
    differences = checks.differences if checks else ()
    return IngestResult(run.run_id, run.counts, run.seconds, unknown, tuple(missing), differences, tuple(problems))
