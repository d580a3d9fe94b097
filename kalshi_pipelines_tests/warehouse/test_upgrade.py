"""``migrate`` from end to end: backup, rehearsal, a second run, and restoring the backup."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from kalshi_pipelines.warehouse import upgrade
from kalshi_pipelines.warehouse.engine import WarehouseUnavailable, open_engine, sqlite_url
from kalshi_pipelines.warehouse.environment import WarehouseOfAnotherEnvironment
from kalshi_pipelines.warehouse.inspection import CannotBeUpgraded, Content, inspect_file, read_only
from kalshi_pipelines.warehouse.migrations import Upgrade, apply_migrations, migration_transaction, wanted_revision
from kalshi_pipelines.warehouse.tables import markets, price_snapshots
from kalshi_pipelines.warehouse.upgrade import (
    RowsWouldBeLost,
    UpgradeReport,
    inspect_database,
    migrate,
    rehearse,
    write_changed_rows,
)
from kalshi_pipelines_tests.support.warehouse.legacy import (
    EVENT_IN_THE_LOG,
    LegacyDatabase,
    leave_a_row_in_the_log,
    make_legacy_database,
)
from kalshi_pipelines_tests.support.warehouse.revisions import Database, open_database


def silent(_sentence: str) -> None:
    pass


@pytest.fixture
def old(tmp_path: Path) -> LegacyDatabase:
    return make_legacy_database(tmp_path / "old.db")


@pytest.fixture
def behind(empty_database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """Return a warehouse at an older revision, with rows, once on SQLite and once on Postgres."""
    with open_database(empty_database_url, monkeypatch) as database:
        database.upgrade("0004")
        database.fill(database.tables())
        yield database


def migrate_file(path: Path) -> UpgradeReport:
    engine = open_engine(f"sqlite:///{path}")
    try:
        return migrate(engine, "sandbox", silent)
    finally:
        engine.dispose()


def dump(path: Path) -> list[str]:
    with read_only(path) as database:
        return list(database.iterdump())


def files_beside(path: Path) -> set[str]:
    return {file.name for file in path.parent.iterdir()} - {path.name, f"{path.name}.migrate.lock"}


def test_upgrade_of_a_new_database_makes_no_backup(empty_database_url: str) -> None:
    engine = open_engine(empty_database_url)
    report = migrate(engine, "sandbox", silent)
    assert (report.before.content, report.after, report.backup) == (Content.NOTHING, wanted_revision(), None)
    engine.dispose()


def test_backup_equals_the_old_database_and_can_be_restored(old: LegacyDatabase) -> None:
    before = dump(old.path)
    report = migrate_file(old.path)
    assert report.backup is not None
    assert dump(report.backup) == before
    shutil.copy(report.backup, old.path)
    again = migrate_file(old.path)
    assert str(again.before) == str(report.before)
    assert again.adoption == report.adoption


def test_rows_only_in_the_write_ahead_log_are_backed_up_and_adopted(old: LegacyDatabase) -> None:
    leave_a_row_in_the_log(old.path)
    report = migrate_file(old.path)
    assert report.backup is not None
    with read_only(report.backup) as backup, read_only(old.path) as warehouse:
        for database, column in ((backup, "ticker"), (warehouse, "event_ticker")):
            rows = database.execute(f"SELECT count(*) FROM events WHERE {column} = ?", (EVENT_IN_THE_LOG,))
            assert rows.fetchone() == (1,)
    assert not [name for name in files_beside(report.backup) if name.startswith(report.backup.name)]


def test_second_migrate_changes_nothing_and_makes_no_backup(old: LegacyDatabase) -> None:
    migrate_file(old.path)
    after, made = old.path.read_bytes(), files_beside(old.path)
    report = migrate_file(old.path)
    assert (report.applied, report.backup, report.adoption) == ((), None, None)
    assert (old.path.read_bytes(), files_beside(old.path)) == (after, made)


def test_restored_backup_of_a_current_warehouse_gets_wal_mode_again(sqlite_engine: sa.Engine) -> None:
    path = Path(str(sqlite_engine.url.database))
    copy = path.with_name("copy.db")
    with read_only(path) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
        target.execute("PRAGMA journal_mode = DELETE")
    migrate_file(copy)
    with read_only(copy) as database:
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_upgrade_of_a_warehouse_keeps_rows_and_reports_the_migrations(behind: Database) -> None:
    before = behind.rows()
    report = migrate(behind.engine, "sandbox", silent)
    assert (str(report.before), report.applied[0]) == ("0004", "0005")
    assert (report.backup is not None) == (behind.engine.dialect.name == "sqlite")
    after = behind.rows()
    assert {table: len(after[table]) for table in before} == {table: len(rows) for table, rows in before.items()}


def test_upgrade_that_would_lose_rows_is_undone(behind: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    before, apply = behind.rows(), apply_migrations

    def careless(connection: sa.Connection) -> Upgrade:
        done = apply(connection)
        connection.execute(sa.delete(price_snapshots))
        return done

    monkeypatch.setattr(upgrade, "apply_migrations", careless)
    with pytest.raises(RowsWouldBeLost, match="price_snapshots"):
        migrate(behind.engine, "sandbox", silent)
    assert (str(inspect_database(behind.engine)), behind.rows()) == ("0004", before)


def test_failed_upgrade_leaves_no_backup(old: LegacyDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_arguments: object) -> None:
        raise RuntimeError("the lights went out")

    monkeypatch.setattr("kalshi_pipelines.warehouse.upgrade.adopt", failing)
    before = dump(old.path)
    with pytest.raises(RuntimeError):
        migrate_file(old.path)
    assert (dump(old.path), files_beside(old.path)) == (before, set())


def test_interruption_after_the_commit_leaves_the_backup(old: LegacyDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def interrupted(engine: sa.Engine) -> Iterator[sa.Connection]:
        with migration_transaction(engine) as connection:
            yield connection
        raise KeyboardInterrupt

    monkeypatch.setattr(upgrade, "migration_transaction", interrupted)
    with pytest.raises(KeyboardInterrupt):
        migrate_file(old.path)
    assert inspect_file(old.path).at_head
    (backup,) = files_beside(old.path)
    assert inspect_file(old.path.with_name(backup)).content is Content.LEGACY


@pytest.mark.parametrize("name", ["old[1].db", "what?x.db", "50%20off.db", 'it\'s a "name" #1.db'])
def test_upgrade_accepts_any_file_name(name: str, tmp_path: Path) -> None:
    old = make_legacy_database(tmp_path / name, snapshots=3)
    engine = open_engine(sqlite_url(old.path))
    with rehearse(engine, "sandbox"):
        pass
    assert files_beside(old.path) == set()
    report = migrate(engine, "sandbox", silent)
    engine.dispose()
    assert report.backup is not None
    assert files_beside(old.path) == {report.backup.name}
    assert inspect_file(old.path).at_head


def test_file_with_two_names_is_upgraded_once(old: LegacyDatabase, tmp_path: Path) -> None:
    link = tmp_path / "elsewhere" / "link.db"
    link.parent.mkdir()
    link.symlink_to(old.path)
    reports = [migrate_file(link), migrate_file(old.path)]
    assert [report.adoption is not None for report in reports] == [True, False]
    assert [path.name for path in link.parent.iterdir()] == ["link.db"]


def test_indexes_triggers_and_views_of_the_user_survive_an_upgrade(
    empty_sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = [
        "CREATE INDEX mine_lower ON markets (lower(ticker))",
        "CREATE INDEX mine_desc ON price_snapshots (ticker COLLATE NOCASE DESC)",
        "CREATE TRIGGER mine AFTER DELETE ON markets BEGIN SELECT ':not a parameter'; END",
        "CREATE VIEW mine_view AS SELECT ticker, status FROM markets",
        "CREATE VIEW mine_too AS SELECT ticker, yes_bid FROM current_quotes",
    ]
    with open_database(empty_sqlite_url, monkeypatch) as database:
        database.upgrade("0004")
        database.fill(database.tables())
        with database.engine.begin() as connection:
            for statement in own:
                connection.exec_driver_sql(statement)
        migrate(database.engine, "sandbox", silent)
        with database.engine.connect() as connection:
            kept = connection.exec_driver_sql("SELECT sql FROM sqlite_master WHERE name LIKE 'mine%'").scalars().all()
            assert connection.exec_driver_sql("SELECT count(*) FROM mine_view").scalar() == 3
            assert connection.exec_driver_sql("SELECT count(*) FROM mine_too").scalar() == 3
    assert sorted(kept) == sorted(own)


def test_view_of_the_user_that_blocks_the_upgrade_is_named(
    empty_postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_database(empty_postgres_url, monkeypatch) as database:
        database.upgrade("0004")
        with database.engine.begin() as connection:
            connection.exec_driver_sql("CREATE VIEW mine AS SELECT ticker FROM current_quotes")
        with pytest.raises(WarehouseUnavailable, match="create your view again afterwards"):
            migrate(database.engine, "sandbox", silent)
        assert str(inspect_database(database.engine)) == "0004"


def test_warehouse_of_another_environment_is_not_upgraded(behind: Database) -> None:
    with pytest.raises(WarehouseOfAnotherEnvironment):
        migrate(behind.engine, "prod", silent)
    assert str(inspect_database(behind.engine)) == "0004"


def test_rehearsal_reports_what_the_upgrade_then_does(old: LegacyDatabase, tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{old.path}")
    before = old.path.read_bytes()
    said: list[str] = []
    with rehearse(engine, "sandbox") as rehearsal:
        rehearsed = rehearsal.report
        rows = write_changed_rows(rehearsal.changed_rows, tmp_path / "changes.csv", said.append, most=5)
    assert old.path.read_bytes() == before
    assert files_beside(old.path) == {"changes.csv"}
    assert (rows, len(said)) == (len(old.odd_rows), 5)
    done = migrate(engine, "sandbox", silent)
    assert (rehearsed.before, rehearsed.after, rehearsed.applied) == (done.before, done.after, done.applied)
    assert rehearsed.adoption == done.adoption
    engine.dispose()


def test_legacy_database_does_not_adopt_another_file(old: LegacyDatabase, tmp_path: Path) -> None:
    other = make_legacy_database(tmp_path / "other.db")
    before = old.path.read_bytes()
    engine = open_engine(f"sqlite:///{old.path}")
    with pytest.raises(CannotBeUpgraded, match="is a kalshi_research database itself"):
        migrate(engine, "sandbox", silent, adopt_from=other.path)
    with (
        pytest.raises(CannotBeUpgraded, match="is a kalshi_research database itself"),
        rehearse(engine, "sandbox", other.path),
    ):
        pass
    assert old.path.read_bytes() == before
    assert migrate(engine, "sandbox", silent, adopt_from=old.path).adoption
    engine.dispose()


def test_rehearsal_of_a_current_warehouse_makes_no_copy(sqlite_engine: sa.Engine, tmp_path: Path) -> None:
    (tmp_path / "warehouse.db.dry-run.unfinished").mkdir()  # a folder at this path makes any copy fail
    with rehearse(sqlite_engine, "sandbox") as rehearsal:
        assert rehearsal.report.before.at_head


def test_rehearsal_on_postgres_is_rolled_back(old: LegacyDatabase, empty_postgres_url: str) -> None:
    engine = open_engine(empty_postgres_url)
    with rehearse(engine, "sandbox", old.path) as rehearsal:
        assert rehearsal.report.adoption is not None
        assert len(list(rehearsal.changed_rows)) == len(old.odd_rows)
    assert sa.inspect(engine).get_table_names() == []
    assert inspect_file(old.path).content is Content.LEGACY
    engine.dispose()


def test_rehearsal_of_a_current_warehouse_reports_no_changes(engine: sa.Engine) -> None:
    with rehearse(engine, "sandbox") as rehearsal:
        assert rehearsal.report.applied == ()
        assert list(rehearsal.changed_rows) == []


def test_adopted_markets_are_placeholders_without_a_record(old: LegacyDatabase) -> None:
    migrate_file(old.path)
    engine = open_engine(f"sqlite:///{old.path}")
    with engine.connect() as connection:
        states = connection.execute(sa.select(markets.c.is_placeholder, markets.c.facts_digest)).all()
    assert set(states) == {(True, None)}
    engine.dispose()
