"""The table of fee changes: which fees a series or an event has from which time on."""

from typing import Final

import sqlalchemy as sa

from kalshi_pipelines.warehouse.tables.columns import Integer, Text, metadata, one_of

FEE_SCOPES: Final = ("series", "event")
#: Sources of a fee change: the exchange's lists of changes, or the present record of a series or an event.
FEE_SOURCES: Final = ("scheduled", "seen")

#: One row for each version of a fee change. A version is never changed or removed: a change that the exchange moved,
#: changed or withdrew gets ``withdrawn_us``, and the new version is another row.
fee_changes = sa.Table(
    "fee_changes",
    metadata,
    sa.Column("scope", Text, primary_key=True, nullable=False, doc="Whether the change is of a series or of an event."),
    sa.Column("ticker", Text, primary_key=True, nullable=False, doc="Ticker of the series or of the event."),
    sa.Column(
        "change_id",
        Text,
        primary_key=True,
        nullable=False,
        doc="The exchange's id; `seen` if it listed no change.",
    ),
    sa.Column("recorded_us", Integer, primary_key=True, nullable=False, doc="Time of the first read of this version."),
    sa.Column("series_ticker", Text, doc="The series of the event; NULL for a change of a series."),
    sa.Column("effective_us", Integer, nullable=False, doc="Time from which on the fees apply; 0 if they always did."),
    sa.Column("fee_type", Text, doc="Type of the fees; NULL if the event has the type of its series."),
    sa.Column("fee_multiplier", Text, doc="Multiplier, exact; NULL if the event has the multiplier of its series."),
    sa.Column("source", Text, nullable=False, doc="Whether the change was scheduled by the exchange or only seen."),
    sa.Column("withdrawn_us", Integer, doc="Time at which this version was first missing; NULL while it stands."),
    one_of("scope", FEE_SCOPES),
    one_of("source", FEE_SOURCES),
    sa.CheckConstraint("ticker <> ''", name="ticker"),
    sa.CheckConstraint("change_id <> ''", name="change_id"),
    sa.CheckConstraint("effective_us >= 0", name="effective_us"),
    sa.CheckConstraint(
        "scope = 'event' OR (fee_type IS NOT NULL AND fee_multiplier IS NOT NULL)", name="series_has_fees"
    ),
    sa.CheckConstraint("(scope = 'event') = (series_ticker IS NOT NULL)", name="event_has_a_series"),
    sa.CheckConstraint("withdrawn_us >= recorded_us", name="withdrawn_later"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)
