"""Triggers for what keys and CHECKs can not say; the same rules for SQLite and Postgres.

Rows are written once; a posting moves the counters of its scope; an event moves the list of open intents; an order is
admitted and sent only if everything the journal knows allows it; the audit log is a chain. Taken down and raised again
by every upgrade, so that they are always those of this code.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import sqlalchemy as sa

from kalshi_pipelines.execution.journal.tables import APPEND_ONLY, metadata
from kalshi_pipelines.execution.orders.states import FINAL_STATES, OPEN_STATES, OrderState
from kalshi_pipelines.units import HOUR_US, MINUTE_US

PREFIX: Final = "guard_"
#: The schema of the journal in a Postgres database.
SCHEMA: Final = "journal"
#: What the hash of an audit record begins with.
HASH_DOMAIN: Final = "kalshi-pipelines/audit/1"
#: The function that connections of this code have and others do not: SQLite has no hash of its own.
HASH_FUNCTION: Final = "journal_audit_hash"
#: A function that says who writes: a program without it, such as the sqlite3 shell, can not add a row.
WRITER_FUNCTION: Final = "journal_writer"
#: Where a connection of this code that switched its checks off is refused, too.
_PRAGMAS_ASKED: Final = frozenset({"audit_log", "proposals"})
_DAY_HOURS: Final = 24
#: A clock that went back across an hour finds what it counted before in the hour ahead.
HOURS_AHEAD: Final = 1
#: The one key of the scope of a whole account.
ACCOUNT_KEY: Final = "account"
#: The UTC date some days from that of a posting, which each database writes in its own way.
_DAY_OF: Final = "day_of_posting({})"
_DATES: Final[Mapping[str, str]] = {
    "sqlite": r"date(p.at_us / 1000000 + 86400 * (\1), 'unixepoch')",
    "postgresql": r"to_char(to_timestamp(p.at_us / 1000000 + 86400 * (\1)) AT TIME ZONE 'UTC', 'YYYY-MM-DD')",
}

_Rules = Sequence[tuple[str, str]]

#: Whether a scope ``c`` of a reservation ``p`` is the one that an intent ``i`` has to be counted in, and not some other
#: with caps of its own. A clock that went back counts in the newest day, at most one ahead of its own.
_ITS_KEY: Final = (
    "CASE c.kind WHEN 'session' THEN c.key = i.session_id WHEN 'event' THEN c.key = i.event_ticker "
    f"WHEN 'account' THEN c.key = '{ACCOUNT_KEY}' "
    f"WHEN 'rolling' THEN c.hour = p.at_us / {HOUR_US} AND c.key = CAST(c.hour AS text) "
    f"ELSE c.key BETWEEN {_DAY_OF.format(-1)} AND {_DAY_OF.format(1)} AND c.key >= (SELECT d.key FROM scopes d "
    "WHERE d.kind = 'day' AND d.environment = c.environment AND d.subaccount = c.subaccount AND d.mode = c.mode "
    "AND d.opened_us <= p.at_us ORDER BY d.key DESC LIMIT 1) END"
)

#: Why an order must not be sent: conditions on the event, its intent ``i`` and its session ``s``, the first that holds.
_SEND: Final[_Rules] = (
    ("i.mode <> 'live' OR i.origin <> 'by_hand'", "not_live"),
    ("coalesce((SELECT k.engaged FROM kill_events k ORDER BY k.seq DESC LIMIT 1), 1) = 1", "kill"),
    ("NEW.at_us < s.opened_us OR NEW.at_us >= s.expires_us", "session_expired"),
    ("EXISTS (SELECT 1 FROM session_ends e WHERE e.session_id = i.session_id)", "session_ended"),
    ("NOT EXISTS (SELECT 1 FROM leases l WHERE l.session_id = i.session_id AND l.until_us > NEW.at_us)", "lease"),
    ("NEW.code_version <> s.code_version", "code_version"),
    ("NEW.at_us < i.planned_us", "clock"),
    ("NEW.at_us < i.as_of_us OR NEW.at_us > i.valid_until_us", "stale"),
    (
        "(SELECT count(DISTINCT c.kind) FROM postings p JOIN scopes c ON c.scope_id = p.scope_id "
        "WHERE p.dedupe = 'reserve:' || i.intent_id AND p.kind = 'reserve' AND p.intent_id = i.intent_id "
        "AND p.ticker = i.ticker AND p.session_id = i.session_id "
        "AND c.environment = i.environment AND c.subaccount = i.subaccount AND c.mode = i.mode "
        f"AND p.at_us BETWEEN i.planned_us AND NEW.at_us AND {_ITS_KEY} "
        "AND p.d_if_no_microdollars = i.reserved_if_no_microdollars "
        "AND p.d_if_yes_microdollars = i.reserved_if_yes_microdollars "
        "AND p.d_notional_microdollars = i.notional_microdollars AND p.d_orders = 1) <> 5",
        "unreserved",
    ),
    (
        "EXISTS (SELECT 1 FROM postings p JOIN scopes c ON c.scope_id = p.scope_id "
        "WHERE p.dedupe = 'reserve:' || i.intent_id AND c.breached = 1)",
        "breached",
    ),
    (
        "EXISTS (SELECT 1 FROM open_intents o WHERE o.environment = i.environment AND o.subaccount = i.subaccount "
        "AND o.ticker = i.ticker AND o.state IN ('sending', 'unknown'))",
        "unresolved",
    ),
    ("i.order_group_id IS NULL", "no_group"),
    ("EXISTS (SELECT 1 FROM fences f WHERE f.order_group_id = i.order_group_id)", "fenced"),
    (
        "i.approval_required = 1 AND NOT EXISTS (SELECT 1 FROM approvals a "
        "WHERE a.request_sha256 = i.request_sha256 AND a.approved_by <> i.actor_name "
        "AND a.approved_us <= NEW.at_us AND a.expires_us > NEW.at_us)",
        "approval",
    ),
    # Who releases the switch lets new sessions be opened, not those go on that were stopped.
    (
        "EXISTS (SELECT 1 FROM kill_events k WHERE k.engaged = 1 AND k.audit_seq > s.audit_seq)",
        "killed_since_opened",
    ),
)

#: Why an order must not be admitted; the caps of scopes are seen to by the postings.
_ADMIT: Final[_Rules] = (
    ("NEW.at_us < s.opened_us OR NEW.at_us >= s.expires_us", "session_expired"),
    ("EXISTS (SELECT 1 FROM session_ends e WHERE e.session_id = i.session_id)", "session_ended"),
    ("i.notional_microdollars > s.order_notional_cap_microdollars", "order_notional"),
    (
        "i.reserved_if_no_microdollars > s.order_worst_cap_microdollars "
        "OR i.reserved_if_yes_microdollars > s.order_worst_cap_microdollars",
        "order_worst_loss",
    ),
    (
        "(SELECT count(*) FROM attempts a WHERE a.environment = i.environment AND a.subaccount = i.subaccount "
        f"AND a.mode = i.mode AND a.at_us > NEW.at_us - {MINUTE_US}) > s.attempts_per_minute_cap",
        "message_rate",
    ),
)

_IN_WINDOW: Final = (
    "FROM scopes h WHERE h.environment = c.environment AND h.subaccount = c.subaccount AND h.mode = c.mode "
    f"AND h.hour BETWEEN c.hour - {_DAY_HOURS} AND c.hour + {HOURS_AHEAD}"
)
#: Why a posting of kind reserve must not be, by the kind of its scope, once the counters were moved: conditions on the
#: scope ``c``, the market there ``m`` and its session ``s``.
_CAPS: Final[Mapping[str, _Rules]] = {
    "account": (
        (
            "m.position_centicontracts + m.open_bids_centicontracts > s.position_cap_centicontracts "
            "AND NEW.d_open_bids_centicontracts > 0",
            "position",
        ),
        (
            "m.open_asks_centicontracts - m.position_centicontracts > s.position_cap_centicontracts "
            "AND NEW.d_open_asks_centicontracts > 0",
            "position",
        ),
    ),
    "rolling": (
        (f"(SELECT sum(h.worst_microdollars) {_IN_WINDOW}) > c.worst_cap_microdollars", "worst_loss"),
        (f"(SELECT sum(h.notional_microdollars) {_IN_WINDOW}) > c.notional_cap_microdollars", "notional"),
        (f"(SELECT sum(h.orders) {_IN_WINDOW}) > c.orders_cap", "order_count"),
    ),
}
_BREACHED: Final = ("c.breached = 1", "scope_breached")
_NEW_WORST: Final = (
    "(SELECT CASE WHEN was.if_no_microdollars + NEW.d_if_no_microdollars >= was.if_yes_microdollars + "
    "NEW.d_if_yes_microdollars AND was.if_no_microdollars + NEW.d_if_no_microdollars > 0 "
    "THEN was.if_no_microdollars + NEW.d_if_no_microdollars "
    "WHEN was.if_yes_microdollars + NEW.d_if_yes_microdollars > 0 "
    "THEN was.if_yes_microdollars + NEW.d_if_yes_microdollars ELSE 0 END - was.worst_microdollars "
    "FROM scope_markets was WHERE was.scope_id = NEW.scope_id AND was.ticker = NEW.ticker)"
)

#: What a posting does. A reservation brings the caps of its session along; a fact that goes beyond them is a breach;
#: what is carried over, or was looked at by a person, lifts the cap to itself and leaves nothing to be admitted.
_MARKET: Final = (
    "INSERT INTO scope_markets (scope_id, ticker, if_no_microdollars, if_yes_microdollars, spent_microdollars, "
    "position_centicontracts, open_bids_centicontracts, open_asks_centicontracts) "
    "VALUES (NEW.scope_id, NEW.ticker, 0, 0, 0, 0, 0, 0) ON CONFLICT DO NOTHING;"
)
#: Of a market that is new to its scope there is nothing to add to.
_RESERVE: Final = (
    "UPDATE scopes SET (orders_cap, notional_cap_microdollars, worst_cap_microdollars) = "
    "(SELECT its.orders_cap, its.notional_cap_microdollars, its.worst_cap_microdollars FROM session_caps its "
    "WHERE its.session_id = NEW.session_id AND its.kind = scopes.kind), "
    "orders = orders + NEW.d_orders, notional_microdollars = notional_microdollars + NEW.d_notional_microdollars, "
    f"worst_microdollars = worst_microdollars + coalesce({_NEW_WORST}, CASE WHEN NEW.d_if_no_microdollars >= "
    "NEW.d_if_yes_microdollars THEN NEW.d_if_no_microdollars ELSE NEW.d_if_yes_microdollars END) "
    "WHERE scope_id = NEW.scope_id"
)
_RESERVE_IN_MARKET: Final = (
    "INSERT INTO scope_markets (scope_id, ticker, if_no_microdollars, if_yes_microdollars, spent_microdollars, "
    "position_centicontracts, open_bids_centicontracts, open_asks_centicontracts) "
    "VALUES (NEW.scope_id, NEW.ticker, NEW.d_if_no_microdollars, NEW.d_if_yes_microdollars, 0, 0, "
    "NEW.d_open_bids_centicontracts, NEW.d_open_asks_centicontracts) ON CONFLICT (scope_id, ticker) DO UPDATE SET "
    "if_no_microdollars = scope_markets.if_no_microdollars + excluded.if_no_microdollars, "
    "if_yes_microdollars = scope_markets.if_yes_microdollars + excluded.if_yes_microdollars, "
    "open_bids_centicontracts = scope_markets.open_bids_centicontracts + excluded.open_bids_centicontracts, "
    "open_asks_centicontracts = scope_markets.open_asks_centicontracts + excluded.open_asks_centicontracts"
)
_FACT: Final = (
    "UPDATE scopes SET "
    "orders = orders + NEW.d_orders, notional_microdollars = notional_microdollars + NEW.d_notional_microdollars, "
    f"worst_microdollars = worst_microdollars + {_NEW_WORST}, "
    "breached = CASE WHEN NEW.kind = 'review' THEN 0 WHEN NEW.kind <> 'opening' AND "
    f"worst_microdollars + {_NEW_WORST} > worst_cap_microdollars THEN 1 ELSE breached END, "
    "worst_cap_microdollars = CASE WHEN NEW.kind IN ('opening', 'review') AND "
    f"worst_microdollars + {_NEW_WORST} > worst_cap_microdollars THEN worst_microdollars + {_NEW_WORST} "
    "ELSE worst_cap_microdollars END "
    "WHERE scope_id = NEW.scope_id"
)
_IN_MARKET: Final = (
    "UPDATE scope_markets SET if_no_microdollars = if_no_microdollars + NEW.d_if_no_microdollars, "
    "if_yes_microdollars = if_yes_microdollars + NEW.d_if_yes_microdollars, "
    "spent_microdollars = spent_microdollars + NEW.d_spent_microdollars, "
    "position_centicontracts = position_centicontracts + NEW.d_position_centicontracts, "
    "open_bids_centicontracts = open_bids_centicontracts + NEW.d_open_bids_centicontracts, "
    "open_asks_centicontracts = open_asks_centicontracts + NEW.d_open_asks_centicontracts "
    "WHERE scope_id = NEW.scope_id AND ticker = NEW.ticker;"
)

_HEAD: Final = (
    "INSERT INTO audit_head (one, seq, hash) VALUES (1, NEW.seq, NEW.hash) "
    "ON CONFLICT (one) DO UPDATE SET seq = excluded.seq, hash = excluded.hash;"
)
_OPENED: Final = (
    "INSERT INTO open_intents (intent_id, environment, subaccount, mode, ticker, state) "
    "SELECT i.intent_id, i.environment, i.subaccount, i.mode, i.ticker, NEW.to_state "
    "FROM intents i WHERE i.intent_id = NEW.intent_id;"
)
_MOVED: Final = "UPDATE open_intents SET state = NEW.to_state WHERE intent_id = NEW.intent_id;"
_CLOSED: Final = "DELETE FROM open_intents WHERE intent_id = NEW.intent_id;"
#: Rows that only triggers change, and that are never deleted.
_COUNTERS: Final = ("audit_head", "scopes", "scope_markets")
#: What such a row is about is never changed, only what it counts.
NEVER_CHANGED: Final[Mapping[str, str]] = {
    "scopes": "scope_id, kind, environment, subaccount, mode, key, hour, opened_us",
    "scope_markets": "scope_id, ticker",
    "open_intents": "intent_id, environment, subaccount, mode, ticker",
}


def _states(some: frozenset[OrderState]) -> str:
    return ", ".join(f"'{state}'" for state in OrderState if state in some)


_MOVED_STATES: Final = _states(OPEN_STATES - {OrderState.RESERVED})
_CLOSED_STATES: Final = _states(FINAL_STATES)


def raise_guards(connection: sa.Connection) -> None:
    """Make every trigger anew."""
    lower_guards(connection)
    statements = _sqlite() if connection.dialect.name == "sqlite" else _postgres()
    for statement in statements:
        # psycopg takes a percent sign for a parameter, and there is none in these.
        connection.exec_driver_sql(statement)


def lower_guards(connection: sa.Connection) -> None:
    """Take every trigger of the journal down."""
    if connection.dialect.name == "sqlite":
        for name in sorted(guards_of(connection)):
            connection.exec_driver_sql(f'DROP TRIGGER "{name}"')
        return
    for table in metadata.tables:
        found = connection.execute(
            sa.text("SELECT tgname FROM pg_trigger WHERE tgrelid = to_regclass(:name) AND NOT tgisinternal"),
            {"name": table},
        )
        for (trigger,) in found.all():
            connection.exec_driver_sql(f'DROP TRIGGER "{trigger}" ON {table}')


def guards_of(connection: sa.Connection) -> dict[str, str]:
    """The triggers there are, by name, as the database describes them."""
    if connection.dialect.name == "sqlite":
        found = connection.exec_driver_sql(
            f"SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND name LIKE '{PREFIX}%'"
        )
        return {name: text for name, text in found}  # noqa: C416
    found = connection.exec_driver_sql(
        "SELECT t.tgname || ' on ' || c.relname, t.tgenabled::text || ' ' || pg_get_triggerdef(t.oid) || p.prosrc "
        "FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_proc p ON p.oid = t.tgfoid "
        "WHERE NOT t.tgisinternal AND c.relnamespace = current_schema()::regnamespace"
    )
    return {name: text for name, text in found}  # noqa: C416


def missing_guards(connection: sa.Connection) -> list[str]:
    """Names of triggers that are not there, disabled, or not as this code makes them."""
    there = guards_of(connection)
    if connection.dialect.name == "sqlite":
        wanted = {statement.split()[2].strip('"'): " ".join(statement.split()) for statement in _sqlite()}
        return sorted(name for name, text in wanted.items() if " ".join(there.get(name, "").split()) != text)
    statements = list(_postgres())
    does = {found["name"]: found["body"] for found in map(_FUNCTION.match, statements) if found}
    made = [found for found in map(_TRIGGER.match, statements) if found]
    bodies = {f"{found['name']} on {found['table']}": does[found["does"]] for found in made}
    return sorted(name for name, body in bodies.items() if not _is_enabled_with(body, there.get(name, "")))


_FUNCTION: Final = re.compile(r"CREATE OR REPLACE FUNCTION (?P<name>\w+).*\$guard\$(?P<body>.*)\$guard\$", re.DOTALL)
_TRIGGER: Final = re.compile(
    r"CREATE TRIGGER (?P<name>\w+) .* ON (?P<table>\w+) FOR EACH .* EXECUTE FUNCTION (?P<does>\w+)"
)


def _is_enabled_with(body: str, described: str) -> bool:
    return described.startswith("A ") and described.endswith(body)


#: The rows that conditions on an event and on a posting are about.
_MOVING: Final = "intents i JOIN sessions s ON s.session_id = i.session_id WHERE i.intent_id = NEW.intent_id"
_POSTED: Final = (
    "scopes c JOIN scope_markets m ON m.scope_id = c.scope_id AND m.ticker = NEW.ticker "
    "JOIN sessions s ON s.session_id = NEW.session_id WHERE c.scope_id = NEW.scope_id"
)


def _sqlite() -> Iterator[str]:
    enforced = (
        "(SELECT foreign_keys FROM pragma_foreign_keys) = 0 "
        "OR (SELECT ignore_check_constraints FROM pragma_ignore_check_constraints) = 1 "
        "OR (SELECT recursive_triggers FROM pragma_recursive_triggers) = 0"
    )
    refuse = "BEGIN SELECT RAISE(ABORT, '{}'); END"
    for table in metadata.sorted_tables:
        # Asking a pragma costs as much as the row, so it is asked once a record; other programs lack the function.
        condition = enforced if table.name in _PRAGMAS_ASKED else f"{WRITER_FUNCTION}() <> 1"
        yield (
            f"CREATE TRIGGER {PREFIX}{table.name}_enforced BEFORE INSERT ON {table.name} WHEN {condition} "
            + refuse.format("guard:this connection does not enforce the journal''s rules")
        )
    for table in APPEND_ONLY:
        for verb in ("UPDATE", "DELETE"):
            yield (
                f"CREATE TRIGGER {PREFIX}{table.name}_no_{verb.lower()} BEFORE {verb} ON {table.name} "
                + refuse.format(f"append_only:{table.name}")
            )
    for name in _COUNTERS:
        yield f"CREATE TRIGGER {PREFIX}{name}_no_delete BEFORE DELETE ON {name} " + refuse.format(f"append_only:{name}")
    for name, columns in NEVER_CHANGED.items():
        yield f"CREATE TRIGGER {PREFIX}{name}_stays BEFORE UPDATE OF {columns} ON {name} " + refuse.format(
            f"append_only:{name}"
        )
    yield (
        f"CREATE TRIGGER {PREFIX}audit_chain BEFORE INSERT ON audit_log "
        f"WHEN NEW.hash <> {HASH_FUNCTION}(NEW.seq, NEW.prev_hash, NEW.body) " + refuse.format("audit:hash")
    )
    yield f"CREATE TRIGGER {PREFIX}audit_head AFTER INSERT ON audit_log BEGIN {_HEAD} END"
    for name, state, rules in (("send", "sending", _dated(_SEND, "sqlite")), ("admit", "reserved", _ADMIT)):
        yield (
            f"CREATE TRIGGER {PREFIX}{name} BEFORE INSERT ON order_events WHEN NEW.to_state = '{state}' "
            f"BEGIN {_raising(name, rules, _MOVING)} END"
        )
    yield (
        f"CREATE TRIGGER {PREFIX}opened AFTER INSERT ON order_events WHEN NEW.to_state = 'reserved' BEGIN {_OPENED} END"
    )
    yield (
        f"CREATE TRIGGER {PREFIX}moved AFTER INSERT ON order_events WHEN NEW.to_state IN ({_MOVED_STATES}) "
        f"BEGIN {_MOVED} END"
    )
    yield (
        f"CREATE TRIGGER {PREFIX}closed AFTER INSERT ON order_events WHEN NEW.to_state IN ({_CLOSED_STATES}) "
        f"BEGIN {_CLOSED} END"
    )
    caps = [(f"c.kind = '{kind}' AND {condition}", why) for kind, rules in _CAPS.items() for condition, why in rules]
    yield (
        f"CREATE TRIGGER {PREFIX}reserve AFTER INSERT ON postings WHEN NEW.kind = 'reserve' BEGIN "
        f"{_RESERVE}; {_RESERVE_IN_MARKET}; {_raising('cap', [_BREACHED, *caps], _POSTED)} END"
    )
    yield (
        f"CREATE TRIGGER {PREFIX}post AFTER INSERT ON postings WHEN NEW.kind <> 'reserve' BEGIN "
        f"{_MARKET} {_FACT}; {_IN_MARKET} END"
    )


def _dated(rules: _Rules, dialect: str) -> _Rules:
    """Rules with dates as a database writes them."""
    return [(re.sub(r"day_of_posting\((-?\d)\)", _DATES[dialect], condition), why) for condition, why in rules]


def _raising(guard: str, rules: _Rules, rows: str) -> str:
    """A query that raises the first reason that holds."""
    cases = " ".join(f"WHEN {condition} THEN RAISE(ABORT, '{guard}_guard:{why}')" for condition, why in rules)
    return f"SELECT CASE {cases} END FROM {rows};"


_REFUSE: Final = "RAISE EXCEPTION USING ERRCODE = 'check_violation', MESSAGE = {};"
_MOVING_ROWS: Final = (
    "DECLARE i intents; s sessions; BEGIN SELECT * INTO i FROM intents "
    "WHERE intent_id = NEW.intent_id; SELECT * INTO s FROM sessions WHERE session_id = i.session_id;"
)


def _postgres() -> Iterator[str]:
    yield from _function("append_only", "BEGIN " + _REFUSE.format("'append_only:' || TG_TABLE_NAME") + " END")
    bodies = {
        "audit_chain": "BEGIN IF NEW.hash <> encode(sha256(convert_to("
        f"'{HASH_DOMAIN}' || chr(10) || NEW.seq || chr(10) || coalesce(NEW.prev_hash, '') || chr(10) || NEW.body, "
        f"'UTF8')), 'hex') THEN {_REFUSE.format(chr(39) + 'audit:hash' + chr(39))} END IF; RETURN NEW; END",
        "audit_head": f"BEGIN {_HEAD} RETURN NEW; END",
        "opened": f"BEGIN {_OPENED} RETURN NEW; END",
        "moved": f"BEGIN {_MOVED} RETURN NEW; END",
        "closed": f"BEGIN {_CLOSED} RETURN NEW; END",
        "send": f"{_MOVING_ROWS} {_refusing('send', _dated(_SEND, 'postgresql'))} RETURN NEW; END",
        "admit": f"{_MOVING_ROWS} {_refusing('admit', _ADMIT)} RETURN NEW; END",
        "post": f"BEGIN {_MARKET} {_FACT}; {_IN_MARKET} RETURN NEW; END",
        "reserve": "DECLARE c scopes; m scope_markets; s sessions; BEGIN "
        f"{_RESERVE} RETURNING * INTO c; {_RESERVE_IN_MARKET} RETURNING * INTO m; "
        f"{_refusing('cap', [_BREACHED])} "
        f"IF c.kind = 'rolling' THEN {_refusing('cap', _CAPS['rolling'])} END IF; "
        "IF c.kind = 'account' THEN SELECT * INTO s FROM sessions WHERE session_id = NEW.session_id; "
        f"{_refusing('cap', _CAPS['account'])} END IF; RETURN NEW; END",
    }
    for name, body in bodies.items():
        yield from _function(name, body)
    for table in APPEND_ONLY:
        yield from _always(f"{table.name}_append_only", f"BEFORE UPDATE OR DELETE ON {table.name}", "append_only")
    for name in _COUNTERS:
        yield from _always(f"{name}_no_delete", f"BEFORE DELETE ON {name}", "append_only")
    for name, columns in NEVER_CHANGED.items():
        yield from _always(f"{name}_stays", f"BEFORE UPDATE OF {columns} ON {name}", "append_only")
    for table in metadata.sorted_tables:
        yield from _always(f"{table.name}_no_truncate", f"BEFORE TRUNCATE ON {table.name}", "append_only", "STATEMENT")
    yield from _always("audit_chain", "BEFORE INSERT ON audit_log", "audit_chain")
    yield from _always("audit_head", "AFTER INSERT ON audit_log", "audit_head")
    for name, when in (("send", "NEW.to_state = 'sending'"), ("admit", "NEW.to_state = 'reserved'")):
        yield from _always(name, "BEFORE INSERT ON order_events", name, when=when)
    for name, when in (
        ("opened", "NEW.to_state = 'reserved'"),
        ("moved", f"NEW.to_state IN ({_MOVED_STATES})"),
        ("closed", f"NEW.to_state IN ({_CLOSED_STATES})"),
    ):
        yield from _always(name, "AFTER INSERT ON order_events", name, when=when)
    yield from _always("reserve", "AFTER INSERT ON postings", "reserve", when="NEW.kind = 'reserve'")
    yield from _always("post", "AFTER INSERT ON postings", "post", when="NEW.kind <> 'reserve'")


def _refusing(guard: str, rules: _Rules) -> str:
    """Statements that raise the first reason that holds; each is set up only when it is reached."""
    return " ".join(
        f"IF {condition} THEN " + _REFUSE.format(f"'{guard}_guard:{why}'") + " END IF;" for condition, why in rules
    )


def _function(name: str, body: str) -> Iterator[str]:
    # As its owner: who may write postings needs no right to change a counter.
    yield (
        f"CREATE OR REPLACE FUNCTION {PREFIX}{name}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER "
        f"SET search_path = {SCHEMA}, pg_temp AS $guard${body}$guard$"
    )
    # Else everybody could put it on a table of their own, where it would do its work with the owner's rights.
    yield f"REVOKE ALL ON FUNCTION {PREFIX}{name}() FROM PUBLIC"


def _always(name: str, event: str, function: str, each: str = "ROW", when: str = "") -> Iterator[str]:
    """A trigger that fires even where replication roles switch others off."""
    table = event.rsplit(" ", 1)[1]
    condition = f"WHEN ({when}) " if when else ""
    yield f"CREATE TRIGGER {PREFIX}{name} {event} FOR EACH {each} {condition}EXECUTE FUNCTION {PREFIX}{function}()"
    yield f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {PREFIX}{name}"
