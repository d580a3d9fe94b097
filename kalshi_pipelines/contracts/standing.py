"""What is known of each endpoint now: when an answer of it was last compared, or why none was.

An endpoint without a finding is not well because of that: it may never have been asked.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from kalshi_pipelines.alerts.messages import moment
from kalshi_pipelines.contracts import other_probes, probes
from kalshi_pipelines.contracts.overdue import LONGEST_US
from kalshi_pipelines.contracts.runs import asked_environment
from kalshi_pipelines.settings import Settings
from kalshi_pipelines.warehouse.tables import contract_endpoints

_NEVER: Final = "never checked"


@dataclass(frozen=True)
class Standing:
    """What is known of one endpoint.

    Attributes:
        is_checked: Whether an answer was compared within 24 hours, and will be again.
        sentence: When that was; or since when and why not.
    """

    is_checked: bool
    sentence: str


def standings(engine: sa.Engine, settings: Settings, endpoints: Iterable[str], now_us: int) -> Mapping[str, Standing]:
    """The standing of each endpoint in the environment that is asked."""
    environment = asked_environment(settings).value
    why_not = {
        **probes.skipped(environment, has_key=bool(settings.api_key_id and settings.private_key_file)),
        **other_probes.skipped(settings),
    }
    rows = contract_endpoints.c
    with engine.connect() as connection:
        asked = sa.select(rows.endpoint, rows.last_checked_us, rows.last_outcome).where(rows.environment == environment)
        known = {row.endpoint: (row.last_checked_us, row.last_outcome) for row in connection.execute(asked)}
    return {
        endpoint: _standing(*known.get(endpoint, (None, None)), why_not.get(endpoint, ""), now_us)
        for endpoint in endpoints
    }


def _standing(checked_us: int | None, outcome: str | None, why_not: str, now_us: int) -> Standing:
    last = _NEVER if checked_us is None else f"last checked {moment(checked_us)}"
    if why_not:
        return Standing(False, f"skipped: {why_not} ({last})")
    if checked_us is not None and now_us - checked_us < LONGEST_US:
        return Standing(True, last)
    if outcome is None:
        return Standing(False, f"{last}: it has not been asked yet, or what is needed to ask was not in other answers")
    return Standing(False, f"{last}: what came the last time is '{outcome}'")
