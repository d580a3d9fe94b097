"""A test of a real dagster-daemon that is killed while it sends an alert, and is restarted a day later."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from kalshi_pipelines.alerts.outbox import CLAIM_TIME_OUT_US
from kalshi_pipelines.contracts.comparison.checking import CheckOutcome, CheckResult
from kalshi_pipelines.contracts.findings import store
from kalshi_pipelines.contracts.findings.life_cycle import RunSource
from kalshi_pipelines.contracts.language.differences import Difference, Kind, Severity
from kalshi_pipelines.sandbox.process import SandboxProcess
from kalshi_pipelines.units import DAY_US, now_us
from kalshi_pipelines.warehouse.tables import alert_deliveries, contract_runs
from kalshi_pipelines_tests.support.alerts.receivers import Webhook, webhook_receiver
from kalshi_pipelines_tests.support.checkout import CHECKOUT

PATIENCE_SECONDS = 90
BROKEN = Difference("GET /markets", "markets[].yes_bid_dollars", Kind.KEY_MISSING, Severity.BREAKING, "there", "gone")


class Received(list[dict[str, Any]]):
    """A list of alerts that a web hook received. Whenever an alert arrives, the list calls ``on_receipt``."""

    def __init__(self) -> None:
        super().__init__()
        self.on_receipt: Callable[[], object] = lambda: None

    def append(self, body: dict[str, Any]) -> None:
        super().append(body)
        self.on_receipt()


@contextmanager
def daemon(folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Run ``dagster-daemon run`` as a service does; the daemon and its children form one process group."""
    command = [str(Path(sys.executable).with_name("dagster-daemon")), "run", "-m", "kalshi_pipelines"]
    with (folder / "daemon.log").open("ab") as log:
        child = subprocess.Popen(
            command,
            cwd=folder,
            env=os.environ | {"DAGSTER_HOME": str(folder)},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield child
    finally:
        kill(child)


def kill(child: "subprocess.Popen[bytes]") -> None:
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    child.wait()


def wait_for(what: Callable[[], bool], folder: Path) -> None:
    ends_at = time.monotonic() + PATIENCE_SECONDS
    while not what():
        assert time.monotonic() < ends_at, (folder / "daemon.log").read_text()[-5_000:]
        time.sleep(0.2)


def runs(engine: sa.Engine, since_us: int) -> list[str]:
    columns = contract_runs.c
    with engine.connect() as connection:
        return list(connection.scalars(sa.select(columns.status).where(columns.started_us >= since_us)))


def let_a_day_pass(engine: sa.Engine, folder: Path) -> None:
    """Move all stored times a day back, and delete what Dagster stored about its sensors."""
    with engine.begin() as connection:
        of_runs = contract_runs.c
        earlier = {"started_us": of_runs.started_us - DAY_US, "finished_us": of_runs.finished_us - DAY_US}
        connection.execute(sa.update(contract_runs).values(earlier))
        claimed = alert_deliveries.c.claimed_us - CLAIM_TIME_OUT_US - 1_000_000
        assert connection.execute(sa.update(alert_deliveries).values(claimed_us=claimed)).rowcount == 1
    shutil.rmtree(folder / ".dagster" / "schedules")


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    with webhook_receiver() as webhook:
        webhook.received = Received()
        yield webhook


def test_daemon_killed_after_sending_an_alert_repeats_it_once_and_catches_up(
    sqlite_engine: sa.Engine,
    frozen_sandbox: SandboxProcess,
    webhook: Webhook,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shutil.copy(CHECKOUT / "dagster.yaml", tmp_path)
    variables = {
        "KALSHI_WAREHOUSE_URL": f"sqlite:///{sqlite_engine.url.database}",
        "KALSHI_SANDBOX_URL": frozen_sandbox.url,
        "KALSHI_ALERT_URLS": webhook.url,
        "PYTHONWARNINGS": "ignore",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("KALSHI_RUN_LIVE_API", raising=False)
    began_us = now_us()
    run = store.begin_run(sqlite_engine, "sandbox", RunSource.PROBES, began_us)
    result = store.EndpointResult("GET /markets", CheckResult(CheckOutcome.CHECKED, (BROKEN,), None))
    store.record(sqlite_engine, run, [result], began_us)

    received: Any = webhook.received

    def alerts_with(words: str) -> list[str]:
        return [text for body in received if words in (text := f"{body['title']}\n{body['message']}")]

    with daemon(tmp_path) as first:
        received.on_receipt = lambda: os.killpg(first.pid, signal.SIGKILL)
        wait_for(lambda: first.poll() is not None, tmp_path)
    assert first.returncode == -signal.SIGKILL
    assert len(received) == 1
    assert runs(sqlite_engine, began_us) == ["succeeded"]  # a second run is not due yet

    def has_caught_up() -> bool:
        is_overdue = bool(alerts_with("No contract run of sandbox for 24 hours"))
        is_repeated = len(alerts_with("yes_bid_dollars")) == 2
        return is_overdue and is_repeated and runs(sqlite_engine, began_us) == ["succeeded"]

    received.on_receipt = lambda: None
    let_a_day_pass(sqlite_engine, tmp_path)
    with daemon(tmp_path):
        wait_for(has_caught_up, tmp_path)
    assert ["may be a repeat" in text for text in alerts_with("yes_bid_dollars")] == [False, True]
    assert len(alerts_with("No contract run of sandbox")) == 1
