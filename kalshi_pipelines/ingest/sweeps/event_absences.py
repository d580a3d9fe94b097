"""Events of live markets that no list showed, and events that only a market names: both are asked for by ticker."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Final

import sqlalchemy as sa

from kalshi_pipelines.ingest.sweeps.absences import StorePage
from kalshi_pipelines.ingest.sweeps.completeness import VANISHED_SHARE, Completeness
from kalshi_pipelines.ingest.sweeps.inputs import IngestInputs
from kalshi_pipelines.ingest.sweeps.market_states import LIVE_STATUSES, without_markets
from kalshi_pipelines.ingest.sweeps.met_keys import MetKeys
from kalshi_pipelines.ingest.sweeps.scanning import scanning
from kalshi_pipelines.kalshi import client
from kalshi_pipelines.kalshi.client import MOST_TICKERS
from kalshi_pipelines.kalshi.decoding import record_key
from kalshi_pipelines.kalshi.pagination import Page
from kalshi_pipelines.kalshi.records import Event
from kalshi_pipelines.units import now_us
from kalshi_pipelines.warehouse.bulk import wanted_keys
from kalshi_pipelines.warehouse.engine import writing
from kalshi_pipelines.warehouse.tables import UNSETTLED, events, markets

_OPEN: Final = "status=open"


def absent_events(engine: sa.Engine, met: MetKeys) -> tuple[list[str], int]:
    """Return the events of live markets, other than combos, that were not met, and how many were expected."""
    absent: list[str] = []
    expected = 0
    with scanning(engine) as connection:
        for ticker in connection.scalars(live_events()):
            expected += 1
            if ticker not in met:
                absent.append(ticker)
        known: list[str] = []
        for batch in _batches(absent):
            wanted = wanted_keys(batch, connection.dialect.name)
            was_read = sa.select(events.c.event_ticker).join_from(
                wanted, events, events.c.event_ticker == wanted.c.value
            )
            known += connection.scalars(was_read.where(events.c.missing_since_us.is_(None), ~events.c.is_placeholder))
    return known, expected


def live_events() -> sa.Select[str]:
    """Return a query for the events of live markets, other than combos, in a fixed order."""
    columns = markets.c
    # The expression keeps the database from reading all markets ever stored in the order of their events. The index of
    # the statuses leads to the live ones.
    event = sa.func.coalesce(columns.event_ticker, "")
    return (
        sa.select(event)
        .where(columns.status.in_(LIVE_STATUSES), UNSETTLED, columns.mve_collection_ticker.is_(None))
        .where(columns.missing_since_us.is_(None), ~columns.is_placeholder)
        .distinct()
        .order_by(event)
    )


def named_events(engine: sa.Engine) -> list[tuple[str, bool]]:
    """Return the events that a stored row names and that were never read, and whether each is an event of a combo."""
    columns = events.c
    has_combo = sa.exists().where(
        markets.c.event_ticker == columns.event_ticker, markets.c.mve_collection_ticker.is_not(None)
    )
    named = sa.select(columns.event_ticker, has_combo).where(columns.is_placeholder, columns.missing_since_us.is_(None))
    with engine.connect() as connection:
        return [(ticker, bool(is_combo)) for ticker, is_combo in connection.execute(named)]


def mark_listed(engine: sa.Engine, page: Page) -> None:
    """Record that a list of live events showed the events of a page."""
    _set(engine, sorted(_keys_of(page)), listed_us=page.received_us)


class EventAsker:
    """Asks the exchange for events by ticker, stores the answers, and marks events that it does not know."""

    def __init__(self, inputs: IngestInputs, completeness: Completeness, store: StorePage) -> None:
        self._inputs = inputs
        self._completeness = completeness
        self._store = store

    def ask_absent(self, absent: tuple[Sequence[str], int]) -> None:
        """Ask for events that no list showed. Events that vanished in large numbers are a problem of the open list."""
        tickers, expected = absent
        vanished = self._ask(tickers)
        read = self._completeness.list_of(client.EVENTS, _OPEN)
        if read is not None and vanished > int(expected * VANISHED_SHARE):
            read.vanished += vanished

    def ask_named(self) -> None:
        """Ask for events that a stored row names and that were never read."""
        named = named_events(self._inputs.engine)
        self._ask([ticker for ticker, is_combo in named if not is_combo])
        self._ask([ticker for ticker, is_combo in named if is_combo], combos=True)

    def clear_marks(self, met: MetKeys) -> None:
        """Clear the marks of missing events that a list or an answer showed again."""
        marked = sa.select(events.c.event_ticker).where(events.c.missing_since_us.is_not(None))
        with self._inputs.engine.connect() as connection:
            found = [ticker for ticker in connection.scalars(marked) if ticker in met]
        _set(self._inputs.engine, found, missing_since_us=None)

    def _ask(self, tickers: Sequence[str], *, combos: bool = False) -> int:
        missing = 0
        for batch in _batches(tickers):
            answered: set[str] = set()
            for page in self._inputs.client.event_pages(tickers=batch, combos=combos, with_nested_markets=not combos):
                stripped = [without_markets(raw) for raw in page.raw_records]
                self._store(replace(page, raw_records=[raw for raw, _ in stripped]))
                answered |= _keys_of(page)
                for _, states in stripped:
                    if states:
                        self._completeness.judge_event(states[0].event_ticker, states)
            gone = [ticker for ticker in batch if ticker not in answered]
            _set(self._inputs.engine, gone, missing_since_us=now_us())
            missing += len(gone)
        return missing


def _set(engine: sa.Engine, tickers: Sequence[str], **values: int | None) -> None:
    if not tickers:
        return
    with writing(engine) as connection:
        wanted = wanted_keys(tickers, connection.dialect.name)
        which = events.c.event_ticker.in_(sa.select(wanted.c.value))
        connection.execute(sa.update(events).where(which).values(values))


def _keys_of(page: Page) -> set[str]:
    return {key for raw in page.raw_records if (key := record_key(Event, raw)) is not None}


def _batches(tickers: Iterable[str]) -> Iterator[tuple[str, ...]]:
    remaining = iter(tickers)
    while batch := tuple(islice(remaining, MOST_TICKERS)):
        yield batch
