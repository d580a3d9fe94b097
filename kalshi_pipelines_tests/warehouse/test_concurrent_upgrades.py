"""``migrate`` while other processes upgrade, write or read the same database. No process loses a row."""

import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from kalshi_pipelines.warehouse.engine import WarehouseUnavailable, open_engine
from kalshi_pipelines.warehouse.inspection import read_only
from kalshi_pipelines.warehouse.migrations import wanted_revision
from kalshi_pipelines.warehouse.upgrade import migrate
from kalshi_pipelines_tests.support.warehouse.legacy import leave_a_row_in_the_log, make_legacy_database
from kalshi_pipelines_tests.support.warehouse.revisions import open_database

AT_ONCE = 8

# A program that forks, prints "ready", waits for a line of input, and then upgrades in all its processes at once.
MIGRATE = """
import json, os, sys
from pathlib import Path
from kalshi_pipelines.warehouse.engine import open_engine
from kalshi_pipelines.warehouse.upgrade import migrate
url, adopt_from, processes = sys.argv[1:]
begin, release = os.pipe()
parent = os.getpid()
children = [os.fork() for _ in range(int(processes) - 1) if os.getpid() == parent]
if os.getpid() == parent:
    print("ready", flush=True)
    sys.stdin.readline()
    os.write(release, b"!" * len(children))
else:
    os.read(begin, 1)
done = migrate(open_engine(url), "sandbox", lambda _sentence: None, Path(adopt_from) if adopt_from else None)
report = {"applied": done.applied, "backup": done.backup is not None, "adopted": done.adoption is not None}
os.write(1, json.dumps(report).encode() + b"\\n")
if os.getpid() == parent:
    sys.exit(any([os.waitpid(child, 0)[1] for child in children]))
os._exit(0)
"""

# A program that adds quotes, and prints the number of each stored quote, until it reads a line of input.
WRITE = """
import select, sys
from itertools import count
import sqlalchemy as sa
from kalshi_pipelines.warehouse.engine import open_engine, writing
from kalshi_pipelines.warehouse.tables import price_snapshots
from kalshi_pipelines_tests.support.warehouse.rows import PRICE_SNAPSHOT
engine = open_engine(sys.argv[1])
for number in count(1_000):
    with writing(engine) as connection:
        connection.execute(sa.insert(price_snapshots), PRICE_SNAPSHOT | {"observed_us": number})
    print(number, flush=True)
    if select.select([sys.stdin], [], [], 0)[0]:
        break
"""

# A foreign program that begins a transaction, and commits it when it reads a line of input.
HOLD = """
import sqlite3, sys
path, begin, statement = sys.argv[1:]
database = sqlite3.connect(path, isolation_level=None)
database.execute(begin)
database.execute(statement).fetchall()
print("ready", flush=True)
sys.stdin.readline()
print(database.execute("SELECT count(*) FROM price_snapshots").fetchone()[0])
database.execute("COMMIT")
"""
READ = ("BEGIN", "SELECT count(*) FROM price_snapshots")
LATE = "2026-03-01 00:00:00.000000"
ADD = (
    "BEGIN IMMEDIATE",
    "INSERT INTO price_snapshots (ticker, snapshot_time, yes_bid, yes_ask, no_bid, no_ask, volume, volume_24h,"
    f" open_interest) VALUES ('KXFED-26JAN-T0', '{LATE}', 1, 2, 98, 99, 0, 0, 0)",
)

Process = subprocess.Popen[str]


@contextmanager
def start_program(script: str, *arguments: str, ready: bool = True) -> Iterator[Process]:
    """Start a program that waits for a line of input, and kill it at the end of the block."""
    command = [sys.executable, "-W", "error", "-c", script, *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            if ready:
                assert process.stdout
                assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


def upgrade_at_once(url: str, adopt_from: Path | str = "") -> list[dict[str, Any]]:
    """Return the reports of many upgrades of one database that begin at the same moment."""
    with start_program(MIGRATE, url, str(adopt_from), str(AT_ONCE)) as upgrades:
        output, _ = upgrades.communicate("go\n", timeout=120)
        assert upgrades.returncode == 0
    reports = [json.loads(line) for line in output.splitlines()]
    assert len(reports) == AT_ONCE
    return reports


def send_go(process: Process) -> None:
    assert process.stdin
    process.stdin.write("go\n")
    process.stdin.flush()


def count_reports(reports: list[dict[str, Any]], did: str) -> int:
    return sum(bool(report[did]) for report in reports)


def query(url: str, statement: str) -> list[Any]:
    engine = open_engine(url)
    try:
        with engine.connect() as connection:
            return [tuple(row) for row in connection.execute(sa.text(statement))]
    finally:
        engine.dispose()


def is_at_head(url: str) -> bool:
    return query(url, "SELECT version_num FROM alembic_version") == [(wanted_revision(),)]


def count_adoptions(url: str) -> int:
    return len(query(url, "SELECT 1 FROM ingest_runs WHERE subject = 'adoption'"))


def fill_at_0004(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_database(url, monkeypatch) as database:
        database.upgrade("0004")
        database.fill(database.tables())
    monkeypatch.delenv("KALSHI_WAREHOUSE_URL")


def test_concurrent_upgrades_of_a_new_database_run_once(empty_database_url: str) -> None:
    reports = upgrade_at_once(empty_database_url)
    assert count_reports(reports, "applied") == 1
    assert is_at_head(empty_database_url)


@pytest.mark.parametrize("log", [False, True], ids=["journal", "log"])
def test_concurrent_upgrades_of_a_legacy_file_adopt_it_once(tmp_path: Path, log: bool) -> None:
    old = make_legacy_database(tmp_path / "old.db", snapshots=300)
    if log:
        leave_a_row_in_the_log(old.path)
    url = f"sqlite:///{old.path}"
    reports = upgrade_at_once(url)
    assert [count_reports(reports, did) for did in ("applied", "backup", "adopted")] == [1, 1, 1]
    assert len(list(tmp_path.glob("*.backup"))) == 1
    assert count_adoptions(url) == 1
    assert dict(query(url, "SELECT table_name, rows_read FROM adoption_counts")) == dict(old.rows) | (
        {"events": old.rows["events"] + 1} if log else {}
    )


def test_concurrent_upgrades_of_an_older_postgres_warehouse_run_once(
    empty_postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill_at_0004(empty_postgres_url, monkeypatch)
    before = query(empty_postgres_url, "SELECT ticker FROM markets ORDER BY ticker")
    reports = upgrade_at_once(empty_postgres_url)
    assert count_reports(reports, "applied") == 1
    assert is_at_head(empty_postgres_url)
    assert query(empty_postgres_url, "SELECT ticker FROM markets ORDER BY ticker") == before


def test_concurrent_adoptions_into_postgres_run_once(empty_postgres_url: str, tmp_path: Path) -> None:
    old = make_legacy_database(tmp_path / "old.db", snapshots=300)
    content = old.path.read_bytes()
    reports = upgrade_at_once(empty_postgres_url, old.path)
    assert [count_reports(reports, did) for did in ("applied", "backup", "adopted")] == [1, 0, 1]
    assert count_adoptions(empty_postgres_url) == 1
    assert dict(query(empty_postgres_url, "SELECT table_name, rows_read FROM adoption_counts")) == old.rows
    assert old.path.read_bytes() == content


def test_writer_beside_an_upgrade_loses_no_committed_row(
    empty_sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill_at_0004(empty_sqlite_url, monkeypatch)
    with start_program(WRITE, empty_sqlite_url, ready=False) as writer:
        assert writer.stdout
        acknowledged = [int(writer.stdout.readline())]
        engine = open_engine(empty_sqlite_url)
        assert migrate(engine, "sandbox", print).applied
        engine.dispose()
        send_go(writer)
        acknowledged += map(int, writer.stdout)
        assert writer.wait(60) == 0
    stored = query(empty_sqlite_url, "SELECT observed_us FROM price_snapshots WHERE observed_us >= 1000 ORDER BY 1")
    assert stored == [(number,) for number in acknowledged]
    assert is_at_head(empty_sqlite_url)


def test_upgrade_waits_for_another_writer_and_adopts_its_row(tmp_path: Path) -> None:
    old = make_legacy_database(tmp_path / "old.db")
    url = f"sqlite:///{old.path}"
    with start_program(HOLD, str(old.path), *ADD) as writer, start_program(MIGRATE, url, "", "1") as upgrade:
        send_go(upgrade)
        time.sleep(1)
        assert upgrade.poll() is None
        writer.communicate("commit\n", timeout=60)
        output, _ = upgrade.communicate(timeout=60)
        assert (writer.returncode, upgrade.returncode) == (0, 0)
    assert json.loads(output)["adopted"]
    read = dict(query(url, "SELECT table_name, rows_read FROM adoption_counts"))
    assert read["price_snapshots"] == old.rows["price_snapshots"] + 1
    (backup,) = tmp_path.glob("*.backup")
    with read_only(backup) as copy:
        assert copy.execute("SELECT count(*) FROM price_snapshots WHERE snapshot_time = ?", (LATE,)).fetchone() == (1,)


def test_upgrade_waits_for_a_reader_of_a_file_without_wal_mode(tmp_path: Path) -> None:
    old = make_legacy_database(tmp_path / "old.db")
    url = f"sqlite:///{old.path}"
    with start_program(HOLD, str(old.path), *READ) as reader, start_program(MIGRATE, url, "", "1") as upgrade:
        send_go(upgrade)
        time.sleep(1)
        assert upgrade.poll() is None
        seen, _ = reader.communicate("enough\n", timeout=60)
        upgrade.communicate(timeout=60)
        assert (reader.returncode, upgrade.returncode) == (0, 0)
    assert int(seen) == old.rows["price_snapshots"]
    assert is_at_head(url)


def test_upgrade_does_not_disturb_a_reader_of_a_file_in_wal_mode(tmp_path: Path) -> None:
    old = make_legacy_database(tmp_path / "old.db")
    leave_a_row_in_the_log(old.path)
    engine = open_engine(f"sqlite:///{old.path}")
    with start_program(HOLD, str(old.path), *READ) as reader:
        assert migrate(engine, "sandbox", print).adoption
        seen, _ = reader.communicate("enough\n", timeout=60)
        assert reader.returncode == 0
    engine.dispose()
    assert int(seen) == old.rows["price_snapshots"]


@pytest.mark.parametrize("transaction", [READ, ADD], ids=["reader", "writer"])
def test_upgrade_blocked_by_another_program_gives_up_and_changes_nothing(
    tmp_path: Path, transaction: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kalshi_pipelines.warehouse.engine.LOCK_WAIT_SECONDS", 1)
    old = make_legacy_database(tmp_path / "old.db")
    content = old.path.read_bytes()
    engine = open_engine(f"sqlite:///{old.path}")
    with (
        start_program(HOLD, str(old.path), *transaction),
        pytest.raises(WarehouseUnavailable, match="Stop the other program that holds the database"),
    ):
        migrate(engine, "sandbox", print)
    engine.dispose()
    with closing(
        sqlite3.connect(old.path)
    ) as database:  # opening the file lets SQLite undo the transaction of the killed writer
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert old.path.read_bytes() == content
    assert list(tmp_path.glob("*.backup*")) == []
