"""Records in the warehouse about days of history: how far each day was read, and what the exchange did not serve.

A record is written in the same transaction as the run and the quarantined records that belong to it.
"""

import datetime as dt
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
import sqlalchemy as sa

from kalshi_pipelines.bookkeeping.quarantine import UnstorableRecord, resolve, set_aside
from kalshi_pipelines.bookkeeping.stamps import Stamp
from kalshi_pipelines.history.sides import Source
from kalshi_pipelines.history.windows import TimeWindow
from kalshi_pipelines.settings import Environment
from kalshi_pipelines.warehouse.engine import writing
from kalshi_pipelines.warehouse.environment import refuse_another_environment
from kalshi_pipelines.warehouse.tables import (
    history_partitions,
    history_residuals,
    history_windows,
    ingest_runs,
)

#: The kind of residual that counts refused records of a day.
REFUSED: Final = "refused records"
_LOCKS: Final = 64


@dataclass(frozen=True)
class ReadWindow:
    """A window of an open day that was read, or a hole.

    Attributes:
        window: The span of time.
        source: The side of the exchange that was asked.
        rows: Rows of the window.
        read_us: Time of the read.
        problem: The exchange's answer for a hole; None if every row was read.
    """

    window: TimeWindow
    source: Source
    rows: int
    read_us: int
    problem: str | None = None


@dataclass(frozen=True)
class Partition:
    """The record of one day of a dataset in the warehouse.

    Attributes:
        dataset: Name of the dataset.
        day: The day.
        status: ``reading``, ``open`` or ``closed``.
        rows: Rows of the day in the lake.
        holes: Number of windows that the exchange did not serve.
        read_until_us: End of the span that was read; None if the day was never read to its end.
        read_us: Time of the last read; None if the day was never read to its end.
        proof: Result of the last check against the witnesses.
        figures: Figures of the last read and the last check.
    """

    dataset: str
    day: dt.date
    status: str
    rows: int
    holes: int
    read_until_us: int | None
    read_us: int | None
    proof: str
    figures: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class FinishedRead:
    """A read of a day that is in the lake now, for the records of the warehouse.

    Attributes:
        subject: Subject of the run and of records in quarantine.
        span: The time that was read.
        rows: Rows of the day in the lake.
        windows: The windows of the day, and its holes.
        has_changed: Whether the lake has other rows of the day than before.
        figures: Figures of the read.
        refused: Records that cannot be stored.
        stored_keys: Keys of records that were in quarantine and are stored now.
        started_us: Time at which the read began.
        read_us: Time at which the read ended.
        pages: Number of pages read.
    """

    subject: str
    span: TimeWindow
    rows: int
    windows: Sequence[ReadWindow]
    has_changed: bool
    figures: Mapping[str, Any]
    refused: Sequence[UnstorableRecord] = ()
    stored_keys: Collection[str] = ()
    started_us: int = 0
    read_us: int = 0
    pages: int = 0


def lock_of_day(dataset: str, day: dt.date) -> str:
    """Return the name of the work lock that every read and every check of a day holds.

    Days far apart share a lock, so that the number of lock files stays small. Waiting for another day is harmless.
    """
    return f"history.{dataset}.{day.toordinal() % _LOCKS:02}"


def partition_of(engine: sa.Engine, dataset: str, day: dt.date) -> Partition | None:
    """Return the record of a day; None if no read of the day has begun."""
    found = partitions_of(engine, dataset, [day])
    return found[0] if found else None


def partitions_of(
    engine: sa.Engine, dataset: str | None = None, days: Iterable[dt.date] | None = None
) -> list[Partition]:
    """Return the records of days, sorted by dataset and day; of all days by default."""
    columns = history_partitions.c
    query = sa.select(history_partitions).order_by(columns.dataset, columns.partition_date)
    if dataset is not None:
        query = query.where(columns.dataset == dataset)
    if days is not None:
        query = query.where(columns.partition_date.in_([day.isoformat() for day in days]))
    with engine.connect() as connection:
        return [_partition(row) for row in connection.execute(query)]


def _partition(row: Any) -> Partition:  # noqa: ANN401  # a row of SQLAlchemy
    day, figures = dt.date.fromisoformat(row.partition_date), msgspec.json.decode(row.figures)
    known = (row.status, row.rows, row.holes, row.read_until_us, row.read_us, row.proof)
    return Partition(row.dataset, day, *known, figures)


def windows_read(engine: sa.Engine, dataset: str, day: dt.date) -> list[ReadWindow]:
    """Return the windows of an open day that were read, and the holes of any day."""
    columns = history_windows.c
    query = sa.select(history_windows).where(_of_day(history_windows, dataset, day)).order_by(columns.start_us)
    with engine.connect() as connection:
        return [
            ReadWindow(TimeWindow(row.start_us, row.end_us), row.source, row.rows, row.read_us, row.problem)
            for row in connection.execute(query)
        ]


def has_refused(engine: sa.Engine, dataset: str, day: dt.date) -> bool:
    """Return whether records of a day were refused at its last read."""
    where = sa.and_(_of_day(history_residuals, dataset, day), history_residuals.c.kind == REFUSED)
    with engine.connect() as connection:
        return connection.execute(sa.select(history_residuals.c.ticker).where(where)).first() is not None


def after_begin() -> dict[str, Any]:
    """Return the values of a day's record when a read begins.

    A day that is being read already has a read that did not end. That read may have changed rows, so no earlier check
    counts any more.
    """
    columns = history_partitions.c
    is_unknown = columns.status == "reading"
    return {
        "status": "reading",
        "proof": sa.case((is_unknown, "not_checked"), else_=columns.proof),
        "checked_us": sa.case((is_unknown, sa.null()), else_=columns.checked_us),
    }


def begin_read(engine: sa.Engine, environment: Environment, dataset: str, day: dt.date) -> None:
    """Record that a read of a day has begun. The record keeps what an earlier read found.

    Raises:
        WarehouseOfAnotherEnvironment: The warehouse holds records of another environment.
    """
    where = _of_day(history_partitions, dataset, day)
    with writing(engine) as connection:
        refuse_another_environment(connection, environment)
        begun = connection.execute(sa.update(history_partitions).where(where).values(after_begin()))
        if not begun.rowcount:
            first = {"status": "reading", "rows": 0, "holes": 0, "proof": "not_checked", "figures": "{}"}
            connection.execute(sa.insert(history_partitions), {**_day(dataset, day), **first})


def finish_read(
    engine: sa.Engine, environment: Environment, dataset: str, day: dt.date, read: FinishedRead, run: str | None
) -> None:
    """Record a read of a day, its windows, its run, and the records that cannot be stored, in one transaction."""
    holes = [each for each in read.windows if each.problem is not None]
    with writing(engine) as connection:
        stamp = Stamp(read.read_us, _record_run(connection, environment, read, run))
        set_aside(connection, read.subject, read.refused, stamp)
        resolve(connection, read.subject, read.stored_keys, stamp)
        known = connection.execute(
            sa.select(history_partitions.c.figures).where(_of_day(history_partitions, dataset, day))
        ).scalar_one()
        values: dict[str, Any] = {
            "status": "open",
            "rows": read.rows,
            "holes": len(holes),
            "read_from_us": read.span.start_us,
            "read_until_us": read.span.end_us,
            "read_us": read.read_us,
            "figures": msgspec.json.encode({**msgspec.json.decode(known), **read.figures}).decode(),
        }
        if read.has_changed:
            values |= {"proof": "not_checked", "checked_us": None}
        connection.execute(
            sa.update(history_partitions).where(_of_day(history_partitions, dataset, day)).values(values)
        )
        _replace_windows(connection, dataset, day, read.windows)
        _replace_refused(connection, dataset, day, read)


def _record_run(connection: sa.Connection, environment: Environment, read: FinishedRead, run: str | None) -> int:
    added, refused = int(read.figures.get("added", 0)), len(read.refused)
    sent = max(int(read.figures.get("rows_read", read.rows)), added) + refused
    values = {
        "subject": read.subject,
        "environment": environment,
        "dagster_run_id": run,
        "status": "succeeded",
        "started_us": read.started_us,
        "finished_us": read.read_us,
        "pages": read.pages,
        "records_read": sent,
        "records_written": added,
        "records_unchanged": sent - added - refused,
        "records_rejected": refused,
        "history_rows": 0,
    }
    statement = sa.insert(ingest_runs).returning(ingest_runs.c.ingest_run_id)
    return int(connection.execute(statement, values).scalar_one())


def _replace_windows(connection: sa.Connection, dataset: str, day: dt.date, windows: Sequence[ReadWindow]) -> None:
    connection.execute(sa.delete(history_windows).where(_of_day(history_windows, dataset, day)))
    rows = [
        {
            **_day(dataset, day),
            "start_us": each.window.start_us,
            "end_us": each.window.end_us,
            "state": "complete" if each.problem is None else "hole",
            "source": each.source,
            "rows": each.rows,
            "read_us": each.read_us,
            "problem": each.problem,
        }
        for each in windows
    ]
    if rows:
        connection.execute(sa.insert(history_windows), rows)


def _replace_refused(connection: sa.Connection, dataset: str, day: dt.date, read: FinishedRead) -> None:
    where = sa.and_(_of_day(history_residuals, dataset, day), history_residuals.c.kind == REFUSED)
    first = connection.execute(sa.select(history_residuals.c.first_seen_us).where(where)).scalar()
    connection.execute(sa.delete(history_residuals).where(where))
    if read.refused:
        residual = {
            **_day(dataset, day),
            "ticker": "",
            "kind": REFUSED,
            "state": "missing",
            "expected": "0",
            "found": str(len(read.refused)),
            "explanation": f"The records are in quarantine, for example because {read.refused[0].reason}",
            "first_seen_us": read.read_us if first is None else first,
        }
        connection.execute(sa.insert(history_residuals), residual)


def record_closed(engine: sa.Engine, dataset: str, day: dt.date) -> None:
    """Record that a day is closed. Its windows are forgotten, except its holes."""
    with writing(engine) as connection:
        connection.execute(
            sa.update(history_partitions).where(_of_day(history_partitions, dataset, day)).values(status="closed")
        )
        connection.execute(
            sa.delete(history_windows).where(
                _of_day(history_windows, dataset, day), history_windows.c.state == "complete"
            )
        )


def _day(dataset: str, day: dt.date) -> dict[str, str]:
    return {"dataset": dataset, "partition_date": day.isoformat()}


def _of_day(table: sa.Table, dataset: str, day: dt.date) -> sa.ColumnElement[bool]:
    return sa.and_(table.c.dataset == dataset, table.c.partition_date == day.isoformat())
