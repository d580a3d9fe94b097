"""A restore never makes a second warehouse that takes writes beside a copy, and says so before anything is replaced."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
import sqlalchemy as sa

from kalshi_pipelines.cli.main import main
from kalshi_pipelines.warehouse import tables
from kalshi_pipelines.warehouse.engine import open_engine, writing
from kalshi_pipelines_tests.support.warehouse.rows import RUN, fill


@pytest.fixture
def warehouse(migrated_file: Path, tmp_path: Path) -> Path:
    """Return the file of a warehouse with a row in every table, in the folder in which commands look for it."""
    path = tmp_path / "data" / "sandbox" / "warehouse.db"
    path.parent.mkdir(parents=True)
    shutil.copy(migrated_file, path)
    engine = open_engine(f"sqlite:///{path}")
    fill(engine)
    engine.dispose()
    return path


class Done(NamedTuple):
    """The result of a command."""

    returncode: int
    stdout: str
    stderr: str


Run = Callable[..., Done]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs a command in this process."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Done:
        status = main(arguments)
        return Done(status, *capsys.readouterr())

    return run


def add_a_run(path: Path) -> None:
    engine = open_engine(f"sqlite:///{path}")
    try:
        with writing(engine) as connection:
            connection.execute(sa.insert(tables.ingest_runs), RUN)
    finally:
        engine.dispose()


def backed_up(run: Run, place: Path) -> Path:
    place.mkdir()
    done = run("backup", "--to", str(place))
    assert done.returncode == 0, done.stderr
    (backup,) = place.glob("*.backup")
    return backup


@pytest.mark.parametrize("retired", ["backup", "present warehouse"])
def test_restore_beside_a_copy_is_refused_before_the_swap(
    warehouse: Path, tmp_path: Path, run: Run, retired: str
) -> None:
    before = backed_up(run, tmp_path / "before")
    assert run("copy", "--to", f"sqlite:///{tmp_path}/copy.db").returncode == 0
    backup = backed_up(run, tmp_path / "after") if retired == "backup" else before
    content = warehouse.read_bytes()
    refused = run("restore", str(backup))
    assert (refused.returncode, refused.stdout) == (2, "")
    assert f"was copied to {tmp_path}/copy.db" in refused.stderr
    assert "nothing was restored" in refused.stderr
    assert "--copy-is-gone" in refused.stderr
    assert warehouse.read_bytes() == content
    assert list(warehouse.parent.glob("*.replaced")) == []
    (tmp_path / "copy.db").unlink()
    done = run("restore", str(backup), "--copy-is-gone")
    assert done.returncode == 0, done.stderr
    add_a_run(warehouse)


def test_backup_of_a_retired_warehouse_is_not_restored_to_postgres(
    warehouse: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch, empty_postgres_url: str
) -> None:
    assert warehouse.exists()
    assert run("copy", "--to", f"sqlite:///{tmp_path}/copy.db").returncode == 0
    backup = backed_up(run, tmp_path / "after")
    monkeypatch.setenv("KALSHI_WAREHOUSE_URL", empty_postgres_url)
    refused = run("restore", str(backup))
    assert refused.returncode == 2
    assert f"was copied to {tmp_path}/copy.db" in refused.stderr
    done = run("restore", str(backup), "--copy-is-gone")
    assert done.returncode == 0, done.stderr
