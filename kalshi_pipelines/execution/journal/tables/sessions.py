"""Tables of the permission to trade: bound keys, and sessions with their caps, leases and order groups."""

from typing import Final

import sqlalchemy as sa

from kalshi_pipelines.execution.journal.tables.columns import (
    ENVIRONMENTS,
    MODES,
    Integer,
    Text,
    audited,
    between,
    hexadecimal,
    metadata,
    one_of,
    optional,
    required,
    text_of,
)
from kalshi_pipelines.units import DAY_US

#: The longest lifetime of a trading session.
LONGEST_SESSION_US: Final = DAY_US
#: The ways in which a run can be started. Only a run that a person started by hand may be live.
ORIGINS: Final = ("by_hand", "retried", "re_executed", "backfilled", "automated", "late")
#: The kinds of arming that a live session uses up: the token in KALSHI_TRADE_ARM, and the config of an armed run.
ARMING_KINDS: Final = ("token", "run")
#: The kinds of ledger scope that caps apply to.
SCOPE_KINDS: Final = ("session", "day", "rolling", "event", "account")
#: The value of a cap that limits nothing.
UNCAPPED: Final = 10**15
#: The ceilings of the caps for each kind of scope: number of orders, notional and worst loss. Notional and worst loss
#: are in micro-dollars.
CEILINGS: Final = {
    "session": (25, UNCAPPED, 200_000_000),
    "day": (100, UNCAPPED, 500_000_000),
    "rolling": (UNCAPPED, UNCAPPED, 500_000_000),
    "event": (UNCAPPED, UNCAPPED, 200_000_000),
    "account": (UNCAPPED, UNCAPPED, 1_000_000_000),
}
MOST_ORDER_WORST_MICRODOLLARS: Final = 50_000_000
MOST_POSITION_CENTICONTRACTS: Final = 200_000
MOST_ATTEMPTS_PER_MINUTE: Final = 60

_HOSTS: Final = (
    "(environment = 'prod' AND host IN ('external-api.kalshi.com', 'api.elections.kalshi.com')) OR "
    "(environment = 'demo' AND host IN ('external-api.demo.kalshi.co', 'demo-api.kalshi.co')) OR "
    "(environment = 'sandbox' AND (host LIKE '127.0.0.1:%' OR host LIKE 'localhost:%' OR host LIKE '[::1]:%'))"
)

env_bindings = sa.Table(
    "env_bindings",
    metadata,
    sa.Column("environment", Text, sa.ForeignKey("journal_identity.environment"), primary_key=True, nullable=False),
    sa.Column("host", Text, primary_key=True, nullable=False),
    sa.Column("key_fingerprint", Text, primary_key=True, nullable=False),
    sa.Column("subaccount", Integer, primary_key=True, autoincrement=False),
    required("bound_us"),
    required("bound_by", Text),
    audited(),
    # A trade key stays bound to one host and one sub-account for ever.
    sa.UniqueConstraint("key_fingerprint"),
    one_of("environment", ENVIRONMENTS),
    sa.CheckConstraint(_HOSTS, name="host_of_environment"),
    text_of("key_fingerprint", 8, 64),
    between("subaccount", 0, 63),
    sqlite_strict=True,
)

sessions = sa.Table(
    "sessions",
    metadata,
    sa.Column("session_id", Text, primary_key=True, nullable=False),
    required("environment", Text, sa.ForeignKey("journal_identity.environment")),
    required("subaccount"),
    required("mode", Text),
    required("origin", Text),
    optional("host", Text),
    optional("key_fingerprint", Text),
    optional("armed_by", Text),
    required("opened_by", Text),
    required("opened_us"),
    required("expires_us"),
    required("code_version", Text),
    required("config_sha256", Text),
    required("caps_sha256", Text),
    required("order_notional_cap_microdollars"),
    required("order_worst_cap_microdollars"),
    required("position_cap_centicontracts"),
    required("attempts_per_minute_cap"),
    audited(),
    sa.UniqueConstraint("session_id", "environment", "subaccount", "mode", "origin"),
    sa.ForeignKeyConstraint(
        ["environment", "host", "key_fingerprint", "subaccount"],
        [
            "env_bindings.environment",
            "env_bindings.host",
            "env_bindings.key_fingerprint",
            "env_bindings.subaccount",
        ],
    ),
    text_of("session_id", 8, 64),
    one_of("mode", MODES),
    one_of("origin", ORIGINS),
    between("subaccount", 0, 63),
    sa.CheckConstraint("mode = 'dry_run' OR origin = 'by_hand'", name="only_by_hand_is_live"),
    sa.CheckConstraint(
        "(mode = 'live') = (host IS NOT NULL) AND (mode = 'live') = (key_fingerprint IS NOT NULL) AND "
        "(mode = 'live') = (armed_by IS NOT NULL)",
        name="live_is_bound_and_armed",
    ),
    sa.CheckConstraint(f"expires_us > opened_us AND expires_us - opened_us <= {LONGEST_SESSION_US}", name="lifetime"),
    hexadecimal("config_sha256"),
    hexadecimal("caps_sha256"),
    between("order_notional_cap_microdollars", 0, UNCAPPED),
    between("order_worst_cap_microdollars", 0, MOST_ORDER_WORST_MICRODOLLARS),
    between("position_cap_centicontracts", 0, MOST_POSITION_CENTICONTRACTS),
    between("attempts_per_minute_cap", 0, MOST_ATTEMPTS_PER_MINUTE),
    sqlite_strict=True,
)

session_caps = sa.Table(
    "session_caps",
    metadata,
    sa.Column("session_id", Text, sa.ForeignKey("sessions.session_id"), primary_key=True, nullable=False),
    sa.Column("kind", Text, primary_key=True, nullable=False),
    required("orders_cap"),
    required("notional_cap_microdollars"),
    required("worst_cap_microdollars"),
    one_of("kind", SCOPE_KINDS),
    sa.CheckConstraint("orders_cap >= 0 AND notional_cap_microdollars >= 0", name="not_negative"),
    *[
        sa.CheckConstraint(
            f"kind <> '{kind}' OR (orders_cap <= {orders} AND notional_cap_microdollars <= {notional} "
            f"AND worst_cap_microdollars BETWEEN 0 AND {worst})",
            name=f"ceiling_of_{kind}",
        )
        for kind, (orders, notional, worst) in CEILINGS.items()
    ],
    sqlite_strict=True,
)

#: Leases of the live sessions. The primary key allows one live session for each sub-account, and a session without a
#: lease cannot send orders.
leases = sa.Table(
    "leases",
    metadata,
    sa.Column("environment", Text, primary_key=True, nullable=False),
    sa.Column("subaccount", Integer, primary_key=True, autoincrement=False),
    required("session_id", Text),
    required("mode", Text),
    required("origin", Text),
    required("holder", Text),
    required("until_us"),
    sa.UniqueConstraint("session_id"),
    sa.ForeignKeyConstraint(
        ["session_id", "environment", "subaccount", "mode", "origin"],
        [
            "sessions.session_id",
            "sessions.environment",
            "sessions.subaccount",
            "sessions.mode",
            "sessions.origin",
        ],
    ),
    sa.CheckConstraint("mode = 'live'", name="live"),
    sqlite_strict=True,
)

session_ends = sa.Table(
    "session_ends",
    metadata,
    sa.Column("session_id", Text, sa.ForeignKey("sessions.session_id"), primary_key=True, nullable=False),
    required("ended_us"),
    required("reason", Text),
    audited(),
    sqlite_strict=True,
)

#: Arm tokens and armed runs that have opened a live session. The primary key lets each of them open one session only.
used_armings = sa.Table(
    "used_armings",
    metadata,
    sa.Column("arming_sha256", Text, primary_key=True, nullable=False),
    required("kind", Text),
    required("session_id", Text, sa.ForeignKey("sessions.session_id")),
    required("audit_seq", Integer, sa.ForeignKey("audit_log.seq")),
    sa.UniqueConstraint("session_id", "kind"),
    hexadecimal("arming_sha256"),
    one_of("kind", ARMING_KINDS),
    sqlite_strict=True,
)

session_groups = sa.Table(
    "session_groups",
    metadata,
    sa.Column("order_group_id", Text, primary_key=True, nullable=False),
    required("session_id", Text, sa.ForeignKey("sessions.session_id")),
    required("exchange_index"),
    required("contracts_limit_centicontracts"),
    required("made_us"),
    audited(),
    sa.UniqueConstraint("session_id", "exchange_index"),
    sa.UniqueConstraint("order_group_id", "session_id", "exchange_index"),
    text_of("order_group_id", 8, 64),
    sa.CheckConstraint("exchange_index >= 0 AND contracts_limit_centicontracts > 0", name="plausible"),
    sqlite_strict=True,
)
