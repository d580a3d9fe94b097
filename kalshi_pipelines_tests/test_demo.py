"""``make demo`` and ``make dev`` report their results and are harmless in any shell."""

import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, suppress
from pathlib import Path

import psutil
import pytest

from kalshi_pipelines.demo import _dagster_environment, _dagster_folder
from kalshi_pipelines.settings import Settings
from kalshi_pipelines_tests.support.checkout import CHECKOUT

#: Starts a program as a shell without a terminal starts a background program, which then ignores Ctrl-C.
IN_THE_BACKGROUND = ("sh", "-c", "trap '' INT; exec \"$@\"", "sh")
ROOT = CHECKOUT


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("dagster.yaml", "workspace.yaml"):
        (tmp_path / name).write_text((ROOT / name).read_text())
    return tmp_path


def demo(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KALSHI_")}
    command = [sys.executable, "-m", "kalshi_pipelines.demo", "--markets", "200", *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment | variables, capture_output=True, text=True, timeout=200, check=False
    )


def test_demo_prints_counts_and_places_of_the_stored_data(folder: Path) -> None:
    finished = demo(folder)
    assert finished.returncode == 0, finished.stderr
    for part in (
        "series",
        "events",
        "markets",
        "orderbooks",
        "200 markets, 200 price snapshots",
        "news_articles",
        "make dev",
    ):
        assert part in finished.stdout
    with closing(sqlite3.connect(folder / "data" / "sandbox" / "warehouse.db")) as connection:
        ((stored,),) = connection.execute("SELECT count(*) FROM events").fetchall()
    written = re.search(r"^events +[\d,]+ +([\d,]+)", finished.stdout, re.MULTILINE)
    assert written is not None
    assert written[1] == f"{stored:,}"
    folders = [process.info["cwd"] or "" for process in psutil.process_iter(["cwd"])]
    assert [each for each in folders if Path(each).is_relative_to(folder)] == []


def test_the_demo_in_a_shell_set_up_for_production_touches_nothing_real(folder: Path) -> None:
    finished = demo(
        folder,
        KALSHI_ENVIRONMENT="prod",
        KALSHI_WAREHOUSE_URL=f"sqlite:///{folder / 'real.db'}",
        KALSHI_LAKE_DIR=str(folder / "real-lake"),
        KALSHI_LAKE_URL=(folder / "real-lake").as_uri(),
        KALSHI_ADOPT_DATABASE=str(folder / "real-research.db"),
        KALSHI_API_KEY_ID="00000000-0000-4000-8000-000000000001",
        KALSHI_PRIVATE_KEY_FILE=str(folder / "no-such-key.pem"),
        KALSHI_NEWS_FEEDS="http://127.0.0.1:9/a-real-feed",
        EXA_API_KEY="a-real-key",
    )
    assert finished.returncode == 0, finished.stderr
    assert not (folder / "real.db").exists()
    assert not (folder / "real-lake").exists()
    assert "a-real-feed" not in (folder / "data" / "sandbox" / "nightly.log").read_text()
    with sqlite3.connect(folder / "data" / "sandbox" / "warehouse.db") as connection:
        assert connection.execute("SELECT DISTINCT environment FROM ingest_runs").fetchall() == [("sandbox",)]
    connection.close()


def test_demo_ignores_a_live_env_file_in_the_current_folder(folder: Path) -> None:
    lines = {
        "KALSHI_ENVIRONMENT": "prod",
        "KALSHI_DATA_DIR": folder / "real",
        "KALSHI_WAREHOUSE_URL": f"sqlite:///{folder / 'real.db'}",
        "KALSHI_JOURNAL_URL": f"sqlite:///{folder / 'real-journal.db'}",
        "KALSHI_TRADE_MODE": "live",
        "KALSHI_TRADE_URL": "http://127.0.0.1:9",
        "KALSHI_TRADE_KILL": "1",
    }
    (folder / ".env").write_text("".join(f"{name}={value}\n" for name, value in lines.items()))
    finished = demo(folder)
    assert finished.returncode == 0, finished.stderr
    assert not any(path.name.startswith("real") for path in folder.iterdir())
    assert (folder / "data" / "sandbox" / "warehouse.db").exists()


def test_demo_gives_dagster_neither_trading_variables_nor_an_env_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    (folder / ".env").write_text("KALSHI_TRADE_MODE=live\n")
    monkeypatch.setenv("KALSHI_TRADE_MODE", "live")
    monkeypatch.setenv("kalshi_trade_api_key_id", "00000000-0000-4000-8000-000000000001")
    settings = Settings(data_dir=Path("data"))
    runs_in = _dagster_folder(settings)
    environment = _dagster_environment(settings, "http://127.0.0.1:9", runs_in)
    assert [name for name in environment if name.upper().startswith("KALSHI_TRADE")] == []
    assert environment["KALSHI_DATA_DIR"] == str(folder / "data")
    assert not (runs_in / ".env").exists()
    assert runs_in.is_relative_to(folder / ".dagster")


def test_folder_that_cannot_be_written_is_a_readable_error(folder: Path) -> None:
    finished = demo(folder, KALSHI_DATA_DIR="/dev/null/data")
    assert finished.returncode == 1
    assert "KALSHI_DATA_DIR" in finished.stderr
    assert "Traceback" not in finished.stderr


def started_by(process: psutil.Process, program: str | None) -> list[psutil.Process]:
    """Return the descendants of a process. With ``program`` given, first wait until one of them runs this program."""
    deadline = time.monotonic() + 90
    while True:
        children = process.children(recursive=True)
        with suppress(psutil.NoSuchProcess):  # a child may end while it is examined
            if program is None or any(program in " ".join(child.cmdline()) for child in children):
                return children
        assert time.monotonic() < deadline, f"{program} was not started"
        time.sleep(0.2)


@pytest.mark.parametrize("program", [None, "dagster_webserver"], ids=["while starting", "when up"])
def test_terminated_ui_stops_every_process_it_started(folder: Path, program: str | None) -> None:
    with subprocess.Popen(
        [*IN_THE_BACKGROUND, sys.executable, "-m", "kalshi_pipelines.demo", "--ui", "--markets", "50"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        assert any("Opening the Dagster UI" in line for line in process.stdout)
        started = started_by(psutil.Process(process.pid), program)
        process.send_signal(signal.SIGTERM)
        _, alive = psutil.wait_procs([psutil.Process(process.pid), *started], timeout=60)
        for left in alive:
            left.kill()
    assert alive == []
