"""Tables of proposals, order intents, order events, approvals and attempts.

An order event can be stored only if the order's previous event allows it.
"""

from typing import Final

import sqlalchemy as sa

from kalshi_pipelines.execution.journal.tables.columns import (
    ENVIRONMENTS,
    MODES,
    Integer,
    Text,
    at_most_long,
    audit_id,
    audited,
    between,
    flag,
    hexadecimal,
    metadata,
    not_negative,
    one_of,
    optional,
    required,
    row_id,
    rows_where,
    text_of,
)
from kalshi_pipelines.execution.orders.proposals import ActorKind
from kalshi_pipelines.execution.orders.states import FINAL_STATES, OPEN_STATES, UNRESOLVED_STATES, OrderState, Writer
from kalshi_pipelines.execution.orders.terms import Action, Outcome, Side, TimeInForce
from kalshi_pipelines.units import DAY_US, MINUTE_US

#: The longest time from the data behind an order (``as_of_us``) to the last instant at which the order may be sent.
LONGEST_VALIDITY_US: Final = 10 * MINUTE_US
#: The exchange's choices for self-trade prevention: what happens to an order that would trade with another order of the
#: same account.
SELF_TRADE_PREVENTION: Final = ("taker_at_cross", "maker")
STATES: Final = tuple(OrderState)
#: The price of one contract of an order's side, and of one contract of the opposite side, in SQL.
_SIDE_PRICE: Final = "CASE side WHEN 'bid' THEN price_centicents ELSE 10000 - price_centicents END"
_OTHER_PRICE: Final = "CASE side WHEN 'bid' THEN 10000 - price_centicents ELSE price_centicents END"
#: The reserved loss if the order's side loses, and if it wins, in SQL.
_IF_LOST: Final = "CASE side WHEN 'bid' THEN reserved_if_no_microdollars ELSE reserved_if_yes_microdollars END"
_IF_WON: Final = "CASE side WHEN 'bid' THEN reserved_if_yes_microdollars ELSE reserved_if_no_microdollars END"


def states_of(some: frozenset[OrderState]) -> str:
    """Return order states as a list for SQL, in the order in which the enum declares them."""
    return ", ".join(f"'{state}'" for state in OrderState if state in some)


proposals = sa.Table(
    "proposals",
    metadata,
    row_id("proposal_id"),
    required("proposed_us"),
    required("source", Text),
    required("actor_kind", Text),
    required("actor_name", Text),
    required("strategy", Text),
    required("strategy_version", Text),
    required("partition", Text),
    required("signal", Text),
    required("leg", Text),
    required("attempt"),
    required("ticker", Text),
    required("action", Text),
    required("outcome", Text),
    required("price_centicents"),
    required("count_centicontracts"),
    required("time_in_force", Text),
    required("as_of_us"),
    required("valid_until_us"),
    optional("expires_us"),
    *flag("post_only"),
    *flag("reduce_only"),
    required("reason", Text),
    # Older versions of the code, such as an agent's program, propose orders without this column.
    sa.Column("open_short", Integer, nullable=False, server_default=sa.text("0")),
    sa.CheckConstraint("open_short IN (0, 1)", name="open_short"),
    # The Postgres login that proposed, if it may only propose. Otherwise the column is empty.
    sa.Column("login", Text, nullable=False, server_default=""),
    one_of("actor_kind", ActorKind),
    one_of("action", Action),
    one_of("outcome", Outcome),
    one_of("time_in_force", TimeInForce),
    between("price_centicents", 1, 9_999),
    between("count_centicontracts", 1, 10**12),
    between("attempt", 1, 1_000),
    text_of("actor_name", 1, 200),
    text_of("strategy", 1, 200),
    text_of("ticker", 1, 120),
    text_of("leg", 1, 100),
    text_of("signal", 1, 400),
    *at_most_long("strategy_version", 200),
    *at_most_long("partition", 200),
    *at_most_long("source", 200),
    *at_most_long("reason", 4_000),
    sa.CheckConstraint(f"valid_until_us - as_of_us BETWEEN 1 AND {LONGEST_VALIDITY_US}", name="validity"),
    sa.CheckConstraint("(time_in_force = 'good_till_canceled') = (expires_us IS NOT NULL)", name="expiry"),
    sa.Index(None, "valid_until_us"),
    sa.Index(None, "actor_kind", "actor_name", "proposed_us"),
    sa.Index(None, "login", "proposed_us"),
    sqlite_strict=True,
)

#: The reasons for which an order may be denied. They are rows that other tables refer to, because Postgres would parse
#: a list in a CHECK constraint again for every statement.
denial_reasons = sa.Table(
    "denial_reasons",
    metadata,
    sa.Column("code", Text, primary_key=True, nullable=False),
    sqlite_strict=True,
)

legal_transitions = sa.Table(
    "legal_transitions",
    metadata,
    sa.Column("from_state", Text, primary_key=True, nullable=False),
    sa.Column("to_state", Text, primary_key=True, nullable=False),
    sqlite_strict=True,
)

intents = sa.Table(
    "intents",
    metadata,
    audit_id("intent_id"),
    required("session_id", Text),
    required("environment", Text),
    required("subaccount"),
    required("mode", Text),
    required("origin", Text),
    optional("proposal_id", Integer, sa.ForeignKey("proposals.proposal_id")),
    required("idempotency_key", Text),
    required("client_order_id", Text),
    required("ticker", Text),
    required("event_ticker", Text),
    required("exchange_index"),
    optional("order_group_id", Text),
    required("side", Text),
    required("price_centicents"),
    required("count_centicontracts"),
    required("time_in_force", Text),
    optional("expires_us"),
    *flag("post_only"),
    *flag("reduce_only"),
    required("cancel_order_on_pause"),
    required("self_trade_prevention", Text),
    required("fee_bound_microdollars"),
    required("reserved_if_no_microdollars"),
    required("reserved_if_yes_microdollars"),
    required("notional_microdollars"),
    required("as_of_us"),
    required("valid_until_us"),
    required("planned_us"),
    required("actor_kind", Text),
    required("actor_name", Text),
    *flag("approval_required"),
    required("request_json", Text),
    required("request_sha256", Text),
    # The proposed count. A reduce-only order may be for fewer contracts than proposed.
    required("proposed_centicontracts"),
    # The contracts that only close a position. They add no risk, so the notional does not count them.
    required("closing_centicontracts"),
    sa.UniqueConstraint("mode", "idempotency_key"),
    sa.UniqueConstraint("mode", "client_order_id"),
    # Foreign keys of other tables refer to an intent by its number and mode, or by its number, order group and market.
    sa.UniqueConstraint("intent_id", "mode"),
    sa.UniqueConstraint("intent_id", "order_group_id", "ticker"),
    sa.ForeignKeyConstraint(
        ["session_id", "environment", "subaccount", "mode", "origin"],
        ["sessions.session_id", "sessions.environment", "sessions.subaccount", "sessions.mode", "sessions.origin"],
    ),
    sa.ForeignKeyConstraint(
        ["order_group_id", "session_id", "exchange_index"],
        ["session_groups.order_group_id", "session_groups.session_id", "session_groups.exchange_index"],
    ),
    sa.CheckConstraint("mode = 'dry_run' OR origin = 'by_hand'", name="only_by_hand_is_live"),
    sa.CheckConstraint("mode = 'live' OR order_group_id IS NULL", name="dry_run_has_no_group"),
    hexadecimal("idempotency_key"),
    hexadecimal("request_sha256"),
    text_of("client_order_id", 8, 64),
    text_of("ticker", 1, 120),
    text_of("event_ticker", 1, 120),
    *not_negative("exchange_index"),
    one_of("side", Side),
    between("price_centicents", 1, 9_999),
    between("count_centicontracts", 1, 100_000_000),
    one_of("time_in_force", TimeInForce),
    one_of("self_trade_prevention", SELF_TRADE_PREVENTION),
    one_of("actor_kind", ActorKind),
    sa.CheckConstraint("cancel_order_on_pause = 1", name="cancel_order_on_pause"),
    sa.CheckConstraint("(time_in_force = 'good_till_canceled') = (expires_us IS NOT NULL)", name="expiry"),
    sa.CheckConstraint("reduce_only = 0 OR time_in_force = 'immediate_or_cancel'", name="reduce_only_ends_at_once"),
    sa.CheckConstraint("post_only = 0 OR time_in_force = 'good_till_canceled'", name="post_only_rests"),
    sa.CheckConstraint(
        "mode = 'dry_run' OR actor_kind <> 'agent' OR approval_required = 1", name="agents_need_approval"
    ),
    sa.CheckConstraint(f"valid_until_us - as_of_us BETWEEN 1 AND {LONGEST_VALIDITY_US}", name="validity"),
    *not_negative("fee_bound_microdollars"),
    sa.CheckConstraint(
        "proposed_centicontracts >= count_centicontracts "
        "AND (reduce_only = 1 OR proposed_centicontracts = count_centicontracts)",
        name="proposed_centicontracts",
    ),
    sa.CheckConstraint("closing_centicontracts BETWEEN 0 AND count_centicontracts", name="closing_centicontracts"),
    sa.CheckConstraint(
        f"notional_microdollars = (count_centicontracts - closing_centicontracts) * {_SIDE_PRICE}", name="notional"
    ),
    # The reservation equals the loss if the order is filled completely and its side loses: the price of all contracts
    # plus the fee bound.
    sa.CheckConstraint(
        f"{_IF_LOST} = count_centicontracts * {_SIDE_PRICE} + fee_bound_microdollars",
        name="reserved",
    ),
    sa.CheckConstraint(
        f"{_IF_WON} BETWEEN 0 AND fee_bound_microdollars AND "
        f"{_IF_WON} >= fee_bound_microdollars - count_centicontracts * {_OTHER_PRICE}",
        name="reserved_if_won",
    ),
    sqlite_strict=True,
)

#: Keys of orders of earlier versions that wrote a signal in another form, such as with a space at its end. Each row
#: holds the key that the order would have had with its signal in the normal form. Only a migration adds rows.
former_keys = sa.Table(
    "former_keys",
    metadata,
    sa.Column("mode", Text, primary_key=True, nullable=False),
    sa.Column("idempotency_key", Text, primary_key=True, nullable=False),
    sa.Column("intent_id", Integer, primary_key=True, autoincrement=False),
    sa.ForeignKeyConstraint(["intent_id", "mode"], ["intents.intent_id", "intents.mode"]),
    hexadecimal("idempotency_key"),
    sqlite_strict=True,
)

order_events = sa.Table(
    "order_events",
    metadata,
    sa.Column("intent_id", Integer, primary_key=True, autoincrement=False),
    sa.Column("seq", Integer, primary_key=True, autoincrement=False),
    required("mode", Text),
    required("to_state", Text),
    optional("prev_seq"),
    optional("from_state", Text),
    required("at_us"),
    required("writer", Text),
    optional("code_version", Text),
    optional("denial", Text, sa.ForeignKey("denial_reasons.code")),
    optional("order_id", Text),
    optional("filled_centicontracts"),
    optional("resolution_id"),
    audited(),
    sa.UniqueConstraint("intent_id", "seq", "to_state"),
    sa.ForeignKeyConstraint(["intent_id", "mode"], ["intents.intent_id", "intents.mode"]),
    sa.ForeignKeyConstraint(
        ["intent_id", "prev_seq", "from_state"],
        ["order_events.intent_id", "order_events.seq", "order_events.to_state"],
    ),
    sa.ForeignKeyConstraint(["resolution_id", "intent_id"], ["resolutions.resolution_id", "resolutions.intent_id"]),
    sa.ForeignKeyConstraint(["from_state", "to_state"], ["legal_transitions.from_state", "legal_transitions.to_state"]),
    sa.CheckConstraint(
        "(seq = 1 AND prev_seq IS NULL AND from_state IS NULL AND to_state = 'planned') OR "
        "(seq > 1 AND prev_seq IS NOT NULL AND from_state IS NOT NULL AND prev_seq = seq - 1)",
        name="chain",
    ),
    one_of("to_state", STATES),
    one_of("writer", Writer),
    sa.CheckConstraint("(to_state = 'denied') = (denial IS NOT NULL)", name="denial_explained"),
    sa.CheckConstraint(
        "to_state IN ('planned', 'denied', 'reserved', 'abandoned') OR (to_state = 'simulated') = (mode = 'dry_run')",
        name="dry_run_never_sends",
    ),
    sa.CheckConstraint("to_state <> 'sending' OR code_version IS NOT NULL", name="sent_by_a_version"),
    sa.CheckConstraint("to_state NOT IN ('resting', 'pending_cancel') OR order_id IS NOT NULL", name="has_order_id"),
    sa.CheckConstraint("order_id IS NULL OR length(order_id) BETWEEN 8 AND 64", name="order_id"),
    sa.CheckConstraint("filled_centicontracts >= 0", name="filled_centicontracts"),
    sa.CheckConstraint(
        "to_state NOT IN ('executed', 'canceled') OR filled_centicontracts IS NOT NULL", name="end_tells_fills"
    ),
    sa.CheckConstraint("(to_state = 'absent') = (resolution_id IS NOT NULL)", name="absence_proved"),
    sa.CheckConstraint("to_state <> 'absent' OR writer = 'reconciler'", name="absence_found_by_reconciler"),
    sa.Index("one_send", "intent_id", unique=True, **rows_where("to_state = 'sending'")),
    sa.Index("one_end", "intent_id", unique=True, **rows_where(f"to_state IN ({states_of(FINAL_STATES)})")),
    sa.Index(
        "order_id_once",
        "order_id",
        unique=True,
        **rows_where("order_id IS NOT NULL AND from_state IN ('sending', 'unknown')"),
    ),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

_UNRESOLVED: Final = f"state IN ({states_of(UNRESOLVED_STATES)})"

#: Intents whose reservation is still held; a trigger maintains the list. The table's unique index allows at most one
#: unresolved order in each market.
open_intents = sa.Table(
    "open_intents",
    metadata,
    sa.Column("intent_id", Integer, sa.ForeignKey("intents.intent_id"), primary_key=True, autoincrement=False),
    required("environment", Text),
    required("subaccount"),
    required("mode", Text),
    required("ticker", Text),
    required("state", Text),
    one_of("environment", ENVIRONMENTS),
    one_of("mode", MODES),
    sa.CheckConstraint(f"state IN ({states_of(OPEN_STATES)})", name="state"),
    sa.Index("one_unresolved_a_market", "environment", "subaccount", "ticker", unique=True, **rows_where(_UNRESOLVED)),
    sqlite_strict=True,
)

approvals = sa.Table(
    "approvals",
    metadata,
    audit_id("approval_id"),
    required("request_sha256", Text),
    required("approved_by", Text),
    required("approved_us"),
    required("expires_us"),
    hexadecimal("request_sha256"),
    text_of("approved_by", 1, 200),
    sa.CheckConstraint(f"expires_us > approved_us AND expires_us - approved_us <= {DAY_US}", name="lifetime"),
    sa.Index(None, "request_sha256"),
    sqlite_strict=True,
)

#: Attempts to have an order sent, each with its immediate result. A session has a cap on the number of attempts in the
#: last minute.
attempts = sa.Table(
    "attempts",
    metadata,
    audit_id("attempt_id"),
    required("session_id", Text, sa.ForeignKey("sessions.session_id")),
    required("environment", Text),
    required("subaccount"),
    required("mode", Text),
    required("at_us"),
    optional("proposal_id", Integer, sa.ForeignKey("proposals.proposal_id")),
    optional("intent_id", Integer, sa.ForeignKey("intents.intent_id")),
    optional("denial", Text, sa.ForeignKey("denial_reasons.code")),
    sa.Index(None, "environment", "subaccount", "mode", "at_us"),
    sa.Index("ix_attempts_proposal_id", "proposal_id", **rows_where("proposal_id IS NOT NULL")),
    sqlite_strict=True,
)
