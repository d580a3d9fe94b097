"""The sweep over series: changed series each night, all series once a week, and series that only an event names."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Final

import sqlalchemy as sa

from kalshi_pipelines.bookkeeping.list_reads import StoredRead, stored_read
from kalshi_pipelines.ingest.kinds import SERIES
from kalshi_pipelines.ingest.pages import store_page
from kalshi_pipelines.ingest.sweeps.completeness import OMITTED_SHARE, Completeness, ListRead
from kalshi_pipelines.ingest.sweeps.inputs import (
    IngestInputs,
    IngestResult,
    happened_within,
    open_checks,
    open_run,
    result_of,
)
from kalshi_pipelines.ingest.sweeps.market_states import TOLERANCE_US
from kalshi_pipelines.ingest.sweeps.met_keys import MetKeys
from kalshi_pipelines.kalshi import client
from kalshi_pipelines.kalshi.decoding import decode_records
from kalshi_pipelines.kalshi.errors import ApiError
from kalshi_pipelines.kalshi.pagination import Page
from kalshi_pipelines.kalshi.records import Series
from kalshi_pipelines.units import DAY_US, HOUR_US, SECOND_US, microseconds, now_us
from kalshi_pipelines.warehouse.bulk import wanted_keys
from kalshi_pipelines.warehouse.engine import writing
from kalshi_pipelines.warehouse.locks import AlreadyRunning
from kalshi_pipelines.warehouse.tables import series

#: All series are read if the last such read is older than this. 13,000 series are one answer of about 15 MB.
FULL_READ_EVERY_US: Final = 7 * DAY_US - 2 * HOUR_US
#: The largest number of series that one run asks for by ticker, one request each.
MOST_ASKED: Final = 100

_FULL: Final = f"GET {client.SERIES.path}"
_UPDATED: Final = "updated"
_OVERLAP_US: Final = HOUR_US
#: Statuses of answers about an unknown series. The documents promise 404; the sandbox answers 400.
_UNKNOWN: Final = (400, 404)


def ingest_series(inputs: IngestInputs) -> IngestResult:
    """Read the series that changed since the last run, or all series if the last full read is a week old."""
    unknown: dict[str, bytes] = {}
    met = MetKeys()
    with open_run(inputs, SERIES.subject) as run, open_checks(inputs, run, client.SERIES) as checks:
        # The answer is not used. This request measures the difference between the clocks.
        inputs.client.historical_cutoff()
        completeness = Completeness(inputs, SERIES.subject)
        full = stored_read(inputs.engine, _FULL)
        is_full = _is_full_read_due(inputs, full)
        for page in _pages(inputs, completeness, is_full=is_full):
            unknown |= store_page(run, SERIES, page, checks, met.add)
        if is_full:
            for page in _absent_pages(inputs, completeness, met):
                unknown |= store_page(run, SERIES, page, checks, met.add)
            _set_missing(inputs.engine, [ticker for ticker in _marked(inputs.engine) if ticker in met], None)
        for page in _named_pages(inputs, None):
            unknown |= store_page(run, SERIES, page, checks, met.add)
        problems = completeness.finish(run, checks)
    return result_of(run, checks, unknown, problems)


def ingest_named_series(inputs: IngestInputs) -> IngestResult | None:
    """Read the series that stored events name and that no list showed; None if there are none.

    A series that the last full read should have shown is a problem of that read.
    """
    if not _named(inputs.engine):
        return None
    unknown: dict[str, bytes] = {}
    # Another run may be reading series. It then reads the named series, too.
    with suppress(AlreadyRunning), open_run(inputs, SERIES.subject) as run:
        with open_checks(inputs, run, client.SERIES) as checks:
            completeness = Completeness(inputs, SERIES.subject)
            read = completeness.resume(client.SERIES, "")
            for page in _named_pages(inputs, read):
                unknown |= store_page(run, SERIES, page, checks)
            problems = completeness.finish(run, checks)
        return result_of(run, checks, unknown, problems)
    return None


def _is_full_read_due(inputs: IngestInputs, full: StoredRead | None) -> bool:
    if full is None or full.problem is not None:
        return True
    return not happened_within(full.complete_us, FULL_READ_EVERY_US, inputs.exchange_now_us())


def _pages(inputs: IngestInputs, completeness: Completeness, *, is_full: bool) -> Iterator[Page]:
    before = stored_read(inputs.engine, f"{_FULL} {_UPDATED}")
    updated = completeness.begin(client.SERIES, _UPDATED)
    if is_full:
        yield from completeness.begin(client.SERIES).follow(inputs.client.series_pages())
    elif before is not None and before.complete_us is not None:
        since = (min(before.complete_us, inputs.exchange_now_us()) - _OVERLAP_US) // SECOND_US
        yield from updated.follow(inputs.client.series_pages(min_updated_ts=since))


def _absent_pages(inputs: IngestInputs, completeness: Completeness, met: MetKeys) -> Iterator[Page]:
    """Ask for stored series that a full read did not show. The exchange never archives series."""
    read = completeness.list_of(client.SERIES, "")
    if read is None:
        return
    stored = sa.select(series.c.ticker).where(~series.c.is_placeholder, series.c.missing_since_us.is_(None))
    with inputs.engine.connect() as connection:
        absent = [ticker for ticker in connection.scalars(stored) if ticker not in met]
    for ticker in absent[:MOST_ASKED]:
        page = _ask(inputs, ticker)
        if page is None:
            _set_missing(inputs.engine, [ticker], now_us())
            continue
        _judge(inputs, read, page, ticker)
        yield page
    if len(absent) > MOST_ASKED + read.records * OMITTED_SHARE:
        read.unexplained = len(absent) - MOST_ASKED


def _named_pages(inputs: IngestInputs, read: ListRead | None) -> Iterator[Page]:
    for ticker in _named(inputs.engine)[:MOST_ASKED]:
        page = _ask(inputs, ticker)
        if page is None:
            _set_missing(inputs.engine, [ticker], now_us())
            continue
        if read is not None:
            _judge(inputs, read, page, ticker)
        yield page


def _ask(inputs: IngestInputs, ticker: str) -> Page | None:
    try:
        return inputs.client.series_page(ticker)
    except ApiError as error:
        if error.status not in _UNKNOWN:
            raise
        return None


def _judge(inputs: IngestInputs, read: ListRead, page: Page, ticker: str) -> None:
    for each in decode_records(Series, page.raw_records).records:
        updated = each.record.last_updated_ts
        updated_us = None if updated is None else microseconds(updated)
        now = inputs.exchange_now_us()
        if updated_us is None or not read.started_us - TOLERANCE_US <= updated_us <= now + TOLERANCE_US:
            read.add_omitted(ticker)


def _named(engine: sa.Engine) -> list[str]:
    named = sa.select(series.c.ticker).where(series.c.is_placeholder, series.c.missing_since_us.is_(None))
    with engine.connect() as connection:
        return list(connection.scalars(named.order_by(series.c.ticker)))


def _marked(engine: sa.Engine) -> list[str]:
    with engine.connect() as connection:
        return list(connection.scalars(sa.select(series.c.ticker).where(series.c.missing_since_us.is_not(None))))


def _set_missing(engine: sa.Engine, tickers: list[str], missing_since_us: int | None) -> None:
    if not tickers:
        return
    with writing(engine) as connection:
        wanted = wanted_keys(tickers, connection.dialect.name)
        which = series.c.ticker.in_(sa.select(wanted.c.value))
        connection.execute(sa.update(series).where(which).values(missing_since_us=missing_since_us))
