"""Journals and a sandbox for all tests of trading.

Journals are on SQLite and on Postgres. Each is a copy of a migrated template.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from kalshi_pipelines.execution.journal.engine import open_journal
from kalshi_pipelines.execution.journal.migrations import upgrade_journal
from kalshi_pipelines.sandbox.process import SandboxProcess, running_sandbox
from kalshi_pipelines_tests.support.execution.member_reconciler import MARKETS
from kalshi_pipelines_tests.support.execution.order_steps import OrderSteps, order_steps
from kalshi_pipelines_tests.support.migrated import journal_at_head
from kalshi_pipelines_tests.support.postgres import Cluster


@pytest.fixture(scope="session")
def migrated_journal_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite journal at its newest migration, without an identity, for tests to copy."""
    path = tmp_path_factory.mktemp("journal") / "journal.db"
    path.write_bytes(journal_at_head())
    return path


@pytest.fixture(scope="session")
def migrated_journal_database(postgres_cluster: Cluster) -> Iterator[str]:
    """A Postgres database with a journal at its newest migration, without an identity, for tests to copy."""
    with postgres_cluster.database() as name:
        engine = open_journal(postgres_cluster.url(name))
        upgrade_journal(engine)
        engine.dispose()
        yield name


@pytest.fixture
def sqlite_journal_url(migrated_journal_file: Path, tmp_path: Path) -> str:
    path = tmp_path / "journal.db"
    shutil.copy(migrated_journal_file, path)
    return f"sqlite:///{path}"


@pytest.fixture
def postgres_journal_url(postgres_cluster: Cluster, migrated_journal_database: str) -> Iterator[str]:
    with postgres_cluster.database(migrated_journal_database) as name:
        yield postgres_cluster.url(name)


@pytest.fixture(params=["sqlite", "postgres"])
def journal_url(request: pytest.FixtureRequest) -> str:
    """The URL of a new journal without an identity; a test runs once with SQLite and once with Postgres."""
    url: str = request.getfixturevalue(f"{request.param}_journal_url")
    return url


@pytest.fixture
def journal_engine(journal_url: str) -> Iterator[sa.Engine]:
    """The engine of a new journal; a test runs once with SQLite and once with Postgres."""
    engine = open_journal(journal_url)
    yield engine
    engine.dispose()


@pytest.fixture
def sqlite_journal(sqlite_journal_url: str) -> Iterator[sa.Engine]:
    """The engine of a new SQLite journal."""
    engine = open_journal(sqlite_journal_url)
    yield engine
    engine.dispose()


@pytest.fixture
def steps(journal_engine: sa.Engine) -> OrderSteps:
    """The steps of orders in a new journal with an open live session; a test runs on SQLite and on Postgres."""
    return order_steps(journal_engine)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[SandboxProcess]:
    """A sandbox with many markets whose prices never move; the tests of a module share it."""
    with running_sandbox(MARKETS) as made:
        yield made
