"""Tables about backfilled history: which days were read, what the exchange did not serve, and what does not add up."""

from typing import Any, Final

import sqlalchemy as sa

from kalshi_pipelines.warehouse.tables.columns import Integer, Text, json_objects, metadata, not_negative, one_of
from kalshi_pipelines.warehouse.tables.lake import LAKE_DATASETS

#: States of a day: it is being read; later rows are expected; all of its rows were read and its files verified.
PARTITION_STATUSES: Final = ("reading", "open", "closed")
#: Results of the check of a day against its witnesses.
PROOFS: Final = ("not_checked", "proved", "explained", "missing")
#: Reasons for a difference between a day and a witness.
RESIDUAL_STATES: Final = ("nothing_traded", "not_served", "missing", "explained")
#: States of a window of time: every row was read; the exchange failed for ever, so rows may be missing.
WINDOW_STATES: Final = ("complete", "hole")
#: Sides of the exchange that a window was read from.
WINDOW_SOURCES: Final = ("live", "historical", "both")


def _partition() -> list[sa.Column[Any]]:
    return [
        sa.Column("dataset", Text, primary_key=True, nullable=False, doc="Dataset of the lake."),
        sa.Column("partition_date", Text, primary_key=True, nullable=False, doc="The day, in the dataset's time zone."),
    ]


def _checks() -> list[sa.CheckConstraint]:
    return [
        one_of("dataset", LAKE_DATASETS),
        sa.CheckConstraint("length(partition_date) = 10", name="partition_date"),
    ]


#: One row for each day that a backfill has begun to read.
history_partitions = sa.Table(
    "history_partitions",
    metadata,
    *_partition(),
    sa.Column("status", Text, nullable=False, doc="Whether the day is being read, is open, or is closed."),
    sa.Column("rows", Integer, nullable=False, doc="Rows of the day in the lake."),
    sa.Column("holes", Integer, nullable=False, doc="Windows of the day that the exchange did not serve."),
    sa.Column("read_from_us", Integer, doc="Beginning of the span that was read; NULL if none was."),
    sa.Column("read_until_us", Integer, doc="End of the span that was read; NULL if none was."),
    sa.Column("read_us", Integer, doc="Time at which the day was last read; NULL if it was never read to its end."),
    sa.Column("proof", Text, nullable=False, doc="Result of the last check against the witnesses."),
    sa.Column("checked_us", Integer, doc="Time of the last check; NULL if the day was not checked since it changed."),
    sa.Column("figures", Text, nullable=False, doc="Figures of the last read and the last check, as a JSON object."),
    *_checks(),
    one_of("status", PARTITION_STATUSES),
    one_of("proof", PROOFS),
    *not_negative("rows", "holes"),
    sa.CheckConstraint("(read_from_us IS NULL) = (read_until_us IS NULL)", name="span_is_whole"),
    sa.CheckConstraint("read_from_us <= read_until_us", name="span"),
    sa.CheckConstraint("(proof = 'not_checked') = (checked_us IS NULL)", name="checked"),
    *json_objects("figures"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

#: One row for each difference that the last check of a day found. Differences that no longer exist are removed.
history_residuals = sa.Table(
    "history_residuals",
    metadata,
    *_partition(),
    sa.Column("ticker", Text, primary_key=True, nullable=False, doc="Market; empty if the whole day differs."),
    sa.Column("kind", Text, primary_key=True, nullable=False, doc="The witness, and the value that differs."),
    sa.Column("state", Text, nullable=False, doc="Reason for the difference, or that rows are missing."),
    sa.Column("expected", Text, doc="What the witness says; NULL if it says nothing."),
    sa.Column("found", Text, doc="What the lake has; NULL if it has nothing."),
    sa.Column("explanation", Text, doc="A sentence for people; NULL if there is no explanation."),
    sa.Column("first_seen_us", Integer, nullable=False, doc="Time of the first check that found the difference."),
    *_checks(),
    sa.CheckConstraint("kind <> ''", name="kind"),
    one_of("state", RESIDUAL_STATES),
    sa.CheckConstraint("state <> 'explained' OR explanation IS NOT NULL", name="explained"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

#: One row for each window of an open day that was read. Rows of holes are kept for ever.
history_windows = sa.Table(
    "history_windows",
    metadata,
    *_partition(),
    sa.Column("start_us", Integer, primary_key=True, nullable=False, doc="Beginning of the window."),
    sa.Column("end_us", Integer, nullable=False, doc="First time after the window."),
    sa.Column("state", Text, nullable=False, doc="Whether every row was read, or the window is a hole."),
    sa.Column("source", Text, nullable=False, doc="Side of the exchange that was asked."),
    sa.Column("rows", Integer, nullable=False, doc="Rows of the window."),
    sa.Column("read_us", Integer, nullable=False, doc="Time of the read."),
    sa.Column("problem", Text, doc="What the exchange answered for a hole; NULL if the window is complete."),
    *_checks(),
    sa.CheckConstraint("start_us < end_us", name="span"),
    one_of("state", WINDOW_STATES),
    one_of("source", WINDOW_SOURCES),
    *not_negative("rows"),
    sa.CheckConstraint("(state = 'hole') = (problem IS NOT NULL)", name="hole_has_a_problem"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)
