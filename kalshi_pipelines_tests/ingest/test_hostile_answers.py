"""Hostile responses over real HTTP, as a compromised or broken vendor could send them.

Each ingest runs in a process of its own. It must end soon, use little memory, and store whole pages or nothing.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from kalshi_pipelines.sandbox.faults.hostile import HOSTILE_BODIES
from kalshi_pipelines.sandbox.process import SandboxOptions, SandboxProcess, running_sandbox
from kalshi_pipelines.warehouse.tables import ingest_runs, markets, price_snapshots, quarantine

MARKETS = 300
#: Limit of an ingest's memory. A response may have 64 MB. It is unpacked in pieces, and briefly exists twice in memory.
MOST_MB = 260
#: The expected result of an ingest for each hostile body. The texts of unknown JSON members are not decoded, so invalid
#: UTF-8 in these texts is not noticed.
OUTCOMES = {
    "long_string": "stored",
    "invalid_utf8": "stored",
    "duplicate_keys": "stored",
    "deep_nesting": "MalformedResponse",
    "not_a_number": "MalformedResponse",
    "utf16": "MalformedResponse",
    "gzip_bomb": "AbsurdAnswer",
    "endless": "AbsurdAnswer",
}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[SandboxProcess]:
    with running_sandbox(SandboxOptions(markets=MARKETS, combos=0, tick_seconds=0, tier="unlimited")) as sandbox:
        yield sandbox


@pytest.fixture(autouse=True)
def _no_drift_left(sandbox: SandboxProcess) -> Iterator[None]:
    yield
    httpx.delete(f"{sandbox.admin_url}/sandbox/drift", timeout=30).raise_for_status()


def drift(sandbox: SandboxProcess, **operation: Any) -> None:
    asked = {"endpoint": "GET /markets", "operations": [operation]}
    httpx.post(f"{sandbox.admin_url}/sandbox/drift", json=asked, timeout=30).raise_for_status()


def ingest(sandbox: SandboxProcess, engine: sa.Engine) -> dict[str, Any]:
    command = [
        sys.executable,
        "-m",
        "kalshi_pipelines_tests.support.ingest.hostile_ingest",
        sandbox.url,
        str(engine.url),
    ]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    ended: dict[str, Any] = json.loads(finished.stdout.splitlines()[-1])
    return ended


def count(engine: sa.Engine, table: sa.Table) -> int:
    with engine.connect() as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0


def test_every_kind_of_hostile_body_is_tried() -> None:
    assert OUTCOMES.keys() == HOSTILE_BODIES.keys()


@pytest.mark.parametrize("kind", OUTCOMES)
def test_hostile_body_is_handled_in_bounded_memory_and_leaves_no_partial_page(
    sandbox: SandboxProcess, sqlite_engine: sa.Engine, kind: str
) -> None:
    drift(sandbox, op="hostile", kind=kind)
    ended = ingest(sandbox, sqlite_engine)
    assert ended["outcome"] == OUTCOMES[kind]
    assert ended["peak_mb"] < MOST_MB
    expected = MARKETS if OUTCOMES[kind] == "stored" else 0
    assert (count(sqlite_engine, markets), count(sqlite_engine, price_snapshots)) == (expected, expected)
    with sqlite_engine.connect() as connection:
        (status,) = connection.scalars(sa.select(ingest_runs.c.status))
    assert status == ("succeeded" if expected else "failed")


def test_record_with_a_ten_megabyte_string_is_quarantined_alone(
    sandbox: SandboxProcess, sqlite_engine: sa.Engine
) -> None:
    drift(sandbox, op="set", path="markets[0].rules_primary", value="A" * 10_000_000)
    ended = ingest(sandbox, sqlite_engine)
    assert ended["outcome"] == "stored"
    assert ended["peak_mb"] < MOST_MB
    set_aside = count(sqlite_engine, quarantine)
    assert set_aside > 0
    assert count(sqlite_engine, markets) == MARKETS - set_aside


def test_a_redirect_is_not_followed(sandbox: SandboxProcess, sqlite_engine: sa.Engine) -> None:
    drift(sandbox, op="redirect", to=f"{sandbox.url}/events")
    assert ingest(sandbox, sqlite_engine)["outcome"] == "Redirected"
    assert count(sqlite_engine, markets) == 0
