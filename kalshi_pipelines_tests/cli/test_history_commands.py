"""``history status`` names the days that were read, the days between them that were not, and every hole."""

import datetime as dt
from pathlib import Path

import pytest
import sqlalchemy as sa

from kalshi_pipelines.cli.main import main
from kalshi_pipelines.warehouse.engine import writing
from kalshi_pipelines.warehouse.tables import history_partitions, history_windows
from kalshi_pipelines_tests.support.warehouse.rows import LEGAL

PARTITION = LEGAL[history_partitions] | {"holes": 0, "proof": "proved", "status": "closed", "rows": 1_000}


@pytest.fixture
def warehouse(sqlite_engine: sa.Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> sa.Engine:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KALSHI_WAREHOUSE_URL", sqlite_engine.url.render_as_string(hide_password=False))
    return sqlite_engine


def add(engine: sa.Engine, first: str, days: int, **changes: object) -> None:
    with writing(engine) as connection:
        for number in range(days):
            day = dt.date.fromisoformat(first) + dt.timedelta(days=number)
            connection.execute(sa.insert(history_partitions), PARTITION | {"partition_date": day.isoformat()} | changes)


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, list[str]]:
    code = main(["history", "status", *arguments])
    return code, [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]


def test_status_joins_days_that_follow_each_other(warehouse: sa.Engine, capsys: pytest.CaptureFixture[str]) -> None:
    add(warehouse, "2026-11-01", 10)
    add(warehouse, "2026-11-15", 2)
    add(warehouse, "2026-11-17", 1, status="open", proof="not_checked", checked_us=None)
    assert shown(capsys) == (
        0,
        [
            "dataset days number status proof rows holes",
            "public_trades 2026-11-01 - 2026-11-10 10 closed proved 10,000 0",
            "public_trades 2026-11-11 - 2026-11-14 4 not read",
            "public_trades 2026-11-15 - 2026-11-16 2 closed proved 2,000 0",
            "public_trades 2026-11-17 1 open not checked 1,000 0",
        ],
    )
    code, lines = shown(capsys, "public_trades", "--days")
    assert (code, len(lines)) == (0, 14)


def test_status_lists_holes_and_ends_with_1(warehouse: sa.Engine, capsys: pytest.CaptureFixture[str]) -> None:
    add(warehouse, "2026-11-22", 1, holes=1)
    start = 1_795_348_810_000_000
    with writing(warehouse) as connection:
        hole = {"start_us": start, "end_us": start + 1_000_000, "state": "hole", "problem": "answered 504"}
        connection.execute(sa.insert(history_windows), LEGAL[history_windows] | hole)
    code, lines = shown(capsys)
    assert code == 1
    assert lines[-1] == "hole in public_trades 2026-11-22: 2026-11-22T12:00:10Z to 2026-11-22T12:00:11Z: answered 504"


def test_status_ends_with_1_if_rows_are_missing(warehouse: sa.Engine, capsys: pytest.CaptureFixture[str]) -> None:
    add(warehouse, "2026-11-22", 1, proof="missing")
    assert shown(capsys)[0] == 1


def test_status_without_history_names_the_job(warehouse: sa.Engine, capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys) == (0, ["No day of history was read yet. Start the job backfill_history."])
