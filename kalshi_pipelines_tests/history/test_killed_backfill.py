"""A backfill that is killed with SIGKILL at any point is completed by the next one, and nothing is lost or doubled."""

import datetime as dt
import json
import os
import shutil
import signal
from pathlib import Path

import pytest

from kalshi_pipelines.history.backfill import plan_backfill, run_backfill
from kalshi_pipelines.history.kinds import KINDS
from kalshi_pipelines.history.partitions import partitions_of
from kalshi_pipelines.lake.manifest import lake_hash
from kalshi_pipelines.units import DAY_US
from kalshi_pipelines.warehouse.engine import open_engine, sqlite_url
from kalshi_pipelines_tests.support.history.exchange import (
    DAY_END_US,
    DAY_START_US,
    TapeExchange,
    inputs_for,
    stored_trades,
    tape,
    texts_of_tape,
)
from kalshi_pipelines_tests.support.killing import Points, run_in_child, watch

TRADES = tape(120, DAY_START_US - DAY_US, DAY_END_US)
FIRST, LAST = dt.date(2026, 11, 21), dt.date(2026, 11, 22)


def backfill(folder: Path, workers: int = 1) -> None:
    engine = open_engine(sqlite_url(folder / "warehouse.db"))
    exchange = TapeExchange(TRADES, cutoff_us=DAY_START_US - 30 * DAY_US)
    with inputs_for(exchange, engine, folder) as inputs:
        run_backfill(inputs, plan_backfill(inputs, [KINDS["public_trades"]], FIRST, LAST, workers=workers))
    engine.dispose()


def copied(migrated_file: Path, folder: Path) -> Path:
    folder.mkdir()
    shutil.copy(migrated_file, folder / "warehouse.db")
    return folder


def labels_of(folder: Path) -> list[str]:
    """Return the kill points of a backfill that nothing kills."""

    def work() -> None:
        points = Points()
        watch(points)
        backfill(folder)
        (folder / "labels.json").write_text(json.dumps(points.labels))

    assert run_in_child(work) == 0
    found: list[str] = json.loads((folder / "labels.json").read_text())
    return found


@pytest.mark.parametrize("share", [0, 1, 2, 3])
def test_killed_backfill_is_completed_by_the_next_one(migrated_file: Path, tmp_path: Path, share: int) -> None:
    number = len(labels_of(copied(migrated_file, tmp_path / "whole")))
    engine = open_engine(sqlite_url(tmp_path / "whole" / "warehouse.db"))
    wanted = lake_hash(engine)
    engine.dispose()
    assert wanted
    # The four shares together kill at 16 points that are spread evenly.
    for point in range(1 + share * number // 16, number, number // 4):
        folder = copied(migrated_file, tmp_path / f"killed-{point}")

        def work(folder: Path = folder, point: int = point) -> None:
            watch(Points(point))
            backfill(folder)

        status = run_in_child(work)
        assert os.WIFSIGNALED(status), point
        assert os.WTERMSIG(status) == signal.SIGKILL
        backfill(folder, workers=2)
        engine = open_engine(sqlite_url(folder / "warehouse.db"))
        with inputs_for(TapeExchange([]), engine, folder) as inputs:
            assert stored_trades(inputs) == texts_of_tape(TRADES)
            assert lake_hash(engine) == wanted
            assert {each.status for each in partitions_of(engine, "public_trades")} == {"closed"}
            assert not list(inputs.work_folder.rglob("*.arrow"))
        engine.dispose()
