"""The statements that create the guards, for SQLite and for Postgres.

The ``.sql`` files hold the rules. This module says which table each guard watches, and on which kind of change.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

from kalshi_pipelines.execution.journal.guards.names import (
    ACCOUNT_KEY,
    HASH_DOMAIN,
    HASH_FUNCTION,
    HOURS_AHEAD,
    INBOX_CLOCK_US,
    INBOX_MOST_IN_DAY,
    INBOX_MOST_IN_SHORT,
    INBOX_SHORT_US,
    PREFIX,
    PROPOSER_ROLE,
    SCHEMA,
    WRITER_FUNCTION,
)
from kalshi_pipelines.execution.journal.guards.templates import Rule, Template, read_template
from kalshi_pipelines.execution.journal.tables import APPEND_ONLY, metadata
from kalshi_pipelines.execution.journal.tables.orders import states_of
from kalshi_pipelines.execution.orders.states import FINAL_STATES, OPEN_STATES, OrderState
from kalshi_pipelines.units import DAY_US, HOUR_US, MINUTE_US, SECOND_US

#: Columns that must never change after a row is inserted, by table. Triggers may update the other columns of these
#: tables, such as counters.
NEVER_CHANGED: Final[Mapping[str, str]] = {
    "scopes": "scope_id, kind, environment, subaccount, mode, key, hour, opened_us",
    "scope_markets": "scope_id, ticker",
    "open_intents": "intent_id, environment, subaccount, mode, ticker",
}
#: Tables whose rows are changed only by triggers and never deleted.
_COUNTERS: Final = ("audit_head", "scopes", "scope_markets")
#: Tables for which SQLite also checks the connection's pragmas. A row is refused if the connection has switched off
#: foreign keys, CHECK constraints or recursive triggers.
_PRAGMAS_ASKED: Final = frozenset({"audit_log", "proposals"})
_DAY_HOURS: Final = 24


@dataclass(frozen=True, slots=True)
class _Trigger:
    """The table, the kind of change and the condition on which a guard runs, the same for SQLite and Postgres."""

    name: str
    event: str
    table: str
    when: str = ""


#: Guards that run when a row is inserted, and that SQLite and Postgres both have.
_TRIGGERS: Final = (
    _Trigger("audit_head", "AFTER INSERT", "audit_log"),
    _Trigger("send", "BEFORE INSERT", "order_events", "NEW.to_state = 'sending'"),
    _Trigger("admit", "BEFORE INSERT", "order_events", "NEW.to_state = 'reserved'"),
    _Trigger("opened", "AFTER INSERT", "order_events", "NEW.to_state = 'reserved'"),
    _Trigger(
        "moved",
        "AFTER INSERT",
        "order_events",
        f"NEW.to_state IN ({states_of(OPEN_STATES - {OrderState.RESERVED})})",
    ),
    _Trigger("closed", "AFTER INSERT", "order_events", f"NEW.to_state IN ({states_of(FINAL_STATES)})"),
    _Trigger("reserve", "AFTER INSERT", "postings", "NEW.kind = 'reserve'"),
    _Trigger("post", "AFTER INSERT", "postings", "NEW.kind <> 'reserve'"),
)
#: Guards that refuse an order event. The rules of each guard are in the ``.sql`` file with the guard's name.
_JUDGED: Final = ("send", "admit")
#: Guards that run once for all rows of a statement on Postgres. On SQLite every guard runs for each row.
_OF_STATEMENTS: Final = frozenset({"reserve"})
#: Guards that run a single statement, which is the same for SQLite and Postgres.
_SHARED: Final = ("audit_head", "opened", "moved", "closed")
#: The values that replace parameters in the ``.sql`` files.
_VALUES: Final[Mapping[str, object]] = {
    "prefix": PREFIX,
    "schema": SCHEMA,
    "hash_domain": HASH_DOMAIN,
    "hash_function": HASH_FUNCTION,
    "writer_function": WRITER_FUNCTION,
    "account_key": ACCOUNT_KEY,
    "day_hours": _DAY_HOURS,
    "hours_ahead": HOURS_AHEAD,
    "proposer_role": PROPOSER_ROLE,
    "inbox_short_us": INBOX_SHORT_US,
    "inbox_most_in_short": INBOX_MOST_IN_SHORT,
    "inbox_most_in_day": INBOX_MOST_IN_DAY,
    "inbox_clock_us": INBOX_CLOCK_US,
    "day_us": DAY_US,
    "second_us": SECOND_US,
    "minute_us": MINUTE_US,
    "hour_us": HOUR_US,
}


@cache
def guard_statements(dialect: str) -> tuple[str, ...]:
    """Return the statements that create every guard. ``dialect`` is SQLAlchemy's name for the kind of database."""
    return tuple(_sqlite() if dialect == "sqlite" else _postgres())


class _Guards:
    """The named pieces of SQL (parts) in the ``.sql`` files, from which one database's guards are built."""

    def __init__(self, dialect: str) -> None:
        self._template: Template = read_template(
            dialect, "inbox", "send", "admit", "caps", "postings", "order_events", "audit_log"
        )

    def fill(self, part: str, **values: object) -> str:
        """Return the named piece of SQL (part) from the ``.sql`` files, with its parameters replaced by values."""
        return self._template.fill(part, {**_VALUES, **values})

    def refusals(self, guard: str, rules: Sequence[Rule], separator: str) -> str:
        """Return the SQL that refuses a row for the first rule whose condition holds."""
        return separator.join(
            self.fill(
                "refuse_if",
                guard=guard,
                reason=rule.reason,
                condition=self._template.fill_text(rule.condition, _VALUES),
            )
            for rule in rules
        )

    def cap_refusals(self) -> str:
        """Return the SQL that refuses a reservation for the first rule of ``caps.sql`` that holds."""
        return self.refusals("cap", [_with_scope_kind(rule) for rule in read_template("caps").rules], " ")


def _sqlite() -> Iterator[str]:
    guards = _Guards("sqlite")

    def trigger(name: str, event: str, table: str, action: str, when: str = "") -> str:
        condition = guards.fill("condition", condition=when) if when else ""
        return guards.fill("trigger", name=name, event=event, table=table, when=condition, action=action)

    def refuse(message: str) -> str:
        return guards.fill("refuse", message=message)

    for table in metadata.sorted_tables:
        not_ours = guards.fill("not_enforced" if table.name in _PRAGMAS_ASKED else "foreign_writer")
        message = "guard:this connection does not enforce the journal''s rules"
        yield trigger(f"{table.name}_enforced", "BEFORE INSERT", table.name, refuse(message), not_ours)
    for table in APPEND_ONLY:
        for verb in ("UPDATE", "DELETE"):
            name = f"{table.name}_no_{verb.lower()}"
            yield trigger(name, f"BEFORE {verb}", table.name, refuse(f"append_only:{table.name}"))
    for counters in _COUNTERS:
        yield trigger(f"{counters}_no_delete", "BEFORE DELETE", counters, refuse(f"append_only:{counters}"))
    for counters, columns in NEVER_CHANGED.items():
        event = f"BEFORE UPDATE OF {columns}"
        yield trigger(f"{counters}_stays", event, counters, refuse(f"append_only:{counters}"))
    yield trigger("audit_chain", "BEFORE INSERT", "audit_log", refuse("audit:hash"), guards.fill("wrong_hash"))
    inbox = guards.refusals("inbox", read_template("inbox").rules, " ")
    yield trigger("inbox", "AFTER INSERT", "proposals", guards.fill("inbox", refusals=inbox))
    actions = {
        **{
            name: guards.fill("judge_event", refusals=guards.refusals(name, read_template(name).rules, " "))
            for name in _JUDGED
        },
        "reserve": guards.fill("reserve", refusals=guards.cap_refusals()),
    }
    for each in _TRIGGERS:
        yield trigger(each.name, each.event, each.table, actions.get(each.name) or guards.fill(each.name), each.when)


def _with_scope_kind(rule: Rule) -> Rule:
    """Return a rule unchanged, or with a test of the scope's kind if the rule is limited to one kind of scope."""
    if rule.scope_kind is None:
        return rule
    return Rule(f"c.kind = '{rule.scope_kind}' AND {rule.condition}", rule.reason)


def _postgres() -> Iterator[str]:
    guards = _Guards("postgres")
    for name, body in _postgres_functions(guards):
        yield guards.fill("function", name=name, body=body)
        yield guards.fill("revoke_function", name=name)
    for trigger, function, level in _postgres_triggers():
        rows = "REFERENCING NEW TABLE AS new_postings" if trigger.name in _OF_STATEMENTS else ""
        condition = guards.fill("condition", condition=trigger.when) if trigger.when and not rows else ""
        yield guards.fill(
            "trigger",
            name=trigger.name,
            event=trigger.event,
            table=trigger.table,
            rows=rows,
            each=level,
            when=condition,
            function=function,
        )
        yield guards.fill("always", name=trigger.name, table=trigger.table)


def _postgres_functions(guards: _Guards) -> Iterator[tuple[str, str]]:
    """Yield the name and the body of each Postgres function that the triggers call."""
    yield "append_only", guards.fill("append_only")
    yield "audit_chain", guards.fill("audit_chain")
    for name in _SHARED:
        yield name, guards.fill("then", action=guards.fill(name))
    for name in _JUDGED:
        yield name, guards.fill("judge_event", refusals=guards.refusals(name, read_template(name).rules, " "))
    yield "inbox", guards.fill("inbox", refusals=guards.refusals("inbox", read_template("inbox").rules, " "))
    yield "post", guards.fill("post")
    yield "reserve", guards.fill("reserve", refusals=guards.cap_refusals())


def _postgres_triggers() -> Iterator[tuple[_Trigger, str, str]]:
    """Yield each Postgres trigger with the function it calls, and whether it runs for each row or each statement."""
    for table in APPEND_ONLY:
        yield _Trigger(f"{table.name}_append_only", "BEFORE UPDATE OR DELETE", table.name), "append_only", "ROW"
    for counters in _COUNTERS:
        yield _Trigger(f"{counters}_no_delete", "BEFORE DELETE", counters), "append_only", "ROW"
    for counters, columns in NEVER_CHANGED.items():
        yield _Trigger(f"{counters}_stays", f"BEFORE UPDATE OF {columns}", counters), "append_only", "ROW"
    for table in metadata.sorted_tables:
        yield _Trigger(f"{table.name}_no_truncate", "BEFORE TRUNCATE", table.name), "append_only", "STATEMENT"
    yield _Trigger("audit_chain", "BEFORE INSERT", "audit_log"), "audit_chain", "ROW"
    yield _Trigger("inbox", "BEFORE INSERT", "proposals"), "inbox", "ROW"
    for each in _TRIGGERS:
        yield each, each.name, "STATEMENT" if each.name in _OF_STATEMENTS else "ROW"
