"""The schema of a database as the database reports it, in a form for comparing two databases."""

import re
from collections.abc import Iterator
from typing import Final

import sqlalchemy as sa

from kalshi_pipelines.warehouse.tables import is_full_text_part

#: The database's description of each object. Keys look like ``table trades`` or ``constraint trades.ck_trades_side``.
Schema = dict[str, str]

_POSTGRES: Final = {
    "column": """
        SELECT c.relname || '.' || row_number() OVER (PARTITION BY c.oid ORDER BY a.attnum) || ' ' || a.attname,
               concat_ws(' ', format_type(a.atttypid, a.atttypmod), CASE WHEN a.attnotnull THEN 'NOT NULL' END,
                         'DEFAULT ' || pg_get_expr(d.adbin, d.adrelid), 'IDENTITY ' || nullif(a.attidentity::text, ''),
                         'GENERATED ' || nullif(a.attgenerated::text, ''),
                         'COLLATE ' || nullif(l.collname::text, 'default'))
        FROM pg_attribute a
        JOIN pg_class c ON c.oid = a.attrelid AND c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace
        LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
        LEFT JOIN pg_collation l ON l.oid = a.attcollation
        WHERE a.attnum > 0 AND NOT a.attisdropped
    """,
    "constraint": """
        SELECT conrelid::regclass || '.' || conname, pg_get_constraintdef(oid) FROM pg_constraint
        WHERE connamespace = 'public'::regnamespace
    """,
    "index": "SELECT tablename || '.' || indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
    "view": "SELECT viewname, definition FROM pg_views WHERE schemaname = 'public'",
    "sequence": """
        SELECT c.relname, concat_ws(' ', format_type(s.seqtypid, NULL), d.refobjid::regclass, d.refobjsubid)
        FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid
        LEFT JOIN pg_depend d ON d.objid = c.oid AND d.deptype IN ('a', 'i')
    """,
    "trigger": "SELECT tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal",
    "function": """
        SELECT oid::regprocedure::text, pg_get_functiondef(oid) FROM pg_proc
        WHERE pronamespace = 'public'::regnamespace
    """,
    "type": """
        SELECT t.typname, t.typtype::text FROM pg_type t LEFT JOIN pg_class c ON c.oid = t.typrelid
        WHERE t.typnamespace = 'public'::regnamespace AND t.typelem = 0 AND coalesce(c.relkind, 'c') = 'c'
    """,
}


def schema_of(engine: sa.Engine) -> Schema:
    """Return all objects that a migration can create, without Alembic's own table."""
    with engine.connect() as connection:
        described = _of_sqlite(connection) if engine.dialect.name == "sqlite" else _of_postgres(connection)
        return {
            what: " ".join(how.split()) for what, how in described if what.split()[1].split(".")[0] != "alembic_version"
        }


def in_any_order(schema: Schema, table: str) -> Schema:
    """Return a schema without the positions of the columns of one table.

    Postgres adds a column at the end only, so a downgrade that brings columns back cannot restore their positions.
    """
    positions = re.compile(rf"column {table}\.\d+ ")
    return {positions.sub(f"column {table} ", what): how for what, how in schema.items()}


def only(schema: Schema, *kinds: str) -> Schema:
    """Return the objects of a schema that are of the given kinds."""
    return {what: how for what, how in schema.items() if what.split()[0] in kinds}


def _of_postgres(connection: sa.Connection) -> Iterator[tuple[str, str]]:
    for kind, query in _POSTGRES.items():
        for name, how in connection.exec_driver_sql(query):
            yield f"{kind} {name}", how


def _of_sqlite(connection: sa.Connection) -> Iterator[tuple[str, str]]:
    query = "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'"
    for kind, name, table, sql in connection.exec_driver_sql(query):
        ddl = " ".join(sql.replace('"', "").split())
        if ddl.startswith("CREATE VIRTUAL TABLE"):
            yield f"{kind} {name}", ddl
        elif kind == "table" and is_full_text_part(name):
            continue  # SQLite created this table itself for a full-text index
        elif kind == "table":
            yield from _of_sqlite_table(name, ddl)
        else:
            yield f"{kind} {table}.{name}" if kind == "index" else f"{kind} {name}", ddl


def _of_sqlite_table(table: str, ddl: str) -> Iterator[tuple[str, str]]:
    start, end = ddl.index("("), ddl.rindex(")")
    yield f"table {table}", ", ".join(sorted(option.strip() for option in ddl[end + 1 :].split(",")))
    position = 0
    for part in _parts(ddl[start + 1 : end]):
        if part.startswith("CONSTRAINT "):
            _, name, how = part.split(" ", 2)
            yield f"constraint {table}.{name}", how
        else:
            position += 1
            name, how = part.split(" ", 1)
            yield f"column {table}.{position} {name}", how


def _parts(body: str) -> Iterator[str]:
    """Split the body of CREATE TABLE at commas outside of parentheses and quoted text."""
    depth, in_text, part = 0, False, ""
    for character in body:
        in_text ^= character == "'"
        depth += 0 if in_text else (character == "(") - (character == ")")
        if character == "," and not depth and not in_text:
            yield part.strip()
            part = ""
        else:
            part += character
    yield part.strip()
