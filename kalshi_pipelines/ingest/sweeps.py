"""Sweeps over the exchange's lists: which lists are read, in which order, and how far back in time.

Each ingest is one ``IngestRun`` and stores page after page. The same lists can be ingested again at any time.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Final

import sqlalchemy as sa

from kalshi_pipelines.bookkeeping.quarantine import unresolved_keys
from kalshi_pipelines.bookkeeping.runs import Counts, IngestRun, Report, silent
from kalshi_pipelines.contracts.comparison.page_checks import PageChecks
from kalshi_pipelines.contracts.language.differences import Difference
from kalshi_pipelines.ingest.contract_checks import contract_checks
from kalshi_pipelines.ingest.kinds import EVENTS, MARKETS, ORDERBOOKS, SERIES
from kalshi_pipelines.ingest.pages import store_page
from kalshi_pipelines.kalshi import client
from kalshi_pipelines.kalshi.client import KalshiClient, MarketStatusFilter
from kalshi_pipelines.kalshi.decoding import record_key
from kalshi_pipelines.kalshi.pagination import ListEndpoint, Page
from kalshi_pipelines.kalshi.records import Orderbook
from kalshi_pipelines.settings import Environment
from kalshi_pipelines.units import DAY_US, HOUR_US, MINUTE_US, SECOND_US, instant, microseconds, now_us
from kalshi_pipelines.warehouse.engine import writing
from kalshi_pipelines.warehouse.tables import markets, watermarks

#: Every status of the exchange's filter vocabulary, in the order in which a market passes through them. A market that
#: changes its status while the sweeps run is found by a later sweep.
ALL_STATUSES: Final[tuple[MarketStatusFilter, ...]] = ("unopened", "open", "paused", "closed", "settled")

_SETTLED_WATERMARK: Final = "markets.settlement_time"
_SETTLED_OVERLAP_US: Final = DAY_US
_CLOCK_DIFFERENCE_US: Final = MINUTE_US
_TICKERS_AT_ONCE: Final = 5_000

logger = logging.getLogger(__name__)


# Markets adopted from a database of the older tool are placeholders until their record is read from the exchange.
_WAS_READ: Final = ~markets.c.is_placeholder
_IS_ACTIVE: Final = sa.and_(markets.c.status == "active", _WAS_READ)


@dataclass(frozen=True)
class IngestInputs:
    """Inputs of an ingest: the exchange it reads, the warehouse it fills, and its options.

    Attributes:
        client: The client of the exchange.
        engine: The warehouse, with its schema at head.
        environment: The environment of the exchange that the client reads.
        include_combos: Whether to read multivariate combo events and markets as well.
        settled_lookback_hours: How far back the first sweep of settled markets reaches; None for no limit.
        dagster_run_id: The Dagster run to name in the run record.
        report: Receives the progress after each page.
        checks_contracts: Whether to compare pages with the contracts. The benchmark turns the comparison off to measure
            its cost.
    """

    client: KalshiClient
    engine: sa.Engine
    environment: Environment
    include_combos: bool = False
    settled_lookback_hours: int | None = None
    dagster_run_id: str | None = None
    report: Report = silent
    checks_contracts: bool = True


@dataclass(frozen=True)
class IngestResult:
    """The result of one ingest.

    Attributes:
        run_id: Key of the run's row in ``ingest_runs``.
        counts: Numbers of records read, written, unchanged and rejected.
        seconds: Duration of the ingest.
        unknown_fields: An example of each field that the client does not know.
        missing: Tickers that were requested but missing in the response.
        differences: Differences between the records and their contracts, the most severe first.
    """

    run_id: int
    counts: Counts
    seconds: float
    unknown_fields: dict[str, bytes] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    differences: tuple[Difference, ...] = ()


def ingest_series(inputs: IngestInputs) -> IngestResult:
    """Read all series."""
    unknown: dict[str, bytes] = {}
    with _run(inputs, SERIES.subject) as run, _checks(inputs, run, client.SERIES) as checks:
        for page in inputs.client.series_pages():
            unknown |= store_page(run, SERIES, page, checks)
    return _result(run, checks, unknown)


def ingest_events(inputs: IngestInputs) -> IngestResult:
    """Read all events, and multivariate events too if combos are included: the plain list omits multivariate events."""
    unknown: dict[str, bytes] = {}
    with _run(inputs, EVENTS.subject) as run, _checks(inputs, run, client.EVENTS) as checks:
        for combos in (False, True) if inputs.include_combos else (False,):
            for page in inputs.client.event_pages(combos=combos):
                unknown |= store_page(run, EVENTS, page, checks)
    return _result(run, checks, unknown)


def ingest_markets(inputs: IngestInputs, statuses: Sequence[MarketStatusFilter] = ALL_STATUSES) -> IngestResult:
    """Read markets with their quotes: first the quarantined markets again, then one sweep for each status.

    Args:
        inputs: The exchange to read and the warehouse to fill.
        statuses: Statuses to sweep, in this order, in the exchange's filter vocabulary.
    """
    unknown: dict[str, bytes] = {}
    with _run(inputs, MARKETS.subject) as run, _checks(inputs, run, client.MARKETS) as checks:
        for page in _market_pages(inputs, statuses, run.started_us):
            unknown |= store_page(run, MARKETS, page, checks)
        if "settled" in statuses:
            _advance_settled_watermark(run)
    return _result(run, checks, unknown)


def _market_pages(inputs: IngestInputs, statuses: Sequence[MarketStatusFilter], started_us: int) -> Iterator[Page]:
    exchange = inputs.client
    quarantined = unresolved_keys(inputs.engine, MARKETS.subject)
    if quarantined:
        yield from exchange.market_pages(tickers=quarantined, mve_filter=None)
    for status in statuses:
        yield from exchange.market_pages(
            status=status,
            mve_filter=None if inputs.include_combos else "exclude",
            min_settled_ts=_settled_since(inputs) if status == "settled" else None,
        )
    if tuple(statuses) == ALL_STATUSES:
        # A market that returned from paused or closed to open during the sweeps may have been missed by the sweeps of
        # both statuses.
        since = (started_us - _CLOCK_DIFFERENCE_US) // SECOND_US
        yield from exchange.market_pages(min_updated_ts=since)


def ingest_orderbooks(inputs: IngestInputs) -> IngestResult:
    """Read the full orderbook of every active market in the warehouse, 100 markets per request."""
    unknown: dict[str, bytes] = {}
    missing: list[str] = []
    with _run(inputs, ORDERBOOKS.subject) as run, _checks(inputs, run, client.ORDERBOOKS) as checks:
        run.expect(_count_active(inputs.engine))
        for tickers, page in inputs.client.orderbook_batches(_active_tickers(inputs.engine)):
            unknown |= store_page(run, ORDERBOOKS, page, checks)
            answered = {record_key(Orderbook, raw) for raw in page.raw_records}
            missing += [ticker for ticker in tickers if ticker not in answered]
    return _result(run, checks, unknown, missing)


def _run(inputs: IngestInputs, subject: str) -> IngestRun:
    return IngestRun(
        inputs.engine, subject, inputs.environment, dagster_run_id=inputs.dagster_run_id, report=inputs.report
    )


def _checks(inputs: IngestInputs, run: IngestRun, endpoint: ListEndpoint) -> AbstractContextManager[PageChecks | None]:
    if not inputs.checks_contracts:
        return nullcontext()
    return contract_checks(run, f"GET {endpoint.path}", inputs.client.address)


def _result(
    run: IngestRun, checks: PageChecks | None, unknown: dict[str, bytes], missing: Sequence[str] = ()
) -> IngestResult:
    differences = checks.differences if checks else ()
    return IngestResult(run.run_id, run.counts, run.seconds, unknown, tuple(missing), differences)


def _settled_since(inputs: IngestInputs) -> int | None:
    """Return the Unix second from which to read settled markets; None to read all of them."""
    with inputs.engine.connect() as connection:
        mark = connection.scalar(sa.select(watermarks.c.position_us).where(watermarks.c.name == _SETTLED_WATERMARK))
        if mark is None and inputs.settled_lookback_hours is None:
            return None
        if mark is None:
            # Any stored market may have settled since it was first seen. So the first sweep reaches back at least to
            # the time when the oldest market was first seen. Markets known only from an adopted database are ignored.
            oldest = connection.scalar(sa.select(sa.func.min(markets.c.first_seen_us)).where(_WAS_READ)) or now_us()
            mark = min(oldest, now_us() - (inputs.settled_lookback_hours or 0) * HOUR_US)
        else:
            mark -= _SETTLED_OVERLAP_US
    archived = microseconds(inputs.client.historical_cutoff().market_settled_ts)
    if mark < archived:
        logger.warning(
            "Markets settled between %s and %s have left the live lists and were not read. Only a backfill of "
            "historical markets can bring their results.",
            instant(mark),
            instant(archived),
        )
    return int(mark) // SECOND_US


def _advance_settled_watermark(run: IngestRun) -> None:
    """Set the watermark to the newest stored settlement. Reading the same data again leaves the watermark unchanged."""
    settled = markets.c.settlement_time_us
    with writing(run.engine) as connection:
        newest = connection.scalar(
            sa.select(sa.func.max(settled)).where(settled.is_not(None), settled <= run.started_us)
        )
        mark = watermarks.c.name == _SETTLED_WATERMARK
        before = connection.scalar(sa.select(watermarks.c.position_us).where(mark))
        if newest is None or newest == before:
            return
        values = {"position_us": newest, "ingest_run_id": run.run_id}
        if before is None:
            connection.execute(sa.insert(watermarks), {"name": _SETTLED_WATERMARK, **values})
        else:
            connection.execute(sa.update(watermarks).where(mark).values(values))


def _count_active(engine: sa.Engine) -> int:
    with engine.connect() as connection:
        count = connection.scalar(sa.select(sa.func.count()).where(_IS_ACTIVE))
    return int(count or 0)


def _active_tickers(engine: sa.Engine) -> Iterator[str]:
    """Yield tickers in order, read in parts so that no read transaction stays open during the sweep."""
    last = ""
    part = sa.select(markets.c.ticker).where(_IS_ACTIVE).order_by(markets.c.ticker)
    while True:
        with engine.connect() as connection:
            tickers = connection.scalars(part.where(markets.c.ticker > last).limit(_TICKERS_AT_ONCE)).all()
        if not tickers:
            return
        yield from tickers
        last = tickers[-1]
