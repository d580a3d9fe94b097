"""Copy a whole warehouse into an empty database, and retire the source, so that exactly one of both takes writes.

The order of the steps makes every kill harmless. The source is retired first, so no row can be added while the rows are
read. The target is filled in one transaction, and its rows are read again and compared before the commit. A killed copy
leaves an empty target and a retired source; the next ``copy`` to the same place does the work again.
"""

import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from kalshi_pipelines.errors import ExpectedError
from kalshi_pipelines.warehouse.bulk import BulkWrite, write_rows
from kalshi_pipelines.warehouse.engine import explain_failures, place_of, writing
from kalshi_pipelines.warehouse.inspection import CannotBeUpgraded, Content
from kalshi_pipelines.warehouse.locks import hold_all_work
from kalshi_pipelines.warehouse.migrations import (
    apply_migrations,
    migration_transaction,
    require_head,
    use_write_ahead_log,
)
from kalshi_pipelines.warehouse.retirement import (
    copied_sentence,
    copying_sentence,
    is_for,
    refuse_retired,
    reopen,
    retire,
    retirement_of,
)
from kalshi_pipelines.warehouse.table_contents import TableDigest, digest_of, has_rows, table_rows
from kalshi_pipelines.warehouse.tables import metadata
from kalshi_pipelines.warehouse.upgrade import file_of, hold_upgrade_lock, inspect_database

_SHOWN_DIGITS: Final = 16

Report = Callable[[str], None]


class CopyRefused(ExpectedError):
    """The warehouse was not copied. The message says why, and whether the source still takes writes."""


@dataclass(frozen=True)
class CopiedTable:
    """A table of a copied warehouse. The digest is that of the source and of the copy."""

    name: str
    rows: int
    digest: str


@dataclass(frozen=True)
class CopyReport:
    """The result of a copy: every table with the number and the digest of its rows.

    Attributes:
        source: Where the rows came from, without a password.
        target: Where the rows are now, without a password.
        tables: The tables of the warehouse. Each has the same rows on both sides.
        left: Tables of the source that belong to no warehouse, and were not copied.
    """

    source: str
    target: str
    tables: tuple[CopiedTable, ...]
    left: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        """The number of rows in all tables."""
        return sum(table.rows for table in self.tables)

    def __str__(self) -> str:
        width = max(len(table.name) for table in self.tables)
        lines = [f"{'table':<{width}} {'rows':>14}  digest of the rows (equal on both sides)"]
        lines += [f"{each.name:<{width}} {each.rows:>14,}  {each.digest[:_SHOWN_DIGITS]}" for each in self.tables]
        lines.append(f"{'all':<{width}} {self.rows:>14,}")
        if self.left:
            lines.append(f"Not copied, because they are tables of your own: {', '.join(self.left)}.")
        lines.append(f"{self.source} was copied to {self.target}.")
        return "\n".join(lines)


def copy_warehouse(source: sa.Engine, target: sa.Engine, report: Report) -> CopyReport:
    """Copy every row of a warehouse into an empty database, and retire the source.

    A second call finds the complete copy and changes nothing. If the copy fails, the source takes writes again.

    Raises:
        CopyRefused: The target holds data, or cannot store a row of the source, or the two are the same database.
        WarehouseRetired: The source was copied to another place before.
        AlreadyRunning: A run works on the source or on the target.
        SchemaNotAtHead: The source has an older or a newer schema.
        WarehouseUnavailable: One of the databases cannot be used.
    """
    _refuse_same_place(source, target)
    with ExitStack() as held:
        held.enter_context(explain_failures(source))
        require_head(source)
        for engine in (source, target):
            held.enter_context(without_other_work(engine, report))
        place = full_place_of(target)
        with source.connect() as connection:
            earlier = retirement_of(connection)
            if earlier is not None and not is_for(earlier, place):
                refuse_retired(connection)
        is_empty = _require_empty_target(target, may_be_filled=earlier is not None)
        if not is_empty:
            return _finish_earlier_copy(source, target, place)
        with writing(source) as connection:
            retire(connection, copying_sentence(place))
        try:
            with explain_failures(target), reading_one_state(source) as reading:
                tables = fill_new_warehouse(reading, target, report)
        except BaseException:
            _reopen_unless_copied(source, target)
            raise
        _record_copied(source, place)
        use_write_ahead_log(target)
        return CopyReport(full_place_of(source), place, tables, _other_tables(source))


def copy_rows(source: sa.Connection, target: sa.Connection, report: Report) -> tuple[CopiedTable, ...]:
    """Copy all tables between two open transactions, and compare the rows of both sides.

    The target must have the newest schema. Its tables must be empty.

    Raises:
        CopyRefused: The target cannot store a row, or holds other rows than the source afterwards.
    """
    copied = []
    for table in metadata.sorted_tables:
        read = _copy_table(source, target, table)
        stored = digest_of(target, table)
        if stored != read:
            raise CopyRefused(
                f"{table.name} has {read.rows:,} rows at the source and {stored.rows:,} in the copy, or their values "
                "differ, so nothing was copied.",
                "Report this as a bug.",
            )
        if read.rows:
            report(f"{table.name}: {read.rows:,} rows copied and compared")
        copied.append(CopiedTable(table.name, read.rows, str(read)))
    _continue_numbering(target)
    return tuple(copied)


def _copy_table(source: sa.Connection, target: sa.Connection, table: sa.Table) -> TableDigest:
    write = BulkWrite(table, tuple(column.name for column in table.columns), on_conflict="refuse")
    read = TableDigest()
    for rows in table_rows(source, table):
        refused = write_rows(target, write, rows)
        if refused:
            key = [rows[refused[0].position][table.columns.keys().index(column.name)] for column in table.primary_key]
            raise CopyRefused(
                f"The new database cannot store the row {key} of {table.name} ({refused[0].reason}), so nothing was "
                "copied.",
                "Correct this row in the source, and copy again.",
            )
        read.add(rows)
    return read


def _continue_numbering(target: sa.Connection) -> None:
    """Let Postgres number new rows after the copied rows. SQLite does so by itself."""
    if target.dialect.name != "postgresql":
        return
    for table in metadata.sorted_tables:
        column = table.autoincrement_column
        if column is not None:
            sequence = sa.func.pg_get_serial_sequence(table.name, column.name)
            largest = sa.select(sa.func.max(column)).scalar_subquery()
            following = sa.func.setval(sequence, sa.func.coalesce(largest, 1), largest.is_not(None))
            if target.scalar(sa.select(sequence)) is not None:
                target.execute(sa.select(following))


def fill_new_warehouse(source: sa.Connection, target: sa.Engine, report: Report) -> tuple[CopiedTable, ...]:
    """Create the tables in an empty database and copy all rows into them, in one transaction.

    Raises:
        CopyRefused: The target cannot store a row, or holds other rows than the source afterwards.
    """
    with migration_transaction(target) as connection:
        apply_migrations(connection)
        for table in tables_of_a_new_warehouse():
            connection.execute(sa.delete(table))
        return copy_rows(source, connection, report)


@contextmanager
def reading_one_state(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Open a transaction in which every read sees the same state, whatever other programs write meanwhile."""
    level = {"isolation_level": "REPEATABLE READ"} if engine.dialect.name == "postgresql" else {}
    with engine.connect().execution_options(**level) as connection, connection.begin():
        yield connection


def tables_of_a_new_warehouse() -> tuple[sa.Table, ...]:
    """Return the tables in which a migrated warehouse has a row although nothing was ever stored in it."""
    return tuple(table for table in metadata.sorted_tables if table.name == "warehouse_identity")


def is_empty_database(target: sa.Engine) -> bool:
    """Return whether a database is empty, or a warehouse in which nothing was ever stored."""
    return _require_empty_target(target, may_be_filled=True)


def require_empty(target: sa.Engine) -> None:
    """Check that a database is empty, or a warehouse in which nothing was ever stored.

    Raises:
        CopyRefused: The database holds data.
    """
    _require_empty_target(target, may_be_filled=False)


def _require_empty_target(target: sa.Engine, *, may_be_filled: bool) -> bool:
    """Return whether the target is empty; False is only possible if an earlier copy may have filled it."""
    try:
        with explain_failures(target):
            found = inspect_database(target)
            if found.content is Content.NOTHING:
                return True
            if found.content is Content.WAREHOUSE and found.at_head:
                with target.connect() as connection:
                    new = tables_of_a_new_warehouse()
                    if not any(has_rows(connection, each) for each in metadata.sorted_tables if each not in new):
                        return True
                if may_be_filled:
                    return False
    except CannotBeUpgraded as error:
        raise CopyRefused(f"{error.problem} Nothing was written.", "Name an empty database.") from None
    raise CopyRefused(
        f"{place_of(target)} holds data already ({found}), so nothing was written to it.", "Name an empty database."
    )


def _finish_earlier_copy(source: sa.Engine, target: sa.Engine, place: str) -> CopyReport:
    """Compare a copy that an earlier command made, and record that it is complete."""
    with reading_one_state(source) as ours, explain_failures(target), reading_one_state(target) as theirs:
        digests = [(table.name, digest_of(ours, table), digest_of(theirs, table)) for table in metadata.sorted_tables]
    differing = [name for name, one, other in digests if one != other]
    if differing:
        raise CopyRefused(
            f"{place} has other rows than this warehouse in {', '.join(differing[:3])}, so nothing was copied into it.",
            "If the copy is in use, there is nothing to do. Otherwise copy to an empty database.",
        )
    _record_copied(source, place)
    tables = tuple(CopiedTable(name, one.rows, str(one)) for name, one, _ in digests)
    return CopyReport(full_place_of(source), place, tables, _other_tables(source))


def _record_copied(source: sa.Engine, place: str) -> None:
    with writing(source) as connection:
        retire(connection, copied_sentence(place, dt.datetime.now(dt.UTC)))


def _reopen_unless_copied(source: sa.Engine, target: sa.Engine) -> None:
    """Let the source take writes again after a failed copy. If the state of the target is unknown, do nothing."""
    with suppress(ExpectedError, sa.exc.DBAPIError):
        if _require_empty_target(target, may_be_filled=False):
            with writing(source) as connection:
                reopen(connection)


def full_place_of(engine: sa.Engine) -> str:
    """Return where a database is, without user and password, and with the full path of a SQLite file."""
    return str(file_of(engine) or place_of(engine))


def _refuse_same_place(source: sa.Engine, target: sa.Engine) -> None:
    if full_place_of(source) == full_place_of(target):
        raise CopyRefused(
            f"{full_place_of(target)} is the warehouse itself, so nothing was copied.", "Name another place."
        )


@contextmanager
def without_other_work(engine: sa.Engine, report: Report) -> Iterator[None]:
    """Keep runs and upgrades of a warehouse away during the block.

    Raises:
        AlreadyRunning: A run works on the warehouse.
        WarehouseUnavailable: The database cannot be used.
    """
    with ExitStack() as held:
        with explain_failures(engine):
            path = file_of(engine)
            if path is not None:
                held.enter_context(hold_upgrade_lock(path, report))
            held.enter_context(hold_all_work(engine))
        yield


def _other_tables(source: sa.Engine) -> tuple[str, ...]:
    with source.connect() as connection:
        there = sa.inspect(connection).get_table_names()
    known = {*metadata.tables, "alembic_version", "sqlite_sequence"}
    return tuple(sorted(name for name in there if name not in known and not name.startswith("news_search")))
