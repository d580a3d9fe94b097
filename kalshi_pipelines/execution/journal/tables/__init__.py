"""The tables of the journal as SQLAlchemy describes them, with every rule that keys and CHECK constraints can express.

Rules that need a trigger are in ``journal/guards``. Rows never change, except leases and the counters that triggers
update.

The names of columns end in the unit. Prices are YES prices in centi-cents (1e-4 dollar), counts are centi-contracts and
money is in micro-dollars. Instants are microseconds since 1970 UTC.
"""

from kalshi_pipelines.execution.journal.tables.columns import ENVIRONMENTS, MODES, metadata
from kalshi_pipelines.execution.journal.tables.evidence import (
    AUDIT_KINDS,
    anchors,
    audit_head,
    audit_kinds,
    audit_log,
    journal_identity,
)
from kalshi_pipelines.execution.journal.tables.halting import (
    fences,
    kill_events,
    reconciliations,
    resolutions,
    sweeps,
)
from kalshi_pipelines.execution.journal.tables.ledger import (
    POSTING_KINDS,
    fills,
    foreign_orders,
    postings,
    scope_markets,
    scopes,
)
from kalshi_pipelines.execution.journal.tables.orders import (
    approvals,
    attempts,
    denial_reasons,
    former_keys,
    intents,
    legal_transitions,
    open_intents,
    order_events,
    proposals,
)
from kalshi_pipelines.execution.journal.tables.sessions import (
    CEILINGS,
    LONGEST_SESSION_US,
    MOST_ATTEMPTS_PER_MINUTE,
    MOST_ORDER_WORST_MICRODOLLARS,
    MOST_POSITION_CENTICONTRACTS,
    ORIGINS,
    SCOPE_KINDS,
    UNCAPPED,
    env_bindings,
    leases,
    session_caps,
    session_ends,
    session_groups,
    sessions,
)

#: Append-only tables: their rows are written once and never changed or deleted.
APPEND_ONLY = (
    journal_identity,
    audit_log,
    anchors,
    env_bindings,
    sessions,
    session_caps,
    session_ends,
    session_groups,
    proposals,
    audit_kinds,
    denial_reasons,
    legal_transitions,
    intents,
    former_keys,
    order_events,
    approvals,
    attempts,
    postings,
    fills,
    foreign_orders,
    kill_events,
    fences,
    sweeps,
    resolutions,
    reconciliations,
)

__all__ = [
    "APPEND_ONLY",
    "AUDIT_KINDS",
    "CEILINGS",
    "ENVIRONMENTS",
    "LONGEST_SESSION_US",
    "MODES",
    "MOST_ATTEMPTS_PER_MINUTE",
    "MOST_ORDER_WORST_MICRODOLLARS",
    "MOST_POSITION_CENTICONTRACTS",
    "ORIGINS",
    "POSTING_KINDS",
    "SCOPE_KINDS",
    "UNCAPPED",
    "anchors",
    "approvals",
    "attempts",
    "audit_head",
    "audit_kinds",
    "audit_log",
    "denial_reasons",
    "env_bindings",
    "fences",
    "fills",
    "foreign_orders",
    "former_keys",
    "intents",
    "journal_identity",
    "kill_events",
    "leases",
    "legal_transitions",
    "metadata",
    "open_intents",
    "order_events",
    "postings",
    "proposals",
    "reconciliations",
    "resolutions",
    "scope_markets",
    "scopes",
    "session_caps",
    "session_ends",
    "session_groups",
    "sessions",
    "sweeps",
]
