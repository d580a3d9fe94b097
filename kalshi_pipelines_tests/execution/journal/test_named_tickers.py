"""The markets that a journal names: those of every proposal, order and fill, and none without a journal."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from kalshi_pipelines.execution.journal.engine import open_journal
from kalshi_pipelines.execution.journal.errors import JournalOutdated
from kalshi_pipelines.execution.journal.migrations import upgrade_journal
from kalshi_pipelines.execution.journal.reading.tickers import named_tickers
from kalshi_pipelines_tests.support.execution.order_steps import TICKER, OrderSteps


def test_journal_that_does_not_exist_names_no_market(tmp_path: Path) -> None:
    assert named_tickers(open_journal(f"sqlite:///{tmp_path / 'journal.db'}")) == frozenset()
    assert not (tmp_path / "journal.db").exists()


def test_database_without_a_journal_names_no_market(empty_postgres_url: str) -> None:
    engine = open_journal(empty_postgres_url)
    assert named_tickers(engine) == frozenset()
    engine.dispose()


def test_new_journal_names_no_market(journal_engine: sa.Engine) -> None:
    assert named_tickers(journal_engine) == frozenset()


def test_journal_of_another_version_is_refused(tmp_path: Path) -> None:
    engine = open_journal(f"sqlite:///{tmp_path / 'journal.db'}")
    upgrade_journal(engine, "0001")
    with pytest.raises(JournalOutdated, match="0001"):
        named_tickers(engine)
    engine.dispose()


def test_market_of_a_planned_order_is_named(steps: OrderSteps, journal_engine: sa.Engine) -> None:
    steps.plan()
    steps.plan(ticker="KXSNOW-26NOV24-T2")
    assert {TICKER, "KXSNOW-26NOV24-T2"} <= named_tickers(journal_engine)
