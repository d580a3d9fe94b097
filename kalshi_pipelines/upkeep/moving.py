"""The move of history that an older version kept in the warehouse for ever.

The upgrade to this version notes how many rows each history table has. Then the rows of each trading day are published,
read back and compared, and removed from the warehouse, except those of the last days. A killed move goes on with the
day at which it ended. At its end, the rows removed and the rows kept must add up to the rows noted.
"""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from kalshi_pipelines.errors import ExpectedError
from kalshi_pipelines.lake.buffers import (
    ORDERBOOKS,
    PRICES,
    ROWS_AT_ONCE,
    BufferedRows,
    HistoryBuffer,
    days_of,
    rows_by_day,
)
from kalshi_pipelines.lake.lake import Lake
from kalshi_pipelines.lake.publishing import LakeWriter, hold_lake
from kalshi_pipelines.lake.removal import require_in_lake
from kalshi_pipelines.units import DAY_US
from kalshi_pipelines.upkeep.inputs import UpkeepInputs
from kalshi_pipelines.upkeep.removals import Removal
from kalshi_pipelines.upkeep.superseded import SUPERSEDED, SetAside, files_set_aside, set_aside_old_files
from kalshi_pipelines.warehouse.engine import writing
from kalshi_pipelines.warehouse.locks import hold_work_lock
from kalshi_pipelines.warehouse.space import release_free_pages
from kalshi_pipelines.warehouse.tables import history_moves, ingest_runs

_SOURCE: Final = "upgrade"
_BUFFERS: Final = (PRICES, ORDERBOOKS)
_MOST_PATHS: Final = 20


class HistoryNotMoved(ExpectedError):
    """Rows removed and rows kept do not add up to the rows that the upgrade noted."""


@dataclass(frozen=True)
class MovedDataset:
    """The rows of one history table: those before, those that only the lake has now, and those that stay some days."""

    dataset: str
    rows_before: int
    rows_removed: int
    rows_kept: int

    def __str__(self) -> str:
        return (
            f"{self.dataset}: {self.rows_before:,} rows before = {self.rows_removed:,} now in the lake only"
            f" + {self.rows_kept:,} in the lake and still in SQL"
        )


@dataclass(frozen=True)
class HistoryMove:
    """The result of a move.

    Attributes:
        datasets: The rows of each history table.
        files: Files of the older layout that were set aside.
        note: Anything else that a person must know; empty in most cases.
    """

    datasets: tuple[MovedDataset, ...]
    files: tuple[SetAside, ...]
    note: str = ""

    def __str__(self) -> str:
        lines = ["The history of an older version has moved to the lake.", *map(str, self.datasets)]
        if self.files:
            lines.append(f"{len(self.files):,} files of the older layout were set aside in the lake's {SUPERSEDED}/.")
        odd = [file for file in self.files if file.rows_not_in_warehouse or file.problem]
        lines += [f"{SUPERSEDED}/{file.path}: {_describe(file)}" for file in odd[:_MOST_PATHS]]
        if len(odd) > _MOST_PATHS:
            lines.append(f"{len(odd) - _MOST_PATHS:,} more such files are in the table superseded_files.")
        return "\n".join([*lines, *([self.note] if self.note else [])])


def _describe(file: SetAside) -> str:
    if file.problem:
        return f"cannot be read ({file.problem})"
    return f"{file.rows_not_in_warehouse:,} of {file.rows:,} rows are not in this warehouse and were not published"


def has_history_to_move(engine: sa.Engine) -> bool:
    """Return whether the warehouse has history of an older version that was not moved completely."""
    with engine.connect() as connection:
        return bool(_unfinished(connection))


def move_history(
    engine: sa.Engine, lake: Lake, old_folder: Path, keep_days: int, now_us: int, report: Callable[[str], None]
) -> HistoryMove | None:
    """Move the history of an older version to the lake; return None if there is none to move.

    Args:
        engine: The warehouse, with its schema at head.
        lake: The lake of the warehouse.
        old_folder: The folder to which older versions exported.
        keep_days: Days that rows of quotes stay in the warehouse.
        now_us: The present time.
        report: Called with a sentence for each step.

    Raises:
        HistoryNotMoved: Some rows are unaccounted for.
        LakeOfAnotherWarehouse: The lake belongs to another warehouse or environment.
        LakeUnavailable: The lake cannot be read or written.
        AlreadyRunning: An ingest or another move is running.
    """
    if not has_history_to_move(engine):
        return None
    with hold_work_lock(engine, "history_move"):
        set_aside_old_files(engine, old_folder, report)
        for buffer in _BUFFERS:
            before_us = now_us if buffer is ORDERBOOKS else now_us - keep_days * DAY_US
            _move(engine, lake, buffer, before_us, now_us, report)
    note = release_free_pages(engine) if engine.dialect.name == "sqlite" else ""
    return HistoryMove(_moved(engine), tuple(files_set_aside(engine)), note)


def move_older_history(inputs: UpkeepInputs) -> list[Removal]:
    """Do the move as a task of upkeep, if the upgrade did not do it or was interrupted."""
    if not has_history_to_move(inputs.engine):
        return []
    if not inputs.is_dry_run:
        move = move_history(
            inputs.engine, inputs.lake, inputs.old_folder, inputs.retention.history_days, inputs.now_us, inputs.report
        )
        inputs.report(str(move))
    return [
        Removal(f"older history rows of {one.dataset}", _removed(inputs, one), one.rows_kept, "in the lake")
        for one in _moved(inputs.engine)
    ]


def _removed(inputs: UpkeepInputs, moved: MovedDataset) -> int:
    return moved.rows_before - moved.rows_removed if inputs.is_dry_run else moved.rows_removed


def _unfinished(connection: sa.Connection) -> dict[str, int]:
    """Return the datasets whose rows have yet to move, each with the last run whose rows move."""
    columns = history_moves.c
    query = sa.select(columns.dataset, columns.last_ingest_run_id).where(columns.finished_us.is_(None))
    return {row.dataset: row.last_ingest_run_id for row in connection.execute(query)}


def _move(
    engine: sa.Engine, lake: Lake, buffer: HistoryBuffer, before_us: int, now_us: int, report: Callable[[str], None]
) -> None:
    with engine.connect() as connection:
        last_run = _unfinished(connection).get(buffer.dataset.name)
    if last_run is None:
        return
    # The subject's lock keeps ingests out, so a run that is still marked as running was killed and has ended.
    with hold_work_lock(engine, buffer.subjects[0]), hold_lake(engine, lake.store, lake.environment) as writer:
        days_of_runs = {run: days_of(engine, buffer, run) for run in _runs_with_rows(engine, buffer, last_run)}
        by_day = rows_by_day(engine, buffer, days_of_runs)
        for number, (day, rows) in enumerate(sorted(by_day.items()), start=1):
            _move_day(writer, buffer, day, rows, before_us)
            report(f"{buffer.dataset.name}: {number:,} of {len(by_day):,} days are in the lake ({day})")
        _finish(engine, buffer, last_run, now_us)


def _runs_with_rows(engine: sa.Engine, buffer: HistoryBuffer, last_run: int) -> list[int]:
    column = buffer.table.c.ingest_run_id
    found: list[int] = []
    with engine.connect() as connection:
        run = connection.scalar(sa.select(sa.func.min(column)))
        while run is not None and run <= last_run:
            found.append(run)
            run = connection.scalar(sa.select(sa.func.min(column)).where(column > run))
    return found


def _move_day(writer: LakeWriter, buffer: HistoryBuffer, day: dt.date, rows: BufferedRows, before_us: int) -> None:
    writer.publish(buffer.dataset, {day: rows}, _SOURCE, now=True)
    require_in_lake(writer, buffer.dataset, day, rows)
    (key,) = buffer.table.primary_key
    some = sa.select(key).where(rows.condition, buffer.table.c.observed_us < before_us).limit(ROWS_AT_ONCE)
    moves = history_moves.c
    while True:
        with writing(writer.engine) as connection:
            removed = connection.execute(sa.delete(buffer.table).where(key.in_(some))).rowcount
            counted = sa.update(history_moves).where(moves.dataset == buffer.dataset.name)
            connection.execute(counted.values(rows_removed=moves.rows_removed + removed))
        if removed < ROWS_AT_ONCE:
            return


def _finish(engine: sa.Engine, buffer: HistoryBuffer, last_run: int, now_us: int) -> None:
    runs, moves, rows = ingest_runs.c, history_moves.c, buffer.table.c
    is_this = moves.dataset == buffer.dataset.name
    with writing(engine) as connection:
        counted = sa.select(sa.func.count()).select_from(buffer.table).where(rows.ingest_run_id <= last_run)
        kept = connection.scalar(counted) or 0
        before, removed = connection.execute(sa.select(moves.rows_before, moves.rows_removed).where(is_this)).one()
        if removed + kept != before:
            raise HistoryNotMoved(
                f"{buffer.dataset.name} had {before:,} rows, but {removed:,} were moved and {kept:,} are left.",
                "Restore the backup that the upgrade made, and report this as a bug.",
            )
        of_subject = (runs.subject.in_(buffer.subjects), runs.ingest_run_id <= last_run, runs.exported_us.is_(None))
        connection.execute(sa.update(ingest_runs).where(*of_subject).values(exported_us=now_us))
        connection.execute(sa.update(history_moves).where(is_this).values(rows_kept=kept, finished_us=now_us))


def _moved(engine: sa.Engine) -> tuple[MovedDataset, ...]:
    columns = history_moves.c
    query = sa.select(
        columns.dataset, columns.rows_before, columns.rows_removed, sa.func.coalesce(columns.rows_kept, 0)
    )
    with engine.connect() as connection:
        return tuple(MovedDataset(*row) for row in connection.execute(query.order_by(columns.dataset)))
