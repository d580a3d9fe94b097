"""Snapshots every five minutes at the size of the exchange: seconds, CPU, memory and bytes of each run.

``python -m kalshi_pipelines_tests.tools.year.frequent --markets 150000 --runs 13`` simulates an hour. 80 % of the
markets are open. Of their quotes, 18 % move within five minutes.
"""

import argparse
import json
import os
import statistics
import tempfile
from pathlib import Path
from typing import Any, Final

from kalshi_pipelines_tests.tools.year import clock

clock.install()

import httpx  # noqa: E402  (the clock must be replaced first)

from kalshi_pipelines.units import HOUR_US, MINUTE_US  # noqa: E402
from kalshi_pipelines_tests.tools.year import sizes  # noqa: E402
from kalshi_pipelines_tests.tools.year.driver import BEGIN_US, migrate, running_exchange, set_environment  # noqa: E402
from kalshi_pipelines_tests.tools.year.jobs import run_job  # noqa: E402

EVERY_US: Final = 5 * MINUTE_US
_SHOWN: Final = (
    "seconds",
    "cpu_seconds",
    "statements",
    "peak_mb",
    "sql_written_mb",
    "lake_written_mb",
    "requests",
    "tokens",
    "lake_mb",
    "warehouse_mb",
)
_SUMMED: Final = ("seconds", "cpu_seconds", "sql_written_mb", "lake_written_mb")


def run_snapshots(folder: Path, markets: int, runs: int) -> list[dict[str, Any]]:
    """Run one nightly job, and then snapshots every five minutes. Return the measures of each run."""
    at_us = BEGIN_US + 6 * HOUR_US
    set_environment(folder)
    clock.set_simulated(folder / "clock", at_us)
    migrate(folder / "jobs.log")
    options = {"begin_us": BEGIN_US, "at_us": at_us, "markets": markets, "seed": 7, "usual_periods": True}
    found: list[dict[str, Any]] = []
    with running_exchange(options) as (url, admin_url), httpx.Client(base_url=admin_url, timeout=600) as http:
        os.environ["KALSHI_SANDBOX_URL"] = url
        for number in range(runs + 1):
            http.post("/year/clock", json={"to_us": at_us}).raise_for_status()
            clock.set_simulated(folder / "clock", at_us)
            http.delete("/sandbox/requests").raise_for_status()
            kind = "snapshot" if number else "nightly"
            before = _lake_files(folder)
            measures = _run(kind, folder)
            after = _lake_files(folder)
            rewritten = [size for path, (changed, size) in after.items() if before.get(path, (0, 0))[0] != changed]
            measures["lake_written_mb"] = round(sum(rewritten) / 1e6, 3)
            measures["sql_written_mb"] = round(measures["written_mb"] - measures["lake_written_mb"], 3)
            endpoints = http.get("/sandbox/requests").json()["endpoints"].values()
            measures["requests"] = sum(each["count"] for each in endpoints)
            measures["tokens"] = sum(each["tokens_charged"] for each in endpoints)
            size = sizes.measure(folder / "data" / "sandbox")
            measures["lake_mb"] = size["lake_bytes"] / 1e6
            measures["warehouse_mb"] = (size["warehouse_bytes"] + size["wal_bytes"]) / 1e6
            found.append({"kind": kind, "at_us": at_us, **measures})
            print(
                f"{kind} {number}: " + ", ".join(f"{name} {measures[name]}" for name in _SHOWN),
                flush=True,
            )
            at_us += EVERY_US
    return found


def _lake_files(folder: Path) -> dict[Path, tuple[int, int]]:
    """Return the last change and the size of each file of the lake."""
    files = (folder / "data" / "sandbox" / "lake").rglob("*.parquet")
    return {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in files}


def _run(kind: str, folder: Path) -> dict[str, Any]:
    result = folder / "result-0.json"
    child = os.fork()
    if child == 0:
        run_job(kind, result, folder / "jobs.log")
    _, status = os.waitpid(child, 0)
    measures: dict[str, Any] = json.loads(result.read_text())
    if status:
        raise SystemExit(f"{kind} failed: {measures['error']}")
    return measures


def main() -> None:
    """Run the snapshots, and print the median of each figure and its sum for a day of 288 runs."""
    parser = argparse.ArgumentParser(prog="python -m kalshi_pipelines_tests.tools.year.frequent", description=__doc__)
    parser.add_argument("--markets", type=int, default=150_000, help="number of markets, of which 80 %% are open")
    parser.add_argument("--runs", type=int, default=13, help="number of snapshots; the first one is not counted")
    parser.add_argument("--folder", type=Path, help="empty folder of all files (default: a temporary folder)")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        runs = run_snapshots(folder, asked.markets, asked.runs)[2:]
    summary = {name: round(statistics.median(run[name] for run in runs), 3) for name in _SHOWN}
    days = 288 / len(runs)
    sums = {name: round(sum(run[name] for run in runs) * days, 1) for name in _SUMMED}
    sums["lake_mb"] = round((runs[-1]["lake_mb"] - runs[0]["lake_mb"]) * 288 / max(1, len(runs) - 1), 1)
    print(json.dumps({"runs": len(runs), "median": summary, "a_day_of_288_runs": sums}))


if __name__ == "__main__":
    main()
