"""Creating, removing and inspecting the journal's guards (triggers) in a database."""

import re
from typing import Final

import sqlalchemy as sa

from kalshi_pipelines.execution.journal.guards import statements
from kalshi_pipelines.execution.journal.guards.names import PREFIX
from kalshi_pipelines.execution.journal.tables import metadata

_FUNCTION: Final = re.compile(r"CREATE OR REPLACE FUNCTION (?P<name>\w+).*\$guard\$(?P<body>.*)\$guard\$", re.DOTALL)
_TRIGGER: Final = re.compile(
    r"CREATE TRIGGER (?P<name>\w+) .* ON (?P<table>\w+) FOR EACH .* EXECUTE FUNCTION (?P<does>\w+)"
)


def raise_guards(connection: sa.Connection) -> None:
    """Remove every trigger of the journal, then create the guards that this code defines."""
    lower_guards(connection)
    for statement in statements.guard_statements(connection.dialect.name):
        # A guard's statement must not contain a percent sign, because psycopg would read the sign as a parameter.
        connection.exec_driver_sql(statement)


def lower_guards(connection: sa.Connection) -> None:
    """Remove every trigger of the journal."""
    if connection.dialect.name == "sqlite":
        for name in sorted(installed_guards(connection)):
            connection.exec_driver_sql(f'DROP TRIGGER "{name}"')
        return
    for table in metadata.tables:
        found = connection.execute(
            sa.text("SELECT tgname FROM pg_trigger WHERE tgrelid = to_regclass(:name) AND NOT tgisinternal"),
            {"name": table},
        )
        for (trigger,) in found.all():
            connection.exec_driver_sql(f'DROP TRIGGER "{trigger}" ON {table}')


def installed_guards(connection: sa.Connection) -> dict[str, str]:
    """Return the definitions of a database's triggers by name, as the database stores them."""
    if connection.dialect.name == "sqlite":
        found = connection.execute(
            sa.text("SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND name LIKE :beginning"),
            {"beginning": f"{PREFIX}%"},
        )
    else:
        found = connection.exec_driver_sql(
            "SELECT t.tgname || ' on ' || c.relname, t.tgenabled::text || ' ' || pg_get_triggerdef(t.oid) || p.prosrc "
            "FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_proc p ON p.oid = t.tgfoid "
            "WHERE NOT t.tgisinternal AND c.relnamespace = current_schema()::regnamespace"
        )
    return {name: text for name, text in found}  # noqa: C416


def missing_guards(connection: sa.Connection) -> list[str]:
    """Return the names of guards that are missing, disabled, or different from this code's definitions."""
    there = installed_guards(connection)
    wanted = statements.guard_statements(connection.dialect.name)
    if connection.dialect.name == "sqlite":
        texts = {statement.split()[2].strip('"'): " ".join(statement.split()) for statement in wanted}
        return sorted(name for name, text in texts.items() if " ".join(there.get(name, "").split()) != text)
    does = {found["name"]: found["body"] for found in map(_FUNCTION.match, wanted) if found}
    made = [found for found in map(_TRIGGER.match, wanted) if found]
    bodies = {f"{found['name']} on {found['table']}": does[found["does"]] for found in made}
    return sorted(name for name, body in bodies.items() if not _is_enabled_with(body, there.get(name, "")))


def _is_enabled_with(body: str, described: str) -> bool:
    return described.startswith("A ") and described.endswith(body)
