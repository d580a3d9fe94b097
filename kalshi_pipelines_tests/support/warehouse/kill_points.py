"""A program that kills ``migrate`` with SIGKILL at many points, and checks the database after each kill.

``python -m kalshi_pipelines_tests.support.warehouse.kill_points CASE FOLDER MOST [POSTGRES_URL]`` prints JSON.

The program forks a child for each point. A fork of a process without threads that has imported everything costs a tenth
of a new Python, so this is a separate program.

A kill point is one of the following:

* A statement that is about to be executed. Each row of an ``executemany`` or ``COPY`` counts as a statement.
* A file that is about to be renamed, removed, locked, or opened as a database.
* A size that no file may exceed. The kernel then ends the process in the middle of a write.
"""

import json
import os
import resource
import shutil
import signal
import sqlite3
import sys
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

import psycopg
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from kalshi_pipelines.units import HOUR_US, now_us
from kalshi_pipelines.warehouse.backup import UNFINISHED
from kalshi_pipelines.warehouse.engine import open_engine
from kalshi_pipelines.warehouse.upgrade import migrate
from kalshi_pipelines_tests.support.killing import Points, choose_points, run_in_child, watch
from kalshi_pipelines_tests.support.warehouse.legacy import make_legacy_database
from kalshi_pipelines_tests.support.warehouse.revisions import PYPROJECT, Database
from kalshi_pipelines_tests.support.warehouse.schema import schema_of

OLD_REVISION: Final = "0004"
_WRITE_LIMITS: Final = 6
#: An upgrade may need a step less than the upgrade that was counted. A failed test showed 1,104 steps instead of 1,105.
_MOST_STEPS_LESS: Final = 2
_ROWS_OF_0004: Final = 40
_SNAPSHOTS: Final = 120  # enough rows that a bulk write to Postgres uses COPY
_SECONDS_FOR_SESSIONS_TO_END: Final = 20


@dataclass(frozen=True)
class Picture:
    """The schema and rows of a database, for comparison. Times during this test run are replaced by a constant."""

    schema: dict[str, str]
    rows: dict[str, list[str]]


@dataclass
class Summary:
    """The counts of tried kill points and their results, with a message for each point at which a check failed."""

    points: int = 0
    statements: int = 0
    left_old: int = 0
    left_new: int = 0
    killed_while_writing: int = 0
    killed_in_executemany: int = 0
    killed_in_copy: int = 0
    backups_left: int = 0
    wrong: list[str] = field(default_factory=list)


class UpgradeTarget(Protocol):
    """A database to upgrade again and again, because it can be restored to its state before the upgrade."""

    def put_back(self) -> None:
        """Restore the state of the database before the upgrade."""

    def migrate(self) -> None:
        """Upgrade the database."""

    def picture(self) -> Picture:
        """Return the schema and rows of the database, without changing files that a killed process left."""

    def leftovers(self, old: Picture) -> list[str]:
        """Return a message for each file that a completed upgrade should not leave."""

    def largest_file(self) -> int:
        """Return the size of the largest file that an upgrade writes, or 0 on Postgres."""

    def backups(self) -> int:
        """Return the number of backups that upgrades of the database made."""


class SqliteTarget:
    """A SQLite file as the target of upgrades."""

    def __init__(self, folder: Path, make: Callable[[Path], object]) -> None:
        self._original, self._work, self._look = (folder / name for name in ("original", "work", "look"))
        self._original.mkdir()
        make(self._original / "warehouse.db")

    def put_back(self) -> None:
        shutil.rmtree(self._work, ignore_errors=True)
        shutil.copytree(self._original, self._work)

    def migrate(self) -> None:
        _migrate(f"sqlite:///{self._work / 'warehouse.db'}")

    def picture(self) -> Picture:
        shutil.rmtree(self._look, ignore_errors=True)
        self._look.mkdir()
        for suffix in ("", "-wal", "-journal"):
            left = self._work / f"warehouse.db{suffix}"
            if left.exists():
                shutil.copyfile(left, self._look / left.name)
        return _picture_of_file(self._look / "warehouse.db")

    def leftovers(self, old: Picture) -> list[str]:
        left = [f"{path.name} was left" for path in self._work.glob(f"*{UNFINISHED}*")]
        return left + [
            f"{path.name} is not what there was"
            for path in self._work.glob("*.backup")
            if _picture_of_file(path) != old
        ]

    def largest_file(self) -> int:
        return max((path.stat().st_size for path in self._work.iterdir()), default=0)

    def backups(self) -> int:
        return len(list(self._work.glob("*.backup")))


class PostgresTarget:
    """A Postgres database as the target of upgrades, copied from a template, with an optional legacy file to adopt."""

    def __init__(self, name: str, url: str, make: Callable[[str], object], adopt_from: Path | None) -> None:
        self._admin = psycopg.connect(_conninfo(url), autocommit=True)
        self._name, self._template, self._adopt_from = name, f"{name}_template", adopt_from
        self._url = sa.make_url(url).set(database=name).render_as_string(hide_password=False)
        self._before = adopt_from.read_bytes() if adopt_from else b""
        self._create(self._template, "template0")
        make(sa.make_url(url).set(database=self._template).render_as_string(hide_password=False))

    def put_back(self) -> None:
        self._drop(self._name)
        self._create(self._name, self._template)

    def migrate(self) -> None:
        _migrate(self._url, self._adopt_from)

    def picture(self) -> Picture:
        self._wait_for_sessions_to_end()
        return _picture_of_database(self._url)

    def leftovers(self, old: Picture) -> list[str]:
        if self._adopt_from and self._adopt_from.read_bytes() != self._before:
            return ["the old file was changed"]
        return []

    def largest_file(self) -> int:
        return 0

    def backups(self) -> int:
        return 0

    def close(self) -> None:
        """Drop the database and its template."""
        self._drop(self._name)
        self._drop(self._template)
        self._admin.close()

    def _create(self, name: str, template: str) -> None:
        self._admin.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy".encode())

    def _drop(self, name: str) -> None:
        self._admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())

    def _wait_for_sessions_to_end(self) -> None:
        """Wait until Postgres has ended the sessions of killed processes.

        Postgres notices a lost client only when it sends something to the client.
        """
        count = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s"
        for _ in range(_SECONDS_FOR_SESSIONS_TO_END * 100):
            if self._admin.execute(count, [self._name]).fetchone() == (0,):
                return
            time.sleep(0.01)
        raise TimeoutError("the session of a killed process does not end")


def _migrate(url: str, adopt_from: Path | None = None) -> None:
    engine = open_engine(url)
    try:
        migrate(engine, "sandbox", lambda _sentence: None, adopt_from)
    finally:
        engine.dispose()


def _conninfo(url: str) -> str:
    parts = sa.make_url(url)
    return psycopg.conninfo.make_conninfo(
        user=parts.username,
        password=parts.password,
        host=str(parts.query.get("host") or parts.host or ""),
        dbname="postgres",
    )


_STARTED_US: Final = now_us()


def _as_text(row: Sequence[Any]) -> str:
    return repr(
        tuple(
            "now" if isinstance(value, int) and _STARTED_US <= value < _STARTED_US + HOUR_US else value for value in row
        )
    )


def _picture_of_file(path: Path) -> Picture:
    if not path.exists():
        return Picture({}, {})
    with closing(sqlite3.connect(path)) as database:
        problems = [problem for (problem,) in database.execute("PRAGMA integrity_check")]
        if problems != ["ok"]:
            return Picture({"damaged": str(problems)}, {})
        made = database.execute("SELECT type, name, coalesce(sql, '') FROM sqlite_master").fetchall()
        # The order of constraints in the SQL text does not matter.
        schema = {f"{kind} {name}": " ".join(sorted(sql.replace(",", " ").split())) for kind, name, sql in made}
        tables = [name for kind, name, _ in made if kind == "table"]
        database.text_factory = bytes
        rows = {table: sorted(map(_as_text, database.execute(f'SELECT * FROM "{table}"'))) for table in tables}
    return Picture(schema, rows)


def _picture_of_database(url: str) -> Picture:
    engine = open_engine(url)
    try:
        schema = schema_of(engine)
        with engine.connect() as connection:
            rows = {
                table: sorted(map(_as_text, map(tuple, connection.exec_driver_sql(f'SELECT * FROM "{table}"'))))
                for table in sa.inspect(connection).get_table_names()
            }
    finally:
        engine.dispose()
    return Picture(schema, rows)


def _make_old_warehouse(url: str) -> None:
    """Create a warehouse of an older revision, with rows in every table."""
    os.environ["KALSHI_WAREHOUSE_URL"] = url
    config = Config(toml_file=PYPROJECT)
    command.upgrade(config, OLD_REVISION)
    engine = open_engine(url)
    database = Database(engine, config)
    database.fill(database.tables(), _ROWS_OF_0004)
    engine.dispose()
    del os.environ["KALSHI_WAREHOUSE_URL"]


def _make_nothing(_where: object) -> None:
    """Create nothing: the case starts from a missing or empty database."""


def _make_legacy(path: Path) -> None:
    make_legacy_database(path, snapshots=_SNAPSHOTS)


@contextmanager
def _target(case: str, folder: Path, url: str) -> Iterator[UpgradeTarget]:
    if case.startswith("sqlite"):
        make: dict[str, Callable[[Path], object]] = {
            "sqlite_fresh": _make_nothing,
            "sqlite_old": lambda path: _make_old_warehouse(f"sqlite:///{path}"),
            "sqlite_legacy": _make_legacy,
        }
        yield SqliteTarget(folder, make[case])
        return
    old = folder / "old.db"
    if case == "postgres_adopt_from":
        _make_legacy(old)
    prepare = _make_old_warehouse if case == "postgres_old" else _make_nothing
    target = PostgresTarget(f"kill_{case}", url, prepare, old if old.exists() else None)
    try:
        yield target
    finally:
        target.close()


def _find_points(target: UpgradeTarget, folder: Path) -> tuple[list[str], int]:
    """Return the labels of all kill points of a completed upgrade, and the size of the largest file that it wrote."""
    file = folder / "points.json"

    def write_points() -> None:
        points = Points(largest_file=target.largest_file)
        watch(points)
        target.migrate()
        labels, largest = list(points.labels), points.largest
        file.write_text(json.dumps([labels, largest]), encoding="utf-8")

    target.put_back()
    if run_in_child(write_points):
        raise RuntimeError("the upgrade fails without being killed")
    labels, largest = json.loads(file.read_text(encoding="utf-8"))
    return labels, largest


def _kill_at(target: UpgradeTarget, point: int, steps: int) -> None:
    def work() -> None:
        watch(Points(fatal=point))
        target.migrate()

    status = run_in_child(work)
    if status == 0 and point > steps - _MOST_STEPS_LESS:
        return
    if not (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL):
        raise RuntimeError(f"point {point} was not reached: the process ended with {status}")


def _kill_while_writing(target: UpgradeTarget, limit: int) -> bool:
    """Upgrade under a file size limit, and return whether the kernel killed the process at that limit."""

    def work() -> None:
        # By default, Python ignores SIGXFSZ, and a write above the limit raises an error instead.
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        target.migrate()

    status = run_in_child(work)
    if status and not (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXFSZ):
        raise RuntimeError(f"the process whose files may have {limit} bytes ended with {status}")
    return bool(status)


def _check_after_kill(target: UpgradeTarget, where: str, old: Picture, new: Picture, summary: Summary) -> None:
    """Check the database after a kill, upgrade it again, and check it once more."""
    summary.points += 1
    found = target.picture()
    summary.left_old += found == old
    summary.left_new += found == new
    summary.backups_left += target.backups()
    if found not in (old, new):
        summary.wrong.append(f"{where}: neither old nor new: {_difference(found, old, new)}")
        return
    target.migrate()
    completed = target.picture()
    if completed != new:
        summary.wrong.append(f"{where}: not new after the next migrate: {_difference(completed, new)}")
    summary.wrong += [f"{where}: {left}" for left in target.leftovers(old)]


def _difference(found: Picture, *expected: Picture) -> str:
    def differing(one: dict[str, Any], other: dict[str, Any]) -> Collection[str]:
        return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))[:5]

    return "; ".join(
        f"schema {differing(found.schema, other.schema)}, rows {differing(found.rows, other.rows)}"
        for other in expected
    )


def kill_everywhere(case: str, folder: Path, most: int, url: str) -> Summary:
    """Kill the upgrade of a case at about ``most`` statements and at several file sizes, and return the results."""
    summary = Summary()
    with ExitStack() as held:
        target = held.enter_context(_target(case, folder, url))
        target.put_back()
        old = target.picture()
        labels, largest = _find_points(target, folder)
        new = target.picture()
        summary.statements = len(labels)
        if old == new:
            raise RuntimeError("there is nothing to upgrade")
        for point in choose_points(labels, most):
            label = " ".join(labels[point - 1].split())
            target.put_back()
            _kill_at(target, point, len(labels))
            _check_after_kill(target, f"point {point} of {len(labels)}, {label[:100]}", old, new, summary)
            summary.killed_in_executemany += label == "a row of executemany"
            summary.killed_in_copy += label == "a row of COPY"
        for number in range(_WRITE_LIMITS if largest else 0):
            limit = 512 + number * largest // _WRITE_LIMITS
            target.put_back()
            summary.killed_while_writing += _kill_while_writing(target, limit)
            _check_after_kill(target, f"files of at most {limit} bytes", old, new, summary)
    return summary


def main() -> None:
    """Run the case given on the command line, and print its results as JSON."""
    case, folder, most, *url = sys.argv[1:]
    summary = kill_everywhere(case, Path(folder), int(most), url[0] if url else "")
    sys.stdout.write(json.dumps(asdict(summary)))


if __name__ == "__main__":
    main()
