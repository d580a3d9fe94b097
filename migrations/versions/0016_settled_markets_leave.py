"""Let settled markets and past events leave the warehouse, and note the history that has to move to the lake.

A settlement records in which partition of the lake, and in which version, the market's record is. An event records when
the last of its markets that left the warehouse had settled.

Older versions exported each run to files of its own, which the lake does not use any more. So every run with history
rows counts as not exported. The rows of each history table are counted, so that the move can account for each of them.

A downgrade is refused once rows have left the warehouse or were archived. Before that, it only forgets the counts.
"""

import sqlalchemy as sa
from alembic import op

from kalshi_pipelines.warehouse.migration_steps import changed_table, refuse_to_lose

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

Integer = sa.BigInteger().with_variant(sa.INTEGER(), "sqlite")
MOVED = {"price_history": "price_snapshots", "orderbook_levels": "orderbook_snapshots"}


def upgrade() -> None:
    for name in ("archived_day", "archived_us"):
        op.add_column("settlements", sa.Column(name, Integer, nullable=True))
    op.create_index(
        op.f("ix_settlements_not_archived"),
        "settlements",
        ["settled_us"],
        sqlite_where=sa.text("archived_us IS NULL"),
        postgresql_where=sa.text("archived_us IS NULL"),
    )
    op.add_column("events", sa.Column("last_settlement_us", Integer, nullable=True))
    _create_tables()
    for dataset, table in MOVED.items():
        op.execute(
            "INSERT INTO history_moves (dataset, last_ingest_run_id, rows_before, rows_removed)"
            f" SELECT '{dataset}', max(ingest_run_id), count(*), 0 FROM {table} HAVING count(*) > 0"
        )
    op.execute("UPDATE ingest_runs SET exported_us = NULL WHERE exported_us IS NOT NULL")


def _create_tables() -> None:
    op.create_table(
        "history_moves",
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("last_ingest_run_id", Integer, nullable=False),
        sa.Column("rows_before", Integer, nullable=False),
        sa.Column("rows_removed", Integer, nullable=False),
        sa.Column("rows_kept", Integer, nullable=True),
        sa.Column("finished_us", Integer, nullable=True),
        sa.CheckConstraint("dataset <> ''", name=op.f("ck_history_moves_dataset")),
        *[
            sa.CheckConstraint(f"{name} >= 0", name=op.f(f"ck_history_moves_{name}"))
            for name in ("rows_before", "rows_removed", "rows_kept")
        ],
        sa.CheckConstraint("(finished_us IS NULL) = (rows_kept IS NULL)", name=op.f("ck_history_moves_finished")),
        sa.CheckConstraint(
            "rows_kept IS NULL OR rows_removed + rows_kept = rows_before",
            name=op.f("ck_history_moves_every_row_accounted_for"),
        ),
        sa.PrimaryKeyConstraint("dataset", name=op.f("pk_history_moves")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "superseded_files",
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("rows", Integer, nullable=False),
        sa.Column("rows_not_in_warehouse", Integer, nullable=False),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.Column("set_aside_us", Integer, nullable=False),
        sa.CheckConstraint("path <> ''", name=op.f("ck_superseded_files_path")),
        sa.CheckConstraint(
            "rows_not_in_warehouse BETWEEN 0 AND rows", name=op.f("ck_superseded_files_rows_not_in_warehouse")
        ),
        sa.PrimaryKeyConstraint("path", name=op.f("pk_superseded_files")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    refuse_to_lose("history_moves", "rows_removed > 0")
    refuse_to_lose("superseded_files")
    refuse_to_lose("settlements", "archived_us IS NOT NULL")
    refuse_to_lose("events", "last_settlement_us IS NOT NULL")
    for table in ("superseded_files", "history_moves"):
        op.drop_table(table)
    with changed_table("events") as events:
        events.drop_column("last_settlement_us")
    op.drop_index(op.f("ix_settlements_not_archived"), "settlements")
    with changed_table("settlements") as settlements:
        settlements.drop_column("archived_us")
        settlements.drop_column("archived_day")
