"""Tables about an adoption: counts of rows for each legacy table, and notes on normalised or odd rows."""

from typing import Final

import sqlalchemy as sa

from kalshi_pipelines.warehouse.tables.bookkeeping import LEGACY_TABLES
from kalshi_pipelines.warehouse.tables.columns import Integer, Text, metadata, not_negative, one_of, required

ROW_OUTCOMES: Final = ("kept", "normalised")

adoption_counts = sa.Table(
    "adoption_counts",
    metadata,
    sa.Column("ingest_run_id", Integer, sa.ForeignKey("ingest_runs.ingest_run_id"), primary_key=True, nullable=False),
    sa.Column("table_name", Text, primary_key=True, nullable=False),
    required("rows_read"),
    required("rows_kept"),
    required("rows_normalised"),
    required("rows_quarantined"),
    one_of("table_name", LEGACY_TABLES),
    *not_negative("rows_kept", "rows_normalised", "rows_quarantined"),
    sa.CheckConstraint("rows_read = rows_kept + rows_normalised + rows_quarantined", name="every_row_accounted_for"),
    sqlite_strict=True,
)

#: Notes on rows that were normalised, or kept although they are odd. Rows that were not kept are in quarantine.
adoption_notes = sa.Table(
    "adoption_notes",
    metadata,
    sa.Column("ingest_run_id", Integer, sa.ForeignKey("ingest_runs.ingest_run_id"), primary_key=True, nullable=False),
    sa.Column("table_name", Text, primary_key=True, nullable=False),
    sa.Column("row_key", Text, primary_key=True, nullable=False),
    required("outcome", Text),
    required("reason", Text),
    required("original_values", Text),
    one_of("table_name", LEGACY_TABLES),
    one_of("outcome", ROW_OUTCOMES),
    sqlite_strict=True,
)
