"""The command ``maintain``: remove what is old from the warehouse, or report what would be removed."""

import argparse

from kalshi_pipelines.cli.opening import opened_warehouse
from kalshi_pipelines.settings import Settings
from kalshi_pipelines.units import now_us
from kalshi_pipelines.upkeep.inputs import Retention, UpkeepInputs
from kalshi_pipelines.upkeep.maintain import maintain as maintain_warehouse
from kalshi_pipelines.warehouse.migrations import require_head


def maintain(settings: Settings, given: argparse.Namespace) -> int:
    """Print what upkeep removes and what stays. Nothing is changed without ``--for-real``."""
    with opened_warehouse(settings) as engine:
        require_head(engine)
        inputs = UpkeepInputs(engine, Retention.from_settings(settings), now_us(), not given.for_real, print)
        report = maintain_warehouse(inputs)
    print(report)
    print("Dagster's own runs and logs are removed by the job `maintain` only.")
    if report.is_dry_run:
        print("Add --for-real to remove what is listed.")
    return 1 if report.problems else 0
