"""Run the benchmarks and print a table. Compare its ratios: absolute times vary with the machine and the hour."""

import argparse
import datetime as dt
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from kalshi_pipelines.sandbox.process import SandboxOptions, SandboxProcess, running_sandbox
from kalshi_pipelines_tests.tools.benchmarks.history import SPEED, lake_figures
from kalshi_pipelines_tests.tools.benchmarks.journal import admission
from kalshi_pipelines_tests.tools.benchmarks.news_flow import group_into_stories, seconds_per_stored_article
from kalshi_pipelines_tests.tools.benchmarks.work import Measured
from kalshi_pipelines_tests.tools.history_trial.server import Faults
from kalshi_pipelines_tests.tools.history_trial.tape import TapeOptions
from kalshi_pipelines_tests.tools.history_trial.trial import serving

SHARE_MOVED = 0.01
#: Capacity in tokens, and tokens refilled per second, of the basic usage level.
BASIC_CAPACITY, BASIC_REFILL_RATE = 600, 200


def measure(work: str, what: SandboxProcess | int | str | None = None, folder: Path | None = None) -> Measured:
    """Run one benchmark in a fresh process, with the URL of a sandbox or with a size, and return its figures."""
    command = [sys.executable, "-m", "kalshi_pipelines_tests.tools.benchmarks.work", work]
    command += [what.url if isinstance(what, SandboxProcess) else str(what or ""), str(folder or "")]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    if finished.returncode:
        raise SystemExit(f"{work} failed:\n{finished.stderr}")
    return Measured(**json.loads(finished.stdout.splitlines()[-1]))


def frozen(markets: int, tier: str = "unlimited") -> SandboxOptions:
    """Return options of a sandbox whose prices move only on request."""
    return SandboxOptions(markets=markets, seed=7, tick_seconds=0, tier=tier)


@dataclass
class Speeds:
    """Figures of one repetition: the minimal program and three ingests, right after one another."""

    minimal: Measured
    first: Measured
    second: Measured
    all_changed: Measured

    def ratios(self, unit: str) -> tuple[float, float, float]:
        """Return first to minimal, second to first and all changed to first, by ``seconds`` or by ``cpu``."""
        minimal, first, second, everything = (
            getattr(each, unit) for each in (self.minimal, self.first, self.second, self.all_changed)
        )
        return first / minimal, second / first, everything / first


def speed(markets: int, repeats: int) -> None:
    """Print a row of the table: three ingests compared with a minimal program, and the cost of contract checks."""
    measured = []
    with running_sandbox(frozen(markets)) as sandbox:
        with tempfile.TemporaryDirectory() as warm_up:
            measure("minimal", sandbox, Path(warm_up))  # The sandbox renders a market at its first request.
        for _ in range(repeats):
            with tempfile.TemporaryDirectory() as folder:
                minimal = measure("minimal", sandbox, Path(folder))
                measure("events", sandbox, Path(folder))
                first = measure("markets", sandbox, Path(folder))
                _change_prices(sandbox, SHARE_MOVED)
                second = measure("markets", sandbox, Path(folder))
                _change_prices(sandbox, 1.0)
                measure("minimal", sandbox, Path(folder))  # The sandbox renders the new prices.
                measured.append(Speeds(minimal, first, second, measure("markets", sandbox, Path(folder))))
        checks = _cost_of_checks(sandbox)
    best = min(measured, key=lambda each: each.first.seconds)
    seconds, cpu = (
        " ".join(
            f"{statistics.median(ratio):>6.2f}" for ratio in zip(*[each.ratios(unit) for each in measured], strict=True)
        )
        for unit in ("seconds", "cpu")
    )
    first, minimal = best.first, min((each.minimal for each in measured), key=lambda each: each.seconds)
    print(
        f"{first.rows:>9,} {minimal.rows / minimal.seconds:>12,.0f} {first.rows / first.seconds:>12,.0f}   "
        f"{seconds}   {cpu} {checks:>9.2f} {first.peak_mb:>9.0f}",
        flush=True,
    )


def _medians(ratios: Sequence[tuple[float, ...]]) -> str:
    return " ".join(f"{statistics.median(each):>6.2f}" for each in zip(*ratios, strict=True))


def _change_prices(sandbox: SandboxProcess, share: float) -> None:
    httpx.post(f"{sandbox.admin_url}/sandbox/prices", json={"fraction": share}, timeout=300).raise_for_status()


def _cost_of_checks(sandbox: SandboxProcess, pairs: int = 3) -> float:
    """Return the CPU time of the cheapest first ingest with contract checks, divided by the cheapest without them.

    CPU times are compared, because other processes of the machine lengthen the seconds of one run more than of another.
    """
    cpu: dict[str, list[float]] = {"markets_unchecked": [], "markets": []}
    for _ in range(pairs):
        for work, taken in cpu.items():
            with tempfile.TemporaryDirectory() as folder:
                measure("events", sandbox, Path(folder))
                taken.append(measure(work, sandbox, Path(folder)).cpu)
    return min(cpu["markets"]) / min(cpu["markets_unchecked"])


def memory(few: int, many: int) -> None:
    """Print the peak memory of an ingest at two sizes, and their ratio."""
    peaks = []
    for size in (few, many):
        with running_sandbox(frozen(size)) as sandbox, tempfile.TemporaryDirectory() as folder:
            peaks.append(measure("markets", sandbox, Path(folder)).peak_mb)
    print(
        f"peak memory: {peaks[0]:.0f} MB at {few:,} markets, {peaks[1]:.0f} MB at {many:,}: {peaks[1] / peaks[0]:.2f}"
    )


def budget(markets: int) -> None:
    """Print the share of a basic token budget that a full orderbook sweep uses, and its number of 429 responses."""
    with tempfile.TemporaryDirectory() as folder:
        with running_sandbox(frozen(markets)) as sandbox:
            measure("markets", sandbox, Path(folder))
        with running_sandbox(frozen(markets, "basic")) as sandbox:
            swept = measure("orderbooks", sandbox, Path(folder))
            requests = httpx.get(f"{sandbox.admin_url}/sandbox/requests", timeout=60).json()
    sweep = requests["endpoints"]["GET /markets/orderbooks"]
    first, last = (dt.datetime.fromisoformat(sweep[name]) for name in ("first_time", "last_time"))
    allowed = BASIC_CAPACITY + BASIC_REFILL_RATE * (last - first).total_seconds()
    print(
        f"orderbook sweep: {swept.rows:,} books, {sweep['tokens_charged']:,} of {allowed:,.0f} tokens "
        f"({sweep['tokens_charged'] / allowed:.0%}), {sweep['rate_limited']} responses with status 429"
    )


def orders(repeats: int) -> None:
    """Print the speed of in-process order round trips with a short and a long orderbook, and their ratio."""
    few, many = 200, 20_000
    short, long = [], []
    for _ in range(repeats):
        short.append(measure("orders", few))
        long.append(measure("orders", many))
    ratio = statistics.median(b.seconds / a.seconds for a, b in zip(short, long, strict=True))
    best = min(short, key=lambda each: each.seconds)
    print(
        f"sandbox orders in process: {best.rows / best.seconds:,.0f} round trips/s with {few} orders resting; "
        f"with {many:,} resting a round trip takes {ratio:.2f} times as long",
        flush=True,
    )


def bulk_writes(repeats: int) -> None:
    """Print the speed of overwriting markets in Postgres by COPY, compared with one upsert per row."""
    copies, upserts = [], []
    for _ in range(repeats):
        upserts.append(measure("postgres_executemany"))
        copies.append(measure("postgres_copy"))
    ratio = statistics.median(upsert.seconds / copy.seconds for upsert, copy in zip(upserts, copies, strict=True))
    copy, upsert = (min(each, key=lambda one: one.seconds) for each in (copies, upserts))
    print(
        f"Postgres, {copy.rows:,} markets overwritten: {upsert.rows / upsert.seconds:,.0f} rows/s by executemany, "
        f"{copy.rows / copy.seconds:,.0f} by COPY: {ratio:.1f} times"
    )


def adoption(few: int, many: int, repeats: int) -> None:
    """Print the peak memory of adopting old quotes, and the speed in comparison with one plain statement."""
    adopted: dict[int, list[Measured]] = {few: [], many: []}
    ratios, minimals = [], []
    for size in (few, many):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            measure("old_database", size, folder)
            for _ in range(repeats if size == many else 1):
                adopted[size].append(measure("adoption", size, folder))
                minimals.append(measure("minimal_adoption", size, folder))
                ratios.append(adopted[size][-1].seconds / minimals[-1].seconds)
                for database in (*folder.glob("warehouse.db*"), *folder.glob("minimal.db*")):
                    database.unlink()
    best = min(adopted[many], key=lambda each: each.seconds)
    minimal = min(minimals[1:], key=lambda each: each.seconds)
    small, large = adopted[few][0].peak_mb, best.peak_mb
    print(
        f"adoption of {best.rows:,} legacy price_snapshots: {best.rows / best.seconds:,.0f} rows/s, "
        f"plain INSERT ... SELECT {minimal.rows / minimal.seconds:,.0f} rows/s, "
        f"ratio {statistics.median(ratios[1:]):.2f}; "
        f"peak memory {small:.0f} MB at {few:,} rows, {large:.0f} MB at {many:,}: {large / small:.2f}",
        flush=True,
    )


def news(count: int) -> None:
    """Print the speed of grouping articles into stories, and how the full-text index slows the storing of articles."""
    grouped, seconds, precision, recall = group_into_stories(count)
    each = []
    for indexed in (False, True):
        with tempfile.TemporaryDirectory() as folder:
            each.append(seconds_per_stored_article(Path(folder), count, indexed=indexed))
    print(
        f"news: {grouped / seconds:,.0f} articles/s grouped into stories (precision {precision:.3f}, "
        f"recall {recall:.3f}); stored at {1 / each[0]:,.0f} articles/s without full-text index, "
        f"{1 / each[1]:,.0f} with it",
        flush=True,
    )


def history_speed(repeats: int) -> None:
    """Print the speed of reading a day of trades, next to that of the least work."""
    pairs = []
    with serving(SPEED, Faults()) as url:
        with tempfile.TemporaryDirectory() as warm_up:
            measure("history_floor", url, Path(warm_up))  # The server renders a trade at its first request.
        for _ in range(repeats):
            with tempfile.TemporaryDirectory() as folder:
                pairs.append([measure(work, url, Path(folder)) for work in ("history_floor", "history_ingest")])
    if any(floor.rows != ingest.rows for floor, ingest in pairs):
        raise SystemExit("The floor and the ingest read different numbers of trades.")
    floor, ingest = (min(each, key=lambda one: one.seconds) for each in zip(*pairs, strict=True))
    print(
        f"history: {ingest.rows:,} trades at {ingest.rows / ingest.seconds:,.0f} rows/s, floor "
        f"{floor.rows / floor.seconds:,.0f} rows/s; time to that of the floor "
        f"{statistics.median(ingest.seconds / floor.seconds for floor, ingest in pairs):.2f}, by processor "
        f"{statistics.median(ingest.cpu / floor.cpu for floor, ingest in pairs):.2f}",
        flush=True,
    )


def history_memory(days: int, trades_a_day: int) -> None:
    """Print the peak memory of reading one day and many days of trades, and their ratio."""
    peaks = []
    for number in (1, days):
        tape = TapeOptions(days=number, trades=number * trades_a_day)
        with serving(tape, Faults()) as url, tempfile.TemporaryDirectory() as folder:
            peaks.append(measure("history_range", f"{tape.days},{tape.trades},{url}", Path(folder)).peak_mb)
    print(
        f"history: peak memory {peaks[0]:.0f} MB for 1 day, {peaks[1]:.0f} MB for {days} days of {trades_a_day:,} "
        f"trades: {peaks[1] / peaks[0]:.2f}",
        flush=True,
    )


def history_lake(options: TapeOptions) -> None:
    """Print the bytes a trade, and the time of a query of one market and day next to that of a full scan."""
    with tempfile.TemporaryDirectory() as folder:
        found = lake_figures(Path(folder), options)
    print(
        f"history: {found.bytes_a_trade:.1f} bytes a trade, naive Parquet {found.naive_bytes_a_trade:.1f}: "
        f"{found.bytes_a_trade / found.naive_bytes_a_trade:.2f}; one market and day of {options.days} in "
        f"{found.query_seconds * 1000:.1f} ms, all {found.trades:,} trades in {found.scan_seconds * 1000:.0f} ms: "
        f"1/{found.scan_seconds / found.query_seconds:.0f}",
        flush=True,
    )


def main() -> None:
    """Run all benchmarks, or a small set with ``--quick``."""
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("--quick", action="store_true", help="run each benchmark once, at one small size")
    quick = parser.parse_args().quick
    print("markets + price_snapshots, from HTTP to committed SQLite rows; work.py describes the minimal program")
    print("checks: time of the first run with contract checks, divided by its time without them")
    print("first: time of the first run to the time of the minimal program")
    print("1 %, all: time of a later run, in which so many quotes changed, to the time of the first run")
    print(f"{'':>34}   {'by seconds':^20}   {'by processor':^20}")
    titles = f"{'first':>6} {'1 %':>6} {'all':>6}"
    print(f"{'markets':>9} {'minimal r/s':>12} {'first rows/s':>12}   {titles}   {titles} {'checks':>9} {'peak MB':>9}")
    for size in (10_000,) if quick else (10_000, 50_000, 100_000):
        speed(size, 1 if quick else 3)
    if not quick:
        memory(20_000, 200_000)
    budget(20_000 if quick else 50_000)
    adoption(*((10_000, 100_000) if quick else (100_000, 1_000_000)), repeats=1 if quick else 3)
    bulk_writes(1 if quick else 3)
    orders(1 if quick else 3)
    news(10_000 if quick else 50_000)
    history_speed(1 if quick else 3)
    history_memory(*((10, 5_000) if quick else (90, 20_000)))
    history_lake(TapeOptions(trades=500_000) if quick else TapeOptions())
    admission(*((3, 50_000) if quick else (15, 1_000_000)))


if __name__ == "__main__":
    main()
