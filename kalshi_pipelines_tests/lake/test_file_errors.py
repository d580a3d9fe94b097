"""A full disk, files of another user and odd paths end in one sentence. No row is lost, and no file is left behind."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import sqlalchemy as sa

from kalshi_pipelines.lake import publishing
from kalshi_pipelines.lake.buffers import PRICES
from kalshi_pipelines.lake.closing import verify_lake
from kalshi_pipelines.lake.errors import LakeUnavailable
from kalshi_pipelines.lake.history import publish_history
from kalshi_pipelines.lake.manifest import lake_files_of
from kalshi_pipelines.lake.removal import remove_published
from kalshi_pipelines.lake.store import open_local
from kalshi_pipelines.warehouse.engine import open_engine
from kalshi_pipelines.warehouse.tables import price_snapshots
from kalshi_pipelines_tests.support.lake.lakes import (
    MIDNIGHT_US,
    add_quotes,
    count,
    exported,
    files_in,
    lake_rows,
    local_lake,
    start_history,
)


def publish_in_a_program(engine: sa.Engine, folder: Path, limit: str) -> str:
    command = [sys.executable, "-m", "kalshi_pipelines_tests.support.lake.limited_program"]
    url = engine.url.render_as_string()
    finished = subprocess.run([*command, url, str(folder), limit], capture_output=True, text=True, check=False)
    assert finished.stderr == ""
    return finished.stdout


def assert_repaired(engine: sa.Engine, folder: Path, run: int, rows: int) -> None:
    """Check that a failed publish left nothing among the data, and that the next publish succeeds."""
    assert not (folder / ".unfinished").exists()
    assert not exported(engine, run)
    publish_history(local_lake(folder), engine, PRICES)
    assert exported(engine, run)
    assert len(lake_rows(folder)) == rows
    assert files_in(folder) == [file.path for file in lake_files_of(engine)]
    assert verify_lake(local_lake(folder), engine).problems == ()


def test_full_disk_is_one_sentence_and_the_older_file_stays(
    engine: sa.Engine, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, mode: str = "rb") -> pa.NativeFile:
        # The device accepts no byte, like a disk without space.
        return open_local(Path("/dev/full") if mode == "wb" else path, mode)

    start_history(engine)
    add_quotes(engine, [MIDNIGHT_US])
    publish_history(local_lake(folder), engine, PRICES)
    run = add_quotes(engine, range(MIDNIGHT_US + 1, MIDNIGHT_US + 2_000))
    with monkeypatch.context() as patch:
        patch.setattr(publishing, "open_local", full)
        with pytest.raises(LakeUnavailable, match=r"cannot be used \(.*No space left.*\)\. Free some disk space"):
            publish_history(local_lake(folder), engine, PRICES)
    assert len(lake_rows(folder)) == 1
    assert_repaired(engine, folder, run, 2_000)


def test_file_that_may_not_grow_is_one_sentence(sqlite_engine: sa.Engine, folder: Path) -> None:
    start_history(sqlite_engine)
    run = add_quotes(sqlite_engine, range(MIDNIGHT_US, MIDNIGHT_US + 20_000), yes_bid_microdollars=123_456)
    sqlite_engine.dispose()
    told = publish_in_a_program(sqlite_engine, folder, "40000")
    assert told.startswith("LakeUnavailable: The lake ") or "WarehouseUnavailable" in told
    assert "Traceback" not in told
    assert files_in(folder) == []
    assert_repaired(sqlite_engine, folder, run, 20_000)


@pytest.fixture
def shared_folder() -> Iterator[Path]:
    """A folder that every user may enter. The folders of pytest are closed to other users."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o777)
        yield Path(name)


@pytest.mark.parametrize("what", ["lake", "partition"])
def test_lake_of_another_user_is_one_sentence(migrated_file: Path, shared_folder: Path, what: str) -> None:
    folder = shared_folder / "lake"
    shutil.copy(migrated_file, shared_folder / "warehouse.db")
    engine = open_engine(f"sqlite:///{shared_folder / 'warehouse.db'}")
    start_history(engine)
    add_quotes(engine, [MIDNIGHT_US])
    publish_history(local_lake(folder), engine, PRICES)
    run = add_quotes(engine, [MIDNIGHT_US + 1])
    engine.dispose()
    for path in shared_folder.rglob("*"):
        path.chmod(0o777 if path.is_dir() else 0o666)
    closed = folder if what == "lake" else folder / "price_history" / "date=2026-11-22"
    closed.chmod(0o555)
    told = publish_in_a_program(engine, folder, "user")
    closed.chmod(0o777)
    assert told.startswith(f"LakeUnavailable: The lake {folder} cannot be used (Permission denied). Give yourself")
    assert len(lake_rows(folder)) == 1
    publish_history(local_lake(folder), engine, PRICES)
    assert exported(engine, run)
    assert len(lake_rows(folder)) == 2
    assert files_in(folder) == [file.path for file in lake_files_of(engine)]
    engine.dispose()


@pytest.mark.parametrize("name", [b"odd\xff\xfe", b"new\nline", b"per%20cent", b"a b'c\"d", "é€".encode()])
def test_odd_bytes_in_the_path_work(sqlite_engine: sa.Engine, tmp_path: Path, name: bytes) -> None:
    folder = tmp_path / os.fsdecode(name)
    start_history(sqlite_engine)
    for time in (0, 1):
        add_quotes(sqlite_engine, [MIDNIGHT_US + time])
        publish_history(local_lake(folder), sqlite_engine, PRICES)
    lake = local_lake(folder)
    lake.place.encode()
    assert verify_lake(lake, sqlite_engine).problems == ()
    assert remove_published(lake, sqlite_engine, PRICES, MIDNIGHT_US + 2) == 2
    assert count(sqlite_engine, price_snapshots) == 0


@pytest.mark.parametrize("what", ["lake", "dataset", "partition", "slot", "mark"])
def test_file_or_folder_in_the_way_is_one_sentence(sqlite_engine: sa.Engine, folder: Path, what: str) -> None:
    ways: dict[str, tuple[str, bool]] = {
        "lake": ("", False),
        "dataset": ("price_history", False),
        "partition": ("price_history/date=2026-11-22", False),
        "slot": ("price_history/date=2026-11-22/2026-11-22.parquet", True),
        "mark": ("lake.json", True),
    }
    name, is_folder = ways[what]
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir() if is_folder else path.touch()
    start_history(sqlite_engine)
    run = add_quotes(sqlite_engine, [MIDNIGHT_US])
    with pytest.raises(Exception, match="lake") as error:
        publish_history(local_lake(folder), sqlite_engine, PRICES)
    text = str(error.value)
    assert type(error.value).__module__ == "kalshi_pipelines.lake.errors"
    assert len(text.splitlines()) == 1
    path.rmdir() if is_folder else path.unlink()
    assert_repaired(sqlite_engine, folder, run, 1)


def test_message_shows_odd_bytes_of_a_path_escaped(sqlite_engine: sa.Engine, tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"odd\xff")
    folder.touch()
    with pytest.raises(LakeUnavailable) as error:
        publish_history(local_lake(folder), sqlite_engine, PRICES)
    assert b"odd\\udcff" in str(error.value).encode()


def test_manifest_that_the_warehouse_refuses_leaves_the_older_file(
    sqlite_engine: sa.Engine, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise sa.exc.OperationalError("UPDATE lake_files", {}, Exception("database or disk is full"))

    start_history(sqlite_engine)
    run = add_quotes(sqlite_engine, [MIDNIGHT_US])
    for step in ("record_intent", "record_published"):
        with monkeypatch.context() as patch:
            patch.setattr(publishing, step, refuse)
            with pytest.raises(sa.exc.OperationalError):
                publish_history(local_lake(folder), sqlite_engine, PRICES)
        assert not (folder / ".unfinished").exists()
    assert_repaired(sqlite_engine, folder, run, 1)
