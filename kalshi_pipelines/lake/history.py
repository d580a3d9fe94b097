"""Publishing the rows of history tables to the lake, run by run.

A run is marked as exported when all of its rows are in the lake. An interrupted publish is repeated, which changes
nothing that was already published.
"""

from collections.abc import Iterable, Sequence

import sqlalchemy as sa

from kalshi_pipelines.lake.buffers import HistoryBuffer, days_of, rows_by_day
from kalshi_pipelines.lake.lake import Lake
from kalshi_pipelines.lake.publishing import Published, hold_lake
from kalshi_pipelines.units import now_us
from kalshi_pipelines.warehouse.engine import writing
from kalshi_pipelines.warehouse.tables import ingest_runs


def publish_history(lake: Lake, engine: sa.Engine, buffer: HistoryBuffer, *, now: bool = False) -> Published:
    """Publish the history rows of every ended run that is not in the lake yet.

    A run stays unexported while a large file of one of its days is too recent to be replaced, unless ``now`` is true.

    Raises:
        ConflictingRows: The lake has a different row with the same key.
        LakeFileChanged: A file is not the file that the manifest describes.
        LakeOfAnotherWarehouse: The lake belongs to another warehouse or environment.
        LakeUnavailable: The lake cannot be read or written.
    """
    with hold_lake(engine, lake.store, lake.environment) as writer:
        days_of_runs = {run: days_of(engine, buffer, run) for run in _pending_runs(engine, buffer.subjects)}
        by_day = rows_by_day(engine, buffer, days_of_runs)
        source = _name_runs(days_of_runs)
        published = writer.publish(buffer.dataset, by_day, source, now=now)
        done = [run for run, days in days_of_runs.items() if not days & set(published.deferred_days)]
        if done:
            with writing(engine) as connection:
                exported = sa.update(ingest_runs).where(ingest_runs.c.ingest_run_id.in_(done))
                connection.execute(exported.values(exported_us=now_us()))
    return published


def _pending_runs(engine: sa.Engine, subjects: Sequence[str]) -> list[int]:
    runs = ingest_runs.c
    pending = (
        sa.select(runs.ingest_run_id)
        .where(runs.subject.in_(subjects), runs.status != "running", runs.exported_us.is_(None), runs.history_rows > 0)
        .order_by(runs.ingest_run_id)
    )
    with engine.connect() as connection:
        return list(connection.scalars(pending))


def publish_again(engine: sa.Engine, buffer: HistoryBuffer) -> None:
    """Let the next publish merge all rows of the history table again, after files of the lake were lost or replaced."""
    runs = ingest_runs.c
    with_rows = sa.select(buffer.table.c.ingest_run_id).distinct()
    with writing(engine) as connection:
        connection.execute(sa.update(ingest_runs).where(runs.ingest_run_id.in_(with_rows)).values(exported_us=None))


def _name_runs(runs: Iterable[int]) -> str:
    numbers = sorted(runs)
    if len(numbers) < 2:
        return "".join(f"run {number}" for number in numbers)
    return f"runs {numbers[0]} to {numbers[-1]}"
