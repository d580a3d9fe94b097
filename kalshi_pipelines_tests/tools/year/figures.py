"""Figures and bars of a simulated year, from its lines of days.

Belongs here: the bars, the extrapolation to the size of the exchange, and the text for people. Does not belong here:
measuring (``driver``, ``sizes``).
"""

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

#: The simulated exchange has 1/100 of the real exchange's markets.
SCALE: Final = 100
#: Size of the real exchange: live markets, and markets that settle per day.
LIVE_MARKETS, SETTLING_A_DAY = 190_000, 75_000
MOST_GROWTH_A_MONTH: Final = 0.02
MOST_TIME_RATIO: Final = 1.2
MOST_EXTRA_FILES: Final = 48
MOST_WAREHOUSE_BYTES, MOST_LAKE_BYTES = 3_000_000_000, 60_000_000_000
_MONTH: Final = 30
_SETTLED_IN: Final = 60
_NIGHTLY: Final = ("seconds", "cpu_seconds", "statements", "requests", "peak_mb", "written_mb")


def read_days(folder: Path) -> list[dict[str, Any]]:
    """Read the lines of all days. If a day was run twice, its last line counts."""
    days = {}
    for line in (folder / "days.jsonl").read_text().splitlines():
        day = json.loads(line)
        days[day["day"]] = day
    return [days[number] for number in sorted(days)]


def medians(days: Sequence[Mapping[str, Any]], wanted: range, kind: str = "nightly") -> dict[str, float]:
    """Return the median of each figure of a job's complete runs on the wanted days."""
    runs = [job for day in days if day["day"] in wanted for job in day["jobs"] if job["kind"] == kind]
    runs = [
        job for job in runs if job["status"] == 0 and "cpu_seconds" in job and isinstance(job.get("requests"), dict)
    ]
    return {
        name: statistics.median(sum(run[name].values()) if name == "requests" else run[name] for run in runs)
        for name in _NIGHTLY
        if runs
    }


def figures_of(
    folder: Path, early: range, late: range, verdict: Mapping[str, Any], counted_once: int
) -> dict[str, Any]:
    """Return all figures of a year: growth, times, files, bytes, extrapolation, and the judge's findings.

    Args:
        folder: Folder of the year.
        early: Days around day 30.
        late: The last days. Their nightly runs are compared with those of the early days.
        verdict: The judge's findings, as JSON.
        counted_once: Bytes of the warehouse that do not grow with the number of markets.
    """
    days = read_days(folder)
    last = days[-1]
    warehouse = {day["day"]: day["sizes"]["warehouse_bytes"] for day in days}
    growth = {
        f"{day} to {day + _MONTH}": round(warehouse[day + _MONTH] / warehouse[day] - 1, 4)
        for day in range(_SETTLED_IN, len(days) - _MONTH + 1, _MONTH)
    }
    after = [day for day in days if day["day"] >= _SETTLED_IN]
    night = {when: medians(days, span) for when, span in (("early", early), ("late", late))}
    maintain = {when: medians(days, span, "maintain") for when, span in (("early", early), ("late", late))}
    ratios = {
        name: round(night["late"][name] / night["early"][name], 3) for name in night["late"] if night["early"][name]
    }
    return {
        "days": last["day"],
        "kills": last["kills"],
        "failures": _failures(days),
        "warehouse_mb": {day: round(size / 1e6, 2) for day, size in warehouse.items() if day % _MONTH == 0 or day < 3},
        "growth_a_month": growth,
        "mean_growth_a_month": _mean_growth(after),
        "nightly": night,
        "nightly_ratios": ratios,
        "maintain": maintain,
        "files_of": last["sizes"]["files_of"],
        "most_files_beyond_days": max(max(day["sizes"]["files_of"].values(), default=0) - day["day"] for day in days),
        "sizes": last["sizes"],
        "extrapolation": _extrapolate(days, counted_once),
        "verdict": verdict,
    }


def _mean_growth(days: Sequence[Mapping[str, Any]]) -> float | None:
    """Return the growth of the warehouse in 30 days by a straight line through all days, as a share of its mean."""
    if len(days) < _MONTH:
        return None
    numbers, sizes = [day["day"] for day in days], [day["sizes"]["warehouse_bytes"] for day in days]
    return round(statistics.linear_regression(numbers, sizes).slope * _MONTH / statistics.fmean(sizes), 5)


def _failures(days: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Count the runs that failed although nobody killed them, by job and error."""
    found: dict[str, int] = {}
    for day in days:
        for job in day["jobs"]:
            if job["status"] > 0:
                name = f"{job['kind']}: {job.get('error', '')[:160]}"
                found[name] = found.get(name, 0) + 1
    return found


def _extrapolate(days: Sequence[Mapping[str, Any]], counted_once: int) -> dict[str, Any]:
    last = days[-1]["sizes"]
    number = len(days)
    lake_year = last["lake_bytes"] * 365 / number
    warehouse = max(day["sizes"]["warehouse_bytes"] for day in days[-_MONTH:])
    return {
        "lake_bytes_per_live_market_and_day": round(last["lake_bytes"] / number / (LIVE_MARKETS / SCALE), 1),
        "lake_gb_a_year_of": {
            name: round(size * SCALE * 365 / number / 1e9, 2) for name, size in last["lake_bytes_of"].items()
        },
        "lake_gb_a_year": round(lake_year * SCALE / 1e9, 2),
        "warehouse_mb_counted_once": round(counted_once / 1e6, 2),
        "warehouse_gb": round(real_size(warehouse, counted_once) / 1e9, 3),
    }


def real_size(warehouse_bytes: int, counted_once: int) -> int:
    """Return the bytes of a warehouse at the size of the real exchange. Some bytes do not grow with the exchange."""
    return (warehouse_bytes - counted_once) * SCALE + counted_once


def broken_bars(figures: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each bar that the year did not keep."""
    broken = [
        f"The warehouse grew by {share:.1%} from day {span}; less than {MOST_GROWTH_A_MONTH:.0%} is the bar."
        for span, share in figures["growth_a_month"].items()
        if share >= MOST_GROWTH_A_MONTH
    ]
    ratios, extra = figures["nightly_ratios"], figures["most_files_beyond_days"]
    broken += [
        f"The {name} of a nightly run grew to {ratios[name]} times those of day 30; the bar is {MOST_TIME_RATIO}."
        for name in ("seconds", "cpu_seconds", "statements", "requests")
        if ratios.get(name, 0) > MOST_TIME_RATIO
    ]
    if extra > MOST_EXTRA_FILES:
        broken.append(f"A dataset had {extra} files more than days; the bar is {MOST_EXTRA_FILES}.")
    broken += [f"{count} rows: {fault}" for fault, count in figures["verdict"]["wrong"].items()]
    broken += [f"{count} runs failed: {name}" for name, count in figures["failures"].items()]
    extrapolation = figures["extrapolation"]
    if extrapolation["warehouse_gb"] * 1e9 > MOST_WAREHOUSE_BYTES:
        broken.append(f"At the real size, the warehouse has {extrapolation['warehouse_gb']} GB; the bar is 3 GB.")
    if extrapolation["lake_gb_a_year"] * 1e9 > MOST_LAKE_BYTES:
        broken.append(
            f"At the real size, the lake grows by {extrapolation['lake_gb_a_year']} GB a year; the bar is 60 GB."
        )
    return broken
