"""Reads of the exchange's lists: how many records the newest read brought, and whether it was complete.

``list_reads`` has one row for each list. Belongs here: the rows. Does not belong here: deciding whether a read was
complete (``ingest.sweeps.completeness``).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from kalshi_pipelines.warehouse.engine import writing
from kalshi_pipelines.warehouse.tables import ingest_runs, list_reads


@dataclass(frozen=True)
class StoredRead:
    """The newest read of one list.

    Attributes:
        name: The list: the endpoint and its filter, such as ``GET /markets status=open``.
        subject: The subject of the run that read the list.
        records: The number of records of the newest read.
        read_us: When the newest read began, by the exchange's clock, in microseconds since 1970 UTC.
        problem: Why the newest read was incomplete; None if it was complete.
        complete_records: The number of records of the newest complete read; None if there was none.
        complete_us: When the newest complete read began; None if there was none.
        position: Where a read that takes several runs continues; None for a list that is read at once.
    """

    name: str
    subject: str
    records: int
    read_us: int
    problem: str | None = None
    complete_records: int | None = None
    complete_us: int | None = None
    position: str | None = None


def stored_read(engine: sa.Engine, name: str) -> StoredRead | None:
    """Return the newest read of a list; None if the list was never read."""
    with engine.connect() as connection:
        row = connection.execute(sa.select(list_reads).where(list_reads.c.list_name == name)).one_or_none()
    return None if row is None else _read(row)


def stored_reads(engine: sa.Engine, subject: str) -> list[StoredRead]:
    """Return the newest read of each list of a subject, in the order of the lists' names."""
    rows = sa.select(list_reads).where(list_reads.c.subject == subject).order_by(list_reads.c.list_name)
    with engine.connect() as connection:
        return [_read(row) for row in connection.execute(rows)]


def names_read_by(engine: sa.Engine, dagster_run_id: str) -> set[str]:
    """Return the names of the lists whose newest read belongs to a Dagster run."""
    names = (
        sa.select(list_reads.c.list_name)
        .join(ingest_runs, ingest_runs.c.ingest_run_id == list_reads.c.ingest_run_id)
        .where(ingest_runs.c.dagster_run_id == dagster_run_id)
    )
    with engine.connect() as connection:
        return set(connection.scalars(names))


def save_reads(engine: sa.Engine, reads: Sequence[StoredRead], ingest_run_id: int) -> None:
    """Store the newest read of some lists in one transaction."""
    with writing(engine) as connection:
        for read in reads:
            values = {
                "subject": read.subject,
                "records": read.records,
                "read_us": read.read_us,
                "problem": read.problem,
                "complete_records": read.complete_records,
                "complete_us": read.complete_us,
                "position": read.position,
                "ingest_run_id": ingest_run_id,
            }
            which = list_reads.c.list_name == read.name
            if not connection.execute(sa.update(list_reads).where(which).values(values)).rowcount:
                connection.execute(sa.insert(list_reads).values(list_name=read.name, **values))


def _read(row: sa.Row[Any]) -> StoredRead:
    return StoredRead(
        row.list_name,
        row.subject,
        row.records,
        row.read_us,
        row.problem,
        row.complete_records,
        row.complete_us,
        row.position,
    )
