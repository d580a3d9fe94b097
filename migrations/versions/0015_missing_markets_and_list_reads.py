"""Mark records that the exchange no longer has, and remember how complete the reads of its lists were."""

import sqlalchemy as sa
from alembic import op

from kalshi_pipelines.warehouse.migration_steps import changed_table, dialect, refuse_to_lose

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

Integer = sa.BigInteger().with_variant(sa.INTEGER(), "sqlite")

KINDS = (
    "key_missing",
    "key_new",
    "key_renamed",
    "type_changed",
    "format_changed",
    "value_new",
    "value_changed",
    "value_frozen",
    "null_new",
    "distribution_changed",
    "invariant_broken",
    "text_changed",
    "status_changed",
    "authentication_changed",
    "host_changed",
    "redirected",
    "page_broken",
    "list_incomplete",
    "error_shape_changed",
    "document_changed",
    "absurd",
    "unreachable",
)
COLUMNS = (
    ("series", "missing_since_us"),
    ("events", "missing_since_us"),
    ("events", "listed_us"),
    ("markets", "missing_since_us"),
)

SHOWN_PRICES = ("yes_bid", "yes_ask", "no_bid", "no_ask", "last_price")
SHOWN_COUNTS = ("yes_bid_size", "yes_ask_size", "volume", "volume_24h", "open_interest")


def upgrade() -> None:
    clean_up()
    for table, column in COLUMNS:
        # A column that may be NULL is added without a copy of the table.
        op.add_column(table, sa.Column(column, Integer, nullable=True))
    missing = sa.text("missing_since_us IS NOT NULL")
    op.create_index(
        "ix_markets_missing_since_us",
        "markets",
        ["missing_since_us"],
        sqlite_where=missing,
        postgresql_where=missing,
    )
    _show_quotes("markets.missing_since_us IS NULL")
    _make_list_reads()
    _allow_kinds(KINDS)


def clean_up() -> None:
    """Do nothing: no row can break the new constraints, because they concern a new table and a new word."""


def _make_list_reads() -> None:
    name = "list_reads"
    op.create_table(
        name,
        sa.Column("list_name", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("records", Integer, nullable=False),
        sa.Column("read_us", Integer, nullable=False),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.Column("complete_records", Integer, nullable=True),
        sa.Column("complete_us", Integer, nullable=True),
        sa.Column("position", sa.Text(), nullable=True),
        sa.Column("ingest_run_id", Integer, nullable=False),
        sa.CheckConstraint("subject IN ('series', 'events', 'markets', 'orderbooks')", name=op.f(f"ck_{name}_subject")),
        sa.CheckConstraint("list_name <> ''", name=op.f(f"ck_{name}_list_name")),
        sa.CheckConstraint("problem <> ''", name=op.f(f"ck_{name}_problem")),
        sa.CheckConstraint("records >= 0", name=op.f(f"ck_{name}_records")),
        sa.CheckConstraint("complete_records >= 0", name=op.f(f"ck_{name}_complete_records")),
        sa.CheckConstraint(
            "(complete_records IS NULL) = (complete_us IS NULL)", name=op.f(f"ck_{name}_complete_read_has_a_time")
        ),
        sa.ForeignKeyConstraint(
            ["ingest_run_id"], ["ingest_runs.ingest_run_id"], name=op.f(f"fk_{name}_ingest_run_id_ingest_runs")
        ),
        sa.PrimaryKeyConstraint("list_name", name=op.f(f"pk_{name}")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )


def _show_quotes(condition: str) -> None:
    where = f"WHERE {condition}" if condition else ""
    op.execute("DROP VIEW current_quotes")
    op.execute(
        f"""
        CREATE VIEW current_quotes AS
        SELECT ticker, event_ticker, title, status, result, {_quote()},
               {_time("close_time_us")} AS close_time, {_time("observed_us")} AS recorded_time
        FROM markets JOIN quotes USING (ticker) {where}
        """
    )


def _quote() -> str:
    columns = []
    for name in SHOWN_PRICES:
        shown = _dollars(f"{name}_microdollars")
        if name in ("yes_bid", "no_ask"):
            shown = f"CASE WHEN yes_bid_size_centicontracts = 0 THEN NULL ELSE {shown} END"
        if name in ("yes_ask", "no_bid"):
            shown = f"CASE WHEN yes_ask_size_centicontracts = 0 THEN NULL ELSE {shown} END"
        if name == "last_price":
            shown = f"CASE WHEN {name}_microdollars IS NULL THEN NULL ELSE {shown} END"
        columns.append(f"{shown} AS {name}")
    for name in SHOWN_COUNTS:
        shown = _contracts(f"{name}_centicontracts")
        if name in ("yes_bid_size", "yes_ask_size"):
            shown = f"CASE WHEN {name}_centicontracts IS NULL THEN NULL ELSE {shown} END"
        columns.append(f"{shown} AS {name}")
    columns += [f"{name}_microdollars" for name in SHOWN_PRICES]
    return ", ".join(columns)


def _dollars(integer: str) -> str:
    if dialect() == "postgresql":
        return f"({integer} * 0.000001)::numeric(18, 6)"
    return f"printf('%d.%06d', {integer} / 1000000, {integer} % 1000000)"


def _contracts(integer: str) -> str:
    if dialect() == "postgresql":
        return f"({integer} * 0.01)::numeric(18, 2)"
    return f"printf('%d.%02d', {integer} / 100, {integer} % 100)"


def _time(microseconds: str) -> str:
    if dialect() == "postgresql":
        return f"(timestamptz 'epoch' + {microseconds} * interval '1 microsecond')"
    return (
        f"strftime('%Y-%m-%dT%H:%M:%S', {microseconds} / 1000000, 'unixepoch')"
        f" || printf('.%06dZ', {microseconds} % 1000000)"
    )


def _allow_kinds(kinds: tuple[str, ...]) -> None:
    words = ", ".join(f"'{kind}'" for kind in kinds)
    with changed_table("contract_findings") as findings:
        findings.drop_constraint(op.f("ck_contract_findings_kind"), type_="check")
        findings.create_check_constraint(op.f("ck_contract_findings_kind"), f"kind IN ({words})")


def downgrade() -> None:
    refuse_to_lose("list_reads")
    refuse_to_lose("contract_findings", "kind = 'list_incomplete'")
    for table, column in COLUMNS:
        refuse_to_lose(table, f"{column} IS NOT NULL")
    _allow_kinds(tuple(kind for kind in KINDS if kind != "list_incomplete"))
    op.drop_table("list_reads")
    _show_quotes("")
    op.drop_index("ix_markets_missing_since_us", table_name="markets")
    for table, column in reversed(COLUMNS):
        if dialect() == "sqlite":
            op.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
        else:
            op.drop_column(table, column)
