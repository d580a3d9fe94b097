"""The generated parts of docs/audit_format.md: tables, kinds, states and examples, from the code and from a session.

Each part stands on the page between two comments that name it. The text around the parts is written by hand.
"""

import json
import re
import tempfile
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from kalshi_pipelines.execution.audit.verification import DERIVED
from kalshi_pipelines.execution.journal.engine import open_journal
from kalshi_pipelines.execution.journal.migrations import VERSION_TABLE, upgrade_journal
from kalshi_pipelines.execution.journal.tables import AUDIT_KINDS, POSTING_KINDS, audit_log, metadata
from kalshi_pipelines.execution.journal.writing.audit_writer import audit_column
from kalshi_pipelines.execution.orders.denials import DenialReason
from kalshi_pipelines.execution.orders.states import FINAL_STATES, LEGAL_TRANSITIONS, OPEN_STATES, OrderState
from kalshi_pipelines_tests.support.checkout import DOCS
from kalshi_pipelines_tests.support.execution.audit_examples import write_remaining_kinds
from kalshi_pipelines_tests.support.execution.golden import audit_of_a_session

PAGE: Final = DOCS / "audit_format.md"
#: When each kind of record is written.
WHEN: Final = {
    "genesis": "the journal is created",
    "binding": "a trade key is bound to its host and sub-account",
    "session": "a session is opened",
    "session_end": "a session ends",
    "group": "an order group was created for a session",
    "approval": "a person approves a request",
    "attempt": "an order is denied before it is planned, or repeated",
    "plan": "an order is stored with its request",
    "deny": "a planned order is denied",
    "reserve": "the worst case of an order is reserved",
    "abandon": "a reserved order is given up, and its reservation released",
    "simulate": "an order of a dry run reaches the point at which a live order is sent",
    "send": "an order is about to be sent",
    "answer": "a late answer of the exchange to an order whose state a reconciliation had already found",
    "unknown": "it is unknown whether the exchange has the order",
    "resting": "the exchange reports that the order rests",
    "executed": "the exchange reports that the order is filled",
    "canceled": "the exchange reports that the order is canceled",
    "rejected": "the exchange refused the order",
    "absent": "the order is proved absent from the exchange",
    "cancel": "a cancel of a resting order is about to be sent",
    "fence": "an order group was triggered, so that none of its orders can arrive any more",
    "sweep": "all orders of a market were read",
    "resolve": "a fence and a sweep prove that an order is absent",
    "reconciliation": "the account was compared with the journal",
    "fill": "a fill of an order is recorded",
    "foreign": "an order or fill is recorded that the journal did not send, or such an order no longer rests",
    "settle": "a market was settled",
    "realise": "results of markets in which nothing is held or open become results of a day, or leave with their day",
    "opening": "a new day takes over positions, or a position without a recorded fill is taken over",
    "breach": "a recorded fact went beyond the cap of a scope",
    "review": "a person clears breached scopes, or the missing fills of an order are written off",
    "kill": "the kill switch is engaged",
    "release": "the kill switch is released",
    "anchor_failed": "an anchor could not be written",
    "re_anchor": "a person anchors the journal again after its anchors were lost",
    "signature": "a person signs evidence",
    "acknowledge": "persons took responsibility for evidence, and the ledger is set to the exchange's truth",
}
#: The tables that no record lists, each with the way in which a verifier checks it.
OTHERS: Final = {
    "audit_log": "the chain itself",
    "audit_head": "one row: the chain's last record",
    VERSION_TABLE: "one row: the version of the tables. With another version, `verify-audit` could not run",
    "anchors": "compared with the chain and with the anchors file",
    "journal_identity": "one row, repeated in the genesis",
    "audit_kinds": 'equal to the kinds under "Kinds of record"',
    "denial_reasons": 'equal to the codes under "Codes of denials"',
    "legal_transitions": 'equal to the table under "Order states"',
    "scopes": "counters, recomputed from the postings; `breached`, from breaches and reviews; `key` and `hour` of "
    "reservations. Not checked: `opened_us`, `orders_cap` and `notional_cap_microdollars`",
    "scope_markets": "counters, recomputed from the postings",
    "open_intents": "recomputed from the order events",
    "session_caps": "equal to `caps` in the session's record",
    "former_keys": "recomputed from the proposals of orders of older versions: the keys of their normalised signals",
    "leases": "changed while a session runs; not checked",
    "proposals": "not checked: an intent repeats the terms of its proposal",
}
#: The change behind each kind of posting.
CHANGES: Final = {
    "reserve": "the worst case of an order is reserved",
    "fill": "a fill of an order moves its part of the reservation into the position",
    "release": "an order has ended, and what is left of its reservation is released",
    "settle": "a market pays out, and its position becomes 0",
    "opening": "a new day or a new journal takes over a position that exists already",
    "foreign": "an order or fill that the journal did not send is counted, or such an order no longer rests",
    "review": "a person clears a breached scope; all amounts are 0, and the ticker is `*`",
    "realise": "the result of a flat market moves into the result of its day, or leaves the scope with its day",
}
_KINDS_AS_CHECK: Final = """\
The table `audit_kinds` has exactly these kinds and those above. The column "rows of" is no check: it tells what the
program writes.
A record of a kind that is not written any more is no fault, and no rule says which tables a record of a kind may list.
Only record 0 has the kind `genesis`."""
_EXAMPLES_OF: Final = re.compile(r"<!-- begin ([a-z ]+) -->\n(.*?)<!-- end \1 -->\n", re.DOTALL)


def audit_page() -> str:
    """Return the text of docs/audit_format.md with all its generated parts."""
    records = _records()
    parts: Mapping[str, Callable[[], str]] = {
        "first records": lambda: _first_records(records),
        "tables": _tables,
        "other tables": _other_tables,
        "kinds": lambda: _kinds(records),
        "codes": _codes,
        "postings": _postings,
        "transitions": _transitions,
        "open": lambda: f"{_listed(OPEN_STATES)}.\n",
    }

    def write(found: re.Match[str]) -> str:
        return f"<!-- begin {found[1]} -->\n{parts[found[1]]()}<!-- end {found[1]} -->\n"

    return _EXAMPLES_OF.sub(write, PAGE.read_text())


def _records() -> list[tuple[int, str | None, str, str, str]]:
    """Return the number, previous hash, hash, kind and body of all records of two fixed sessions."""
    found: list[tuple[int, str | None, str, str, str]] = []
    with tempfile.TemporaryDirectory() as folder:
        for number, write in enumerate((audit_of_a_session, write_remaining_kinds)):
            url = f"sqlite:///{Path(folder) / f'{number}.db'}"
            engine = open_journal(url)
            upgrade_journal(engine)
            write(url)
            columns = [audit_log.c[name] for name in ("seq", "prev_hash", "hash", "kind", "body")]
            with engine.connect() as connection:
                found += [tuple(row) for row in connection.execute(sa.select(*columns).order_by(audit_log.c.seq))]
            engine.dispose()
    return found


def _first_records(records: list[tuple[int, str | None, str, str, str]]) -> str:
    lines = []
    for seq, previous, digest, _, body in records[:2]:
        lines.append(f"seq        {seq}\nprev_hash  {previous or 'NULL'}\nbody       {body}\nhash       {digest}\n")
    return "```text\n" + "\n".join(lines) + "```\n"


def _tables() -> str:
    lines = ["| table | record column | its other columns; those in parentheses may be NULL |\n|---|---|---|\n"]
    for table in metadata.sorted_tables:
        if table.name not in DERIVED:
            column = audit_column(table)
            lines.append(f"| `{table.name}` | `{column}` | {_columns(table, without=column)} |\n")
    return "".join(lines)


def _other_tables() -> str:
    lines = ["| table | how it is checked | columns; those in parentheses may be NULL |\n|---|---|---|\n"]
    lines += [
        f"| `{table.name}` | {OTHERS.get(table.name, table.name)} | {_columns(table)} |\n"
        for table in metadata.sorted_tables
        if table.name in DERIVED
    ]
    lines.append(f"| `{VERSION_TABLE}` | {OTHERS[VERSION_TABLE]} | `version_num` |\n")
    return "".join(lines)


def _columns(table: sa.Table, without: str = "") -> str:
    there = [each for each in table.columns if each.name != without]
    return ", ".join(f"(`{each.name}`)" if each.nullable else f"`{each.name}`" for each in there)


def _kinds(records: list[tuple[int, str | None, str, str, str]]) -> str:
    examples: dict[str, str] = {}
    tables: dict[str, set[str]] = {}
    for _, _, _, kind, body in records:
        examples.setdefault(kind, body)
        tables.setdefault(kind, set()).update(f"`{row['table']}`" for row in json.loads(body)["rows"])
    lines = ["| kind | written when | rows of |\n|---|---|---|\n"]
    there = [kind for kind in AUDIT_KINDS if kind in examples]
    lines += [
        f"| `{kind}` | {WHEN.get(kind, kind)} | {', '.join(sorted(tables[kind])) or 'no table'} |\n" for kind in there
    ]
    unused = ", ".join(f"`{kind}`" for kind in AUDIT_KINDS if kind not in examples)
    lines.append(f"\nThis version writes no record of kind {unused}.\n\n{_KINDS_AS_CHECK}\n\n")
    lines.append("An example of the body of each kind:\n\n")
    lines += [f"```json\n{examples[kind]}\n```\n\n" for kind in there]
    return "".join(lines)


def _codes() -> str:
    codes = f"{', '.join(f'`{each.code}`' for each in DenialReason)}."
    return f"{textwrap.fill(codes, 120, break_long_words=False, break_on_hyphens=False)}\n"


def _postings() -> str:
    lines = ["| kind | posted when |\n|---|---|\n"]
    return "".join([*lines, *(f"| `{kind}` | {CHANGES.get(kind, kind)} |\n" for kind in POSTING_KINDS)])


def _transitions() -> str:
    lines = ["| from | to |\n|---|---|\n"]
    lines += [f"| `{state.value}` | {_listed(after)} |\n" for state, after in LEGAL_TRANSITIONS.items()]
    return "".join(lines) + f"\nThe other states are final: {_listed(FINAL_STATES)}.\n"


def _listed(states: frozenset[OrderState] | tuple[OrderState, ...]) -> str:
    return ", ".join(f"`{state.value}`" for state in OrderState if state in states)
