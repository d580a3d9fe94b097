"""The jobs of a simulated year: the domain functions that the Dagster jobs call, each in a process of its own.

Belongs here: what one process does, and what it measures. Does not belong here: when it runs or is killed (``driver``).
"""

import json
import logging
import os
import resource
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from kalshi_pipelines.execution.journal.engine import journal_url, open_journal
from kalshi_pipelines.execution.journal.reading.tickers import named_tickers
from kalshi_pipelines.ingest.lake_export import ingest_and_export_markets, ingest_and_export_orderbooks
from kalshi_pipelines.ingest.sweeps import ALL_STATUSES, IngestInputs, ingest_events, ingest_named_series, ingest_series
from kalshi_pipelines.kalshi.client import KalshiClient
from kalshi_pipelines.lake.lake import open_lake
from kalshi_pipelines.settings import Settings
from kalshi_pipelines.units import now_us
from kalshi_pipelines.upkeep.inputs import Retention, UpkeepInputs
from kalshi_pipelines.upkeep.maintain import maintain as maintain_warehouse
from kalshi_pipelines.upkeep.maintain import require_complete
from kalshi_pipelines.upkeep.removals import UpkeepReport
from kalshi_pipelines.warehouse.engine import open_engine


@dataclass
class Measures:
    """Measures of one process of a job.

    Attributes:
        seconds: Duration by the machine's clock.
        cpu_seconds: CPU time of the process, in user and system mode.
        statements: SQL statements sent through SQLAlchemy. One call that writes many rows counts once.
        peak_mb: Peak memory of the process.
        parts: Seconds of each part of the job.
        results: Results of the parts, as text.
    """

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    statements: int = 0
    peak_mb: float = 0.0
    written_mb: float = 0.0
    parts: dict[str, float] = field(default_factory=dict)
    results: dict[str, Any] = field(default_factory=dict)
    error: str = ""


class _Parts:
    def __init__(self, measures: Measures) -> None:
        self._measures = measures

    def run(self, name: str, act: Callable[[], object]) -> None:
        began = time.perf_counter()
        result = act()
        self._measures.parts[name] = round(time.perf_counter() - began, 3)
        self._measures.results[name] = _short(result)


def _short(result: object) -> str:
    first = result[0] if isinstance(result, tuple) else result
    return str(getattr(first, "counts", result))[:2_000]


def _inputs(settings: Settings, engine: sa.Engine, client: KalshiClient) -> IngestInputs:
    return IngestInputs(
        client,
        engine,
        settings.environment,
        settled_lookback_hours=settings.resolved_settled_lookback_hours,
    )


def nightly(settings: Settings, engine: sa.Engine, parts: _Parts) -> None:
    """Read the whole exchange, as the job ``nightly`` does."""
    with KalshiClient.from_settings(settings, engine, url=settings.sandbox_url) as client:
        inputs = _inputs(settings, engine, client)
        parts.run("series", lambda: ingest_series(inputs))
        parts.run("events", lambda: ingest_events(inputs))
        parts.run("named series", lambda: ingest_named_series(inputs))
        _quotes_and_books(settings, inputs, parts, ALL_STATUSES)


def snapshot(settings: Settings, engine: sa.Engine, parts: _Parts) -> None:
    """Read quotes and orderbooks of the open markets, as the job ``snapshot`` does."""
    with KalshiClient.from_settings(settings, engine, url=settings.sandbox_url) as client:
        _quotes_and_books(settings, _inputs(settings, engine, client), parts, ("open",))


def _quotes_and_books(settings: Settings, inputs: IngestInputs, parts: _Parts, statuses: Any) -> None:
    lake, engine = open_lake(settings), inputs.engine
    parts.run("markets", lambda: ingest_and_export_markets(nullcontext(inputs), engine, lake, statuses))
    parts.run("orderbooks", lambda: ingest_and_export_orderbooks(nullcontext(inputs), engine, lake))


def maintain(settings: Settings, engine: sa.Engine, parts: _Parts) -> None:
    """Archive, publish, remove and compact, as the job ``maintain`` does."""
    journal = open_journal(journal_url(settings))
    inputs = UpkeepInputs(
        engine=engine,
        lake=open_lake(settings),
        protected=lambda: named_tickers(journal),
        old_folder=settings.resolved_lake_dir,
        backup_folder=settings.environment_dir,
        retention=Retention.from_settings(settings),
        now_us=now_us(),
        is_dry_run=False,
        report=print,
    )

    def act() -> UpkeepReport:
        report = maintain_warehouse(inputs)
        require_complete(report)
        return report

    parts.run("maintain", act)


JOBS: Final[dict[str, Callable[[Settings, sa.Engine, _Parts], None]]] = {
    "nightly": nightly,
    "snapshot": snapshot,
    "maintain": maintain,
}


def run_job(kind: str, result: Path, log: Path) -> None:
    """Run a job in this process, write its measures to a file, and end the process.

    The process is a fork of the tool. Its exit status is 0 if the job ended well.
    """
    target = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(target, 1)
    os.dup2(target, 2)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, force=True)
    measures = Measures()
    began, cpu = time.perf_counter(), _cpu_seconds()

    def count(*_: object) -> None:
        measures.statements += 1

    sa.event.listen(sa.Engine, "before_cursor_execute", count)
    status = 0
    try:
        settings = Settings.from_environment()
        engine = open_engine(settings.resolved_warehouse_url)
        JOBS[kind](settings, engine, _Parts(measures))
        engine.dispose()
    except BaseException as error:  # noqa: BLE001
        traceback.print_exc()
        measures.error = f"{type(error).__name__}: {error}"[:600]
        status = 1
    measures.seconds = round(time.perf_counter() - began, 3)
    measures.cpu_seconds = round(_cpu_seconds() - cpu, 3)
    measures.peak_mb = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)
    measures.written_mb = round(_written_bytes() / 1e6, 3)
    unfinished = result.with_suffix(".unfinished")
    unfinished.write_text(json.dumps(asdict(measures)))
    unfinished.replace(result)
    sys.stderr.flush()
    # A fork must not run the cleanup code of its parent.
    os._exit(status)


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _written_bytes() -> int:
    """Return the bytes that this process caused to be written to disk; 0 where the system does not count them."""
    try:
        lines = Path("/proc/self/io").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("write_bytes")), 0)
