"""The inputs of every read of history, and the result of reading one day."""

import datetime as dt
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from kalshi_pipelines.history.errors import ReadingStopped
from kalshi_pipelines.kalshi.client import KalshiClient
from kalshi_pipelines.lake.lake import Lake
from kalshi_pipelines.settings import Environment, Settings
from kalshi_pipelines.units import now_us

#: Folder for the parts of days that are not read to their end yet, beside the warehouse.
WORK_FOLDER: Final = "history_work"


class Meter:
    """Rows and requests so far, and the share of the work that is done. Several threads may use one meter."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.rows = 0
        self.requests = 0
        self.fractions: dict[object, float] = {}

    def count(self, rows: int, requests: int = 1) -> None:
        """Add rows and requests."""
        with self._lock:
            self.rows += rows
            self.requests += requests

    def set_fraction(self, part: object, fraction: float) -> None:
        """Set how much of one part of the work is done, from 0 to 1."""
        with self._lock:
            self.fractions[part] = fraction

    @property
    def done(self) -> float:
        """The sum of the fractions of all parts."""
        with self._lock:
            return sum(self.fractions.values())


def _silent(_: str) -> None:
    return


@dataclass(frozen=True)
class HistoryInputs:
    """The inputs of all reads of history.

    Attributes:
        client: The exchange. Several threads may use it at the same time.
        engine: The warehouse, with its schema at head.
        lake: The lake of the warehouse.
        environment: The exchange that the warehouse belongs to.
        work_folder: Folder for parts of days that are not read to their end yet.
        dagster_run_id: The Dagster run that reads.
        report: Called with a sentence for each step.
        meter: Counts rows and requests while they are read.
        stopping: Is set to make every read stop after its present page.
        clock: Returns the present time, in microseconds since 1970 UTC.
        includes_combos: Whether candlesticks and settlements of combos are read, too.
        includes_untraded: Whether candlesticks of all open markets are read, traded or not.
        daily_reports_url: Address of the exchange's daily files that proofs compare; None if they are not read.
    """

    client: KalshiClient
    engine: sa.Engine
    lake: Lake
    environment: Environment
    work_folder: Path
    dagster_run_id: str | None = None
    report: Callable[[str], None] = _silent
    meter: Meter = field(default_factory=Meter)
    stopping: threading.Event = field(default_factory=threading.Event)
    clock: Callable[[], int] = now_us
    includes_combos: bool = False
    includes_untraded: bool = False
    daily_reports_url: str | None = None

    def check_stopping(self) -> None:
        """Raise ReadingStopped if another thread asked every read to stop."""
        if self.stopping.is_set():
            raise ReadingStopped


def work_folder_of(settings: Settings) -> Path:
    """Return the folder for parts of days that are not read to their end yet."""
    return settings.environment_dir / WORK_FOLDER


@dataclass(frozen=True)
class DayRead:
    """The result of reading one day of a dataset.

    Attributes:
        dataset: Name of the dataset.
        day: The day, in the dataset's time zone.
        rows: Rows of the day in the lake.
        added: Rows that the lake did not have before.
        removed: Rows of before that the day does not have any more. Their file is kept in the folder ``superseded``.
        changed: Rows that were there before with other values.
        refused: Records in quarantine.
        holes: Spans of time that the exchange did not serve, as text.
        is_closed: Whether the day is closed.
        is_reopened: Whether the day was closed before and has other rows now.
        content_sha256: Hash of the rows of the day; None if the day has no file.
        seconds: How long the read took.
    """

    dataset: str
    day: dt.date
    rows: int
    added: int = 0
    removed: int = 0
    changed: int = 0
    refused: int = 0
    holes: tuple[str, ...] = ()
    is_closed: bool = False
    is_reopened: bool = False
    content_sha256: str | None = None
    seconds: float = 0.0

    def __str__(self) -> str:
        text = f"{self.dataset} {self.day}: {self.rows:,} rows, {self.added:,} new"
        for number, name in ((self.removed, "removed"), (self.changed, "changed"), (self.refused, "in quarantine")):
            text += f", {number:,} {name}" if number else ""
        text += f", {len(self.holes)} hole{'s' * (len(self.holes) != 1)}" if self.holes else ""
        text += ", reopened by late rows" if self.is_reopened else ", closed" if self.is_closed else ", open"
        return f"{text}, {self.seconds:,.1f} s"
