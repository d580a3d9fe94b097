"""Settled markets as a kind of history: a whole range is read at once, because the archive has no filter by time."""

import datetime as dt
from collections.abc import Sequence
from typing import Final

from kalshi_pipelines.history.inputs import DayRead, HistoryInputs
from kalshi_pipelines.history.partitions import partitions_of
from kalshi_pipelines.history.settled.backfill import SettledBackfill
from kalshi_pipelines.history.trade_estimates import DayEstimate
from kalshi_pipelines.kalshi.history import OVERLAP_US
from kalshi_pipelines.lake.datasets import SETTLED_MARKETS
from kalshi_pipelines.units import microseconds

#: Markets without combos that settled in a day of 2026, for an estimate of a day of which nothing is known.
USUAL_MARKETS: Final = 75_000
_PAGE_ROWS: Final = 1_000


def read_settled(inputs: HistoryInputs, first: dt.date, last: dt.date) -> list[DayRead]:
    """Read the markets that settled in a range of days, both included. See ``SettledBackfill.run`` for the errors."""
    return SettledBackfill(inputs, first, last, inputs.includes_combos).run()


def read_settled_day(inputs: HistoryInputs, day: dt.date) -> list[DayRead]:
    """Read the markets that settled on one day. A range of days costs hardly more than one day."""
    return read_settled(inputs, day, day)


def estimate_settled(inputs: HistoryInputs, days: Sequence[dt.date]) -> dict[dt.date, DayEstimate]:
    """Return the expected numbers of rows and requests of each day.

    The first day has the requests that the range needs in any case: one for each series, and the pages of all markets
    that settled after the range and are archived.
    """
    if not days:
        return {}
    first, last = min(days), max(days)
    cutoff_us = microseconds(inputs.client.historical_cutoff().market_settled_ts)
    known = {each.day: each.rows for each in partitions_of(inputs.engine, SETTLED_MARKETS.name) if each.read_us}
    usual = sum(known.values()) // len(known) if known else USUAL_MARKETS
    pages = max(-(-usual // _PAGE_ROWS), 1)
    sizes = {day: DayEstimate(known.get(day, usual), pages) for day in days}
    if SETTLED_MARKETS.bounds_of(first)[0] < cutoff_us + OVERLAP_US:
        later = max((SETTLED_MARKETS.day_of(cutoff_us) - last).days, 0)
        backfill = SettledBackfill(inputs, first, last, inputs.includes_combos)
        requests = len(backfill.series()) + pages * (later + 1)
        sizes[first] = DayEstimate(sizes[first].rows, requests)
    return sizes
