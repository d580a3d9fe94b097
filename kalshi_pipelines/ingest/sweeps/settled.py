"""Settled markets: from which instant they are read, and how far the stored settlements reach."""

from collections.abc import Iterator
from typing import Final

import sqlalchemy as sa

from kalshi_pipelines.bookkeeping.runs import IngestRun
from kalshi_pipelines.ingest.sweeps.inputs import IngestInputs
from kalshi_pipelines.ingest.sweeps.market_states import market_states
from kalshi_pipelines.kalshi.history import pages_of_both_sides
from kalshi_pipelines.kalshi.pagination import Page
from kalshi_pipelines.units import DAY_US, HOUR_US, SECOND_US
from kalshi_pipelines.warehouse.engine import writing
from kalshi_pipelines.warehouse.tables import markets, watermarks

_WATERMARK: Final = "markets.settlement_time"
_OVERLAP_US: Final = DAY_US


def settled_since(inputs: IngestInputs) -> int | None:
    """Return the instant from which to read settled markets, in microseconds since 1970 UTC; None to read all."""
    is_read = ~markets.c.is_placeholder
    with inputs.engine.connect() as connection:
        mark = connection.scalar(sa.select(watermarks.c.position_us).where(watermarks.c.name == _WATERMARK))
        if mark is not None:
            return int(mark) - _OVERLAP_US
        if inputs.settled_lookback_hours is None:
            return None
        # Any stored market may have settled since it was first seen. So the first sweep reaches back at least to the
        # time when the oldest market was first seen. Markets known only from an adopted database are ignored.
        now = inputs.exchange_now_us()
        oldest = connection.scalar(sa.select(sa.func.min(markets.c.first_seen_us)).where(is_read)) or now
    return min(int(oldest), now - inputs.settled_lookback_hours * HOUR_US)


def settled_pages(inputs: IngestInputs, since_us: int | None, cutoff_us: int) -> Iterator[Page]:
    """Return the pages of markets that settled since an instant, archived markets included.

    Without an instant, only the live endpoint is read: the archive is as long as the exchange is old.
    """
    live = inputs.client.market_pages(
        status="settled",
        mve_filter=None if inputs.include_combos else "exclude",
        min_settled_ts=None if since_us is None else since_us // SECOND_US,
    )
    if since_us is None:
        return live
    return pages_of_both_sides(live, lambda: _archived(inputs, since_us), oldest_us=since_us, cutoff_us=cutoff_us)


def _archived(inputs: IngestInputs, since_us: int) -> Iterator[Page]:
    """Yield the pages of archived markets, up to the first page that is wholly older than ``since_us``.

    The archive has no filter by time, but it lists the newest settlement first (September 2026).
    """
    for page in inputs.client.historical_market_pages(mve_filter=None if inputs.include_combos else "exclude"):
        yield page
        settled = [state.settled_us for state in market_states(page.raw_records) if state.settled_us is not None]
        if settled and max(settled) < since_us:
            return


def advance_watermark(run: IngestRun, until_us: int) -> None:
    """Set the watermark to the newest stored settlement, but never back.

    Settlements later than ``until_us``, the beginning of the sweep by the exchange's clock, do not count. Settled
    markets leave the warehouse after some weeks, so the newest stored settlement can be older than the watermark.
    """
    settled = markets.c.settlement_time_us
    with writing(run.engine) as connection:
        newest = connection.scalar(sa.select(sa.func.max(settled)).where(settled.is_not(None), settled <= until_us))
        mark = watermarks.c.name == _WATERMARK
        before = connection.scalar(sa.select(watermarks.c.position_us).where(mark))
        if newest is None or (before is not None and newest <= before):
            return
        values = {"position_us": newest, "ingest_run_id": run.run_id}
        if before is None:
            connection.execute(sa.insert(watermarks), {"name": _WATERMARK, **values})
        else:
            connection.execute(sa.update(watermarks).where(mark).values(values))
