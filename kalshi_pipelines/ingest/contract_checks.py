"""The contract checks of one ingest: what its pages showed goes to the findings when the walk has ended.

Belongs here: from an ingest run to the findings, and what a walk that could not go on says of the vendor. Does not
belong here: which records are compared (``contracts.pages``), and how findings live (``contracts.store``).
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

import sqlalchemy as sa

from kalshi_pipelines.bookkeeping.runs import IngestRun
from kalshi_pipelines.contracts.comparison.checking import Checked, Outcome
from kalshi_pipelines.contracts.comparison.page_checks import PageChecks
from kalshi_pipelines.contracts.declared import CONTRACTS
from kalshi_pipelines.contracts.findings.life_cycle import Source
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

_ADVICE: Final = "Nothing of the page was stored: run the contract checks, they say what is different."
_WHAT: Final[Mapping[type[KalshiError], tuple[str, Kind, str, str]]] = {
    AbsurdAnswer: ("$", Kind.ABSURD, "a page of bounded length", "longer, or slower, than any page"),
    MalformedResponse: ("$", Kind.ABSURD, "a JSON document with the list", "not the JSON document that is promised"),
    PaginationStuck: ("cursor", Kind.PAGE_BROKEN, "pages that come to an end", "pages that repeat or never end"),
    Redirected: ("status", Kind.REDIRECTED, "200", "a redirect"),
}


@contextmanager
def contract_checks(run: IngestRun, endpoint: str, address: str) -> Iterator[PageChecks]:
    """The checks of an ingest run; what they find is recorded in one transaction when the walk has ended, or failed.

    Args:
        run: The run.
        endpoint: What it reads; a walk that fails is a difference of this endpoint, if it is the vendor's doing.
        address: The root of the API.
    """
    checks = PageChecks(CONTRACTS, run.environment, address)
    try:
        yield checks
    except KalshiError as error:
        if (difference := _difference_of(error, endpoint)) is not None:
            checks.add(difference)
        with _not_in_the_way_of(error):
            _record(run, checks)
        raise
    _record(run, checks)


@contextmanager
def _not_in_the_way_of(error: KalshiError) -> Iterator[None]:
    try:
        yield
    except sa.exc.DBAPIError:
        logger.warning("What the contract checks found could not be recorded; the ingest failed before: %s", error)


def _record(run: IngestRun, checks: PageChecks) -> None:
    found: dict[str, list[Difference]] = {endpoint: [] for endpoint in checks.records}
    for difference in checks.differences:
        found.setdefault(difference.endpoint, []).append(difference)
    if not found:
        return
    results = [
        EndpointResult(
            endpoint,
            Checked(
                Outcome.CHECKED if checks.records.get(endpoint) or differences else Outcome.EMPTY,
                tuple(differences),
                None,
            ),
        )
        for endpoint, differences in found.items()
    ]
    contract_run = begin_run(run.engine, run.environment, Source.INGEST, now_us(), run.dagster_run_id)
    record(run.engine, contract_run, results, now_us())


def _difference_of(error: KalshiError, endpoint: str) -> Difference | None:
    """What a walk that could not go on says of the vendor; nothing if it was the network, a limit or a bad hour."""
    known = next((what for kind, what in _WHAT.items() if isinstance(error, kind)), None)
    if known is None and isinstance(error, ApiError) and not isinstance(error, RateLimited | ServerError):
        known = ("status", Kind.STATUS_CHANGED, "200", str(error.status))
    if known is None:
        return None
    place, kind, before, after = known
    assets = CONTRACTS[endpoint].used_by if endpoint in CONTRACTS else ()
    return Difference(endpoint, place, kind, Severity.BREAKING, before, after, error.problem, assets, _ADVICE)
