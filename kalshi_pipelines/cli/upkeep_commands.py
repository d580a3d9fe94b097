"""The command ``maintain``: remove what is old from the warehouse, or report what would be removed."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from kalshi_pipelines.cli.opening import opened_warehouse
from kalshi_pipelines.execution.journal.engine import journal_url, open_journal
from kalshi_pipelines.execution.journal.reading.tickers import named_tickers
from kalshi_pipelines.lake.lake import open_lake
from kalshi_pipelines.settings import Settings
from kalshi_pipelines.units import now_us
from kalshi_pipelines.upkeep.inputs import Retention, UpkeepInputs
from kalshi_pipelines.upkeep.maintain import maintain as maintain_warehouse
from kalshi_pipelines.warehouse.migrations import require_head


def maintain(settings: Settings, given: argparse.Namespace) -> int:
    """Print what upkeep removes and what stays. Nothing is changed without ``--for-real``."""
    with opened_warehouse(settings) as engine, _opened_journal(settings) as journal:
        require_head(engine)
        inputs = UpkeepInputs(
            engine=engine,
            lake=open_lake(settings),
            protected=lambda: named_tickers(journal),
            old_folder=settings.resolved_lake_dir,
            backup_folder=settings.environment_dir,
            retention=Retention.from_settings(settings),
            now_us=now_us(),
            is_dry_run=not given.for_real,
            report=print,
        )
        report = maintain_warehouse(inputs)
    print(report)
    print("Dagster's own runs and logs are removed by the job `maintain` only.")
    if report.is_dry_run:
        print("Add --for-real to remove what is listed.")
    return 1 if report.problems else 0


@contextmanager
def _opened_journal(settings: Settings) -> Iterator[sa.Engine]:
    engine = open_journal(journal_url(settings))
    try:
        yield engine
    finally:
        engine.dispose()
