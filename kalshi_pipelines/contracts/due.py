"""When the next contract run is due: follows from the warehouse and the time alone, whatever was restarted.

Belongs here: how far runs are apart, jitter, back-off. Does not belong here: what a run does (``runs``), and telling
people that none happens (``overdue``).
"""

import hashlib
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from kalshi_pipelines.contracts.life_cycle import Source
from kalshi_pipelines.settings import Environment
from kalshi_pipelines.units import MICROSECONDS_PER_SECOND
from kalshi_pipelines.warehouse.tables import contract_runs

_MINUTE_US: Final = 60 * MICROSECONDS_PER_SECOND
_HOUR_US: Final = 60 * _MINUTE_US
#: Runs begin at least so often, less up to the jitter, so that six hours hold with a slow daemon.
EVERY_US: Final = 5 * _HOUR_US + 30 * _MINUTE_US
JITTER_US: Final = 45 * _MINUTE_US
FIRST_BACK_OFF_US: Final = 10 * _MINUTE_US
#: A run that has not ended after so long is taken for dead.
_DEAD_AFTER_US: Final = _HOUR_US


@dataclass(frozen=True)
class Due:
    """Whether a run is due.

    Attributes:
        key: The same for the same run; ``None`` if none is due.
        why: One sentence.
    """

    key: str | None
    why: str


def due(engine: sa.Engine, environment: Environment, now_us: int) -> Due:
    """Whether a run of probes is due: five to six hours after the last, sooner after a failed one, at once if none was.

    Follows from the warehouse and the time alone, so that nothing is forgotten while no daemon runs.
    """
    runs = contract_runs.c
    with engine.connect() as connection:
        last = connection.execute(
            sa.select(runs.contract_run_id, runs.status, runs.started_us)
            .where(runs.environment == environment.value, runs.source == Source.PROBES.value)
            .order_by(runs.contract_run_id.desc())
            .limit(8)
        ).all()
    # A request that was lost is made again in the next hour: run keys are remembered for ever.
    hour = now_us // _HOUR_US
    if not last:
        return Due(f"contracts:{environment.value}:0:{hour}", "no contract run yet")
    newest = last[0]
    if newest.status == "running" and now_us - newest.started_us < _DEAD_AFTER_US:
        return Due(None, f"contract run {newest.contract_run_id} is running")
    failures = next((number for number, run in enumerate(last) if run.status == "succeeded"), len(last))
    wait = _wait_us(newest.contract_run_id, failures)
    at = newest.started_us + wait
    if now_us < at:
        return Due(None, f"the next contract run is due in {(at - now_us) // _MINUTE_US} minutes")
    key = f"contracts:{environment.value}:{newest.contract_run_id}:{hour}"
    return Due(key, f"{(now_us - newest.started_us) // _MINUTE_US} minutes since the last contract run began")


def _wait_us(run_id: int, failures: int) -> int:
    # Derived, not drawn: the same run has the same jitter for every daemon.
    draw = int.from_bytes(hashlib.sha256(str(run_id).encode()).digest()[:4], "big")
    jitter = draw * JITTER_US // 2**32
    if failures:
        return min(FIRST_BACK_OFF_US << (failures - 1), EVERY_US - JITTER_US) + jitter // 10
    return EVERY_US - jitter
