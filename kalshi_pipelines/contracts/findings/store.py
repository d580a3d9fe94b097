"""The interface to contract runs, findings and baselines in the warehouse.

A run is recorded in one transaction: learned baselines, findings, and the alerts about them. Concurrent runs are
recorded one after the other, so that no finding and no alert is stored twice.

The baseline learns each answer at once, so that a new value is reported as new only once. After a baseline has learned
the difference of a finding, the baseline cannot show whether the difference still exists. Therefore answers are also
compared with the *reference* of the endpoint. The endpoint may have several findings that are not closed. The reference
is the baseline as it was before the oldest of these findings opened.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import sqlalchemy as sa

from kalshi_pipelines.alerts.scrubbing import scrubbed
from kalshi_pipelines.contracts.comparison.baseline import Baseline
from kalshi_pipelines.contracts.comparison.checking import CheckOutcome
from kalshi_pipelines.contracts.findings.baseline_rows import load_baselines
from kalshi_pipelines.contracts.findings.finding_rows import (
    HistoryEntry,
    add_event,
    history_of,
    select_findings,
    sort_by_urgency,
    update_finding,
)
from kalshi_pipelines.contracts.findings.life_cycle import (
    Finding,
    FindingEvent,
    FindingStatus,
    RunSource,
    mark_acknowledged,
)
from kalshi_pipelines.contracts.findings.reachability import best_outcome
from kalshi_pipelines.contracts.findings.recording import (
    LOOKED_AT,
    EndpointResult,
    RecordedRun,
    RunRecording,
    put_summary,
    select_open_findings,
)
from kalshi_pipelines.contracts.language.differences import Difference
from kalshi_pipelines.errors import ExpectedError
from kalshi_pipelines.units import HOUR_US
from kalshi_pipelines.warehouse.engine import writing
from kalshi_pipelines.warehouse.locks import serialize_transactions
from kalshi_pipelines.warehouse.tables import contract_findings, contract_runs

__all__ = [
    "EndpointResult",
    "FindingNotRecorded",
    "RecordedRun",
    "acknowledge",
    "begin_run",
    "fail_run",
    "finding_with_history",
    "findings",
    "last_success_us",
    "load",
    "open_findings",
    "queue_summary",
    "record",
]

_FINDING_COUNTS: Final = ("findings_opened", "findings_closed")
#: The time after which a contract run that is still running counts as killed.
_KILLED_AFTER_US: Final = 6 * HOUR_US
_MOST_ERROR: Final = 2_000
_LIST_FINDINGS: Final = "List them with `python -m kalshi_pipelines.contracts findings --all`."


class FindingNotRecorded(ExpectedError, ValueError):
    """The error for a run or finding that does not exist, or whose state does not allow the requested change."""


def begin_run(
    engine: sa.Engine, environment: str, source: RunSource, now_us: int, dagster_run_id: str | None = None
) -> int:
    """Begin a contract run, and return its number. Earlier runs that were killed are marked as failed."""
    runs = contract_runs.c
    with writing(engine) as connection:
        killed = sa.and_(runs.status == "running", runs.started_us < now_us - _KILLED_AFTER_US)
        connection.execute(
            sa.update(contract_runs)
            .where(killed)
            .values(status="failed", finished_us=now_us, error="killed: it had not ended after 6 hours")
        )
        counts = dict.fromkeys((*(f"endpoints_{outcome}" for outcome in CheckOutcome), *_FINDING_COUNTS), 0)
        begun = connection.execute(
            sa.insert(contract_runs).values(
                environment=environment,
                source=source.value,
                dagster_run_id=dagster_run_id,
                status="running",
                started_us=now_us,
                **counts,
            )
        )
        return int(begun.inserted_primary_key[0]) if begun.inserted_primary_key else 0


def fail_run(engine: sa.Engine, contract_run_id: int, error: str, now_us: int) -> None:
    """End a run as failed. Nothing that the run observed is kept."""
    runs = contract_runs.c
    with writing(engine) as connection:
        connection.execute(
            sa.update(contract_runs)
            .where(runs.contract_run_id == contract_run_id, runs.status == "running")
            .values(status="failed", finished_us=now_us, error=scrubbed(error, _MOST_ERROR))
        )


def load(engine: sa.Engine, environment: str) -> Mapping[str, Baseline]:
    """Return the baseline of each endpoint in an environment."""
    with engine.connect() as connection:
        return {endpoint: each.baseline for endpoint, each in load_baselines(connection, environment).items()}


def record(
    engine: sa.Engine,
    contract_run_id: int,
    results: Sequence[EndpointResult],
    now_us: int,
    more: Iterable[Difference] = (),
) -> RecordedRun:
    """Record the results of a run in one transaction. Recording the same run again changes nothing.

    Args:
        engine: A warehouse at its newest migration.
        contract_run_id: A run from :func:`begin_run`.
        results: The check result of each answer. Findings of an endpoint without a result stay as they are.
        now_us: When the run ended, in microseconds since 1970 UTC.
        more: Differences that were found by comparing answers with each other.

    Raises:
        FindingNotRecorded: There is no such run.
    """
    with writing(engine) as connection:
        serialize_transactions(connection, "contract_findings")
        run = _select_run(connection, contract_run_id)
        if run.status != "running":
            return RecordedRun(contract_run_id, (), (), select_open_findings(connection, run.environment))
        recording = RunRecording(connection, contract_run_id, run.environment, RunSource(run.source), now_us)
        recorded = recording.record(results, tuple(more))
        put_summary(connection, run.environment, now_us)
        _end_run(connection, recorded, results, now_us)
        return recorded


def queue_summary(engine: sa.Engine, environment: str, now_us: int) -> bool:
    """Put the summary of additions into the outbox if it is due, and return whether it was due.

    Every contract run calls this function, and so does the delivery of alerts.
    """
    with writing(engine) as connection:
        serialize_transactions(connection, "contract_findings")
        return put_summary(connection, environment, now_us)


def acknowledge(engine: sa.Engine, finding_id: int, who: str, why: str, now_us: int) -> Finding:
    """Acknowledge an open finding, so that it sends no further alert until it changes or closes.

    Raises:
        FindingNotRecorded: The finding does not exist or is not open, or the name or the reason is empty.
    """
    by, reason = scrubbed(who.strip(), 100), scrubbed(why.strip())
    if not by or not reason:
        raise FindingNotRecorded("An acknowledgement needs a name and a reason.", "Give both: neither may be empty.")
    with writing(engine) as connection:
        serialize_transactions(connection, "contract_findings")
        found = select_findings(connection, contract_findings.c.finding_id == finding_id)
        if not found:
            raise FindingNotRecorded(f"There is no finding {finding_id}.", _LIST_FINDINGS)
        if found[0].status is not FindingStatus.OPEN:
            raise FindingNotRecorded(
                f"Finding {finding_id} is {found[0].status}: only an open finding can be acknowledged.", _LIST_FINDINGS
            )
        acknowledged = mark_acknowledged(found[0], by, reason, now_us)
        update_finding(connection, acknowledged)
        add_event(connection, acknowledged, FindingEvent.ACKNOWLEDGED, now_us, None)
        return acknowledged


def open_findings(engine: sa.Engine, environment: str) -> tuple[Finding, ...]:
    """Return the open findings of an environment, the gravest first."""
    with engine.connect() as connection:
        return select_open_findings(connection, environment)


def findings(engine: sa.Engine, environment: str, *statuses: FindingStatus) -> tuple[Finding, ...]:
    """Return the findings of an environment in the given states, or in all states, the gravest first."""
    wanted = contract_findings.c.status.in_([status.value for status in statuses or FindingStatus])
    with engine.connect() as connection:
        return tuple(
            sort_by_urgency(select_findings(connection, contract_findings.c.environment == environment, wanted))
        )


def finding_with_history(engine: sa.Engine, finding_id: int) -> tuple[Finding, list[HistoryEntry]]:
    """Return one finding and its history.

    Raises:
        FindingNotRecorded: There is no such finding.
    """
    with engine.connect() as connection:
        found = select_findings(connection, contract_findings.c.finding_id == finding_id)
        if not found:
            raise FindingNotRecorded(f"There is no finding {finding_id}.", _LIST_FINDINGS)
        return found[0], history_of(connection, finding_id)


def last_success_us(engine: sa.Engine, environment: str) -> int | None:
    """Return when the last successful run of probes ended, in microseconds since 1970 UTC.

    ``None`` means that no run of probes has succeeded.
    """
    runs = contract_runs.c
    with engine.connect() as connection:
        finished: int | None = connection.scalar(
            sa.select(sa.func.max(runs.finished_us)).where(
                runs.environment == environment, runs.source == RunSource.PROBES.value, runs.status == "succeeded"
            )
        )
    return finished


def _select_run(connection: sa.Connection, contract_run_id: int) -> sa.Row[Any, Any, Any]:
    runs = contract_runs.c
    run = connection.execute(
        sa.select(runs.environment, runs.source, runs.status).where(runs.contract_run_id == contract_run_id)
    ).one_or_none()
    if run is None:
        raise FindingNotRecorded(f"There is no contract run {contract_run_id}.", "Begin a run first.")
    return run


def _end_run(connection: sa.Connection, recorded: RecordedRun, results: Sequence[EndpointResult], now_us: int) -> None:
    of_endpoints: dict[str, list[CheckOutcome]] = {}
    for result in results:
        of_endpoints.setdefault(result.endpoint, []).append(result.checked.outcome)
    outcomes = Counter(map(best_outcome, of_endpoints.values()))
    is_success = any(outcomes[outcome] for outcome in LOOKED_AT)
    connection.execute(
        sa.update(contract_runs)
        .where(contract_runs.c.contract_run_id == recorded.contract_run_id)
        .values(
            status="succeeded" if is_success else "failed",
            finished_us=now_us,
            error=None if is_success else "no endpoint gave an answer that could be checked",
            findings_opened=len(recorded.news),
            findings_closed=len(recorded.closed),
            **{f"endpoints_{outcome}": outcomes[outcome] for outcome in CheckOutcome},
        )
    )
