"""``make demo`` and ``make dev``: the whole pipeline on a sandbox exchange, offline and without an account.

The demo starts a sandbox, runs Dagster as a user would, stops every process that it started, and prints a summary.
It ignores every variable that leads to real data or to a trade key, and reads no ``.env`` file.
"""

import argparse
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import IO, Final

import sqlalchemy as sa

from kalshi_pipelines.errors import ExpectedError
from kalshi_pipelines.sandbox.process import SandboxOptions, running_sandbox
from kalshi_pipelines.settings import Environment, Settings
from kalshi_pipelines.units import SECOND_US, now_us
from kalshi_pipelines.variables.spelling import setting_of
from kalshi_pipelines.warehouse.engine import make_writable_folder, open_engine, place_of
from kalshi_pipelines.warehouse.tables import (
    SUBJECTS,
    ingest_runs,
    markets,
    news_articles,
    orderbooks,
    price_snapshots,
    settlements,
)

_LOG_LINES_SHOWN: Final = 15
_LEADS_TO_REAL_DATA: Final = (
    "KALSHI_ADOPT_DATABASE",
    "KALSHI_WAREHOUSE_URL",
    "KALSHI_JOURNAL_URL",
    "KALSHI_JOURNAL_ANCHORS",
    "KALSHI_LAKE_DIR",
    "KALSHI_LAKE_URL",
    "KALSHI_API_KEY_ID",
    "KALSHI_PRIVATE_KEY_FILE",
    "KALSHI_NEWS_FEEDS",
    "KALSHI_NEWS_FETCH_ARTICLES",
    "EXA_API_KEY",
)
#: Prefix of the trading settings. The demo does not pass them on, because their API key belongs to another exchange.
_TRADES: Final = "KALSHI_TRADE_"
_UI_PORT: Final = 3000
#: Dagster's settings in a checkout of this project.
_INSTANCE: Final = Path("dagster.yaml")


def main() -> int:
    """Run one nightly job on a sandbox exchange or, with ``--ui``, the Dagster UI and daemon."""
    parser = argparse.ArgumentParser(prog="python -m kalshi_pipelines.demo", description=main.__doc__)
    parser.add_argument("--ui", action="store_true", help="run the Dagster UI and daemon instead of one nightly job")
    parser.add_argument(
        "--markets", type=int, help="number of markets of the sandbox exchange (default: KALSHI_SANDBOX_MARKETS)"
    )
    arguments = parser.parse_args()
    try:
        settings = _demo_settings()
        make_writable_folder(settings.data_dir / settings.environment, "KALSHI_DATA_DIR")
        options = SandboxOptions(markets=arguments.markets or settings.sandbox_markets, seed=settings.sandbox_seed)
        print(f"Starting a sandbox exchange with {options.markets:,} markets ...", flush=True)
        with running_sandbox(options) as sandbox:
            folder = _dagster_folder(settings)
            environment = _dagster_environment(settings, sandbox.url, folder)
            return _open_ui(environment, folder) if arguments.ui else _run_nightly(settings, environment, folder)
    except ExpectedError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _demo_settings() -> Settings:
    """Return the present settings, except those that lead to real data.

    A person may start the demo in a shell whose environment variables name a real database or account.
    """
    real = {variable.removeprefix("KALSHI_").lower(): None for variable in _LEADS_TO_REAL_DATA}
    return Settings.from_environment().model_copy(update={"environment": Environment.SANDBOX, **real})


def _dagster_folder(settings: Settings) -> Path:
    """Return the folder in which the demo runs Dagster.

    Dagster reads the ``.env`` file of the current folder. A person's file may name an account and a trade key, so the
    demo runs Dagster in a folder without such a file.
    """
    is_checkout = _INSTANCE.exists()
    folder = Path.cwd() / ".dagster" / "demo" if is_checkout else settings.environment_dir.absolute() / "dagster"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _dagster_environment(settings: Settings, sandbox_url: str, folder: Path) -> Mapping[str, str]:
    inherited = {
        name: value
        for name, value in os.environ.items()
        if (meant := setting_of(name) or name) not in _LEADS_TO_REAL_DATA and not meant.startswith(_TRADES)
    }
    return inherited | {
        "KALSHI_DATA_DIR": str(settings.data_dir.absolute()),
        "KALSHI_ENVIRONMENT": settings.environment.value,
        "KALSHI_SANDBOX_URL": sandbox_url,
        **_dagster_home(folder),
        # Warnings are hidden, because the `dagster` command warns at each start that `dg` will replace `dagster`.
        "PYTHONWARNINGS": "ignore",
    }


def _dagster_home(folder: Path) -> Mapping[str, str]:
    """Return a DAGSTER_HOME with a copy of dagster.yaml, so that Dagster's own files stay in one hidden folder."""
    if "DAGSTER_HOME" in os.environ or not _INSTANCE.exists():
        return {}
    (folder / _INSTANCE.name).write_text(_INSTANCE.read_text())
    return {"DAGSTER_HOME": str(folder)}


def _dagster(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "dagster", *arguments]


def _open_ui(environment: Mapping[str, str], folder: Path) -> int:
    port = _free_port(_UI_PORT)
    print(f"Opening the Dagster UI on http://127.0.0.1:{port} (stop it with Ctrl-C) ...", flush=True)
    command = _dagster("dev", "-m", "kalshi_pipelines", "--host", "127.0.0.1", "--port", str(port))
    return _run_to_its_end(command, environment, folder)


def _run_to_its_end(
    command: Sequence[str], environment: Mapping[str, str], folder: Path, output: IO[str] | None = None
) -> int:
    """Run a child process to its end in a folder. On SIGTERM, terminate the child and wait for its end."""
    asked_to_end = False
    child: subprocess.Popen[bytes] | None = None

    def tell_child(number: int, frame: FrameType | None) -> None:
        nonlocal asked_to_end
        asked_to_end = True
        if child is not None:
            child.terminate()

    before = signal.signal(signal.SIGTERM, tell_child)
    try:
        child = subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=output)  # noqa: S603
        if asked_to_end:
            child.terminate()
        try:
            return child.wait()
        except KeyboardInterrupt:  # Ctrl-C also reached the child process, which needs a moment to end.
            return child.wait()
    finally:
        signal.signal(signal.SIGTERM, before)


def _free_port(wanted: int) -> int:
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise OSError("No port on 127.0.0.1 is free for the Dagster UI. Close a program and try again.")


def _run_nightly(settings: Settings, environment: Mapping[str, str], folder: Path) -> int:
    log = settings.data_dir / settings.environment / "nightly.log"
    command = _dagster("job", "execute", "-m", "kalshi_pipelines", "-j", "nightly")
    print(f"Running: dagster {' '.join(command[3:])}", flush=True)
    started, started_us = time.monotonic(), now_us()
    with log.open("w") as output:
        code = _run_to_its_end(command, environment, folder, output)
    if code:
        print(f"The run failed. The last lines of {log}:\n", file=sys.stderr)
        print("\n".join(log.read_text().splitlines()[-_LOG_LINES_SHOWN:]), file=sys.stderr)
        return code
    print(_summary(settings, log, started_us, time.monotonic() - started))
    return 0


def _summary(settings: Settings, log: Path, started_us: int, seconds: float) -> str:
    engine = open_engine(settings.resolved_warehouse_url)
    lines = ["", f"{'':<14}{'read':>10}{'written':>10}{'unchanged':>11}{'rejected':>10}{'seconds':>9}"]
    with engine.connect() as connection:
        for subject in (*SUBJECTS, "news_articles"):
            # The nightly job may read a subject twice: events that only a market names are read after the markets.
            runs = ingest_runs.c
            counts = (runs.records_read, runs.records_written, runs.records_unchanged, runs.records_rejected)
            run = connection.execute(
                sa.select(
                    *(sa.func.sum(count).label(count.name) for count in counts),
                    sa.func.sum(runs.finished_us - runs.started_us).label("took_us"),
                ).where(runs.subject == subject, runs.started_us >= started_us)
            ).one()
            took = run.took_us / SECOND_US
            lines.append(
                f"{subject:<14}{run.records_read:>10,}{run.records_written:>10,}{run.records_unchanged:>11,}"
                f"{run.records_rejected:>10,}{took:>9.1f}"
            )
        stored = {
            name: connection.scalar(sa.select(sa.func.count()).select_from(table))
            for name, table in (
                ("markets", markets),
                ("price snapshots", price_snapshots),
                ("orderbooks", orderbooks),
                ("settlements", settlements),
                ("articles", news_articles),
            )
        }
    engine.dispose()
    lines += [
        "",
        "Stored: " + ", ".join(f"{count:,} {name}" for name, count in stored.items()) + f" in {seconds:.0f} seconds.",
        "",
        f"  warehouse  {place_of(engine)}",
        f"  lake       {settings.resolved_lake_dir}",
        f"  run log    {log}",
        "",
        "Next: `make dev` opens the Dagster UI; docs/data.md shows how to read the data.",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # A shell without a terminal starts background programs with Ctrl-C ignored. Dagster would then ignore SIGTERM, too,
    # so Ctrl-C gets its usual handler back.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(main())
