"""Markets asked for by event: open events without any stored market, and a sample of other events.

A list that was cut short in the very first run cannot be compared with stored markets. But an event that the exchange
lists as open has a market, so an open event without any market shows that markets are missing.
"""

from random import Random
from typing import Final

import sqlalchemy as sa

from kalshi_pipelines.ingest.sweeps.absences import StorePage
from kalshi_pipelines.ingest.sweeps.completeness import Completeness
from kalshi_pipelines.ingest.sweeps.event_absences import live_events
from kalshi_pipelines.ingest.sweeps.inputs import IngestInputs
from kalshi_pipelines.ingest.sweeps.market_states import market_states
from kalshi_pipelines.ingest.sweeps.met_keys import MetKeys
from kalshi_pipelines.ingest.sweeps.scanning import scanning
from kalshi_pipelines.units import DAY_US, now_us
from kalshi_pipelines.warehouse.tables import events, markets

#: The largest number of events without markets that one run asks for. The next run asks for the others.
MOST_EMPTY_EVENTS: Final = 300
#: The number of other events that one run asks for. If a list hides a tenth of all markets, twenty events show it.
SAMPLED_EVENTS: Final = 20


def ask_by_event(
    inputs: IngestInputs, met: MetKeys, completeness: Completeness, store: StorePage, *, seed: int
) -> None:
    """Ask for the markets of some events, store them, and count those that no list showed.

    The sample depends on ``seed`` and on the stored events only.
    """
    for event_ticker in _events_to_ask(inputs, Random(seed)):  # noqa: S311  # no secret depends on it
        for page in inputs.client.market_pages(event_ticker=event_ticker):
            states = list(market_states(page.raw_records))
            unmet = [state for state in states if state.ticker not in met]
            if not unmet:
                continue
            store(page)
            for state in unmet:
                completeness.judge_market(state)


def _events_to_ask(inputs: IngestInputs, rng: Random) -> list[str]:
    columns = events.c
    has_markets = sa.exists().where(markets.c.event_ticker == columns.event_ticker)
    # Events that were listed more than a day ago may have ended since.
    empty = (
        sa.select(columns.event_ticker)
        .where(columns.listed_us >= now_us() - DAY_US, ~has_markets)
        .order_by(columns.event_ticker)
        .limit(MOST_EMPTY_EVENTS)
    )
    with scanning(inputs.engine) as connection:
        found = list(connection.scalars(empty))
        others = _sample(connection, live_events(), rng)
    return found + others


def _sample(connection: sa.Connection, tickers: sa.Select[str], rng: Random) -> list[str]:
    """Return a random sample of the rows of a query, without holding all rows in memory."""
    kept: list[str] = []
    for number, ticker in enumerate(connection.scalars(tickers)):
        if number < SAMPLED_EVENTS:
            kept.append(ticker)
        elif (place := rng.randrange(number + 1)) < SAMPLED_EVENTS:
            kept[place] = ticker
    return kept
