"""Tables about the move of older history to the lake: every row and every file of an older version is accounted for."""

import sqlalchemy as sa

from kalshi_pipelines.warehouse.tables.columns import Integer, Text, metadata, not_negative, required

#: One row for each history table that had rows when the warehouse was upgraded. A row stays as a record of the move.
history_moves = sa.Table(
    "history_moves",
    metadata,
    sa.Column("dataset", Text, primary_key=True, nullable=False),
    # Rows of later runs are no part of the move.
    required("last_ingest_run_id"),
    required("rows_before"),
    required("rows_removed"),
    sa.Column("rows_kept", Integer),
    sa.Column("finished_us", Integer),
    sa.CheckConstraint("dataset <> ''", name="dataset"),
    *not_negative("rows_before", "rows_removed", "rows_kept"),
    sa.CheckConstraint("(finished_us IS NULL) = (rows_kept IS NULL)", name="finished"),
    sa.CheckConstraint("rows_kept IS NULL OR rows_removed + rows_kept = rows_before", name="every_row_accounted_for"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

#: Parquet files of the older layout that were set aside. The warehouse was asked for each of their rows.
superseded_files = sa.Table(
    "superseded_files",
    metadata,
    sa.Column("path", Text, primary_key=True, nullable=False),
    required("rows"),
    required("rows_not_in_warehouse"),
    sa.Column("problem", Text),
    required("set_aside_us"),
    sa.CheckConstraint("path <> ''", name="path"),
    sa.CheckConstraint("rows_not_in_warehouse BETWEEN 0 AND rows", name="rows_not_in_warehouse"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)
