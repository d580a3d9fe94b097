"""The manifest: one row in the warehouse for each file of the lake. It says what the file must contain."""

import datetime as dt
import json
from collections.abc import Iterable
from dataclasses import dataclass

import sqlalchemy as sa

from kalshi_pipelines.lake.content_hash import hash_of_contents
from kalshi_pipelines.lake.parquet import Contents
from kalshi_pipelines.units import now_us
from kalshi_pipelines.warehouse.engine import writing
from kalshi_pipelines.warehouse.tables import DAY_SLOT, OPEN_LAKE_FILES, lake_files


@dataclass(frozen=True)
class Slot:
    """A place for one file: a dataset, a trading day, and the whole day or an hour of it."""

    dataset: str
    day: dt.date
    name: str = DAY_SLOT

    @property
    def path(self) -> str:
        """The path of the slot's file in the lake."""
        hour = "" if self.name == DAY_SLOT else f"T{self.name}"
        return f"{self.dataset}/date={self.day.isoformat()}/{self.day.isoformat()}{hour}.parquet"


@dataclass(frozen=True)
class LakeFile:
    """A row of the manifest.

    Attributes:
        slot: The file's place.
        status: ``publishing`` while the file is being replaced, ``open`` while later rows are expected, or ``closed``.
        contents: A summary of the rows of the file, before a replacement.
        bytes: Size of the file.
        sha256: Hash of the file; None if there is no file before the replacement.
        next_sha256: Hash of the file that replaces it; None unless the status is ``publishing``.
        source: Where the newest rows are from.
        published_us: Time of the last replacement.
        verified_us: Time at which the file was last compared with the manifest; None if never.
    """

    slot: Slot
    status: str
    contents: Contents
    bytes: int
    sha256: str | None
    next_sha256: str | None
    source: str
    published_us: int
    verified_us: int | None

    @property
    def path(self) -> str:
        """The path of the file in the lake."""
        return self.slot.path

    @property
    def hashes(self) -> frozenset[str]:
        """The hashes that the file may have: the present one, and the next one while it is being replaced."""
        return frozenset(each for each in (self.sha256, self.next_sha256) if each)


def lake_files_of(
    engine: sa.Engine, dataset: str | None = None, days: Iterable[dt.date] | None = None
) -> list[LakeFile]:
    """Return the manifest, sorted by dataset, day and slot; only of one dataset or of some days if they are given."""
    conditions: list[sa.ColumnElement[bool]] = []
    if dataset is not None:
        conditions.append(lake_files.c.dataset == dataset)
    if days is not None:
        conditions.append(lake_files.c.partition_date.in_([day.isoformat() for day in days]))
    return _files_where(engine, *conditions)


def unfinished_lake_files(engine: sa.Engine) -> list[LakeFile]:
    """Return the files whose replacement is not finished. The time this takes does not grow with the lake."""
    return _files_where(engine, OPEN_LAKE_FILES, lake_files.c.status == "publishing")


def open_lake_files(engine: sa.Engine) -> list[LakeFile]:
    """Return the files that are not closed. The time this takes does not grow with the lake."""
    return _files_where(engine, OPEN_LAKE_FILES)


def lake_files_verified_before(engine: sa.Engine, before_us: int) -> list[LakeFile]:
    """Return the files that were last verified before a time, or never."""
    return _files_where(engine, sa.func.coalesce(lake_files.c.verified_us, 0) < before_us)


def lake_days_of(engine: sa.Engine, dataset: str) -> list[dt.date]:
    """Return the days of which the lake has files of a dataset."""
    query = sa.select(lake_files.c.partition_date).where(lake_files.c.dataset == dataset).distinct()
    with engine.connect() as connection:
        return sorted(map(dt.date.fromisoformat, connection.scalars(query)))


def lake_paths_of(engine: sa.Engine, dataset: str) -> tuple[str, ...]:
    """Return the paths of the files that the lake must have of a dataset, sorted by day and slot."""
    query = sa.select(lake_files.c.path).where(lake_files.c.dataset == dataset, lake_files.c.sha256.is_not(None))
    with engine.connect() as connection:
        return tuple(connection.scalars(query.order_by(lake_files.c.partition_date, lake_files.c.slot)))


def count_lake_files(engine: sa.Engine) -> int:
    """Return the number of rows of the manifest."""
    with engine.connect() as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(lake_files)) or 0


def _files_where(engine: sa.Engine, *conditions: sa.ColumnElement[bool]) -> list[LakeFile]:
    query = sa.select(lake_files).where(*conditions)
    query = query.order_by(lake_files.c.dataset, lake_files.c.partition_date, lake_files.c.slot)
    with engine.connect() as connection:
        return [_lake_file(row) for row in connection.execute(query)]


def lake_hash(engine: sa.Engine, dataset: str | None = None, days: Iterable[dt.date] | None = None) -> str | None:
    """Return one hash of all rows of the lake, of a dataset, or of some days.

    Two lakes whose files have the same rows have the same hash. None means that the rows of a file have no hash yet:
    an older version published the file, and it was not verified since.
    """
    files = lake_files_of(engine, dataset, days)
    contents = [file.contents.content_sha256 for file in files]
    if None in contents:
        return None
    return hash_of_contents(
        (file.slot.dataset, file.slot.day.isoformat(), file.slot.name, str(content))
        for file, content in zip(files, contents, strict=True)
    )


def count_published(engine: sa.Engine) -> int:
    """Return the number of files that the lake must have."""
    query = sa.select(sa.func.count()).select_from(lake_files).where(lake_files.c.sha256.is_not(None))
    with engine.connect() as connection:
        return connection.scalar(query) or 0


def find_lake_file(engine: sa.Engine, slot: Slot) -> LakeFile | None:
    """Return the manifest's row of a slot, or None if the slot has no file."""
    with engine.connect() as connection:
        row = connection.execute(sa.select(lake_files).where(_is(slot))).one_or_none()
    return None if row is None else _lake_file(row)


def record_intent(engine: sa.Engine, slot: Slot, next_sha256: str, source: str) -> None:
    """Record that the slot's file is about to be replaced by a file with another hash."""
    intent = {"status": "publishing", "next_sha256": next_sha256}
    with writing(engine) as connection:
        if connection.execute(sa.update(lake_files).where(_is(slot)).values(intent)).rowcount:
            return
        nothing = {"rows": 0, "bytes": 0, "sums": "{}", "source": source, "published_us": now_us()}
        connection.execute(sa.insert(lake_files).values({**_key(slot), "path": slot.path, **nothing, **intent}))


def record_published(engine: sa.Engine, slot: Slot, contents: Contents, size: int, sha256: str, source: str) -> None:
    """Record that the slot's file is complete. A closed day is open again."""
    values = {
        "path": slot.path,
        "status": "open",
        "rows": contents.rows,
        "bytes": size,
        "first_us": contents.first_us,
        "last_us": contents.last_us,
        "sums": json.dumps(contents.sums),
        "sha256": sha256,
        "content_sha256": contents.content_sha256,
        "next_sha256": None,
        "source": source,
        "published_us": now_us(),
        "verified_us": None,
    }
    with writing(engine) as connection:
        if not connection.execute(sa.update(lake_files).where(_is(slot)).values(values)).rowcount:
            connection.execute(sa.insert(lake_files).values({**_key(slot), **values}))


def forget_intent(engine: sa.Engine, slot: Slot) -> None:
    """Record that an intended replacement did not happen."""
    with writing(engine) as connection:
        connection.execute(sa.delete(lake_files).where(_is(slot), lake_files.c.sha256.is_(None)))
        connection.execute(sa.update(lake_files).where(_is(slot)).values(status="open", next_sha256=None))


def record_verified(engine: sa.Engine, file: LakeFile, content_sha256: str | None, *, closed: bool) -> None:
    """Record that a file was compared with the manifest, and close its slot if the day is over.

    Older versions recorded no hash of the rows, so the hash is recorded, too.
    """
    values: dict[str, object] = {"verified_us": now_us(), "content_sha256": content_sha256}
    values |= {"status": "closed"} if closed else {}
    with writing(engine) as connection:
        unchanged = (_is(file.slot), lake_files.c.sha256 == file.sha256, lake_files.c.status != "publishing")
        connection.execute(sa.update(lake_files).where(*unchanged).values(values))


def forget_file(engine: sa.Engine, slot: Slot) -> None:
    """Remove a row from the manifest, because the file no longer exists."""
    with writing(engine) as connection:
        connection.execute(sa.delete(lake_files).where(_is(slot)))


def _key(slot: Slot) -> dict[str, str]:
    return {"dataset": slot.dataset, "partition_date": slot.day.isoformat(), "slot": slot.name}


def _is(slot: Slot) -> sa.ColumnElement[bool]:
    return sa.and_(*[lake_files.c[name] == value for name, value in _key(slot).items()])


def _lake_file(row: sa.Row[tuple[object, ...]]) -> LakeFile:
    values = row._mapping
    return LakeFile(
        Slot(values["dataset"], dt.date.fromisoformat(values["partition_date"]), values["slot"]),
        values["status"],
        Contents(
            values["rows"],
            values["first_us"],
            values["last_us"],
            json.loads(values["sums"]),
            values["content_sha256"],
        ),
        values["bytes"],
        values["sha256"],
        values["next_sha256"],
        values["source"],
        values["published_us"],
        values["verified_us"],
    )
