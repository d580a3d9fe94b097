"""The command ``migrate``: upgrade a database to a current warehouse in one transaction, or leave it untouched.

A SQLite file is inspected without writing. Then other writers are locked out, a backup is made and checked, and the
file is changed, checked and committed. A Postgres database is upgraded in one transaction,
without a backup.
"""

import csv
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NamedTuple

import sqlalchemy as sa

from kalshi_pipelines.errors import ExpectedError
from kalshi_pipelines.units import SECOND_US, now_us
from kalshi_pipelines.warehouse.adoption.adopt import adopt
from kalshi_pipelines.warehouse.adoption.report import AdoptionReport, TableProgress
from kalshi_pipelines.warehouse.adoption.shapes import remains_of_legacy
from kalshi_pipelines.warehouse.backup import UNFINISHED, back_up, remove_unfinished, temporary_copy
from kalshi_pipelines.warehouse.engine import (
    explain_failures,
    make_writable_folder,
    open_engine,
    place_of,
    sqlite_driver,
    sqlite_url,
)
from kalshi_pipelines.warehouse.environment import refuse_another_environment
from kalshi_pipelines.warehouse.inspection import (
    CannotBeUpgraded,
    Content,
    Inspection,
    check_file,
    check_integrity,
    explain_damage,
    inspect_connection,
    inspect_file,
    other_tables,
    read_only,
)
from kalshi_pipelines.warehouse.locks import hold_file_lock
from kalshi_pipelines.warehouse.migrations import (
    apply_migrations,
    migration_transaction,
    use_write_ahead_log,
    wanted_revision,
)
from kalshi_pipelines.warehouse.retirement import refuse_retired
from kalshi_pipelines.warehouse.tables import (
    ADOPTION,
    LEGACY_PREFIX,
    adoption_notes,
    ingest_runs,
    metadata,
    quarantine,
    rate_budgets,
)

_SECONDS_BETWEEN_REPORTS: Final = 1
_WHICH_EXCHANGE: Final = (
    "An old database does not say which exchange its rows are from. The first ingest decides, "
    "so check KALSHI_ENVIRONMENT before it."
)

Report = Callable[[str], None]


class RowsWouldBeLost(ExpectedError):
    """An upgrade would lose rows without quarantining them, so nothing was changed."""


class ChangedRow(NamedTuple):
    """A row that an adoption changes, quarantines, or keeps with a note."""

    table: str
    key: str
    outcome: str
    reason: str
    original_values: str

    def __str__(self) -> str:
        return f"{self.table} {self.key}: {self.outcome}, {self.reason}"


@dataclass(frozen=True)
class UpgradeReport:
    """The result of an upgrade, or of its rehearsal.

    Attributes:
        place: The file path, or the host, port and name of the database, without user and password.
        before: The content and revision before the upgrade.
        after: The revision after the upgrade.
        applied: The migrations that were applied.
        backup: The verified backup of the file, if one was made.
        adoption: The counts of rows converted from a legacy database, if there was one.
        left_alone: Tables of a legacy database that stay unchanged: they belong neither to the older tool nor to
            SQLite.
    """

    place: str
    before: Inspection
    after: str
    applied: tuple[str, ...] = ()
    backup: Path | None = None
    adoption: AdoptionReport | None = None
    left_alone: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [f"{self.place}: {self.before} -> {self.after}, {_describe_applied(self.applied)}"]
        if self.backup:
            lines.append(f"backup: {self.backup}")
        if self.left_alone:
            lines.append(f"left unchanged, tables of neither tool: {', '.join(self.left_alone)}")
        if self.adoption:
            lines += [self.adoption.as_table(), _WHICH_EXCHANGE]
        return "\n".join(lines)


class Rehearsal(NamedTuple):
    """The report of a rehearsed upgrade, and the rows that the upgrade would change, quarantine or note."""

    report: UpgradeReport
    changed_rows: Iterator[ChangedRow]


def _describe_applied(migrations: tuple[str, ...]) -> str:
    return f"{len(migrations)} migrations applied ({', '.join(migrations)})" if migrations else "nothing to do"


def migrate(engine: sa.Engine, environment: str, report: Report, adopt_from: Path | None = None) -> UpgradeReport:
    """Upgrade a database to a current warehouse. A second call changes nothing.

    Args:
        engine: The database.
        environment: The exchange that the warehouse is for. A warehouse with data of another exchange is refused.
        report: Called with a sentence for each step.
        adopt_from: A ``kalshi_research`` file to convert into an empty warehouse. The file is only read. If the
            warehouse is such a file itself, it is converted in place and needs no ``adopt_from``.

    Raises:
        CannotBeUpgraded: The database was refused and not touched.
        WarehouseOfAnotherEnvironment: The database holds data of another exchange.
        BackupFailed: There is no room or no permission for a backup, so nothing was changed.
        WarehouseUnavailable: The database cannot be opened, read or written, so nothing was changed.
        WarehouseRetired: The database was copied to another place.
    """
    path = file_of(engine)
    if path is None:
        with explain_failures(engine), migration_transaction(engine) as connection:
            found = inspect_connection(connection, place_of(engine))
            refuse_another_environment(connection, environment)
            refuse_retired(connection)
            if found.at_head and _has_nothing_to_adopt(connection, adopt_from):
                return _unchanged_report(engine)
            return _upgrade(connection, found, adopt_from, report)
    found = inspect_file(path)
    if found.content is Content.WAREHOUSE:
        with explain_failures(engine), engine.connect() as connection:
            refuse_another_environment(connection, environment)
            refuse_retired(connection)
    if _is_done(engine, found, adopt_from):
        use_write_ahead_log(engine)  # a warehouse restored from a backup is not in WAL mode
        return _unchanged_report(engine)
    with hold_upgrade_lock(path, report):
        found = inspect_file(path)
        if _is_done(engine, found, adopt_from):
            return _unchanged_report(engine)
        return _upgrade_file(engine, path, found, adopt_from, report)


def inspect_database(engine: sa.Engine) -> Inspection:
    """Return the content and revision of a database, without writing to it.

    Raises:
        CannotBeUpgraded: The database holds nothing that this code can upgrade.
        WarehouseUnavailable: The database cannot be opened or read.
    """
    path = file_of(engine)
    if path is not None:
        return inspect_file(path)
    with explain_failures(engine), engine.connect() as connection:
        return inspect_connection(connection, place_of(engine))


@contextmanager
def rehearse(engine: sa.Engine, environment: str, adopt_from: Path | None = None) -> Iterator[Rehearsal]:
    """Rehearse :func:`migrate`, and yield its report and the rows that would change. The database stays unchanged.

    On SQLite, a copy of the file in the same folder is upgraded. On Postgres, the upgrade runs in a transaction that is
    rolled back.

    Raises:
        CannotBeUpgraded: See :func:`migrate`.
        BackupFailed: See :func:`migrate`.
        WarehouseUnavailable: See :func:`migrate`.
    """
    path = file_of(engine)
    with explain_failures(engine), ExitStack() as held:
        if path is None:
            connection = held.enter_context(_open_rolled_back_transaction(engine))
            found = inspect_connection(connection, place_of(engine))
            old = adopt_from
        else:
            held.enter_context(hold_upgrade_lock(path, _ignore))
            found = inspect_file(path)
            if _is_done(engine, found, adopt_from):
                yield Rehearsal(_unchanged_report(engine), iter(()))
                return
            _refuse_two_old_databases(path, found, adopt_from)
            old = path if found.content is Content.LEGACY else adopt_from
            connection = held.enter_context(_open_copy(path, found))
        refuse_another_environment(connection, environment)
        done = _upgrade(connection, found, old, _ignore)
        yield Rehearsal(replace(done, place=place_of(engine)), _changed_rows(connection, done))


def write_changed_rows(rows: Iterator[ChangedRow], file: Path, report: Report, most: int) -> int:
    """Write all changed rows to a CSV file, report the first ``most`` rows, and return the number of rows.

    Raises:
        WarehouseUnavailable: The folder of the file cannot be written.
    """
    written = 0
    make_writable_folder(file.parent, "KALSHI_DATA_DIR")
    with file.open("w", newline="", encoding="utf-8") as opened:
        writer = csv.writer(opened)
        writer.writerow(ChangedRow._fields)
        for written, row in enumerate(rows, start=1):
            writer.writerow(row)
            if written <= most:
                report(str(row))
    return written


def _upgrade_file(
    engine: sa.Engine, path: Path, found: Inspection, adopt_from: Path | None, report: Report
) -> UpgradeReport:
    backup = None
    _refuse_two_old_databases(path, found, adopt_from)
    if adopt_from and found.content is Content.WAREHOUSE:
        with explain_failures(engine), engine.connect() as connection:
            _refuse_to_adopt_into_data(connection, adopt_from)
    if found.content is not Content.NOTHING:
        report(f"{path}: {found}, checking the file before the upgrade to {wanted_revision()}")
        check_file(path)
    try:
        with explain_failures(engine), migration_transaction(engine) as connection:
            _require_unchanged(path, found)
            if found.content is not Content.NOTHING:
                backup = back_up(path, found.revision or "unstamped")
                report(f"verified backup: {backup}")
            old = backup if found.content is Content.LEGACY else adopt_from
            done = _upgrade(connection, found, old, report)
    except BaseException:
        if backup and _is_unchanged(path, found):
            backup.unlink(missing_ok=True)
        raise
    use_write_ahead_log(engine)
    return replace(done, backup=backup)


def _require_unchanged(path: Path, found: Inspection) -> None:
    if inspect_file(path) != found:
        raise CannotBeUpgraded(f"Another program has just changed {path}, so nothing was done.", "Run again.")


def _is_unchanged(path: Path, found: Inspection) -> bool:
    """Return whether a file has the same content and revision as before a failed upgrade.

    An upgrade that failed after its commit has changed the file.
    """
    try:
        return inspect_file(path) == found
    except CannotBeUpgraded:
        return False


def _refuse_two_old_databases(path: Path, found: Inspection, adopt_from: Path | None) -> None:
    if found.content is Content.LEGACY and adopt_from and adopt_from.resolve() != path.resolve():
        raise CannotBeUpgraded(
            f"{path} is a kalshi_research database itself, so {adopt_from} was not converted into it and it was not "
            "touched.",
            "Unset KALSHI_ADOPT_DATABASE, or set KALSHI_WAREHOUSE_URL or KALSHI_DATA_DIR to an empty place.",
        )


def _upgrade(connection: sa.Connection, found: Inspection, old: Path | None, report: Report) -> UpgradeReport:
    """Make all changes of an upgrade inside the open transaction, and check them."""
    left_alone: tuple[str, ...] = ()
    rows_before = _count_rows(connection) if found.content is Content.WAREHOUSE else {}
    if found.content is Content.LEGACY:
        left_alone = _drop_old_tables(connection)
    migrations = apply_migrations(connection).applied
    adoption = None
    if old and not _adoption_run(connection):
        adoption = _adopt(connection, old, report, checked=found.content is Content.LEGACY)
    _refuse_to_lose_rows(connection, rows_before)
    if connection.dialect.name == "sqlite":
        check_integrity(sqlite_driver(connection), place_of(connection.engine))
    return UpgradeReport(
        place_of(connection.engine), found, wanted_revision(), migrations, adoption=adoption, left_alone=left_alone
    )


def _adopt(connection: sa.Connection, old: Path, report: Report, *, checked: bool) -> AdoptionReport:
    _refuse_to_adopt_into_data(connection, old)
    if not old.exists():
        raise CannotBeUpgraded(f"{old} does not exist.", "Set KALSHI_ADOPT_DATABASE to the old database, or unset it.")
    found = inspect_file(old)
    if found.content is not Content.LEGACY:
        raise CannotBeUpgraded(
            f"{old} is not a kalshi_research database but holds: {found}. It was not converted.",
            "Set KALSHI_ADOPT_DATABASE to the old database, or unset it.",
        )
    with explain_damage(old), read_only(old) as database:
        database.execute("BEGIN")  # read one consistent state, even if another program writes to the file
        if not checked:
            check_integrity(database, str(old))
        return adopt(database, connection, _report_regularly(report))


def _refuse_to_adopt_into_data(connection: sa.Connection, old: Path) -> None:
    if connection.scalar(sa.select(ingest_runs.c.ingest_run_id).limit(1)):
        raise CannotBeUpgraded(
            f"{place_of(connection.engine)} holds data already, so {old} was not converted into it.",
            "Unset KALSHI_ADOPT_DATABASE, or set KALSHI_WAREHOUSE_URL or KALSHI_DATA_DIR to an empty place.",
        )


def _report_regularly(report: Report) -> Callable[[TableProgress], None]:
    """Return a listener that reports at most once a second. A table adopted within a second may be omitted."""
    last_us = now_us()

    def listen(progress: TableProgress) -> None:
        nonlocal last_us
        if now_us() - last_us >= _SECONDS_BETWEEN_REPORTS * SECOND_US:
            last_us = now_us()
            report(str(progress))

    return listen


def _drop_old_tables(connection: sa.Connection) -> tuple[str, ...]:
    driver = sqlite_driver(connection)
    left_alone = tuple(other_tables(driver))
    triggers, tables = remains_of_legacy(driver)
    for trigger in triggers:
        connection.exec_driver_sql(f'DROP TRIGGER "{trigger}"')
    for table in tables:
        connection.exec_driver_sql(f'DROP TABLE "{table}"')
    return left_alone


def _count_rows(connection: sa.Connection) -> dict[str, int]:
    there = set(sa.inspect(connection).get_table_names())
    return {
        name: connection.scalar(sa.select(sa.func.count()).select_from(sa.table(name))) or 0
        for name in metadata.tables
        if name in there
        # Rate budgets are not counted: they are no records, and migration 0009 deletes the budgets of unused buckets.
        and name != rate_budgets.name
    }


def _refuse_to_lose_rows(connection: sa.Connection, before: dict[str, int]) -> None:
    """Check that the upgrade quarantined every row that it removed from a table."""
    after = _count_rows(connection) if before else {}
    gone = {name: rows - after.get(name, 0) for name, rows in before.items() if rows > after.get(name, 0)}
    set_aside = after.get(quarantine.name, 0) - before.get(quarantine.name, 0)
    if sum(gone.values()) > set_aside:
        raise RowsWouldBeLost(
            f"The upgrade would lose rows ({gone}) and quarantine only {set_aside}, so nothing was changed.",
            "Report this as a bug.",
        )


def _changed_rows(connection: sa.Connection, done: UpgradeReport) -> Iterator[ChangedRow]:
    if done.adoption is None:
        return
    run_id = done.adoption.run_id
    columns, notes = quarantine.c, adoption_notes.c
    set_aside = sa.select(
        sa.func.replace(columns.subject, LEGACY_PREFIX, ""),
        columns.record_key,
        sa.literal("quarantined"),
        columns.reason,
        columns.payload,
    ).where(columns.ingest_run_id == run_id)
    noted = sa.select(notes.table_name, notes.row_key, notes.outcome, notes.reason, notes.original_values).where(
        notes.ingest_run_id == run_id
    )
    with connection.execution_options(yield_per=1_000).execute(set_aside.union_all(noted)) as rows:
        for row in rows:
            yield ChangedRow(*row)


def _adoption_run(connection: sa.Connection) -> int | None:
    run: int | None = connection.scalar(
        sa.select(ingest_runs.c.ingest_run_id).where(ingest_runs.c.subject == ADOPTION).limit(1)
    )
    return run


def _is_done(engine: sa.Engine, found: Inspection, adopt_from: Path | None) -> bool:
    if not found.at_head:
        return False
    with explain_failures(engine), engine.connect() as connection:
        return _has_nothing_to_adopt(connection, adopt_from)


def _has_nothing_to_adopt(connection: sa.Connection, adopt_from: Path | None) -> bool:
    return adopt_from is None or _adoption_run(connection) is not None


def _unchanged_report(engine: sa.Engine) -> UpgradeReport:
    return UpgradeReport(place_of(engine), Inspection(Content.WAREHOUSE, wanted_revision()), wanted_revision())


@contextmanager
def _open_rolled_back_transaction(engine: sa.Engine) -> Iterator[sa.Connection]:
    with suppress(_RollBack), migration_transaction(engine) as connection:
        yield connection
        raise _RollBack


@contextmanager
def _open_copy(path: Path, found: Inspection) -> Iterator[sa.Connection]:
    copy = path.with_name(f"{path.name}.dry-run{UNFINISHED}")
    with ExitStack() as held:
        held.callback(remove_unfinished, path)
        if found.content is not Content.NOTHING:
            check_file(path)
            held.enter_context(temporary_copy(path, copy))
        engine = open_engine(sqlite_url(copy))
        held.callback(engine.dispose)
        yield held.enter_context(_open_rolled_back_transaction(engine))


class _RollBack(Exception):
    """Internal signal that rolls back the transaction at the end of a rehearsal."""


def _ignore(_sentence: str) -> None:
    pass


def file_of(engine: sa.Engine) -> Path | None:
    """Return the SQLite file's path with all links resolved, so that all processes lock one path; None for Postgres."""
    return Path(str(engine.url.database)).resolve() if engine.dialect.name == "sqlite" else None


@contextmanager
def hold_upgrade_lock(path: Path, report: Report) -> Iterator[None]:
    """Keep other upgrades of a SQLite file away during the block. Wait while another process upgrades it.

    Raises:
        WarehouseUnavailable: The lock file cannot be created.
    """
    lock = path.with_name(f"{path.name}.migrate.lock")
    with hold_file_lock(lock, lambda: report(f"Another process is upgrading {path}; waiting until it ends.")):
        yield
