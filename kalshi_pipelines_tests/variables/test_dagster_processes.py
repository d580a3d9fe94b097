"""The shell beats ``.env`` in every real process of Dagster, as it does on the command line."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from kalshi_pipelines_tests.support.checkout import CHECKOUT

PROBE = CHECKOUT / "kalshi_pipelines_tests" / "support" / "variables" / "dagster_probe.py"
DAGSTER = [sys.executable, str(Path(sys.executable).with_name("dagster"))]
LIVE = "KALSHI_TRADE_MODE=live\nKALSHI_TRADE_KILL=0\nKALSHI_TRADE_SESSION_ORDERS=7\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    (tmp_path / ".env").write_text(LIVE)
    return tmp_path


def _environment(folder: Path, **shell: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.upper().startswith("KALSHI")}
    places = {"DAGSTER_HOME": str(folder / "home"), "PROBE_FOLDER": str(folder), "PYTHONPATH": str(CHECKOUT)}
    return {**kept, **places, "DAGSTER_DISABLE_TELEMETRY": "1", **shell}


def _seen(folder: Path, who: str = "run") -> dict[str, Any]:
    seen: dict[str, Any] = json.loads((folder / f"{who}.json").read_text())
    return seen


def _execute(folder: Path, *command: str, job: str = "probe", **shell: str) -> dict[str, Any]:
    arguments = [*(command or DAGSTER), "job", "execute", "-f", str(PROBE), "-j", job]
    ended = subprocess.run(
        arguments,
        cwd=folder,
        env=_environment(folder, **shell),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (folder / "run.json").exists(), ended.stdout + ended.stderr
    return _seen(folder)


@pytest.mark.parametrize(
    ("shell", "seen"),
    [
        ({}, {"mode": "live", "killed": False, "orders": 7}),
        ({"KALSHI_TRADE_MODE": "", "KALSHI_TRADE_KILL": "1"}, {"mode": "dry_run", "killed": True, "orders": 7}),
        ({"KALSHI_TRADE_SESSION_ORDERS": "2"}, {"mode": "live", "killed": False, "orders": 2}),
    ],
)
def test_F78_shell_beats_the_env_file_in_a_job_of_dagster(
    folder: Path, shell: dict[str, str], seen: dict[str, Any]
) -> None:
    assert _execute(folder, **shell) == seen


def test_shell_beats_the_env_file_if_a_program_runs_dagster_s_command_line(folder: Path) -> None:
    command = (sys.executable, "-c", "from dagster._cli import main; main()")
    assert _execute(folder, *command, KALSHI_TRADE_MODE="dry_run")["mode"] == "dry_run"


def test_F78_shell_beats_the_env_file_in_a_step_process(folder: Path) -> None:
    seen = _execute(folder, job="probe_in_a_step_process", KALSHI_TRADE_MODE="dry_run", KALSHI_TRADE_KILL="1")
    assert (seen["mode"], seen["killed"]) == ("dry_run", True)


def test_F78_kill_in_the_env_file_counts_although_the_shell_is_clear(folder: Path) -> None:
    (folder / ".env").write_text(LIVE.replace("KILL=0", "KILL=stop"))
    assert _execute(folder, KALSHI_TRADE_KILL="0")["killed"]


@pytest.mark.parametrize(
    ("env_file", "shell", "problem"),
    [
        (LIVE + "KALSHI_TRADE_MODE=live\n", {}, "both set KALSHI_TRADE_MODE"),
        (LIVE, {"kalshi_trade_mode": "dry_run"}, "KALSHI_TRADE_MODE and kalshi_trade_mode are the same setting"),
    ],
)
def test_F79_dagster_refuses_settings_that_are_ambiguous(
    folder: Path, env_file: str, shell: dict[str, str], problem: str
) -> None:
    (folder / ".env").write_text(env_file)
    assert problem in _execute(folder, **shell)["problem"]


@contextmanager
def _dagster_dev(folder: Path, **shell: str) -> Iterator[None]:
    with (folder / "dev.log").open("wb") as log:
        dev = subprocess.Popen(
            [*DAGSTER, "dev", "-f", str(PROBE), "-p", "0"],
            cwd=folder,
            env=_environment(folder, **shell),
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            yield
        finally:
            os.killpg(dev.pid, signal.SIGTERM)
            try:
                dev.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(dev.pid, signal.SIGKILL)
                dev.wait(10)


@pytest.mark.timeout(180)
def test_F78_shell_beats_the_env_file_in_code_server_and_run_worker(folder: Path) -> None:
    with _dagster_dev(folder, KALSHI_TRADE_MODE="dry_run", KALSHI_TRADE_KILL="1"):
        ends = time.monotonic() + 120
        while not (folder / "run.json").exists() and time.monotonic() < ends:
            time.sleep(0.2)
        assert (folder / "run.json").exists(), (folder / "dev.log").read_text()
    assert _seen(folder, "code_server") == _seen(folder) == {"mode": "dry_run", "killed": True, "orders": 7}


@pytest.mark.timeout(120)
def test_F78_process_of_a_dagster_that_is_gone_opens_no_live_session(folder: Path) -> None:
    """The child looks like a step process of Dagster, and the process above it is no Dagster."""
    code = (
        "import os, sys; sys.path.insert(0, os.environ['PYTHONPATH']);"
        "from kalshi_pipelines_tests.support.variables.dagster_probe import write_what_is_seen;"
        "write_what_is_seen('run')"
    )
    orphan = folder / "dagster"
    orphan.write_text(code)
    ended = subprocess.run(
        [sys.executable, str(orphan), "api", "execute_run"],
        cwd=folder,
        env=_environment(folder, KALSHI_TRADE_MODE="live"),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert "KALSHI_TRADE_KILL, KALSHI_TRADE_MODE, KALSHI_TRADE_SESSION_ORDERS" in _seen(folder)["problem"]
    (folder / ".env").unlink()
    subprocess.run(
        [sys.executable, str(orphan), "api", "execute_run"], cwd=folder, env=_environment(folder), check=True
    )
    assert "problem" not in _seen(folder)
