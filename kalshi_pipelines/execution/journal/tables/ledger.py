"""Tables of the ledger: scopes with their caps and counters, and postings, which alone change the counters.

Facts (fills, fees, foreign orders) are never refused. A fact that exceeds a cap marks its scope as breached instead.
"""

from typing import Final

import sqlalchemy as sa

from kalshi_pipelines.execution.journal.tables.columns import (
    ENVIRONMENTS,
    MODES,
    Integer,
    Text,
    audited,
    between,
    flag,
    metadata,
    not_negative,
    one_of,
    optional,
    required,
    rows_where,
    text_of,
)
from kalshi_pipelines.execution.journal.tables.sessions import SCOPE_KINDS
from kalshi_pipelines.execution.orders.terms import Side

POSTING_KINDS: Final = ("reserve", "fill", "release", "settle", "opening", "foreign", "review", "realise")
#: The beginning of the name under which a scope counts the realised results of a day, such as ``realised 2026-11-30``.
#: The ticker of a market has no space, so no market has such a name.
REALISED: Final = "realised "
#: Final order states. When an order reaches one of these states, its remaining reservation is released.
RELEASING_STATES: Final = ("abandoned", "rejected", "absent", "canceled", "executed")

scopes = sa.Table(
    "scopes",
    metadata,
    sa.Column("scope_id", Integer, primary_key=True, autoincrement=False),
    required("kind", Text),
    required("environment", Text),
    required("subaccount"),
    required("mode", Text),
    required("key", Text),
    # The hour that a rolling scope covers, counted from 1970 UTC. It is NULL in scopes of other kinds.
    optional("hour"),
    required("opened_us"),
    required("orders_cap"),
    required("notional_cap_microdollars"),
    required("worst_cap_microdollars"),
    required("orders"),
    required("notional_microdollars"),
    required("worst_microdollars"),
    *flag("breached"),
    sa.UniqueConstraint("kind", "environment", "subaccount", "mode", "key"),
    one_of("kind", SCOPE_KINDS),
    one_of("environment", ENVIRONMENTS),
    one_of("mode", MODES),
    text_of("key", 1, 200),
    sa.CheckConstraint("(kind = 'rolling') = (hour IS NOT NULL)", name="hour_of_rolling"),
    sa.CheckConstraint("orders BETWEEN 0 AND orders_cap", name="cap_order_count"),
    sa.CheckConstraint("notional_microdollars BETWEEN 0 AND notional_cap_microdollars", name="cap_notional"),
    sa.CheckConstraint("worst_microdollars >= 0", name="worst"),
    sa.CheckConstraint("worst_microdollars <= worst_cap_microdollars OR breached = 1", name="cap_worst_loss"),
    sa.Index("ix_scopes_hour", "environment", "subaccount", "mode", "hour", **rows_where("hour IS NOT NULL")),
    sqlite_strict=True,
)

#: The counters of each market within a scope. The market's worst loss is the larger of two losses: if NO wins and if
#: YES wins.
scope_markets = sa.Table(
    "scope_markets",
    metadata,
    sa.Column("scope_id", Integer, sa.ForeignKey("scopes.scope_id"), primary_key=True, autoincrement=False),
    sa.Column("ticker", Text, primary_key=True, nullable=False),
    required("if_no_microdollars"),
    required("if_yes_microdollars"),
    required("spent_microdollars"),
    required("position_centicontracts"),
    required("open_bids_centicontracts"),
    required("open_asks_centicontracts"),
    sa.Column(
        "worst_microdollars",
        Integer,
        sa.Computed(
            "CASE WHEN if_no_microdollars >= if_yes_microdollars AND if_no_microdollars > 0 THEN if_no_microdollars "
            "WHEN if_yes_microdollars > 0 THEN if_yes_microdollars ELSE 0 END",
            persisted=True,
        ),
    ),
    *not_negative("open_bids_centicontracts", "open_asks_centicontracts"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

postings = sa.Table(
    "postings",
    metadata,
    # A key of the change that is posted, such as ``reserve:7`` for the reservation of intent 7. Each scope has at most
    # one posting with the same key, so recording a change again adds nothing.
    sa.Column("dedupe", Text, primary_key=True, nullable=False),
    sa.Column("scope_id", Integer, sa.ForeignKey("scopes.scope_id"), primary_key=True, autoincrement=False),
    required("kind", Text),
    required("session_id", Text, sa.ForeignKey("sessions.session_id")),
    required("ticker", Text),
    required("at_us"),
    optional("intent_id"),
    optional("event_seq"),
    optional("event_state", Text),
    optional("fill_id", Text, sa.ForeignKey("fills.fill_id")),
    required("d_if_no_microdollars"),
    required("d_if_yes_microdollars"),
    required("d_spent_microdollars"),
    required("d_position_centicontracts"),
    required("d_open_bids_centicontracts"),
    required("d_open_asks_centicontracts"),
    required("d_orders"),
    required("d_notional_microdollars"),
    required("audit_seq", Integer, sa.ForeignKey("audit_log.seq")),
    sa.ForeignKeyConstraint(
        ["intent_id", "event_seq", "event_state"],
        ["order_events.intent_id", "order_events.seq", "order_events.to_state"],
    ),
    text_of("dedupe", 3, 200),
    one_of("kind", POSTING_KINDS),
    sa.CheckConstraint(
        "(intent_id IS NULL) = (event_seq IS NULL) AND (intent_id IS NULL) = (event_state IS NULL)", name="event"
    ),
    sa.CheckConstraint("kind = 'foreign' OR (kind = 'fill') = (fill_id IS NOT NULL)", name="fill"),
    sa.CheckConstraint("kind NOT IN ('reserve', 'fill', 'release') OR intent_id IS NOT NULL", name="of_an_intent"),
    sa.CheckConstraint(
        "kind <> 'reserve' OR (event_state = 'reserved' AND d_orders IN (0, 1) AND d_if_no_microdollars >= 0 AND "
        "d_if_yes_microdollars >= 0 AND d_notional_microdollars >= 0 AND d_spent_microdollars = 0 AND "
        "d_position_centicontracts = 0 AND d_open_bids_centicontracts >= 0 AND d_open_asks_centicontracts >= 0)",
        name="reserve",
    ),
    sa.CheckConstraint(
        "kind <> 'release' OR (event_state IN ('abandoned', 'rejected', 'absent', 'canceled', 'executed') AND "
        "d_orders = 0 AND d_if_no_microdollars <= 0 AND d_if_yes_microdollars <= 0 AND d_notional_microdollars <= 0 "
        "AND d_spent_microdollars = 0 AND d_position_centicontracts = 0 AND d_open_bids_centicontracts <= 0 "
        "AND d_open_asks_centicontracts <= 0)",
        name="release",
    ),
    sa.CheckConstraint("kind NOT IN ('fill', 'settle', 'review', 'realise') OR d_orders = 0", name="orders"),
    sa.CheckConstraint(
        "kind <> 'realise' OR (intent_id IS NULL AND d_if_no_microdollars = d_spent_microdollars AND "
        "d_if_yes_microdollars = d_spent_microdollars AND d_position_centicontracts = 0 AND "
        "d_open_bids_centicontracts = 0 AND d_open_asks_centicontracts = 0 AND d_notional_microdollars = 0)",
        name="realise",
    ),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

fills = sa.Table(
    "fills",
    metadata,
    sa.Column("fill_id", Text, primary_key=True, nullable=False),
    required("order_id", Text),
    optional("intent_id", Integer, sa.ForeignKey("intents.intent_id")),
    required("ticker", Text),
    required("side", Text),
    required("price_centicents"),
    required("count_centicontracts"),
    required("fee_microdollars"),
    required("at_us"),
    audited(),
    text_of("fill_id", 1, 100),
    one_of("side", Side),
    between("price_centicents", 0, 10_000),
    sa.CheckConstraint("count_centicontracts > 0", name="count_centicontracts"),
    sa.Index(None, "intent_id"),
    sa.Index(None, "order_id"),
    sqlite_strict=True,
)

foreign_orders = sa.Table(
    "foreign_orders",
    metadata,
    sa.Column("order_id", Text, primary_key=True, nullable=False),
    required("ticker", Text),
    required("side", Text),
    required("price_centicents"),
    required("remaining_centicontracts"),
    required("seen_us"),
    required("why", Text),
    audited(),
    text_of("order_id", 1, 100),
    one_of("side", Side),
    between("price_centicents", 0, 10_000),
    *not_negative("remaining_centicontracts"),
    sqlite_strict=True,
)
