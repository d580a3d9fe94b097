"""A read of each series' events, a seventh of the series a night. A killed run continues where it stopped."""

from collections.abc import Callable, Sequence
from typing import Final

import sqlalchemy as sa

from kalshi_pipelines.bookkeeping.list_reads import StoredRead, save_reads, stored_read
from kalshi_pipelines.ingest.kinds import EVENTS
from kalshi_pipelines.ingest.sweeps.inputs import IngestInputs, happened_within
from kalshi_pipelines.kalshi import client
from kalshi_pipelines.kalshi.pagination import Page
from kalshi_pipelines.units import DAY_US, HOUR_US, SECOND_US
from kalshi_pipelines.warehouse.tables import series

NIGHTS: Final = 7
#: Events whose last market closed before this time were in an earlier read of their series.
_REACHES_BACK_US: Final = (NIGHTS + 1) * DAY_US
#: The shortest time between two slices, so that more frequent runs do not read more.
_BETWEEN_SLICES_US: Final = 20 * HOUR_US
#: The number of series after which the position is stored.
SAVED_EVERY: Final = 10
_LIST: Final = f"GET {client.EVENTS.path} by series"


class EventsBySeries:
    """The read of each series' events. Its position is in ``list_reads``."""

    def __init__(self, inputs: IngestInputs, run_id: int) -> None:
        self._inputs = inputs
        self._run_id = run_id

    def read_slice(self, store: Callable[[Page], None]) -> None:
        """Read the events of the next seventh of the series, unless the last slice was read within 20 hours."""
        before = stored_read(self._inputs.engine, _LIST)
        now = self._inputs.exchange_now_us()
        complete_us = None if before is None else before.complete_us
        if happened_within(complete_us, _BETWEEN_SLICES_US, now):
            return
        position = "" if before is None else before.position or ""
        tickers, is_last = self._next_tickers(position)
        closes_after = (now - _REACHES_BACK_US) // SECOND_US
        records = 0
        for number, ticker in enumerate(tickers, 1):
            for page in self._inputs.client.event_pages(series_ticker=ticker, min_close_ts=closes_after):
                records += len(page.raw_records)
                store(page)
            if number % SAVED_EVERY == 0:
                self._save(records, now, ticker, complete_us)
        self._save(records, now, "" if is_last or not tickers else tickers[-1], now)

    def _next_tickers(self, position: str) -> tuple[Sequence[str], bool]:
        columns = series.c
        with self._inputs.engine.connect() as connection:
            total = connection.scalar(sa.select(sa.func.count()).select_from(series)) or 0
            share = -(-total // NIGHTS)
            following = sa.select(columns.ticker).where(columns.ticker > position).order_by(columns.ticker)
            tickers = connection.scalars(following.limit(share + 1)).all()
        return tickers[:share], len(tickers) <= share

    def _save(self, records: int, now_us: int, position: str, complete_us: int | None) -> None:
        complete = None if complete_us is None else records
        read = StoredRead(_LIST, EVENTS.subject, records, now_us, None, complete, complete_us, position)
        save_reads(self._inputs.engine, [read], self._run_id)
