"""Store how much of an order only closes a position, and add the posting kind for realised results.

Orders that were planned before this revision keep their meaning: none of their contracts count as closing, and the
proposed count is the ordered count.
"""

from collections.abc import Mapping

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_SIDE_PRICE = "CASE side WHEN 'bid' THEN price_centicents ELSE 10000 - price_centicents END"
_OTHER_PRICE = "CASE side WHEN 'bid' THEN 10000 - price_centicents ELSE price_centicents END"
_IF_LOST = "CASE side WHEN 'bid' THEN reserved_if_no_microdollars ELSE reserved_if_yes_microdollars END"
_IF_WON = "CASE side WHEN 'bid' THEN reserved_if_yes_microdollars ELSE reserved_if_no_microdollars END"

#: The new columns of each table, each with the value in rows that exist already. An agent's program of an older
#: version does not know the column of ``proposals``, so that column alone has a default.
COLUMNS: Mapping[str, Mapping[str, str]] = {
    "proposals": {"open_short": "0"},
    "intents": {"proposed_centicontracts": "count_centicontracts", "closing_centicontracts": "0"},
    "postings": {},
}
_DEFAULTS = {"open_short": "DEFAULT 0 "}
#: The new and the changed CHECK constraints of each table.
CHECKS: Mapping[str, Mapping[str, str]] = {
    "proposals": {"open_short": "open_short IN (0, 1)"},
    "intents": {
        "proposed_centicontracts": (
            "proposed_centicontracts >= count_centicontracts "
            "AND (reduce_only = 1 OR proposed_centicontracts = count_centicontracts)"
        ),
        "closing_centicontracts": "closing_centicontracts BETWEEN 0 AND count_centicontracts",
        "notional": f"notional_microdollars = (count_centicontracts - closing_centicontracts) * {_SIDE_PRICE}",
        "reserved": f"{_IF_LOST} = count_centicontracts * {_SIDE_PRICE} + fee_bound_microdollars",
        "reserved_if_won": (
            f"{_IF_WON} BETWEEN 0 AND fee_bound_microdollars AND "
            f"{_IF_WON} >= fee_bound_microdollars - count_centicontracts * {_OTHER_PRICE}"
        ),
    },
    "postings": {
        "kind": "kind IN ('reserve', 'fill', 'release', 'settle', 'opening', 'foreign', 'review', 'realise')",
        "reserve": (
            "kind <> 'reserve' OR (event_state = 'reserved' AND d_orders IN (0, 1) AND d_if_no_microdollars >= 0 AND "
            "d_if_yes_microdollars >= 0 AND d_notional_microdollars >= 0 AND d_spent_microdollars = 0 AND "
            "d_position_centicontracts = 0 AND d_open_bids_centicontracts >= 0 AND d_open_asks_centicontracts >= 0)"
        ),
        "orders": "kind NOT IN ('fill', 'settle', 'review', 'realise') OR d_orders = 0",
        "realise": (
            "kind <> 'realise' OR (intent_id IS NULL AND d_if_no_microdollars = d_spent_microdollars AND "
            "d_if_yes_microdollars = d_spent_microdollars AND d_position_centicontracts = 0 AND "
            "d_open_bids_centicontracts = 0 AND d_open_asks_centicontracts = 0 AND d_notional_microdollars = 0)"
        ),
    },
}


def upgrade() -> None:
    """Rebuild the tables of proposals, intents and postings, and add the new kinds of record and of denial."""
    for table, columns in COLUMNS.items():
        if op.get_bind().dialect.name == "sqlite":
            _rebuild(table, columns, CHECKS[table])
        else:
            _alter(table, columns, CHECKS[table])
    op.bulk_insert(sa.table("audit_kinds", sa.column("kind")), [{"kind": "realise"}])
    op.bulk_insert(
        sa.table("denial_reasons", sa.column("code")), [{"code": "would_open_short"}, {"code": "nothing_to_reduce"}]
    )


def downgrade() -> None:
    raise NotImplementedError("a journal is never undone: keep it, and begin another in another place")


def _alter(table: str, columns: Mapping[str, str], checks: Mapping[str, str]) -> None:
    for name, value in columns.items():
        op.execute(f"ALTER TABLE {table} ADD COLUMN {name} BIGINT")
        op.execute(f"UPDATE {table} SET {name} = {value}")
        op.execute(f"ALTER TABLE {table} ALTER COLUMN {name} SET NOT NULL")
        if name in _DEFAULTS:
            op.execute(f"ALTER TABLE {table} ALTER COLUMN {name} SET {_DEFAULTS[name]}")
    for name, condition in checks.items():
        op.execute(f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS ck_{table}_{name}")
        op.execute(f"ALTER TABLE {table} ADD CONSTRAINT ck_{table}_{name} CHECK ({condition})")


def _rebuild(table: str, columns: Mapping[str, str], checks: Mapping[str, str]) -> None:
    """Copy a table of SQLite into a new table with further columns and other CHECK constraints.

    SQLite cannot change a CHECK constraint. Foreign keys are off during the upgrade, and references by name stay valid.
    """
    connection = op.get_bind()
    kept = [name for (name,) in connection.exec_driver_sql(f"SELECT name FROM pragma_table_info('{table}')")]
    about = "SELECT sql FROM sqlite_master WHERE tbl_name = ? AND type = ? AND sql IS NOT NULL"
    (ddl,) = connection.exec_driver_sql(about, (table, "table")).scalars()
    indexes = connection.exec_driver_sql(about, (table, "index")).scalars().all()
    body = ddl[ddl.index("(") + 1 : ddl.rindex(")")]
    parts = [part for part in _parts(body) if not _names(part, table, checks)]
    first = next(place for place, part in enumerate(parts) if part.startswith(("CONSTRAINT", "PRIMARY", "FOREIGN")))
    parts[first:first] = [f"{name} INTEGER {_DEFAULTS.get(name, '')}NOT NULL" for name in columns]
    parts += [f"CONSTRAINT ck_{table}_{name} CHECK ({condition})" for name, condition in checks.items()]
    connection.exec_driver_sql(f"CREATE TABLE {table}_new ({', '.join(parts)}){ddl[ddl.rindex(')') + 1 :]}")
    old = ", ".join(f'"{name}"' for name in kept)
    names, values = ", ".join([old, *columns]), ", ".join([old, *columns.values()])
    connection.exec_driver_sql(f"INSERT INTO {table}_new ({names}) SELECT {values} FROM {table}")
    connection.exec_driver_sql(f"DROP TABLE {table}")
    connection.exec_driver_sql(f"ALTER TABLE {table}_new RENAME TO {table}")
    for index in indexes:
        connection.exec_driver_sql(index)


def _names(part: str, table: str, checks: Mapping[str, str]) -> bool:
    """Return whether a part of CREATE TABLE is one of the constraints that are replaced."""
    return any(part.startswith(f"CONSTRAINT ck_{table}_{name} ") for name in checks)


def _parts(body: str) -> list[str]:
    """Split the body of CREATE TABLE at the commas outside of parentheses and quoted text."""
    parts, depth, is_quoted = [""], 0, False
    for character in body:
        is_quoted ^= character == "'"
        depth += 0 if is_quoted else (character == "(") - (character == ")")
        if character == "," and not depth and not is_quoted:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]
