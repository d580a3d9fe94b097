"""Tests that docs/audit_format.md describes the audit log as it is, in the parts that are written by hand."""

import hashlib
import json
import re
import sqlite3

from kalshi_pipelines.execution.audit.verification import AuditVerdict
from kalshi_pipelines.execution.journal.engine import open_journal
from kalshi_pipelines.execution.journal.guards import HASH_DOMAIN
from kalshi_pipelines.execution.journal.migrations import VERSION_TABLE
from kalshi_pipelines.execution.journal.tables import AUDIT_KINDS, metadata
from kalshi_pipelines_tests.support.execution.audit_page import OTHERS, PAGE, WHEN
from kalshi_pipelines_tests.support.execution.order_steps import order_steps

TEXT = PAGE.read_text()


def test_hashes_on_the_page_follow_the_rule_of_the_page() -> None:
    domain = re.search(r"DOMAIN is `([^`]+)`", TEXT)
    assert domain
    assert domain[1] == HASH_DOMAIN
    shown = re.findall(r"^seq +(\d+)\nprev_hash +(\w+)\nbody +(.+)\nhash +([0-9a-f]{64})$", TEXT, re.MULTILINE)
    assert [seq for seq, *_ in shown] == ["0", "1"]
    before = ""
    for seq, previous, body, digest in shown:
        assert previous == (before or "NULL")
        assert hashlib.sha256(f"{domain[1]}\n{seq}\n{before}\n{body}".encode()).hexdigest() == digest
        before = digest


def test_bodies_on_the_page_follow_the_python_rule_of_the_page() -> None:
    bodies = re.findall(r"^```json\n(.+)\n```$", TEXT, re.MULTILINE)
    assert len(bodies) >= 30
    for body in bodies:
        content = json.loads(body)
        assert json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False) == body


def test_page_explains_every_kind_every_table_and_every_verdict() -> None:
    unused = re.search(r"writes no record of kind ([^.]+)\.", TEXT)
    assert unused
    assert set(AUDIT_KINDS) - WHEN.keys() == set(re.findall(r"`(\w+)`", unused[1]))
    for table in metadata.sorted_tables:
        assert f"| `{table.name}` |" in TEXT
    assert OTHERS.keys() <= {VERSION_TABLE, *(table.name for table in metadata.sorted_tables)}
    for verdict in AuditVerdict:
        assert f"| {verdict.value} | {verdict.exit_status} |" in TEXT


def test_page_names_every_table_of_a_journal(sqlite_journal_url: str) -> None:
    connection = sqlite3.connect(sqlite_journal_url.removeprefix("sqlite:///"))
    names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    connection.close()
    assert [name for (name,) in names if f"| `{name}` |" not in TEXT and not name.startswith("sqlite_")] == []


def test_page_names_the_tables_of_foreign_orders_with_their_kind() -> None:
    (row,) = re.findall(r"^\| `foreign` \| .* \| (.*`postings`) \|$", TEXT, re.MULTILINE)
    assert re.findall(r"`(\w+)`", row) == ["fills", "foreign_orders", "foreign_sightings", "postings"]


def test_journal_is_readable_as_the_page_says(sqlite_journal_url: str) -> None:
    engine = open_journal(sqlite_journal_url)
    order_steps(engine).reserve()
    engine.dispose()
    how = re.search(r'`sqlite3\.connect\("file:journal\.db(\?[^"]+)", uri=True\)`', TEXT)
    assert how
    connection = sqlite3.connect(f"file:{sqlite_journal_url.removeprefix('sqlite:///')}{how[1]}", uri=True)
    (head,) = connection.execute("SELECT seq FROM audit_head").fetchall()
    records = connection.execute("SELECT count(*) FROM audit_log").fetchone()
    connection.close()
    assert records == (head[0] + 1,)
