"""A program that kills ``restore`` with SIGKILL at each step that touches a file or a database.

``python -m kalshi_pipelines_tests.support.warehouse.restore_kills WAREHOUSE BACKUP`` prints JSON. The warehouse must
have more ingest runs than the backup. Each restore runs in a fork of this program.
"""

import json
import os
import shutil
import sqlite3
import sys
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from kalshi_pipelines.warehouse.restoring import REPLACED, restore_file
from kalshi_pipelines_tests.support.killing import Points, run_in_child, watch

#: File events that are kill points of a restore, besides those that ``watch`` counts.
_FURTHER_EVENTS: Final = frozenset({"os.link", "open"})


@dataclass
class RestoreKills:
    """The counts of kills and of the warehouses found afterwards, with a message for each check that failed."""

    points: int = 0
    killed: int = 0
    left_old: int = 0
    left_new: int = 0
    wrong: list[str] = field(default_factory=list)


def _restore_in_child(warehouse: Path, backup: Path, fatal: int | None, count_file: Path) -> int:
    """Restore in a forked process that kills itself at a point, and return the status of the process."""

    def work() -> None:
        points = Points(fatal)
        watch(points)
        sys.addaudithook(lambda event, _: points(event) if event in _FURTHER_EVENTS else None)
        restore_file(warehouse, backup, "sandbox", lambda _: None)
        count_file.write_text(str(len(points.labels)))

    return run_in_child(work)


def _runs(path: Path) -> int:
    with closing(sqlite3.connect(path)) as database:
        return int(database.execute("SELECT count(*) FROM ingest_runs").fetchone()[0])


def kill_restores(warehouse: Path, backup: Path, folder: Path) -> RestoreKills:
    """Kill the restore at every point, and check the warehouse after each kill and after the next restore."""
    former, old, new = folder / "former.db", _runs(warehouse), _runs(backup)
    shutil.copy(warehouse, former)
    kills, count_file = RestoreKills(), folder / "points"

    def put_back() -> None:
        for left in warehouse.parent.glob(f"{warehouse.name}*"):
            if left != backup:
                left.unlink()
        shutil.copy(former, warehouse)

    if _restore_in_child(warehouse, backup, None, count_file):
        raise RuntimeError("the restore fails without being killed")
    kills.points = int(count_file.read_text())
    for point in range(1, kills.points + 1):
        put_back()
        kills.killed += os.WIFSIGNALED(_restore_in_child(warehouse, backup, point, count_file))
        found = _runs(warehouse) if warehouse.exists() else -1
        kills.left_old += found == old
        kills.left_new += found == new
        if found not in (old, new):
            kills.wrong.append(f"point {point}: the warehouse has {found} runs")
        if found == new and old not in map(_runs, warehouse.parent.glob(f"*{REPLACED}")):
            kills.wrong.append(f"point {point}: the former file is gone")
        if _restore_in_child(warehouse, backup, None, count_file) or _runs(warehouse) != new:
            kills.wrong.append(f"point {point}: the next restore fails")
        if list(warehouse.parent.glob("*.unfinished*")):
            kills.wrong.append(f"point {point}: unfinished files stay")
    return kills


if __name__ == "__main__":
    with TemporaryDirectory() as scratch:
        found = kill_restores(Path(sys.argv[1]), Path(sys.argv[2]), Path(scratch))
    sys.stdout.write(json.dumps(asdict(found)))
