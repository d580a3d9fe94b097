"""Whether vendors were checked lately: a run that does not happen finds nothing, and must not look like health."""

from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from kalshi_pipelines.alerts import outbox
from kalshi_pipelines.alerts.messages import Message, moment
from kalshi_pipelines.alerts.outbox import Alert
from kalshi_pipelines.contracts.store import last_success_us
from kalshi_pipelines.settings import AlertSeverity
from kalshi_pipelines.units import MICROSECONDS_PER_SECOND
from kalshi_pipelines.warehouse.engine import writing
from kalshi_pipelines.warehouse.tables import contract_runs, ingest_runs

LONGEST_US: Final = 24 * 3_600 * MICROSECONDS_PER_SECOND
_COMMAND: Final = "dagster job execute -m kalshi_pipelines -j contract_checks"


@dataclass(frozen=True)
class Freshness:
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


def freshness(engine: sa.Engine, environment: str, now_us: int) -> Freshness:
    """Whether a contract run of an environment succeeded within 24 hours."""
    last = last_success_us(engine, environment)
    if last is not None and now_us - last < LONGEST_US:
        return Freshness(True, last, f"the last contract run of {environment} succeeded {moment(last)}")
    since = "ever" if last is None else f"since {moment(last)}"
    live = "" if environment == "sandbox" else " with KALSHI_RUN_LIVE_API=1"
    return Freshness(False, last, f"no contract run of {environment} succeeded {since}: run `{_COMMAND}`{live}")


def alert_if_overdue(engine: sa.Engine, environment: str, now_us: int, since_us: int | None = None) -> Freshness:
    """Put one alert into the outbox for each time without a successful contract run that lasts 24 hours.

    Args:
        engine: A warehouse at head.
        environment: Whose runs.
        now_us: The present instant.
        since_us: When somebody began to look: where nothing was ever run, the 24 hours count from there.
    """
    fresh = freshness(engine, environment, now_us)
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
