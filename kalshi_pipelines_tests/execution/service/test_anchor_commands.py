"""Tests of the command that anchors a journal again, and of the lines of ``status`` about the anchor file."""

import argparse
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa

from kalshi_pipelines.execution.journal.anchors import Anchor, AnchorFile
from kalshi_pipelines.execution.journal.journal import Journal, initialise
from kalshi_pipelines.execution.service.command_context import CommandRefused
from kalshi_pipelines.execution.service.commands import anchor_commands
from kalshi_pipelines.execution.service.commands.anchor_commands import anchor_lines, re_anchor
from kalshi_pipelines_tests.support.execution.order_steps import ACCOUNT, NOON
from kalshi_pipelines_tests.support.execution.tampering import tamper

Made = tuple[Any, Path, Journal]
HERE = "sandbox, sub-account 0, journal /x/journal.db"


def given() -> argparse.Namespace:
    return argparse.Namespace(by="ann", why="a try")


@pytest.fixture
def made(journal_engine: sa.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Made:
    """The context of a command, the anchor file, and a journal that was anchored when it was made."""
    file = tmp_path / "disk" / "anchors"
    initialise(journal_engine, "sandbox", anchor_file=file)
    journal = Journal(journal_engine, "sandbox", anchor_file=file)
    context = SimpleNamespace(journal=lambda: journal, journal_engine=lambda: journal_engine, whereabouts=lambda: HERE)
    monkeypatch.setattr(anchor_commands, "_reconcile", _reconciled(clean=True))
    return context, file, journal


def _reconciled(*, clean: bool) -> Callable[[object, Journal], Any]:
    def reconcile(_: object, journal: Journal) -> Any:
        with journal.writing() as transaction:
            number = transaction.reconciliations.record(
                ACCOUNT, NOON, NOON, differences=int(not clean), clean=clean, report=""
            )
        return SimpleNamespace(clean=clean, reconciliation_id=number)

    return reconcile


def test_re_anchor_shows_what_is_missing_and_records_the_person(made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    context, file, journal = made
    file.unlink()
    assert re_anchor(context, given()) == 0
    printed = capsys.readouterr().out
    assert "missing          the anchors of the records 1\n" in printed
    assert f"ann anchored the journal again, from record 3 on, in {file}." in printed
    journal.require_trusted_anchors()
    with journal.reading() as reading:
        [again] = [each.body for each in reading.audit_log.newest(9) if each.kind == "re_anchor"]
    assert '"by_whom":"ann"' in again
    assert '"reason":"a try"' in again


def test_re_anchor_of_trusted_anchors_changes_nothing(made: Made) -> None:
    context, file, _ = made
    before = file.read_bytes()
    with pytest.raises(CommandRefused, match="trusted"):
        re_anchor(context, given())
    assert file.read_bytes() == before


def test_re_anchor_of_a_restored_journal_names_adopt(made: Made) -> None:
    context, file, journal = made
    AnchorFile(file).append(Anchor(journal.database_id, 900, "a" * 64, 1))
    with pytest.raises(CommandRefused, match="adopt"):
        re_anchor(context, given())


def test_re_anchor_asks_to_move_an_unreadable_file_away(made: Made) -> None:
    context, file, _ = made
    file.write_text("nonsense\n")
    with pytest.raises(CommandRefused, match="Move the file away"):
        re_anchor(context, given())


def test_F66_re_anchor_needs_a_clean_reconciliation(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    context, file, _ = made
    file.unlink()
    monkeypatch.setattr(anchor_commands, "_reconcile", _reconciled(clean=False))
    with pytest.raises(CommandRefused, match="reconciliation is not clean"):
        re_anchor(context, given())
    assert not file.exists()


def test_F66_re_anchor_needs_a_clean_audit(made: Made, journal_engine: sa.Engine) -> None:
    context, file, _ = made
    file.unlink()
    tamper(journal_engine, "UPDATE audit_log SET body = replace(body, 'journal', 'somebody') WHERE seq = 1")
    with pytest.raises(CommandRefused, match="audit of the journal is not clean"):
        re_anchor(context, given())
    assert not file.exists()


def test_status_tells_where_the_anchors_are_and_whether_they_are_trusted(
    sqlite_journal: sa.Engine, tmp_path: Path
) -> None:
    file = tmp_path / "disk" / "anchors"
    initialise(sqlite_journal, "sandbox", anchor_file=file)
    journal = Journal(sqlite_journal, "sandbox", anchor_file=file)
    [line] = anchor_lines(journal)
    assert line.startswith(f"anchors          {file}, on the same disk as the journal")
    file.unlink()
    assert "NOT TRUSTED, no live session opens. missing" in list(anchor_lines(journal))[1]
    elsewhere = Journal(sqlite_journal, "sandbox", anchor_file=Path("/proc/anchors"))
    assert next(iter(anchor_lines(elsewhere))) == "anchors          /proc/anchors, on another disk than the journal"
    assert list(anchor_lines(Journal(sqlite_journal, "sandbox"))) == []
