"""The sweep over orderbooks: the full book of every active market in the warehouse."""

from collections.abc import Iterator, Sequence
from typing import Final

import sqlalchemy as sa

from kalshi_pipelines.ingest.kinds import ORDERBOOKS
from kalshi_pipelines.ingest.pages import store_page
from kalshi_pipelines.ingest.sweeps.completeness import Completeness, ListRead
from kalshi_pipelines.ingest.sweeps.inputs import IngestInputs, IngestResult, open_checks, open_run, result_of
from kalshi_pipelines.ingest.sweeps.market_states import market_states
from kalshi_pipelines.kalshi import client
from kalshi_pipelines.kalshi.decoding import record_key
from kalshi_pipelines.kalshi.records import Orderbook
from kalshi_pipelines.warehouse.tables import UNSETTLED, markets

_TICKERS_AT_ONCE: Final = 5_000
#: The largest number of markets without a book that are asked for by ticker, to learn whether they are still active.
MOST_JUDGED: Final = 1_000


def ingest_orderbooks(inputs: IngestInputs) -> IngestResult:
    """Read the full orderbook of every active market in the warehouse, 100 markets per request."""
    unknown: dict[str, bytes] = {}
    missing: list[str] = []
    with open_run(inputs, ORDERBOOKS.subject) as run, open_checks(inputs, run, client.ORDERBOOKS) as checks:
        # The answer is not used. This request measures the difference between the clocks.
        inputs.client.historical_cutoff()
        completeness = Completeness(inputs, ORDERBOOKS.subject)
        read = completeness.begin(client.ORDERBOOKS)
        run.expect(_count_active(inputs))
        for tickers, page in inputs.client.orderbook_batches(_active_tickers(inputs)):
            read.records += len(page.raw_records)
            unknown |= store_page(run, ORDERBOOKS, page, checks)
            answered = {record_key(Orderbook, raw) for raw in page.raw_records}
            missing += [ticker for ticker in tickers if ticker not in answered]
        _judge_missing(inputs, read, missing)
        problems = completeness.finish(run, checks)
    return result_of(run, checks, unknown, problems, missing)


def _judge_missing(inputs: IngestInputs, read: ListRead, missing: Sequence[str]) -> None:
    """Count markets without a book that are still active. A market that ended in the meantime has no book."""
    asked = missing[:MOST_JUDGED]
    if not asked:
        return
    for page in inputs.client.market_pages(tickers=asked, mve_filter=None):
        for state in market_states(page.raw_records):
            if state.group == "open" and read.should_show(state, inputs.exchange_now_us()):
                read.add_omitted(state.ticker)


def _wanted(inputs: IngestInputs) -> sa.ColumnElement[bool]:
    """Return the condition for markets whose books are read.

    Markets adopted from a database of the older tool are placeholders until their record is read from the exchange.
    """
    columns = markets.c
    wanted = [columns.status == "active", UNSETTLED, ~columns.is_placeholder, columns.missing_since_us.is_(None)]
    if not inputs.include_combos:
        wanted.append(columns.mve_collection_ticker.is_(None))
    return sa.and_(*wanted)


def _count_active(inputs: IngestInputs) -> int:
    with inputs.engine.connect() as connection:
        count = connection.scalar(sa.select(sa.func.count()).where(_wanted(inputs)))
    return int(count or 0)


def _active_tickers(inputs: IngestInputs) -> Iterator[str]:
    """Yield tickers in order, read in parts so that no read transaction stays open during the sweep."""
    last = ""
    part = sa.select(markets.c.ticker).where(_wanted(inputs)).order_by(markets.c.ticker)
    while True:
        with inputs.engine.connect() as connection:
            tickers = connection.scalars(part.where(markets.c.ticker > last).limit(_TICKERS_AT_ONCE)).all()
        if not tickers:
            return
        yield from tickers
        last = tickers[-1]
