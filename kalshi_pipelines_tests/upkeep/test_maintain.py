"""One upkeep does all tasks in their order, its dry run changes no file, and a failed task does not stop the others."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from kalshi_pipelines.errors import ExpectedError
from kalshi_pipelines.lake.datasets import PUBLIC_TRADES
from kalshi_pipelines.units import DAY_US
from kalshi_pipelines.upkeep.inputs import UpkeepInputs
from kalshi_pipelines.upkeep.maintain import TASKS, UpkeepIncomplete, maintain, require_complete
from kalshi_pipelines.warehouse import tables
from kalshi_pipelines.warehouse.engine import open_engine, writing
from kalshi_pipelines.warehouse.locks import AlreadyRunning, hold_work_lock
from kalshi_pipelines_tests.support.lake.lakes import local_lake
from kalshi_pipelines_tests.support.lake.public_trades import TRADES_DAY, TRADES_DAY_US, trades_batch
from kalshi_pipelines_tests.support.upkeep.kill_points import Place, make_maintained, problems_of, truth_of_maintained
from kalshi_pipelines_tests.support.upkeep.tasks import counts, upkeep_inputs
from kalshi_pipelines_tests.support.upkeep.warehouses import keys


@pytest.fixture
def place(empty_database_url: str, tmp_path: Path) -> Place:
    place = Place(empty_database_url, tmp_path)
    make_maintained(place)
    return place


@pytest.fixture
def inputs(place: Place) -> Iterator[UpkeepInputs]:
    engine = open_engine(place.url)
    yield upkeep_inputs(engine, lake=local_lake(place.folder / "lake"), old_folder=place.folder / "lake")
    engine.dispose()


def files_of(place: Place) -> dict[str, bytes]:
    return {
        path.name: path.read_bytes()
        for path in place.folder.rglob("*")
        if path.is_file() and not path.name.endswith(("-shm", "-wal"))
    }


def test_upkeep_removes_everything_that_may_go(place: Place, inputs: UpkeepInputs) -> None:
    truth = truth_of_maintained(place)
    report = maintain(inputs)
    require_complete(report)
    removed = {removal.what: (removal.removed, removal.kept) for removal in report.removals}
    assert removed["history rows of quotes"] == (120, 40)
    assert removed["history rows of orderbooks"] == (40, 0)
    assert removed["newest orderbooks"] == (13, 4)
    assert removed["settled markets"] == (6, 7)
    assert removed["missing markets"] == (3, 0)
    assert removed["events"] == (2, 4)
    assert removed["records in quarantine"] == (1, 1)
    if inputs.engine.dialect.name == "sqlite":
        assert removed["backups"] == (2, 3)
    assert problems_of(place, truth) == []
    assert keys(inputs.engine, tables.markets) == ["LIVE", *[f"NEW{number}" for number in range(6)], "TRADED"]


def test_second_upkeep_finds_nothing_to_remove(inputs: UpkeepInputs) -> None:
    maintain(inputs)
    again = maintain(inputs)
    assert again.problems == ()
    assert {removal.removed for removal in again.removals if "bytes" not in removal.what} == {0}


def test_dry_run_changes_no_file_and_foretells_what_leaves(place: Place, inputs: UpkeepInputs) -> None:
    inputs.engine.dispose()
    before, state = files_of(place), place.state()
    reported = maintain(replace(inputs, is_dry_run=True))
    inputs.engine.dispose()
    assert files_of(place) == before
    assert place.state() == state
    assert "Dry run, nothing is changed." in str(reported)
    done = maintain(inputs)
    # In the dry run, old quotes are not in the lake yet, and a market waits for its history rows.
    assert counts(list(reported.removals), "settled markets")[0] == 5
    assert counts(list(reported.removals), "records in quarantine") == counts(
        list(done.removals), "records in quarantine"
    )


def test_failed_task_is_reported_and_the_others_run(inputs: UpkeepInputs) -> None:
    def fail(_: UpkeepInputs) -> list[Any]:
        raise ExpectedError("The disk is gone.", "Buy one.")

    report = maintain(inputs, [("doomed task", fail), *TASKS])
    assert [problem.task for problem in report.problems] == ["doomed task"]
    assert counts(list(report.removals), "settled markets") == (6, 7)
    assert "doomed task failed: The disk is gone. Buy one." in str(report)
    with pytest.raises(UpkeepIncomplete, match="doomed task: The disk is gone"):
        require_complete(report)


def test_lake_that_cannot_be_used_stops_no_other_task(inputs: UpkeepInputs, place: Place) -> None:
    (place.folder / "lake").write_text("a file in the way")
    report = maintain(inputs)
    assert {problem.task for problem in report.problems} >= {"publishing of history", "retention of settled markets"}
    assert counts(list(report.removals), "records in quarantine") == (1, 1)
    assert len(keys(inputs.engine, tables.settlements)) == 13


def test_second_upkeep_at_the_same_time_is_refused(inputs: UpkeepInputs) -> None:
    with hold_work_lock(inputs.engine, "upkeep"), pytest.raises(AlreadyRunning):
        maintain(inputs)


def test_dry_run_promises_to_close_no_day_that_only_a_backfill_closes(inputs: UpkeepInputs) -> None:
    inputs = replace(inputs, now_us=max(inputs.now_us, TRADES_DAY_US + 3 * DAY_US))

    def note() -> str:
        report = maintain(replace(inputs, is_dry_run=True))
        return next(removal.note for removal in report.removals if removal.what == "files of the lake")

    maintain(inputs)
    before = note()
    inputs.lake.replace_day(inputs.engine, PUBLIC_TRADES, TRADES_DAY, [[trades_batch([("A", 1, 1)])]], "backfill")
    assert note() == before == ""
    maintain(inputs)
    assert {file.status for file in inputs.lake.files(inputs.engine, PUBLIC_TRADES)} == {"open"}


def test_changed_file_of_a_past_day_fails_the_upkeep(inputs: UpkeepInputs, place: Place) -> None:
    maintain(inputs)
    file = min((place.folder / "lake" / "price_history").rglob("*.parquet"))
    file.write_bytes(file.read_bytes() + b"x")
    with writing(inputs.engine) as connection:
        connection.execute(sa.update(tables.lake_files).values(status="open"))
    report = maintain(inputs)
    assert file.name in str(report)
    assert "closing of past days" in {problem.task for problem in report.problems}
