"""The health of the contract checks themselves.

The warehouse answers three questions. When is the next run due (``next_run``)? Is the last successful run fresh
(``check_freshness``)? Is each endpoint being checked (``endpoint_health``)?
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from kalshi_pipelines.alerts import outbox
from kalshi_pipelines.alerts.messages import Message, moment
from kalshi_pipelines.alerts.outbox import Alert
from kalshi_pipelines.contracts.findings.life_cycle import RunSource
from kalshi_pipelines.contracts.findings.store import last_success_us
from kalshi_pipelines.contracts.probing import exchange_probes, other_vendor_probes
from kalshi_pipelines.contracts.runs import environment_to_check
from kalshi_pipelines.settings import AlertSeverity, Environment, Settings
from kalshi_pipelines.units import DAY_US, HOUR_US, MINUTE_US
from kalshi_pipelines.warehouse.engine import writing
from kalshi_pipelines.warehouse.tables import contract_endpoints, contract_runs, ingest_runs

#: The longest time from the start of one contract run until the next run is due. A jitter makes this time shorter. At
#: most six hours may pass between two runs, so half an hour is left for a slow Dagster daemon to start the next run.
RUN_INTERVAL_US: Final = 5 * HOUR_US + 30 * MINUTE_US
#: The largest jitter, which is subtracted from ``RUN_INTERVAL_US``. The next contract run is thus due 4 h 45 min to 5 h
#: 30 min after the last run began.
JITTER_US: Final = 45 * MINUTE_US
#: The time from the start of the first failed contract run until the next run is due. This time doubles with each
#: further failure in a row, up to 4 h 45 min. A tenth of the jitter is added.
FIRST_BACK_OFF_US: Final = 10 * MINUTE_US
#: How long a successful contract run, or the check of one endpoint, counts as fresh.
FRESH_FOR_US: Final = DAY_US
#: The time after which a contract run that has not ended counts as dead.
_DEAD_AFTER_US: Final = HOUR_US
_COMMAND: Final = "dagster job execute -m kalshi_pipelines -j contract_checks"


@dataclass(frozen=True)
class NextRun:
    """The answer to the question whether a contract run is due.

    Attributes:
        key: The Dagster run key. Repeated requests for the same run have the same key. ``None`` if no run is due.
        why: The reason, as a short text.
    """

    key: str | None
    why: str


def next_run(engine: sa.Engine, environment: Environment, now_us: int) -> NextRun:
    """Return whether a run of probes is due, and why.

    A run is due 4 h 45 min to 5 h 30 min after the last run began. After a failed run it is due sooner, and in a new
    warehouse at once. The answer depends only on the warehouse and the time, so no run is forgotten while the daemon is
    stopped.
    """
    runs = contract_runs.c
    with engine.connect() as connection:
        last = connection.execute(
            sa.select(runs.contract_run_id, runs.status, runs.started_us)
            .where(runs.environment == environment.value, runs.source == RunSource.PROBES.value)
            .order_by(runs.contract_run_id.desc())
            .limit(8)
        ).all()
    # Dagster never starts two runs for the same run key. The key contains the hour, so that a lost request is repeated
    # in the next hour.
    hour = now_us // HOUR_US
    if not last:
        return NextRun(f"contracts:{environment.value}:0:{hour}", "no contract run yet")
    newest = last[0]
    if newest.status == "running" and now_us - newest.started_us < _DEAD_AFTER_US:
        return NextRun(None, f"contract run {newest.contract_run_id} is running")
    failures = next((number for number, run in enumerate(last) if run.status == "succeeded"), len(last))
    wait = _wait_us(newest.contract_run_id, failures)
    at = newest.started_us + wait
    if now_us < at:
        return NextRun(None, f"the next contract run is due in {(at - now_us) // MINUTE_US} minutes")
    key = f"contracts:{environment.value}:{newest.contract_run_id}:{hour}"
    return NextRun(key, f"{(now_us - newest.started_us) // MINUTE_US} minutes since the last contract run began")


def _wait_us(run_id: int, failures: int) -> int:
    # The jitter is a hash of the run number, so that every daemon computes the same jitter.
    draw = int.from_bytes(hashlib.sha256(str(run_id).encode()).digest()[:4], "big")
    jitter = draw * JITTER_US // 2**32
    if failures:
        return min(FIRST_BACK_OFF_US << (failures - 1), RUN_INTERVAL_US - JITTER_US) + jitter // 10
    return RUN_INTERVAL_US - jitter


@dataclass(frozen=True)
class CheckFreshness:
    """How recent the last successful contract run is.

    Attributes:
        is_fresh: Whether the last successful run ended less than 24 hours ago.
        last_us: When that run ended, in microseconds since 1970 UTC; ``None`` if no run succeeded yet.
        sentence: The freshness as text for people, with the command to run if the checks are not fresh.
    """

    is_fresh: bool
    last_us: int | None
    sentence: str

    @property
    def state(self) -> str:
        """A text that changes whenever the freshness or the time of the last successful run changes."""
        return f"{self.is_fresh}:{self.last_us}"


def check_freshness(engine: sa.Engine, environment: str, now_us: int) -> CheckFreshness:
    """Return whether a contract run of an environment succeeded within the last 24 hours."""
    last = last_success_us(engine, environment)
    if last is not None and now_us - last < FRESH_FOR_US:
        return CheckFreshness(True, last, f"the last contract run of {environment} succeeded {moment(last)}")
    since = "ever" if last is None else f"since {moment(last)}"
    live = "" if environment == "sandbox" else " with KALSHI_RUN_LIVE_API=1"
    return CheckFreshness(False, last, f"no contract run of {environment} succeeded {since}: run `{_COMMAND}`{live}")


def alert_if_overdue(engine: sa.Engine, environment: str, now_us: int, since_us: int | None = None) -> CheckFreshness:
    """Put an alert into the outbox if no contract run succeeded for 24 hours.

    Until a run succeeds, further calls add no second alert.

    Args:
        engine: A warehouse at its newest migration.
        environment: The environment of the runs.
        now_us: The present instant, in microseconds since 1970 UTC.
        since_us: When the caller checked for the first time. If no contract run ever succeeded, the 24 hours begin at
        this instant, or at the first contract run or ingest run if that was earlier.
    """
    fresh = check_freshness(engine, environment, now_us)
    if fresh.is_fresh or now_us - (fresh.last_us or _first_us(engine, since_us or now_us)) < FRESH_FOR_US:
        return fresh
    message = Message(f"No contract run of {environment} for 24 hours", f"Vendors may have changed: {fresh.sentence}.")
    key = f"overdue:{environment}:{fresh.last_us or 0}"
    with writing(engine) as connection:
        outbox.put(connection, Alert(key, "overdue", AlertSeverity.BREAKING, message), now_us)
    return fresh


def _first_us(engine: sa.Engine, since_us: int) -> int:
    """Return when this warehouse was first used or checked, so that a new warehouse is not reported as overdue."""
    with engine.connect() as connection:
        times = [
            connection.scalar(sa.select(sa.func.min(table.c.started_us))) for table in (contract_runs, ingest_runs)
        ]
    return min(int(time) for time in (since_us, *times) if time is not None)


@dataclass(frozen=True)
class EndpointHealth:
    """The answer to the question whether one endpoint is being checked.

    Attributes:
        is_checked: Whether an answer was compared within 24 hours, and no setting stops further checks.
        sentence: When the endpoint was last checked, and why it is not checked now.
    """

    is_checked: bool
    sentence: str


def endpoint_health(
    engine: sa.Engine, settings: Settings, endpoints: Iterable[str], now_us: int
) -> Mapping[str, EndpointHealth]:
    """Return for each endpoint whether contract runs are checking it, in the environment that the settings choose."""
    environment = environment_to_check(settings).value
    why_not = {
        **exchange_probes.exchange_skip_reasons(
            environment, has_key=bool(settings.api_key_id and settings.private_key_file)
        ),
        **other_vendor_probes.vendor_skip_reasons(settings),
    }
    rows = contract_endpoints.c
    with engine.connect() as connection:
        query = sa.select(rows.endpoint, rows.last_checked_us, rows.last_outcome).where(rows.environment == environment)
        known = {row.endpoint: (row.last_checked_us, row.last_outcome) for row in connection.execute(query)}
    return {
        endpoint: _standing(*known.get(endpoint, (None, None)), why_not.get(endpoint, ""), now_us)
        for endpoint in endpoints
    }


def _standing(checked_us: int | None, outcome: str | None, why_not: str, now_us: int) -> EndpointHealth:
    last = "never checked" if checked_us is None else f"last checked {moment(checked_us)}"
    if why_not:
        return EndpointHealth(False, f"skipped: {why_not} ({last})")
    if checked_us is not None and now_us - checked_us < FRESH_FOR_US:
        return EndpointHealth(True, last)
    if outcome is None:
        return EndpointHealth(
            False, f"{last}: no run has probed it yet, or other answers lacked a value that its probe needs"
        )
    return EndpointHealth(False, f"{last}: the outcome of the last probe was '{outcome}'")
