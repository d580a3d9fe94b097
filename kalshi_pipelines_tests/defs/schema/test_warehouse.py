"""The schema assets of warehouse and journal: `migrate`, its dry run, the order of assets, and outdated databases."""

import csv
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from kalshi_pipelines.definitions import build_defs
from kalshi_pipelines.defs.resources import JournalResource, WarehouseResource
from kalshi_pipelines.defs.schema.automation import schema_sensor
from kalshi_pipelines.defs.schema.requirement import WAREHOUSE_SCHEMA, AssetWithoutSchema, require_schema_upstream
from kalshi_pipelines.execution.journal.engine import open_journal
from kalshi_pipelines.execution.journal.journal import Journal
from kalshi_pipelines.execution.journal.migrations import journal_head
from kalshi_pipelines.warehouse.migrations import wanted_revision
from kalshi_pipelines_tests.support.warehouse.legacy import make_legacy_database


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def definitions(data_dir: Path) -> dg.Definitions:
    return build_defs(warehouse=WarehouseResource(data_dir=str(data_dir)))


@pytest.fixture
def file(data_dir: Path) -> Path:
    """The path of the warehouse's SQLite file."""
    path = data_dir / "sandbox" / "warehouse.db"
    path.parent.mkdir(parents=True)
    return path


def run(definitions: dg.Definitions, job: str, instance: dg.DagsterInstance | None = None) -> Any:
    return definitions.resolve_job_def(job).execute_in_process(raise_on_error=False, instance=instance)


def sentence_of(result: Any) -> str | None:
    """Return the error message of a run's failed step."""
    (failure,) = [event for event in result.all_node_events if event.is_step_failure]
    message: str | None = failure.step_failure_data.user_failure_data.description
    return message


def stamp_with(file: Path, revision: str) -> None:
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("PRAGMA foreign_keys = ON")
        database.execute("UPDATE alembic_version SET version_num = ?", (revision,))


def look(data_dir: Path, cursor: str | None = None) -> dg.SensorResult:
    with dg.build_sensor_context(
        cursor=cursor, resources={"warehouse": WarehouseResource(data_dir=str(data_dir))}
    ) as context:
        result = schema_sensor(context)
    assert isinstance(result, dg.SensorResult)
    return result


def check_of(result: dg.SensorResult) -> dg.AssetCheckEvaluation:
    (seen,) = result.asset_events
    assert isinstance(seen, dg.AssetCheckEvaluation)
    return seen


def test_migrate_on_an_old_database_adopts_it_and_shows_row_counts(definitions: dg.Definitions, file: Path) -> None:
    make_legacy_database(file)
    result = run(definitions, "migrate")
    assert result.success
    (materialization,) = result.asset_materializations_for_node("warehouse_schema")
    figures = {record.data["table"]: record.data for record in materialization.metadata["adopted"].records}
    total = figures["all"]
    assert total["read"] == total["kept"] + total["normalised"] + total["quarantined"] > 0
    assert Path(str(materialization.metadata["backup"].value)).is_file()


def test_migrate_on_a_foreign_file_fails_with_one_sentence(definitions: dg.Definitions, file: Path) -> None:
    file.write_text("a shopping list")
    result = run(definitions, "migrate")
    assert sentence_of(result) == (
        f"{file} is not a SQLite database, so it was not touched. "
        "Set KALSHI_WAREHOUSE_URL or KALSHI_DATA_DIR to another place, or move the file away."
    )
    assert file.read_text() == "a shopping list"


def test_migrate_dry_run_lists_every_changed_row_and_changes_nothing(
    definitions: dg.Definitions, data_dir: Path, file: Path
) -> None:
    make_legacy_database(file)
    before = file.read_bytes()
    assert run(definitions, "migrate_dry_run").success
    assert file.read_bytes() == before
    with (data_dir / "sandbox" / "migrate-dry-run.csv").open(newline="") as opened:
        rows = list(csv.DictReader(opened))
    assert {row["outcome"] for row in rows} == {"kept", "normalised", "quarantined"}
    assert {row["table"] for row in rows} >= {"positions", "trades", "price_snapshots"}
    assert sorted(path.name for path in file.parent.iterdir()) == [
        "migrate-dry-run.csv",
        "warehouse.db",
        "warehouse.db.migrate.lock",
    ]


def test_schema_checks_run_with_migrate_and_pass(definitions: dg.Definitions) -> None:
    result = run(definitions, "migrate")
    seen = {each.asset_key.to_user_string(): each.passed for each in result.get_asset_check_evaluations()}
    assert seen == {"warehouse_schema": True, "journal_schema": True}


def test_asset_on_an_old_schema_names_the_revision_and_the_command(definitions: dg.Definitions, file: Path) -> None:
    assert run(definitions, "migrate").success
    stamp_with(file, "0003")
    job = definitions.resolve_job_def("nightly")
    result = job.execute_in_process(raise_on_error=False, asset_selection=[dg.AssetKey("series")])
    assert sentence_of(result) == (
        f"The warehouse schema is at 0003, but this code needs {wanted_revision()}. "
        "Run `dagster job execute -m kalshi_pipelines -j migrate` first."
    )


@pytest.mark.parametrize("revision", ["0003", "0999"])
def test_schema_sensor_fails_the_check_if_the_database_is_not_at_head(
    definitions: dg.Definitions, data_dir: Path, file: Path, revision: str
) -> None:
    assert run(definitions, "migrate").success
    stamp_with(file, revision)
    before = file.read_bytes()
    seen = check_of(look(data_dir))
    assert (seen.asset_key, seen.check_name, seen.passed) == (WAREHOUSE_SCHEMA, "at_head", False)
    assert revision in str(seen.description)
    assert file.read_bytes() == before


def test_schema_sensor_reports_an_unchanged_state_once(definitions: dg.Definitions, data_dir: Path) -> None:
    assert run(definitions, "migrate").success
    first = look(data_dir)
    assert check_of(first).passed
    again = look(data_dir, first.cursor)
    assert (again.asset_events, again.skip_reason is not None) == ([], True)


def test_invalid_settings_fail_the_schema_check(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KALSHI_ENVIRONMENT", "moon")
    seen = check_of(look(data_dir))
    assert not seen.passed
    assert "KALSHI_ENVIRONMENT" in str(seen.description)


def test_migrate_upgrades_the_journal_and_a_new_journal_begins_halted(
    definitions: dg.Definitions, data_dir: Path
) -> None:
    seen = []
    for _ in range(2):
        result = run(definitions, "migrate")
        assert result.success
        (materialization,) = result.asset_materializations_for_node("journal_schema")
        seen.append({name: value.value for name, value in materialization.metadata.items()})
    assert (seen[0]["before"], seen[1]["before"]) == ("(empty)", journal_head())
    assert seen[0]["database_id"] == seen[1]["database_id"]
    engine = open_journal(f"sqlite:///{data_dir / 'sandbox' / 'journal.db'}")
    with Journal(engine, "sandbox").reading() as reading:
        assert reading.halts.kill_state().engaged
    engine.dispose()


def test_new_journal_elsewhere_creates_the_folder_of_the_stop_file_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KALSHI_DATA_DIR", str(tmp_path / "data"))
    for name in ("warehouse", "journal"):
        monkeypatch.setenv(f"KALSHI_{name.upper()}_URL", f"sqlite:///{tmp_path / 'elsewhere' / name}.db")
    folder = tmp_path / "data" / "sandbox"
    assert run(build_defs(), "migrate").success
    assert folder.is_dir()
    shutil.rmtree(folder)
    assert run(build_defs(), "migrate").success
    assert not folder.exists(), "a disk that is not mounted is not replaced"


def test_journal_asset_that_does_not_wait_for_its_schema_is_refused() -> None:
    @dg.asset
    def hasty(journal: JournalResource) -> None:
        """An asset that uses the journal without waiting for the migration of the journal's schema."""

    definitions = dg.Definitions(assets=[hasty], resources={"journal": JournalResource()})
    with pytest.raises(AssetWithoutSchema, match="hasty would not wait for journal_schema"):
        require_schema_upstream(definitions)
