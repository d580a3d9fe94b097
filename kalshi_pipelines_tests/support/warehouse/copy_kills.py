"""A program that kills ``copy`` with SIGKILL at many points, and copies again after each kill.

``python -m kalshi_pipelines_tests.support.warehouse.copy_kills SOURCE_URL TARGET_URL POINTS`` prints JSON. The source
must hold rows, the target must be empty. A point is a statement, a transaction's begin or a transaction's end. Each
copy runs in a fork, because a new Python would take seconds to import everything.
"""

import json
import os
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import sqlalchemy as sa

from kalshi_pipelines.warehouse import tables
from kalshi_pipelines.warehouse.copying import copy_warehouse
from kalshi_pipelines.warehouse.engine import open_engine, writing
from kalshi_pipelines.warehouse.retirement import reopen, retirement_of
from kalshi_pipelines.warehouse.table_contents import digest_of
from kalshi_pipelines_tests.support.killing import Points, run_in_child

_EVENTS: Final = ("before_cursor_execute", "after_cursor_execute", "begin", "commit")


@dataclass
class CopyKills:
    """The counts of kills and of retired sources after a kill, with a message for each check that failed."""

    points: int = 0
    killed: int = 0
    left_retired: int = 0
    wrong: list[str] = field(default_factory=list)


def _copy_in_child(source: str, target: str, fatal: int | None, count_file: Path) -> int:
    """Copy in a forked process that kills itself at a point, and return the status of the process."""

    def work() -> None:
        points = Points(fatal)
        for event in _EVENTS:
            sa.event.listen(sa.Engine, event, lambda *_, event=event: points(event))
        copy_warehouse(open_engine(source), open_engine(target), lambda _: None)
        count_file.write_text(str(len(points.labels)))

    return run_in_child(work)


def _contents(url: str) -> dict[str, str]:
    engine = open_engine(url)
    with engine.connect() as connection:
        found = {name: str(digest_of(connection, table)) for name, table in tables.metadata.tables.items()}
    engine.dispose()
    return found


def _put_back(source: str, target: str) -> None:
    engine = open_engine(source)
    with writing(engine) as connection:
        reopen(connection)
    engine.dispose()
    engine = open_engine(target)
    if engine.dialect.name == "sqlite":
        for suffix in ("", "-wal", "-shm", "-journal"):
            Path(f"{engine.url.database}{suffix}").unlink(missing_ok=True)
    else:
        with engine.begin() as connection:
            connection.exec_driver_sql("DROP SCHEMA public CASCADE")
            connection.exec_driver_sql("CREATE SCHEMA public")
    engine.dispose()


def _is_retired(source: str) -> bool:
    engine = open_engine(source)
    with engine.connect() as connection:
        found = retirement_of(connection)
    engine.dispose()
    return found is not None


def kill_copies(source: str, target: str, wanted: int, folder: Path) -> CopyKills:
    """Kill the copy at evenly spread points, and check both databases after each kill and the next copy."""
    kills, before, count_file = CopyKills(), _contents(source), folder / "points"
    if _copy_in_child(source, target, None, count_file):
        raise RuntimeError("the copy fails without being killed")
    kills.points = int(count_file.read_text())
    count_file.unlink()
    last = [kills.points - each for each in range(wanted // 2)]
    for point in sorted({*last, *(1 + each * kills.points // wanted for each in range(wanted))}):
        _put_back(source, target)
        status = _copy_in_child(source, target, point, count_file)
        kills.killed += os.WIFSIGNALED(status)
        kills.left_retired += _is_retired(source)
        if _contents(source) != before:
            kills.wrong.append(f"point {point}: the source has other rows")
        if _copy_in_child(source, target, None, count_file):
            kills.wrong.append(f"point {point}: the next copy fails")
        elif _contents(target) != before or not _is_retired(source):
            kills.wrong.append(f"point {point}: the copy has other rows, or the source takes writes")
    return kills


if __name__ == "__main__":
    with TemporaryDirectory() as scratch:
        found = kill_copies(sys.argv[1], sys.argv[2], int(sys.argv[3]), Path(scratch))
    sys.stdout.write(json.dumps(asdict(found)))
