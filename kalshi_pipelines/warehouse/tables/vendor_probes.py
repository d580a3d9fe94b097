"""Tables about other vendors: their accepted documents, and the money spent at them."""

from typing import Final

import sqlalchemy as sa

from kalshi_pipelines.warehouse.tables.columns import (
    Integer,
    Text,
    json_objects,
    metadata,
    not_negative,
    one_of,
    required,
)

#: Purposes of spending. Each purpose has its own budget.
SPENDING_PURPOSES: Final = ("probes", "news")

vendor_documents: Final = sa.Table(
    "vendor_documents",
    metadata,
    sa.Column("document", Text, primary_key=True, nullable=False),
    required("sha256", Text),
    required("digest", Text),
    required("accepted_us"),
    sa.CheckConstraint("document <> ''", name="document"),
    sa.CheckConstraint("length(sha256) = 64", name="sha256"),
    *json_objects("digest"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

#: The reserved cost of a call is written before the call. The actual cost follows, or stays NULL if unknown.
vendor_spending: Final = sa.Table(
    "vendor_spending",
    metadata,
    sa.Column("spending_id", Integer, primary_key=True, autoincrement=True),
    required("vendor", Text),
    required("purpose", Text),
    sa.Column("ingest_run_id", Integer, sa.ForeignKey("ingest_runs.ingest_run_id"), index=True),
    required("at_us"),
    required("reserved_microdollars"),
    sa.Column("spent_microdollars", Integer),
    sa.Index("ix_vendor_spending_vendor_at_us", "vendor", "at_us"),
    sa.CheckConstraint("vendor <> ''", name="vendor"),
    one_of("purpose", SPENDING_PURPOSES),
    *not_negative("reserved_microdollars", "spent_microdollars"),
    sqlite_strict=True,
)
