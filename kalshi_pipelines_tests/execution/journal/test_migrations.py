"""Tests of the journal's migrations: they create the described tables and guards, also where a warehouse exists."""

import hashlib
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from kalshi_pipelines.execution.audit.verification import verify
from kalshi_pipelines.execution.journal.engine import create_file, journal_url, open_journal
from kalshi_pipelines.execution.journal.errors import (
    JournalMissing,
    JournalOfAnotherEnvironment,
    JournalOutdated,
    JournalUnavailable,
)
from kalshi_pipelines.execution.journal.guards import guard_statements, installed_guards, missing_guards
from kalshi_pipelines.execution.journal.journal import Journal, initialise
from kalshi_pipelines.execution.journal.migrations import (
    VERSION_TABLE,
    altered_guards,
    journal_head,
    require_journal_head,
    upgrade_journal,
)
from kalshi_pipelines.execution.journal.tables import (
    AUDIT_KINDS,
    audit_kinds,
    denial_reasons,
    intents,
    legal_transitions,
    metadata,
)
from kalshi_pipelines.execution.orders.denials import DenialReason
from kalshi_pipelines.execution.orders.states import LEGAL_TRANSITIONS
from kalshi_pipelines.execution.orders.terms import ClientOrderId, Side
from kalshi_pipelines.settings import Settings
from kalshi_pipelines_tests.support.execution.older_journal import fill_older_journal
from kalshi_pipelines_tests.support.execution.order_steps import HOUR, NOON, Clock, OrderSteps
from kalshi_pipelines_tests.support.execution.tampering import tamper
from kalshi_pipelines_tests.support.migrated import upgrade_to_head
from kalshi_pipelines_tests.support.warehouse.schema import only, schema_of


@pytest.fixture
def empty(empty_database_url: str) -> Iterator[sa.Engine]:
    """Return an engine for an empty database, once for SQLite and once for Postgres."""
    engine = open_journal(empty_database_url)
    yield engine
    engine.dispose()


def test_migrations_create_exactly_the_tables_that_the_code_describes(
    empty_sqlite_url: str, sqlite_journal: sa.Engine, postgres_journal_url: str
) -> None:
    described = open_journal(empty_sqlite_url)
    create_file(described)
    metadata.create_all(described)
    wanted = schema_of(described)
    described.dispose()
    have = {
        what: how for what, how in schema_of(sqlite_journal).items() if what.split()[1].split(".")[0] != VERSION_TABLE
    }
    assert only(have, *{what.split()[0] for what in wanted}) == wanted
    engine = open_journal(postgres_journal_url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        assert compare_metadata(context, metadata) == []
        for table in metadata.sorted_tables:
            checks = {each["name"] for each in sa.inspect(connection).get_check_constraints(table.name)}
            named = {str(each.name) for each in table.constraints if isinstance(each, sa.CheckConstraint)}
            assert checks == named, table.name
    engine.dispose()


def test_upgrade_runs_once_and_creates_the_guards(empty: sa.Engine) -> None:
    with pytest.raises((JournalOutdated, JournalMissing), match="migrate"):
        require_journal_head(empty)
    first = upgrade_journal(empty)
    numbers = tuple(f"{number:04}" for number in range(1, int(journal_head()) + 1))
    assert (first.before, first.applied) == (None, numbers)
    again = upgrade_journal(empty)
    assert (again.before, again.applied) == (journal_head(), ())
    require_journal_head(empty)
    with empty.connect() as connection:
        assert missing_guards(connection) == []
        assert len(installed_guards(connection)) > 50
        pairs = {tuple(row) for row in connection.execute(sa.select(legal_transitions))}
        kinds, reasons = (set(connection.scalars(sa.select(table))) for table in (audit_kinds, denial_reasons))
    assert pairs == {(str(before), str(after)) for before, some in LEGAL_TRANSITIONS.items() for after in some}
    assert kinds == set(AUDIT_KINDS)
    assert reasons == {reason.code for reason in DenialReason}


#: The newest revision of the journal, and a digest of the guards that this revision installs.
GUARDS = "0011 68280b366e212c07"


def test_changed_guards_come_with_a_migration() -> None:
    """If guards change without a migration, an existing journal looks as if a person had changed its guards."""
    text = "\n".join((*guard_statements("sqlite"), *guard_statements("postgresql")))
    assert f"{journal_head()} {hashlib.sha256(text.encode()).hexdigest()[:16]}" == GUARDS, "add a migration"


def test_upgrade_of_a_journal_at_head_only_reads(journal_engine: sa.Engine) -> None:
    statements: list[str] = []
    sa.event.listen(
        journal_engine, "before_cursor_execute", lambda *given: statements.append(given[2].split()[0].upper())
    )
    assert upgrade_journal(journal_engine).applied == ()
    assert set(statements) <= {"BEGIN", "PRAGMA", "SELECT"}


def test_guard_with_another_body_is_missing_in_postgres(postgres_journal_url: str) -> None:
    postgres_journal = open_journal(postgres_journal_url)
    with postgres_journal.begin() as connection:
        connection.exec_driver_sql(
            "CREATE OR REPLACE FUNCTION guard_send() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'"
        )
    assert altered_guards(postgres_journal) == ["guard_send on order_events"]
    with pytest.raises(JournalOutdated, match="Find out who changed them"):
        require_journal_head(postgres_journal)
    upgrade_journal(postgres_journal)
    assert altered_guards(postgres_journal) == []
    postgres_journal.dispose()


def test_journal_and_warehouse_in_one_postgres_stay_apart(postgres_engine: sa.Engine) -> None:
    before = schema_of(postgres_engine)
    journal = open_journal(postgres_engine.url.render_as_string(hide_password=False))
    upgrade_journal(journal)
    assert only(schema_of(postgres_engine), "table", "column", "constraint", "index", "view") == only(
        before, "table", "column", "constraint", "index", "view"
    )
    upgrade_to_head(postgres_engine)
    initialise(journal, "sandbox")
    require_journal_head(journal)
    journal.dispose()


def test_journal_belongs_to_one_environment(journal_engine: sa.Engine) -> None:
    with pytest.raises(JournalOutdated, match="never set up"):
        Journal(journal_engine, "demo")
    identity = initialise(journal_engine, "demo")
    assert initialise(journal_engine, "demo") == identity
    assert Journal(journal_engine, "demo").database_id == identity
    with pytest.raises(JournalOfAnotherEnvironment, match="KALSHI_ENVIRONMENT"):
        initialise(journal_engine, "prod")
    with pytest.raises(JournalOfAnotherEnvironment):
        Journal(journal_engine, "sandbox")
    with Journal(journal_engine, "demo").reading() as reading:
        assert reading.halts.kill_state().engaged, "a new journal sends nothing"


def test_sqlite_journal_writes_every_commit_to_the_disk(empty_sqlite_url: str) -> None:
    engine = open_journal(empty_sqlite_url)
    upgrade_journal(engine)
    with engine.connect() as connection:
        read = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("synchronous", "journal_mode", "foreign_keys", "recursive_triggers", "busy_timeout")
        }
    assert read == {
        "synchronous": 2,
        "journal_mode": "wal",
        "foreign_keys": 1,
        "recursive_triggers": 1,
        "busy_timeout": 5_000,
    }
    engine.dispose()


def test_journal_of_another_revision_is_not_used(journal_engine: sa.Engine) -> None:
    with journal_engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE {VERSION_TABLE} SET version_num = '0000'")
    with pytest.raises(JournalOutdated, match=f"schema is at 0000, but this code needs {journal_head()}. Run `"):
        require_journal_head(journal_engine)


def test_journal_with_a_row_without_its_parent_is_not_upgraded(empty_sqlite_url: str) -> None:
    engine = open_journal(empty_sqlite_url)
    fill_older_journal(engine)
    tamper(engine, "DELETE FROM sessions")
    with pytest.raises(JournalOutdated, match=r"without their parent, so nothing was changed: .*sessions"):
        upgrade_journal(engine)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar_one() == 1
        assert connection.exec_driver_sql(f"SELECT version_num FROM {VERSION_TABLE}").scalar_one() == "0002"
    engine.dispose()


def test_journal_of_revision_0002_is_upgraded_without_loss_and_verifies(empty: sa.Engine) -> None:
    rows = fill_older_journal(empty)
    assert upgrade_journal(empty).before == "0002"
    with empty.connect() as connection:
        for name, wanted in rows.items():
            table = metadata.tables[name]
            have = [dict(row) for row in connection.execute(sa.select(table)).mappings()]
            kept = [{column: row[column] for column in wanted[0]} for row in have]
            assert sorted(kept, key=str) == sorted(wanted, key=str), name
        closing = connection.execute(
            sa.select(
                intents.c.closing_centicontracts, intents.c.proposed_centicontracts - intents.c.count_centicontracts
            )
        )
        assert {tuple(row) for row in closing} == {(0, 0)}
    report = verify(empty)
    assert report.ok, str(report)
    journal = Journal(empty, "sandbox", clock_us=lambda: NOON + 25 * HOUR)
    steps = OrderSteps(journal, Clock(NOON + 25 * HOUR), "session-0002", "9b2f2c4e-0000-4000-8000-000000000002")
    steps.release_kill_switch() if _is_engaged(journal) else None
    steps.reserve(idempotency_key="f" * 64, client_order_id=ClientOrderId("kx1-after-the-upgrade"))
    terms = {"idempotency_key": "e" * 64, "client_order_id": ClientOrderId("kx1-close-after-it"), "side": Side.ASK}
    assert steps.reserve(**terms, count_centicontracts=300).only_closes, "the 3 contracts that are held"
    report = verify(empty)
    assert report.ok, str(report)


def _is_engaged(journal: Journal) -> bool:
    with journal.reading() as reading:
        return reading.halts.kill_state().engaged


@pytest.mark.parametrize("url", ["mysql://x/y", "nonsense", "sqlite://", "postgresql://u:p%40x@h@b/c"])
def test_unusable_journal_url_names_its_setting(url: str) -> None:
    with pytest.raises(JournalUnavailable, match="KALSHI_JOURNAL_URL"):
        open_journal(url)


def test_journal_url_defaults_to_the_place_of_the_warehouse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KALSHI_DATA_DIR", "/somewhere")
    assert journal_url(Settings.from_environment()) == "sqlite:////somewhere/sandbox/journal.db"
    monkeypatch.setenv("KALSHI_WAREHOUSE_URL", "postgresql+psycopg://me:secret@host/base")
    assert journal_url(Settings.from_environment()) == "postgresql+psycopg://me:secret@host/base"
    monkeypatch.setenv("KALSHI_JOURNAL_URL", "sqlite:///mine.db")
    assert journal_url(Settings.from_environment()) == "sqlite:///mine.db"
