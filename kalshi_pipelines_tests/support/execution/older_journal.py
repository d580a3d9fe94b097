"""A journal of an older revision with rows that the code of that time wrote.

The rows are recorded in ``execution/journal/recorded``: orders that were filled, sold, resting, denied and abandoned, a
settlement, and a day that took over what was open.
"""

import json
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from kalshi_pipelines.execution.journal.guards import lower_guards
from kalshi_pipelines.execution.journal.migrations import upgrade_journal
from kalshi_pipelines.warehouse.engine import sqlite_driver

RECORDED = Path(__file__).parents[2] / "execution" / "journal" / "recorded" / "journal_0002.json"


def fill_older_journal(engine: sa.Engine) -> dict[str, list[dict[str, Any]]]:
    """Create the recorded journal of revision 0002 in an empty database, and return its rows by table."""
    upgrade_journal(engine, "0002")
    rows: dict[str, list[dict[str, Any]]] = json.loads(RECORDED.read_text("utf-8"))
    with engine.connect().execution_options(kalshi_writes=True) as connection:
        is_sqlite = engine.dialect.name == "sqlite"
        if is_sqlite:
            sqlite_driver(connection).execute("PRAGMA foreign_keys = OFF")
        with connection.begin():
            lower_guards(connection)
            if not is_sqlite:
                connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
            for name, some in rows.items():
                table = sa.table(name, *(sa.column(column) for column in some[0]))
                connection.execute(table.insert(), some)
        if is_sqlite:
            sqlite_driver(connection).execute("PRAGMA foreign_keys = ON")
    return rows
