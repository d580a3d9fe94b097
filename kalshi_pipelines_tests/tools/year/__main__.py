"""``python -m kalshi_pipelines_tests.tools.year``: run a simulated year, judge it, and print its figures and bars.

A year that was interrupted continues if its folder is named again.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from kalshi_pipelines_tests.tools.year import clock

clock.install()

from kalshi_pipelines_tests.tools.year import sizes  # noqa: E402  (the clock must be replaced first)
from kalshi_pipelines_tests.tools.year.driver import Year, YearOptions  # noqa: E402
from kalshi_pipelines_tests.tools.year.figures import broken_bars, figures_of  # noqa: E402
from kalshi_pipelines_tests.tools.year.judge import judge, text_of  # noqa: E402

_FEWEST_DAYS_COMPARED: Final = 60


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a year, print its figures as JSON, and return 1 if a bar was not kept."""
    parser = argparse.ArgumentParser(prog="python -m kalshi_pipelines_tests.tools.year", description=__doc__)
    parser.add_argument("--days", type=int, default=365, help="number of days (default: 365)")
    parser.add_argument("--turnover", type=int, default=750, help="markets that settle per day (default: 750)")
    parser.add_argument("--snapshots", type=int, default=3, help="snapshots per day (default: 3)")
    parser.add_argument("--kills", type=float, default=0.08, help="share of jobs that are killed (default: 0.08)")
    parser.add_argument("--seed", type=int, default=7, help="seed of the exchange and of the kills")
    parser.add_argument("--folder", type=Path, help="folder of all files (default: a temporary folder)")
    parser.add_argument("--no-dagster", dest="dagster", action="store_false", help="run no job through Dagster")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        return run(asked, asked.folder or Path(temporary))


def run(asked: argparse.Namespace, folder: Path) -> int:
    """Run a year in a folder, write ``result.json`` there, and print it."""
    folder.mkdir(parents=True, exist_ok=True)
    early, late = measured_days(asked.days)
    dagster_days = tuple(max(1, asked.days * part // 8) for part in (1, 4, 7)) if asked.dagster else ()
    began = time.monotonic()
    Year(
        YearOptions(
            folder=folder,
            days=asked.days,
            turnover=asked.turnover,
            snapshots=asked.snapshots,
            seed=asked.seed,
            kill_share=asked.kills,
            dagster_days=dagster_days,
            measured_days=(early, late),
        )
    ).run()
    verdict = text_of(judge(folder))
    tables = sizes.measure(folder / "data" / "sandbox", tables=True)
    figures = figures_of(folder, early, late, verdict, tables["bytes_counted_once"])
    figures["tables"] = tables
    figures["findings"] = sizes.findings(folder / "data" / "sandbox")
    figures["tool_seconds"] = round(time.monotonic() - began)
    figures["broken"] = broken_bars(figures)
    (folder / "result.json").write_text(json.dumps(figures, indent=1, default=repr))
    print(json.dumps(figures, indent=1, default=repr))
    for line in figures["broken"]:
        print(f"BROKEN: {line}")
    return 1 if figures["broken"] else 0


def measured_days(days: int) -> tuple[range, range]:
    """Return the days whose nightly runs are compared: around day 30, and the last ones. A short year compares none."""
    return (range(26, 35), range(days - 8, days + 1)) if days >= _FEWEST_DAYS_COMPARED else (range(0), range(0))


if __name__ == "__main__":
    sys.exit(main())
