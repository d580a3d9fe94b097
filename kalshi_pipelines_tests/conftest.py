"""Fixtures and settings for tests of all packages: databases, a running sandbox exchange, and recorded responses."""

import gc
import os
import shutil
import sys
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
import stamina
from hypothesis import settings

from kalshi_pipelines.sandbox.process import SandboxOptions, SandboxProcess, running_sandbox
from kalshi_pipelines.warehouse.engine import open_engine
from kalshi_pipelines_tests.support.checkout import RECORDINGS
from kalshi_pipelines_tests.support.memory import memory_or
from kalshi_pipelines_tests.support.migrated import upgrade_to_head
from kalshi_pipelines_tests.support.postgres import Cluster, running_cluster
from kalshi_pipelines_tests.support.tiers import MARKER, Guard, Reading, spread

# The time that a Hypothesis example takes depends on the machine, so there is no deadline.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

# Hundreds of child processes import Dagster. Without compiled files the import takes twice as long.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False


_GUARD = Guard()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fast", action="store_true", help="run only tests without processes, servers and Postgres")


def pytest_configure(config: pytest.Config) -> None:
    """Keep test files in memory, where commits are fast. With ``--fast``, guard against processes and sockets."""
    if config.option.basetemp is None and "PYTEST_DEBUG_TEMPROOT" not in os.environ:
        disk = Path(tempfile.gettempdir())
        if (place := memory_or(disk)) != disk:
            os.environ["PYTEST_DEBUG_TEMPROOT"] = str(place)
    if config.option.fast:
        _GUARD.put_up()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the tests that only the whole suite runs. With ``--fast``, leave these tests out."""
    reading = Reading()
    for item in items:
        if isinstance(item, pytest.Function) and reading.is_for_the_whole_suite(item):
            item.add_marker(MARKER)
    if config.option.fast:
        config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker(MARKER)])
        items[:] = [item for item in items if not item.get_closest_marker(MARKER)]
    if workers := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "0")):
        items[:] = spread(items, workers)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol() -> Iterator[None]:
    """Turn on the guard against processes and sockets while a test runs. The guard exists only with ``--fast``."""
    _GUARD.is_on = True
    try:
        return (yield)
    finally:
        _GUARD.is_on = False


def pytest_collection_finish() -> None:
    """Exclude all imported modules and collected tests from garbage collection, because they stay until the end."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _no_settings_of_the_machine(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    for name in os.environ:
        if name == "EXA_API_KEY" or (name.startswith("KALSHI_") and name != "KALSHI_RUN_LIVE_API"):
            monkeypatch.delenv(name)
    # Each test has its own registry of sessions. A test of `kill` must not stop sessions of other tests or users.
    registry = tmp_path_factory.getbasetemp() / "registries" / uuid.uuid4().hex
    monkeypatch.setenv("KALSHI_SESSIONS_DIR", str(registry))


@pytest.fixture
def no_back_off() -> Iterator[None]:
    """Let clients repeat failed requests as often as usual, but without waiting. Other tests cover the waits."""
    with stamina.set_testing(True, attempts=100, cap=True):
        yield


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of an empty SQLite warehouse at its newest migration, for tests to copy."""
    path = tmp_path_factory.mktemp("migrated") / "warehouse.db"
    engine = open_engine(f"sqlite:///{path}")
    upgrade_to_head(engine)
    engine.dispose()
    return path


@pytest.fixture(scope="session")
def postgres_cluster() -> Iterator[Cluster]:
    """A Postgres server that belongs to this test process."""
    with running_cluster() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def migrated_database(postgres_cluster: Cluster) -> Iterator[str]:
    """The name of an empty Postgres warehouse at its newest migration, for tests to copy."""
    with postgres_cluster.database() as name:
        engine = open_engine(postgres_cluster.url(name))
        upgrade_to_head(engine)
        engine.dispose()
        yield name


@pytest.fixture
def sqlite_engine(migrated_file: Path, tmp_path: Path) -> Iterator[sa.Engine]:
    """An empty SQLite warehouse at its newest migration, new for each test."""
    path = tmp_path / "warehouse.db"
    shutil.copy(migrated_file, path)
    engine = open_engine(f"sqlite:///{path}")
    yield engine
    engine.dispose()


@pytest.fixture
def postgres_engine(postgres_cluster: Cluster, migrated_database: str) -> Iterator[sa.Engine]:
    """An empty Postgres warehouse at its newest migration, new for each test."""
    with postgres_cluster.database(migrated_database) as name:
        engine = open_engine(postgres_cluster.url(name))
        yield engine
        engine.dispose()


@pytest.fixture(params=["sqlite", "postgres"])
def engine(request: pytest.FixtureRequest) -> sa.Engine:
    """An empty warehouse at its newest migration; a test runs once with SQLite and once with Postgres."""
    made: sa.Engine = request.getfixturevalue(f"{request.param}_engine")
    return made


@pytest.fixture
def empty_sqlite_url(tmp_path: Path) -> str:
    """The URL of a SQLite file that does not exist yet."""
    return f"sqlite:///{tmp_path / 'empty.db'}"


@pytest.fixture
def empty_postgres_url(postgres_cluster: Cluster) -> Iterator[str]:
    """The URL of a Postgres database without tables."""
    with postgres_cluster.database() as name:
        yield postgres_cluster.url(name)


@pytest.fixture(params=["sqlite", "postgres"])
def empty_database_url(request: pytest.FixtureRequest) -> str:
    """The URL of a database without tables; a test runs once with SQLite and once with Postgres."""
    url: str = request.getfixturevalue(f"empty_{request.param}_url")
    return url


@pytest.fixture
def recordings() -> Path:
    """The folder of recorded responses of the real exchange. A test is skipped on a machine without the folder."""
    if not RECORDINGS.is_dir():
        pytest.skip("the recorded responses are not on this machine")
    return RECORDINGS


@pytest.fixture(scope="session")
def frozen_sandbox() -> Iterator[SandboxProcess]:
    """A sandbox exchange whose prices and markets never change."""
    with running_sandbox(SandboxOptions(markets=2_500, combos=40, tick_seconds=0, tier="unlimited")) as sandbox:
        yield sandbox
