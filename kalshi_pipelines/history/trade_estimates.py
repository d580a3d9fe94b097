"""How many trades and requests a day will need: from days near it that were read, or from a few probes.

A probe is one request: a page of a short window. The number of trades of a day is unknown until the day is read, so
every number here is an estimate.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import pyarrow.compute as pc

from kalshi_pipelines.history.inputs import HistoryInputs
from kalshi_pipelines.history.partitions import partitions_of
from kalshi_pipelines.history.sides import BOTH, LIVE, divided_by_side
from kalshi_pipelines.history.trade_columns import trade_rows
from kalshi_pipelines.history.windows import WANTED_ROWS, TimeWindow, day_window
from kalshi_pipelines.lake.datasets import PUBLIC_TRADES
from kalshi_pipelines.units import DAY_US, MINUTE_US, SECOND_US, microseconds

_PAGE_ROWS: Final = 1_000
#: A day that was read tells the number of trades of days that are at most this far from it.
_NEAR: Final = dt.timedelta(days=14)
_MOST_PROBED_DAYS: Final = 8
#: Times of a probed day, in parts of the day, and the length of each probe.
_PROBED_AT: Final = (0.1, 0.5, 0.8)
_PROBE_US: Final = 10 * MINUTE_US
_LEAST_WINDOWS: Final = 24


@dataclass(frozen=True)
class DayEstimate:
    """The expected size of a day: rows of the lake, and requests to the exchange."""

    rows: int
    requests: int


def estimate_trades(inputs: HistoryInputs, days: Sequence[dt.date]) -> dict[dt.date, DayEstimate]:
    """Return the expected numbers of trades and requests of each day."""
    if not days:
        return {}
    cutoff_us = microseconds(inputs.client.historical_cutoff().trades_created_ts)
    known = {each.day: each.rows for each in partitions_of(inputs.engine, PUBLIC_TRADES.name) if each.read_until_us}
    unknown = [day for day in sorted(days) if not any(abs(day - other) <= _NEAR for other in known)]
    step = max(-(-len(unknown) // _MOST_PROBED_DAYS), 1)
    for day in unknown[step // 2 :: step] or unknown[:1]:
        known[day] = _probed(inputs, day, cutoff_us)
    return {day: _estimate(day, known[min(known, key=lambda other: abs(other - day))], cutoff_us) for day in days}


def _estimate(day: dt.date, rows: int, cutoff_us: int) -> DayEstimate:
    windows = max(_LEAST_WINDOWS, rows // WANTED_ROWS)
    sources = [source for _, source in divided_by_side(day_window(day, PUBLIC_TRADES.zone), cutoff_us)]
    # The share of the day that both sides serve is not worth a closer look.
    return DayEstimate(rows, (rows // _PAGE_ROWS + windows) * (2 if BOTH in sources else 1))


def _probed(inputs: HistoryInputs, day: dt.date, cutoff_us: int) -> int:
    whole = day_window(day, PUBLIC_TRADES.zone)
    starts = [int(whole.start_us + part * whole.width_us) // SECOND_US * SECOND_US for part in _PROBED_AT]
    densities = [_density(inputs, TimeWindow(start, start + _PROBE_US), cutoff_us) for start in starts]
    return round(sum(densities) / len(densities) * DAY_US)


def _density(inputs: HistoryInputs, window: TimeWindow, cutoff_us: int) -> float:
    """Return the trades per microsecond of a window, from its newest page."""
    history = inputs.client.history
    _, source = next(divided_by_side(window, cutoff_us))
    read = history.trade_pages if source == LIVE else history.historical_trade_pages
    pages = read(min_ts=window.start_us // SECOND_US, max_ts=window.end_us // SECOND_US, limit=_PAGE_ROWS)
    page = next(pages)
    pages.close()  # type: ignore[attr-defined]  # it is a generator, and its next page is not needed
    inputs.meter.count(rows=0)
    rows = trade_rows(page.raw_records).batch
    number: int = rows.num_rows
    if not page.cursor or not number:
        return number / window.width_us
    oldest = microseconds(pc.min(rows.column(PUBLIC_TRADES.time)).as_py())
    return number / max(window.end_us - oldest, 1)
