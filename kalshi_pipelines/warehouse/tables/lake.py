"""Tables about the lake: the warehouse's identity, and the manifest of the files that the warehouse published."""

from typing import Final

import sqlalchemy as sa

from kalshi_pipelines.warehouse.tables.bookkeeping import ENVIRONMENTS
from kalshi_pipelines.warehouse.tables.columns import (
    Integer,
    Text,
    json_objects,
    metadata,
    not_negative,
    one_of,
    required,
)

#: Datasets of the lake. Each is a folder of Parquet files.
LAKE_DATASETS: Final = (
    "price_history",
    "orderbook_levels",
    "settled_markets",
    "past_events",
    "public_trades",
    "candlesticks_1m",
    "candlesticks_1h",
    "candlesticks_1d",
    "missing_markets",
)
#: States of a slot: its file is about to be replaced; later rows are expected; its trading day is over and verified.
LAKE_STATUSES: Final = ("publishing", "open", "closed")
#: The slot of a whole trading day. All other slots are hours, from 00 to 23 in the time zone of the dataset.
DAY_SLOT: Final = "day"
LAKE_SLOTS: Final = (DAY_SLOT, *[f"{hour:02}" for hour in range(24)])

#: One row, made under the work lock of the lake. The identity moves with the data when the warehouse is copied.
warehouse_identity = sa.Table(
    "warehouse_identity",
    metadata,
    sa.Column("warehouse_id", Text, primary_key=True, nullable=False),
    sa.Column("environment", Text),
    required("created_us"),
    sa.CheckConstraint("length(warehouse_id) = 32", name="warehouse_id"),
    one_of("environment", ENVIRONMENTS),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

#: One row for each file of the lake. A slot's file has the columns rows to sha256; next_sha256 is the file to come.
lake_files = sa.Table(
    "lake_files",
    metadata,
    sa.Column("dataset", Text, primary_key=True, nullable=False),
    sa.Column("partition_date", Text, primary_key=True, nullable=False),
    sa.Column("slot", Text, primary_key=True, nullable=False),
    required("path", Text),
    required("status", Text),
    required("rows"),
    required("bytes"),
    sa.Column("first_us", Integer),
    sa.Column("last_us", Integer),
    required("sums", Text),
    sa.Column("sha256", Text),
    sa.Column("next_sha256", Text),
    required("source", Text),
    required("published_us"),
    sa.Column("verified_us", Integer),
    # A hash of the rows alone. NULL for files that an older version published and that were not verified since.
    sa.Column("content_sha256", Text),
    sa.UniqueConstraint("path"),
    sa.Index(
        "ix_lake_files_not_closed",
        "status",
        sqlite_where=sa.text("status <> 'closed'"),
        postgresql_where=sa.text("status <> 'closed'"),
    ),
    one_of("dataset", LAKE_DATASETS),
    sa.CheckConstraint("length(partition_date) = 10", name="partition_date"),
    one_of("slot", LAKE_SLOTS),
    one_of("status", LAKE_STATUSES),
    *not_negative("rows", "bytes"),
    sa.CheckConstraint("first_us <= last_us", name="times"),
    *json_objects("sums"),
    sa.CheckConstraint("length(sha256) = 64", name="sha256"),
    sa.CheckConstraint("length(next_sha256) = 64", name="next_sha256"),
    sa.CheckConstraint("length(content_sha256) = 64", name="content_sha256"),
    sa.CheckConstraint("(status = 'publishing') = (next_sha256 IS NOT NULL)", name="publishing_names_the_next_file"),
    sa.CheckConstraint("status = 'publishing' OR sha256 IS NOT NULL", name="published_file_has_a_hash"),
    sa.CheckConstraint("(sha256 IS NULL) = (rows = 0)", name="file_has_rows"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

#: The condition of the index of statuses. A query for files that are not closed must contain it without a parameter, or
#: SQLite does not know that the index has all rows the query wants.
OPEN_LAKE_FILES: Final = lake_files.c.status != sa.literal_column("'closed'")
