"""Contract checks of one ingest run: differences seen in its pages become findings when the run ends.

Belongs here: how an ingest run reports to the findings, and which errors of an ingest the vendor caused. Does not
belong here: which records are compared (``contracts.comparison.page_checks``), and the life cycle of findings
(``contracts.findings``).
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

import sqlalchemy as sa

from kalshi_pipelines.bookkeeping.runs import IngestRun
from kalshi_pipelines.contracts.comparison.checking import CheckOutcome, CheckResult
from kalshi_pipelines.contracts.comparison.page_checks import PageChecks
from kalshi_pipelines.contracts.declared import CONTRACTS
from kalshi_pipelines.contracts.findings.life_cycle import RunSource
from kalshi_pipelines.contracts.findings.recording import EndpointResult
from kalshi_pipelines.contracts.findings.store import begin_run, record
from kalshi_pipelines.contracts.language.differences import Difference, Kind, Severity
from kalshi_pipelines.kalshi.errors import (
    AbsurdAnswer,
    ApiError,
    KalshiError,
    MalformedResponse,
    PaginationStuck,
    RateLimited,
    Redirected,
    ServerError,
)
from kalshi_pipelines.units import now_us

logger = logging.getLogger(__name__)

_ADVICE: Final = "The page was not stored. Run the contract checks: they show what the vendor changed."
_WHAT: Final[Mapping[type[KalshiError], tuple[str, Kind, str, str]]] = {
    AbsurdAnswer: ("$", Kind.ABSURD, "a page of bounded length", "longer, or slower, than any page"),
    MalformedResponse: ("$", Kind.ABSURD, "a JSON document with the list", "not the JSON document that is promised"),
    PaginationStuck: ("cursor", Kind.PAGE_BROKEN, "pages that come to an end", "pages that repeat or never end"),
    Redirected: ("status", Kind.REDIRECTED, "200", "a redirect"),
}


@contextmanager
def contract_checks(run: IngestRun, endpoint: str, address: str) -> Iterator[PageChecks]:
    """Check the pages of an ingest run, and record the findings in one transaction when the run ends or fails.

    Args:
        run: The ingest run.
        endpoint: The endpoint that the run reads. If the vendor made the run fail, the failure is recorded as a
            difference of this endpoint.
        address: The root of the API.
    """
    checks = PageChecks(CONTRACTS, run.environment, address)
    try:
        yield checks
    except KalshiError as error:
        if (difference := _difference_of(error, endpoint)) is not None:
            checks.add(difference)
        with _not_in_the_way_of(error):
            record_checks(run.engine, run.environment, run.dagster_run_id, checks)
        raise
    record_checks(run.engine, run.environment, run.dagster_run_id, checks)


@contextmanager
def _not_in_the_way_of(error: KalshiError) -> Iterator[None]:
    try:
        yield
    except sa.exc.DBAPIError:
        logger.warning("The findings of the contract checks could not be recorded. The ingest had failed: %s", error)


def record_checks(engine: sa.Engine, environment: str, dagster_run_id: str | None, checks: PageChecks) -> None:
    """Record the differences that were seen in pages as findings."""
    found: dict[str, list[Difference]] = {endpoint: [] for endpoint in checks.records}
    for difference in checks.differences:
        found.setdefault(difference.endpoint, []).append(difference)
    if not found:
        return
    results = [
        EndpointResult(
            endpoint,
            CheckResult(
                CheckOutcome.CHECKED if checks.records.get(endpoint) or differences else CheckOutcome.EMPTY,
                tuple(differences),
                None,
                lists=frozenset(checks.lists.get(endpoint, ())),
            ),
        )
        for endpoint, differences in found.items()
    ]
    contract_run = begin_run(engine, environment, RunSource.INGEST, now_us(), dagster_run_id)
    record(engine, contract_run, results, now_us())


def _difference_of(error: KalshiError, endpoint: str) -> Difference | None:
    """Return the contract difference that made an ingest fail; None for network errors, rate limits and outages."""
    known = next((what for kind, what in _WHAT.items() if isinstance(error, kind)), None)
    if known is None and isinstance(error, ApiError) and not isinstance(error, RateLimited | ServerError):
        known = ("status", Kind.STATUS_CHANGED, "200", str(error.status))
    if known is None:
        return None
    place, kind, before, after = known
    assets = CONTRACTS[endpoint].used_by if endpoint in CONTRACTS else ()
    return Difference(endpoint, place, kind, Severity.BREAKING, before, after, error.problem, assets, _ADVICE)
