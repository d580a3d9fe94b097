"""Tests that verification finds every forgery of a journal, also those with new hashes and new anchors."""

import shutil
from pathlib import Path

import pytest

from kalshi_pipelines.execution.audit.verification import AuditReport, AuditVerdict, verify
from kalshi_pipelines.execution.journal.engine import open_journal
from kalshi_pipelines.execution.journal.journal import Journal
from kalshi_pipelines_tests.support.execution.forgeries import FORGERIES, anchors_of
from kalshi_pipelines_tests.support.execution.golden import audit_of_a_session


@pytest.fixture(scope="module")
def honest(migrated_journal_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The journal of the golden session, with its anchors."""
    file = tmp_path_factory.mktemp("honest") / "journal.db"
    shutil.copy(migrated_journal_file, file)
    audit_of_a_session(f"sqlite:///{file}")
    engine = open_journal(f"sqlite:///{file}")
    Journal(engine, "sandbox", anchor_file=anchors_of(file)).anchor()
    engine.dispose()
    return file


@pytest.fixture
def file(honest: Path, tmp_path: Path) -> Path:
    """A copy of the journal, for a test to change."""
    for each in (honest, anchors_of(honest)):
        shutil.copy(each, tmp_path)
    return tmp_path / honest.name


def verified(file: Path) -> AuditReport:
    engine = open_journal(f"sqlite:///{file}")
    report = verify(engine, anchors_of(file))
    engine.dispose()
    return report


def test_honest_journal_is_not_corrupt(file: Path) -> None:
    assert verified(file).ok


@pytest.mark.parametrize("name", FORGERIES)
def test_F25_forgery_makes_a_journal_corrupt(name: str, file: Path) -> None:
    FORGERIES[name](file)
    report = verified(file)
    assert report.verdict is AuditVerdict.CORRUPT, name
