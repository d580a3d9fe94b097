"""Contract findings from the answers of a news run."""

from collections.abc import Sequence

import sqlalchemy as sa

from kalshi_pipelines.contracts.comparison.checking import CheckOutcome, CheckResult
from kalshi_pipelines.contracts.findings.life_cycle import RunSource
from kalshi_pipelines.contracts.findings.recording import EndpointResult
from kalshi_pipelines.contracts.findings.store import begin_run, record
from kalshi_pipelines.contracts.language.differences import Difference, merge_differences
from kalshi_pipelines.news.providers.exa import ENDPOINT
from kalshi_pipelines.settings import Environment
from kalshi_pipelines.units import now_us


def record_differences(
    engine: sa.Engine,
    environment: Environment,
    answers: int,
    differences: Sequence[Difference],
    dagster_run_id: str | None,
) -> None:
    """Record differences between answers and their contracts as findings. Do nothing if no answer was compared."""
    if not answers:
        return
    run = begin_run(engine, environment, RunSource.INGEST, now_us(), dagster_run_id)
    checked = CheckResult(CheckOutcome.CHECKED, merge_differences(differences), None)
    record(engine, run, [EndpointResult(ENDPOINT, checked)], now_us())
