"""Past days are verified and closed, and a lost manifest is made again from the files."""

import datetime as dt
import json
import shutil
from pathlib import Path

import pytest
import sqlalchemy as sa

from kalshi_pipelines.lake.buffers import PRICES
from kalshi_pipelines.lake.closing import close_days, verify_lake
from kalshi_pipelines.lake.errors import LakeFileChanged, LakeOfAnotherWarehouse
from kalshi_pipelines.lake.history import publish_history
from kalshi_pipelines.lake.manifest import LakeFile, lake_files_of
from kalshi_pipelines.lake.rebuilding import rebuild_manifest
from kalshi_pipelines.warehouse.engine import writing
from kalshi_pipelines.warehouse.tables import lake_files, warehouse_identity
from kalshi_pipelines_tests.support.lake.lakes import (
    DAY,
    EXACT,
    MIDNIGHT_US,
    add_quotes,
    batch,
    lake_rows,
    local_lake,
    start_history,
)

YESTERDAY, TODAY = (f"price_history/date={day}/{day}.parquet" for day in ("2026-11-21", "2026-11-22"))


def publish(engine: sa.Engine, folder: Path, *times: int) -> None:
    add_quotes(engine, [MIDNIGHT_US + time for time in times])
    publish_history(local_lake(folder), engine, PRICES)


def statuses(engine: sa.Engine) -> list[str]:
    return [file.status for file in lake_files_of(engine)]


def without_times(engine: sa.Engine) -> list[tuple[object, ...]]:
    return [(file.slot, file.contents, file.bytes, file.sha256) for file in lake_files_of(engine)]


def test_past_days_are_closed_and_a_late_row_opens_one_again(engine: sa.Engine, folder: Path) -> None:
    start_history(engine)
    publish(engine, folder, -1, 0)
    lake = local_lake(folder)
    assert close_days(lake, engine, DAY).closed == (YESTERDAY,)
    assert close_days(lake, engine, DAY).closed == ()
    assert statuses(engine) == ["closed", "open"]
    publish(engine, folder, -5)
    assert statuses(engine) == ["open", "open"]
    assert close_days(lake, engine, DAY + dt.timedelta(days=1)).closed == (YESTERDAY, TODAY)
    assert len(lake_rows(folder)) == 3


@pytest.mark.parametrize("spoil", ["hash", "missing", "manifest"])
def test_file_that_differs_from_the_manifest_is_named_and_not_closed(
    engine: sa.Engine, folder: Path, spoil: str
) -> None:
    start_history(engine)
    publish(engine, folder, -1, 0)
    if spoil == "manifest":
        with writing(engine) as connection:
            connection.execute(sa.update(lake_files).values(rows=7))
    elif spoil == "hash":
        (folder / YESTERDAY).write_bytes((folder / YESTERDAY).read_bytes() + b"x")
    else:
        (folder / YESTERDAY).unlink()
    found = close_days(local_lake(folder), engine, DAY)
    assert found.closed == ()
    assert YESTERDAY in found.problems[0]
    assert statuses(engine) == ["open", "open"]
    assert any(YESTERDAY in problem for problem in verify_lake(local_lake(folder), engine).problems)


@pytest.mark.parametrize("closes", [True, False])
def test_file_that_names_another_lake_than_the_mark_is_reported(
    engine: sa.Engine, folder: Path, *, closes: bool
) -> None:
    start_history(engine)
    publish(engine, folder, -1)
    mark = folder / "lake.json"
    own = json.loads(mark.read_text())["lake_id"]
    mark.write_text(mark.read_text().replace(own, "0" * len(own)))
    lake = local_lake(folder)
    (problem,) = (close_days(lake, engine, DAY) if closes else verify_lake(lake, engine)).problems
    assert problem.startswith(f"The file {YESTERDAY} of the lake {lake.place} was written for the lake {own}, but ")
    assert statuses(engine) == ["open"]
    mark.write_text(mark.read_text().replace("0" * len(own), own))
    assert verify_lake(lake, engine).problems == ()


def test_rebuilt_manifest_equals_the_lost_one(engine: sa.Engine, folder: Path) -> None:
    start_history(engine)
    publish(engine, folder, -1, 0, 1)
    before = without_times(engine)
    assert rebuild_manifest(local_lake(folder), engine).unchanged == (YESTERDAY, TODAY)
    with writing(engine) as connection:
        connection.execute(sa.delete(lake_files))
    assert rebuild_manifest(local_lake(folder), engine).recorded == (YESTERDAY, TODAY)
    assert without_times(engine) == before
    publish(engine, folder, 2)
    assert len(lake_rows(folder)) == 4


def test_rebuilding_forgets_missing_files_and_names_useless_ones(engine: sa.Engine, folder: Path) -> None:
    start_history(engine)
    publish(engine, folder, -1, 0)
    (folder / YESTERDAY).unlink()
    (folder / TODAY).write_bytes(b"PAR1")
    odd = folder / "price_history" / "date=2026-11-22" / "run-1.parquet"
    odd.write_bytes(b"")
    found = rebuild_manifest(local_lake(folder), engine)
    assert found.missing == (YESTERDAY,)
    assert len(found.problems) == 2
    # The file that cannot be read keeps its row, so nothing replaces it.
    assert [file.path for file in lake_files_of(engine)] == [TODAY]
    add_quotes(engine, [MIDNIGHT_US + 9])
    with pytest.raises(LakeFileChanged):
        publish_history(local_lake(folder), engine, PRICES)


def test_file_of_another_lake_is_not_taken(
    sqlite_engine: sa.Engine, postgres_engine: sa.Engine, tmp_path: Path
) -> None:
    for number, each in enumerate((sqlite_engine, postgres_engine)):
        start_history(each)
        publish(each, tmp_path / str(number), -number)
    shutil.copytree(tmp_path / "1" / "price_history", tmp_path / "0" / "price_history", dirs_exist_ok=True)
    found = rebuild_manifest(local_lake(tmp_path / "0"), sqlite_engine)
    assert "was written for another lake" in found.problems[0]
    assert [file.path for file in lake_files_of(sqlite_engine)] == [TODAY]


def test_taking_over_a_lake_needs_a_person(sqlite_engine: sa.Engine, postgres_engine: sa.Engine, folder: Path) -> None:
    lake = local_lake(folder)
    start_history(sqlite_engine)
    publish(sqlite_engine, folder, 0)
    start_history(postgres_engine)
    with pytest.raises(LakeOfAnotherWarehouse):
        rebuild_manifest(lake, postgres_engine)
    assert rebuild_manifest(lake, postgres_engine, take_over=True).recorded == (TODAY,)
    publish(postgres_engine, folder, 1)
    assert len(lake_rows(folder)) == 2
    add_quotes(sqlite_engine, [MIDNIGHT_US + 2])
    with pytest.raises(LakeOfAnotherWarehouse):
        publish_history(lake, sqlite_engine, PRICES)


def test_no_lake_of_another_environment_is_taken_over(sqlite_engine: sa.Engine, folder: Path) -> None:
    start_history(sqlite_engine)
    publish(sqlite_engine, folder, 0)
    with writing(sqlite_engine) as connection:
        connection.execute(sa.delete(warehouse_identity))
    with pytest.raises(LakeOfAnotherWarehouse, match="holds data of the sandbox exchange"):
        rebuild_manifest(local_lake(folder, "prod"), sqlite_engine, take_over=True)


def test_lost_mark_is_written_again_for_the_owner_only(
    sqlite_engine: sa.Engine, postgres_engine: sa.Engine, folder: Path
) -> None:
    for each in (sqlite_engine, postgres_engine):
        start_history(each)
    publish(sqlite_engine, folder, 0)
    mark = (folder / "lake.json").read_bytes()
    (folder / "lake.json").unlink()
    with pytest.raises(LakeOfAnotherWarehouse):
        rebuild_manifest(local_lake(folder), postgres_engine, take_over=True)
    assert rebuild_manifest(local_lake(folder), sqlite_engine).unchanged == (TODAY,)
    assert (folder / "lake.json").read_bytes() == mark


def test_rebuilding_begins_a_new_lake_where_every_file_was_lost(engine: sa.Engine, folder: Path) -> None:
    start_history(engine)
    publish(engine, folder, 0)
    shutil.rmtree(folder)
    assert rebuild_manifest(local_lake(folder), engine).missing == (TODAY,)
    publish(engine, folder, 1)
    assert len(lake_rows(folder)) == 1


def test_rebuilt_row_of_an_interrupted_publish_describes_the_file(sqlite_engine: sa.Engine, folder: Path) -> None:
    start_history(sqlite_engine)
    publish(sqlite_engine, folder, 0)
    with writing(sqlite_engine) as connection:
        connection.execute(sa.update(lake_files).values(status="publishing", next_sha256="1" * 64))
    found = rebuild_manifest(local_lake(folder), sqlite_engine)
    assert found.recorded == (TODAY,)
    file: LakeFile = lake_files_of(sqlite_engine)[0]
    assert (file.status, file.contents.rows) == ("open", 1)


def test_rows_of_a_day_that_never_began_are_a_fault_of_the_caller(sqlite_engine: sa.Engine, folder: Path) -> None:
    with pytest.raises(ValueError, match="not all of its day"):
        local_lake(folder).publish(sqlite_engine, EXACT, {DAY: [batch(EXACT, [("A", 1, 1)])]}, "test")
