"""Alerts are delivered by real processes. Parallel processes repeat no alert, and a killed process loses none."""

import signal
import subprocess
import sys

import pytest
import sqlalchemy as sa

from kalshi_pipelines.alerts.channels import AlertChannels
from kalshi_pipelines.alerts.delivery import deliver_pending
from kalshi_pipelines.alerts.messages import Message
from kalshi_pipelines.alerts.outbox import CLAIM_TIME_OUT_US, Alert, put
from kalshi_pipelines.settings import AlertSeverity
from kalshi_pipelines.units import now_us
from kalshi_pipelines.warehouse.engine import writing
from kalshi_pipelines_tests.support.alerts.receivers import Webhook

_KILLED_AFTER_SENDING = """
import os, signal, sys
from kalshi_pipelines.alerts import delivery, outbox
outbox.mark_sent = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
from kalshi_pipelines.alerts.__main__ import main
sys.exit(main(["deliver"]))
"""
_DELIVERER = "import sys; from kalshi_pipelines.alerts.__main__ import main; sys.exit(main(['deliver']))"


def put_alerts(engine: sa.Engine, count: int) -> None:
    with writing(engine) as connection:
        for number in range(count):
            alert = Alert(f"{number}", "summary", AlertSeverity.BREAKING, Message(f"Alert {number}", "Body"))
            put(connection, alert, now_us())


@pytest.fixture
def variables(engine: sa.Engine, webhook: Webhook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KALSHI_WAREHOUSE_URL", engine.url.render_as_string(hide_password=False))
    monkeypatch.setenv("KALSHI_ALERT_URLS", webhook.url)


def deliverer(code: str = _DELIVERER) -> "subprocess.Popen[str]":
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.usefixtures("variables")
def test_four_parallel_deliveries_send_each_alert_once(engine: sa.Engine, webhook: Webhook) -> None:
    put_alerts(engine, 3)
    deliverers = [deliverer() for _ in range(4)]
    outputs = [process.communicate(timeout=120) for process in deliverers]
    assert [process.returncode for process in deliverers] == [0] * 4, outputs
    assert webhook.titles == ["Alert 0 (and 2 more)"]


@pytest.mark.usefixtures("variables")
def test_alert_whose_process_was_killed_after_sending_is_repeated_with_a_note(
    engine: sa.Engine, webhook: Webhook
) -> None:
    put_alerts(engine, 1)
    killed = deliverer(_KILLED_AFTER_SENDING)
    _, errors = killed.communicate(timeout=120)
    assert killed.returncode == -signal.SIGKILL, errors
    assert webhook.titles == ["Alert 0"]
    channels = AlertChannels.from_urls([webhook.url])
    assert deliver_pending(engine, channels).sent == 0
    for later in (CLAIM_TIME_OUT_US + 60_000_000, 10 * CLAIM_TIME_OUT_US):
        deliver_pending(engine, channels, clock=lambda later=later: now_us() + later)  # type: ignore[misc]
    assert webhook.titles == ["Alert 0"] * 2
    assert "may be a repeat" in webhook.texts[1]


def alerts_command(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "kalshi_pipelines.alerts", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_test_command_prints_the_result_of_each_channel(webhook: Webhook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KALSHI_ALERT_URLS", f"{webhook.url}, json://127.0.0.1:1/secretpath")
    tested = alerts_command("test")
    assert tested.returncode == 1
    works, fails = tested.stdout.splitlines()
    assert works.startswith("json-")
    assert works.endswith(": sent")
    assert ": failed: " in fails
    assert "secretpath" not in tested.stdout + tested.stderr
    assert webhook.titles == ["Test message of kalshi_pipelines (sandbox)"]


@pytest.mark.parametrize("command", ["test", "deliver"])
def test_without_a_channel_the_command_names_the_setting(command: str) -> None:
    finished = alerts_command(command)
    assert (finished.returncode, finished.stdout) == (2, "")
    assert "KALSHI_ALERT_URLS" in finished.stderr


def test_address_that_cannot_be_used_is_a_readable_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KALSHI_ALERT_URLS", "gopher://secret")
    finished = alerts_command("test")
    assert finished.returncode == 2
    assert len(finished.stderr.splitlines()) == 1
    assert "secret" not in finished.stderr


@pytest.mark.usefixtures("variables")
def test_list_shows_the_state_of_alerts(engine: sa.Engine) -> None:
    assert alerts_command("list").stdout == "There are no alerts yet.\n"
    put_alerts(engine, 1)
    assert alerts_command("deliver").stdout == "1 sent, 0 waiting\n"
    (line,) = alerts_command("list").stdout.splitlines()
    assert line.split()[-3:] == ["sent", "Alert", "0"]
