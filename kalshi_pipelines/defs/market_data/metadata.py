"""How an ingest shows in Dagster: its progress in the run log, and its counts and rates on the asset."""

import time
from typing import Any, Final

import dagster as dg
import sqlalchemy as sa

from kalshi_pipelines.bookkeeping.runs import Progress
from kalshi_pipelines.ingest.sweeps import IngestResult
from kalshi_pipelines.lake.publishing import Published

_SECONDS_BETWEEN_LINES: Final = 5.0
_MOST_NAMES: Final = 10


class ProgressLog:
    """Progress of an ingest in the run log: at most one line every five seconds, and one line at the end."""

    def __init__(self, log: dg.DagsterLogManager) -> None:
        self._log = log
        self._last = time.monotonic()

    def __call__(self, progress: Progress) -> None:
        """Log the progress, unless the last line is less than five seconds old."""
        if progress.status != "running" or time.monotonic() - self._last >= _SECONDS_BETWEEN_LINES:
            self._log.info(str(progress))
            self._last = time.monotonic()


def ingest_metadata(engine: sa.Engine, table: sa.Table, done: IngestResult) -> dict[str, Any]:
    """Return the metadata of a materialization: records read, written, unchanged and rejected, and the speed."""
    counts = done.counts
    metadata: dict[str, Any] = {
        "dagster/row_count": _row_count(engine, table),
        "records_read": counts.read,
        "records_written": counts.written,
        "records_unchanged": counts.unchanged,
        "records_rejected": counts.rejected,
        "pages": counts.pages,
        "seconds": round(done.seconds, 3),
        "records_per_second": round(counts.read / done.seconds) if done.seconds else 0,
        "ingest_run_id": done.run_id,
    }
    if done.problems:
        metadata["incomplete_lists"] = "\n".join(done.problems)
    metadata["contract_differences"] = len(done.differences)
    if done.differences:
        metadata["contract_difference_examples"] = "\n".join(
            f"{each.severity}: {each.endpoint} {each.place} {each.kind}" for each in done.differences[:_MOST_NAMES]
        )
    if counts.placeholders:
        metadata["placeholders_made"] = counts.placeholders
    if done.unknown_fields:
        metadata["unknown_fields"] = ", ".join(sorted(done.unknown_fields))
    if done.missing:
        metadata["not_answered"] = len(done.missing)
        metadata["not_answered_examples"] = ", ".join(done.missing[:_MOST_NAMES])
    return metadata


def export_metadata(engine: sa.Engine, table: sa.Table, done: IngestResult, published: Published) -> dict[str, Any]:
    """Return the metadata of a materialization that also writes files to the lake.

    The result is ``ingest_metadata`` plus three numbers: added history rows, rows added to the lake, and bytes of the
    replaced files. If a file was replaced, the result also has the path of the last file in the lake. If rows wait for
    the next publish, the result has their days.
    """
    metadata = ingest_metadata(engine, table, done) | {
        "history_rows_added": done.counts.history_rows,
        "lake_rows": sum(file.added for file in published.files),
        "lake_bytes": sum(file.bytes for file in published.files),
    }
    if published.files:
        metadata["lake_file"] = published.files[-1].path
    if published.deferred_days:
        metadata["lake_waiting_days"] = ", ".join(day.isoformat() for day in published.deferred_days)
    return metadata


def _row_count(engine: sa.Engine, table: sa.Table) -> int:
    with engine.connect() as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0
