"""The inputs of every task of upkeep: the databases, how long rows are kept, and the present time."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from kalshi_pipelines.lake.lake import Lake
from kalshi_pipelines.settings import Settings
from kalshi_pipelines.units import DAY_US

#: Rows removed in one transaction. A transaction of this size takes well under a second, so that ingests do not wait.
ROWS_AT_ONCE: Final = 5_000


@dataclass(frozen=True)
class Retention:
    """How long rows and files are kept, in days, and how many backups."""

    history_days: int
    settled_days: int
    records_days: int
    backups: int

    @classmethod
    def from_settings(cls, settings: Settings) -> "Retention":
        """Return the retention that the settings ask for."""
        return cls(settings.keep_days, settings.keep_settled_days, settings.keep_records_days, settings.keep_backups)


@dataclass(frozen=True)
class UpkeepInputs:
    """The inputs of all tasks.

    Attributes:
        engine: The warehouse, with its schema at head.
        lake: The lake of the warehouse.
        protected: Returns the tickers of markets that the journal of orders names. They never leave the warehouse.
        old_folder: The folder to which older versions exported history.
        backup_folder: The folder of the backups of a warehouse on Postgres.
        retention: How long rows and files are kept.
        now_us: The present time, in microseconds since 1970 UTC.
        is_dry_run: Whether the tasks only count what they would remove.
        report: Called with a sentence for each step.
    """

    engine: sa.Engine
    lake: Lake
    protected: Callable[[], frozenset[str]]
    old_folder: Path
    backup_folder: Path
    retention: Retention
    now_us: int
    is_dry_run: bool
    report: Callable[[str], None]

    def before_us(self, days: int) -> int:
        """Return the instant that was ``days`` days ago."""
        return self.now_us - days * DAY_US
