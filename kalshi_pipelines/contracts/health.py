"""Whether contract checks run: when the next run is due, whether one is overdue, and what is known of each endpoint."""

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

#: Runs begin at least so often, less up to the jitter, so that six hours hold with a slow daemon.
EVERY_US: Final = 5 * HOUR_US + 30 * MINUTE_US
JITTER_US: Final = 45 * MINUTE_US
FIRST_BACK_OFF_US: Final = 10 * MINUTE_US
#: A run that has not ended after so long is taken for dead.
_DEAD_AFTER_US: Final = HOUR_US


@dataclass(frozen=True)
class NextRun:
    """Whether a run is due.

    Attributes:
        key: The same for the same run; ``None`` if none is due.
        why: One sentence.
    """

    key: str | None
    why: str


def next_run(engine: sa.Engine, environment: Environment, now_us: int) -> NextRun:
    """Whether a run of probes is due: five to six hours after the last, sooner after a failed one, at once if none was.

    Follows from the warehouse and the time alone, so that nothing is forgotten while no daemon runs.
    """
    runs = contract_runs.c
    with engine.connect() as connection:
        last = connection.execute(
            sa.select(runs.contract_run_id, runs.status, runs.started_us)
            .where(runs.environment == environment.value, runs.source == RunSource.PROBES.value)
            .order_by(runs.contract_run_id.desc())
            .limit(8)
        ).all()
    # A request that was lost is made again in the next hour: run keys are remembered for ever.
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
    # Derived, not drawn: the same run has the same jitter for every daemon.
    draw = int.from_bytes(hashlib.sha256(str(run_id).encode()).digest()[:4], "big")
    jitter = draw * JITTER_US // 2**32
    if failures:
        return min(FIRST_BACK_OFF_US << (failures - 1), EVERY_US - JITTER_US) + jitter // 10
    return EVERY_US - jitter


LONGEST_US: Final = DAY_US
_COMMAND: Final = "dagster job execute -m kalshi_pipelines -j contract_checks"


@dataclass(frozen=True)
class CheckFreshness:
    """How long ago the last successful contract run was.

    Attributes:
        is_fresh: Whether that is less than 24 hours.
        last_us: When it ended; ``None`` if there was none.
        sentence: The same for people, with what to do.
    """

    is_fresh: bool
    last_us: int | None
    sentence: str

    @property
    def state(self) -> str:
        """Changes when there is something new to show."""
        return f"{self.is_fresh}:{self.last_us}"


def check_freshness(engine: sa.Engine, environment: str, now_us: int) -> CheckFreshness:
    """Whether a contract run of an environment succeeded within 24 hours."""
    last = last_success_us(engine, environment)
    if last is not None and now_us - last < LONGEST_US:
        return CheckFreshness(True, last, f"the last contract run of {environment} succeeded {moment(last)}")
    since = "ever" if last is None else f"since {moment(last)}"
    live = "" if environment == "sandbox" else " with KALSHI_RUN_LIVE_API=1"
    return CheckFreshness(False, last, f"no contract run of {environment} succeeded {since}: run `{_COMMAND}`{live}")


def alert_if_overdue(engine: sa.Engine, environment: str, now_us: int, since_us: int | None = None) -> CheckFreshness:
    """Put one alert into the outbox for each time without a successful contract run that lasts 24 hours.

    Args:
        engine: A warehouse at head.
        environment: Whose runs.
        now_us: The present instant.
        since_us: When somebody began to look: where nothing was ever run, the 24 hours count from there.
    """
    fresh = check_freshness(engine, environment, now_us)
    if fresh.is_fresh or now_us - (fresh.last_us or _first_us(engine, since_us or now_us)) < LONGEST_US:
        return fresh
    message = Message(f"No contract run of {environment} for 24 hours", f"Vendors may have changed: {fresh.sentence}.")
    key = f"overdue:{environment}:{fresh.last_us or 0}"
    with writing(engine) as connection:
        outbox.put(connection, Alert(key, "overdue", AlertSeverity.BREAKING, message), now_us)
    return fresh


def _first_us(engine: sa.Engine, since_us: int) -> int:
    """When anything was first run or looked at on this warehouse: a new one is not overdue."""
    with engine.connect() as connection:
        times = [
            connection.scalar(sa.select(sa.func.min(table.c.started_us))) for table in (contract_runs, ingest_runs)
        ]
    return min(int(time) for time in (since_us, *times) if time is not None)


_NEVER: Final = "never checked"


@dataclass(frozen=True)
class EndpointHealth:
    """What is known of one endpoint.

    Attributes:
        is_checked: Whether an answer was compared within 24 hours, and will be again.
        sentence: When that was; or since when and why not.
    """

    is_checked: bool
    sentence: str


def endpoint_health(
    engine: sa.Engine, settings: Settings, endpoints: Iterable[str], now_us: int
) -> Mapping[str, EndpointHealth]:
    """The standing of each endpoint in the environment that is asked."""
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
    last = _NEVER if checked_us is None else f"last checked {moment(checked_us)}"
    if why_not:
        return EndpointHealth(False, f"skipped: {why_not} ({last})")
    if checked_us is not None and now_us - checked_us < LONGEST_US:
        return EndpointHealth(True, last)
    if outcome is None:
        return EndpointHealth(
            False, f"{last}: it has not been asked yet, or what is needed to ask was not in other answers"
        )
    return EndpointHealth(False, f"{last}: what came the last time is '{outcome}'")
