"""Ingests with a history: read the exchange into the warehouse, then export the new history rows to the lake.

The export runs even if the read failed, because the pages stored before the failure are history, too.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import sqlalchemy as sa

from kalshi_pipelines.ingest.sweeps import (
    ALL_STATUSES,
    IngestInputs,
    IngestResult,
    ingest_markets,
    ingest_named_events,
    ingest_orderbooks,
)
from kalshi_pipelines.kalshi.client import MarketStatusFilter
from kalshi_pipelines.lake.buffers import ORDERBOOKS, PRICES, HistoryBuffer
from kalshi_pipelines.lake.history import publish_history
from kalshi_pipelines.lake.lake import Lake
from kalshi_pipelines.lake.publishing import Published
from kalshi_pipelines.lake.removal import remove_published
from kalshi_pipelines.units import now_us

OpensInputs = AbstractContextManager[IngestInputs]


def ingest_and_export_markets(
    inputs: OpensInputs, engine: sa.Engine, lake: Lake, statuses: Sequence[MarketStatusFilter] = ALL_STATUSES
) -> tuple[IngestResult, Published]:
    """Read markets with their quotes, and the events that only they name. Then export the price history.

    Args:
        inputs: A context manager that opens the exchange. The export happens even if the exchange cannot be opened.
        engine: The warehouse, with its schema at head.
        lake: The lake of this warehouse.
        statuses: Statuses of the markets to read, in the exchange's filter vocabulary.
    """

    def ingest(opened: IngestInputs) -> IngestResult:
        done = ingest_markets(opened, statuses)
        if tuple(statuses) == ALL_STATUSES:
            ingest_named_events(opened)
        return done

    return _ingest_and_export(ingest, inputs, engine, lake, PRICES)


def ingest_and_export_orderbooks(inputs: OpensInputs, engine: sa.Engine, lake: Lake) -> tuple[IngestResult, Published]:
    """Read the orderbooks of active markets, then export the levels of the books.

    Changed books leave the warehouse as soon as the lake provably has them. The newest book of each market stays in
    ``orderbooks``.

    Args:
        inputs: A context manager that opens the exchange. The export happens even if the exchange cannot be opened.
        engine: The warehouse, with its schema at head.
        lake: The lake of this warehouse.
    """
    return _ingest_and_export(ingest_orderbooks, inputs, engine, lake, ORDERBOOKS)


def _ingest_and_export(
    ingest: Callable[[IngestInputs], IngestResult],
    inputs: OpensInputs,
    engine: sa.Engine,
    lake: Lake,
    buffer: HistoryBuffer,
) -> tuple[IngestResult, Published]:
    try:
        with inputs as opened:
            done = ingest(opened)
    finally:
        published = publish_history(lake, engine, buffer)
        if buffer is ORDERBOOKS:
            remove_published(lake, engine, buffer, now_us() + 1)
    return done, published
