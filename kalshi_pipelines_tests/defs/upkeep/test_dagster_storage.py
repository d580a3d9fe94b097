"""Retention of Dagster's own storage, on the SQLite storage that `dagster.yaml` sets."""

import datetime as dt
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from kalshi_pipelines.defs.upkeep.dagster_storage import remove_old_dagster_records
from kalshi_pipelines.upkeep.removals import Removal
from kalshi_pipelines_tests.support.checkout import CHECKOUT
from kalshi_pipelines_tests.support.upkeep.tasks import counts

KEPT_DAYS = 30
NOW = dt.datetime.now(dt.UTC)
LATER = NOW + dt.timedelta(days=KEPT_DAYS + 1)


@dg.asset(check_specs=[dg.AssetCheckSpec("good", asset="checked")])
def checked():  # type: ignore[no-untyped-def]  # noqa: ANN201  # Dagster takes an annotation as the number of outputs
    """An asset whose runs leave a materialization and the result of a check."""
    return dg.MaterializeResult(check_results=[dg.AssetCheckResult(passed=True, check_name="good")])


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    monkeypatch.chdir(tmp_path)
    shutil.copy(CHECKOUT / "dagster.yaml", tmp_path)
    with dg.DagsterInstance.from_config(str(tmp_path)) as opened:
        yield opened


def run(instance: dg.DagsterInstance) -> str:
    return str(dg.materialize([checked], instance=instance, tags={"why": "test"}).run_id)


def clean(instance: dg.DagsterInstance, now: dt.datetime = LATER, *, is_dry_run: bool = False) -> list[Removal]:
    return remove_old_dagster_records(instance, KEPT_DAYS, now, lambda _: None, is_dry_run=is_dry_run)


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted((folder / ".dagster").rglob("*"))
        if path.is_file() and not path.name.endswith(("-shm", "-wal"))
    }


def names(folder: Path, text: str) -> list[str]:
    return [name for name in files(folder) if text in name]


def rows(folder: Path, file: str, query: str) -> list[Any]:
    with closing(sqlite3.connect(folder / ".dagster" / file)) as database:
        return [row[0] for row in database.execute(query)]


def test_old_runs_leave_with_their_files_except_the_newest_of_the_asset(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    old, older, newest = run(instance), run(instance), run(instance)
    assert names(tmp_path, old)
    assert counts(clean(instance), "Dagster runs") == (2, 1)
    assert [record.dagster_run.run_id for record in instance.get_run_records()] == [newest]
    for gone in (old, older):
        assert names(tmp_path, gone) == []
    event = instance.get_latest_materialization_event(checked.key)
    assert event
    assert event.run_id == newest
    assert set(rows(tmp_path, "history/runs.db", "SELECT DISTINCT run_id FROM run_tags")) == {newest}
    assert set(rows(tmp_path, "history/runs/index.db", "SELECT DISTINCT run_id FROM event_logs")) == {newest}
    assert set(rows(tmp_path, "history/runs/index.db", "SELECT DISTINCT run_id FROM asset_check_executions")) == {
        newest
    }


def test_runs_that_are_young_or_active_stay(instance: dg.DagsterInstance) -> None:
    run(instance)
    run(instance)
    assert counts(clean(instance, NOW + dt.timedelta(days=KEPT_DAYS - 1)), "Dagster runs") == (0, 2)
    instance.create_run_for_job(
        dg.define_asset_job("any", "*").resolve(dg.Definitions([checked]).resolve_asset_graph())
    )
    assert counts(clean(instance), "Dagster runs") == (1, 2)


def test_dry_run_counts_the_same_and_changes_no_file(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    for _ in range(3):
        run(instance)
    before = files(tmp_path)
    expected = clean(instance, is_dry_run=True)
    assert files(tmp_path) == before
    assert counts(expected, "Dagster runs") == (2, 1)
    assert counts(expected, "Dagster check results") == (2, 1)
    done = clean(instance)
    assert [(one.what, one.removed) for one in done[:2]] == [(one.what, one.removed) for one in expected[:2]]


def test_log_files_of_old_ticks_leave_and_young_ones_stay(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    logs = tmp_path / ".dagster" / "compute_logs"
    ticks = logs / "__repository__" / "drift_sensor"
    stray = logs / "0b2ef6b4-run-that-is-gone" / "compute_logs"
    for folder in (ticks, stray):
        folder.mkdir(parents=True)
    of_run = logs / run(instance) / "compute_logs" / "step.err"
    old, young = ticks / "1.err", ticks / "2.err"
    for path in (old, young, stray / "step.err", of_run):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("a line")
    for path in (old, stray / "step.err", of_run):
        os.utime(path, (0, 0))
    removed, kept = counts(clean(instance, NOW, is_dry_run=True), "Dagster log files")
    assert (removed, old.exists()) == (2, True)
    assert counts(clean(instance, NOW), "Dagster log files") == (2, kept)
    assert [path.exists() for path in (old, young, stray, of_run)] == [False, True, False, True]


@pytest.mark.parametrize("step", ["delete_logs", "index_connection", "unlink", "delete_run"])
def test_removal_of_a_run_that_was_interrupted_is_completed_later(
    instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    old, newest = run(instance), run(instance)

    class Killed(BaseException):
        pass

    def killed(*_: Any, **__: Any) -> None:
        raise Killed

    places = {
        "delete_logs": instance.compute_log_manager,
        "index_connection": instance.event_log_storage,
        "unlink": Path,
        "delete_run": instance.run_storage,
    }
    with monkeypatch.context() as patch:
        patch.setattr(places[step], step, killed)
        with pytest.raises(Killed):
            clean(instance)
    assert counts(clean(instance), "Dagster runs") == (1, 1)
    assert [record.dagster_run.run_id for record in instance.get_run_records()] == [newest]
    assert names(tmp_path, old) == []


def test_ephemeral_instance_is_cleaned_too() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        for _ in range(3):
            run(instance)
        assert counts(clean(instance), "Dagster runs") == (2, 1)
        assert instance.get_runs_count() == 1


def test_ticks_are_purged_by_dagster_itself(instance: dg.DagsterInstance) -> None:
    settings = instance.get_settings("retention")
    assert settings["sensor"]["purge_after_days"]["success"] == KEPT_DAYS
    assert set(settings) == {"schedule", "sensor", "auto_materialize"}
