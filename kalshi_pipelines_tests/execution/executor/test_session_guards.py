"""Tests of the checks before a session opens, and of the properties and the code version that a session fixes."""

import platform
import shutil
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import pytest
import sqlalchemy as sa

from kalshi_pipelines import execution
from kalshi_pipelines.execution.configuration import TradeSettings, caps_sha256
from kalshi_pipelines.execution.executor import session as sessions
from kalshi_pipelines.execution.executor.session import LEASE_US, Opening, SessionRefused, digest_of_files
from kalshi_pipelines.execution.gates.arming import ArmBinding, arm_token
from kalshi_pipelines.execution.gates.order_checks import check
from kalshi_pipelines.execution.journal.anchors import AnchorFile
from kalshi_pipelines.execution.journal.journal import Journal
from kalshi_pipelines.execution.journal.records import Mode, Origin
from kalshi_pipelines.execution.orders.account import Account
from kalshi_pipelines.execution.orders.denials import DenialReason
from kalshi_pipelines.execution.transport.order_transport import OrderTransport
from kalshi_pipelines.settings import Environment
from kalshi_pipelines.units import HOUR_US, MINUTE_US
from kalshi_pipelines_tests.support.execution.instants import NOW_US
from kalshi_pipelines_tests.support.execution.scripted_exchange import HOST, KEY, ScriptedExchange, scripted_session


def _row(engine: sa.Engine, table: str) -> dict[str, Any]:
    with engine.connect() as connection:
        return dict(connection.execute(sa.text(f"SELECT * FROM {table} ORDER BY rowid DESC")).mappings().first() or {})


def test_live_session_is_recorded_with_key_host_and_caps(sqlite_journal: sa.Engine) -> None:
    made = scripted_session(sqlite_journal, session_minutes=30)
    session, settings = made.session, made.settings
    row = _row(sqlite_journal, "sessions")
    expected = {
        "session_id": session.session_id,
        "environment": "sandbox",
        "subaccount": 0,
        "mode": "live",
        "origin": "by_hand",
        "host": HOST,
        "key_fingerprint": KEY,
        "armed_by": "ann",
        "opened_by": "ann",
        "opened_us": NOW_US,
        "expires_us": NOW_US + 30 * MINUTE_US,
        "code_version": sessions.code_version(),
        "config_sha256": settings.config_sha256,
        "caps_sha256": caps_sha256(settings.caps),
    }
    assert {name: row[name] for name in expected} == expected
    assert (session.host, session.key_fingerprint, session.caps) == (HOST, KEY, settings.caps)
    assert (session.account, session.origin) == (Account("sandbox", 0), Origin.BY_HAND)
    lease = _row(sqlite_journal, "leases")
    assert lease["until_us"] == NOW_US + LEASE_US
    assert lease["holder"].startswith(f"{platform.node()}:")
    assert _row(sqlite_journal, "env_bindings")["bound_by"] == "ann"
    dry = scripted_session(sqlite_journal, live=False, session_minutes=30)
    assert (dry.session.mode, dry.session.host, dry.session.key_fingerprint) == (Mode.DRY_RUN, None, None)
    assert dry.session.expires_us == NOW_US + 30 * MINUTE_US
    assert _row(sqlite_journal, "sessions")["armed_by"] is None


def test_live_session_ends_with_its_token_and_a_dry_run_does_not(sqlite_journal: sa.Engine) -> None:
    live = scripted_session(sqlite_journal, session_minutes=120).session
    assert live.expires_us == NOW_US + HOUR_US
    assert (
        scripted_session(sqlite_journal, live=False, session_minutes=120).session.expires_us == NOW_US + 120 * MINUTE_US
    )


def _open(
    engine: sa.Engine,
    *,
    anchors: Path | None = None,
    origin: Origin = Origin.BY_HAND,
    armed_for: str = KEY,
    passes: bool = True,
    key: str = KEY,
    **settings: Any,
) -> DenialReason | None:
    scripted_session(engine, live=False)
    values: dict[str, Any] = {"mode": Mode.LIVE, "series": "KXA", **settings}
    token = arm_token(
        ArmBinding(Environment.SANDBOX, armed_for, TradeSettings(**values).limits_sha256), NOW_US + HOUR_US
    )
    made = TradeSettings(**{"arm": token, **values})
    journal = Journal(engine, "sandbox", clock_us=lambda: NOW_US, anchor_file=anchors)
    other = check(DenialReason.KEY_NOT_FIT, passes, "a", "b")
    transport = cast("OrderTransport", ScriptedExchange(key_fingerprint=key))
    arguments = (
        journal,
        made,
        Environment.SANDBOX,
        Opening("ann", origin, "the morning"),
        transport,
        (other,),
        lambda: NOW_US,
    )
    refused = None
    try:
        sessions.close(journal, sessions.open_live(*arguments), "over")
    except SessionRefused as error:
        refused = error
    if refused is not None:
        assert refused.detail
        assert refused.checks
        assert str(refused) == f"{refused.reason.cause} {refused.detail}. {refused.reason.remedy}"
        return refused.reason
    assert _row(engine, "session_ends")["reason"] == "over"
    return None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, None),
        ({"mode": Mode.DRY_RUN}, DenialReason.NOT_ARMED),
        ({"origin": Origin.RETRIED}, DenialReason.ORIGIN_NOT_LIVE),
        ({"arm": None}, DenialReason.NOT_ARMED),
        ({"armed_for": "SHA256:f123456789abcdef"}, DenialReason.ARM_TOKEN_INVALID),
        ({"series": None}, DenialReason.TICKER_NOT_ALLOWED),
        ({"passes": False}, DenialReason.KEY_NOT_FIT),
    ],
)
def test_live_session_opens_only_if_every_check_passes(
    sqlite_journal: sa.Engine, changes: dict[str, Any], reason: DenialReason | None
) -> None:
    assert _open(sqlite_journal, **changes) is reason


def test_reason_of_a_session_is_in_the_audit(sqlite_journal: sa.Engine) -> None:
    assert _open(sqlite_journal) is None
    with Journal(sqlite_journal, "sandbox").reading() as reading:
        opened = next(each.body for each in reading.audit_log.newest(9) if each.kind == "session")
    assert '"why":"the morning"' in opened


def test_F14_F27_second_session_and_other_key_have_their_own_denials(sqlite_journal: sa.Engine) -> None:
    assert _open(sqlite_journal) is None
    made = scripted_session(sqlite_journal)
    assert _open(sqlite_journal) is DenialReason.SESSION_NOT_EXCLUSIVE
    sessions.close(made.journal, made.session, "over")
    assert _open(sqlite_journal, subaccount=1) is DenialReason.ENVIRONMENT_MISMATCH


def test_F22_F66_unfulfilled_or_unreadable_anchors_open_no_session(sqlite_journal: sa.Engine, tmp_path: Path) -> None:
    anchors = tmp_path / "anchors"
    assert _open(sqlite_journal, anchors=anchors) is None
    journal = Journal(sqlite_journal, "sandbox", clock_us=lambda: NOW_US)
    noted = AnchorFile(anchors).anchors(journal.database_id)[-1]
    AnchorFile(anchors).append(replace(noted, seq=noted.seq + 1_000))
    assert _open(sqlite_journal, anchors=anchors) is DenialReason.JOURNAL_RESTORED
    anchors.write_text("something else\n")
    assert _open(sqlite_journal, anchors=anchors) is DenialReason.ANCHORS_NOT_TRUSTED
    assert _open(sqlite_journal) is None


EXECUTION = Path(execution.__file__).parent


def _files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.is_file() and "__pycache__" not in path.parts]


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A copy of the package's folder ``execution/``, which tests may change."""
    return Path(shutil.copytree(EXECUTION, tmp_path / "execution", ignore=shutil.ignore_patterns("__pycache__")))


def test_F56_code_version_names_the_digest_of_the_whole_execution_folder(copied: Path) -> None:
    sessions.code_version.cache_clear()
    assert sessions.code_version() == f"{version('kalshi-pipelines')}+{digest_of_files(EXECUTION)[:16]}"
    assert digest_of_files(copied) == digest_of_files(EXECUTION)


def test_F56_code_version_changes_with_every_file_of_execution(copied: Path) -> None:
    found = {digest_of_files(copied)}
    files = _files(copied)
    assert {path.suffix for path in files} >= {".py", ".sql"}
    for path in files:
        before = path.read_bytes()
        path.write_bytes(before + b" ")
        found.add(digest_of_files(copied))
        path.write_bytes(before)
        path.rename(path.with_suffix(".other"))
        found.add(digest_of_files(copied))
        path.with_suffix(".other").rename(path)
    assert len(found) == 1 + 2 * len(files)
    assert digest_of_files(copied) == digest_of_files(EXECUTION)


def test_F56_code_version_changes_with_a_new_file_in_any_folder(copied: Path) -> None:
    found = {digest_of_files(copied)}
    folders = [copied, *{path.parent for path in _files(copied)} - {copied}, copied / "a" / "new" / "folder"]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("new.sql", "new.json", "without_suffix", ".hidden"):
            (folder / name).write_text("new")
            found.add(digest_of_files(copied))
            (folder / name).unlink()
    assert len(found) == 1 + 4 * len(folders)


def test_F56_code_version_ignores_compiled_caches(copied: Path) -> None:
    before = digest_of_files(copied)
    (copied / "journal" / "__pycache__").mkdir()
    (copied / "journal" / "__pycache__" / "facts.cpython-312.pyc").write_bytes(b"compiled")
    assert digest_of_files(copied) == before
