"""Markets that are stored as live and that no list showed: they are asked for by ticker.

A market that comes back is stored, and if its list should have shown it, the list was incomplete. A market that is
archived is read from the historical side. A market that is nowhere is marked with ``missing_since_us``: it leaves the
view of current quotes and the sweep of orderbooks, until a list shows it again.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final, TypeVar

import sqlalchemy as sa

from kalshi_pipelines.contracts.comparison.page_checks import PageChecks
from kalshi_pipelines.contracts.declared import CONTRACTS
from kalshi_pipelines.contracts.language.differences import Difference, Kind, Severity
from kalshi_pipelines.ingest.sweeps.completeness import VANISHED_SHARE, Completeness
from kalshi_pipelines.ingest.sweeps.inputs import IngestInputs
from kalshi_pipelines.ingest.sweeps.market_states import GROUP_OF_STATUS, market_states
from kalshi_pipelines.ingest.sweeps.met_keys import MetKeys
from kalshi_pipelines.ingest.sweeps.scanning import ROWS_AT_ONCE, scanning
from kalshi_pipelines.kalshi import client
from kalshi_pipelines.kalshi.client import MOST_TICKERS, KalshiClient
from kalshi_pipelines.kalshi.decoding import record_key
from kalshi_pipelines.kalshi.pagination import Page
from kalshi_pipelines.kalshi.records import Market
from kalshi_pipelines.units import DAY_US, now_us
from kalshi_pipelines.warehouse.bulk import wanted_keys
from kalshi_pipelines.warehouse.engine import writing
from kalshi_pipelines.warehouse.tables import UNSETTLED, markets

StorePage = Callable[[Page], None]
Item = TypeVar("Item")

#: For how long a missing market is asked for again. A market that was archived in the meantime is found then.
_ASKED_AGAIN_US: Final = 7 * DAY_US
_BY_TICKER: Final = "list tickers"


@dataclass(frozen=True)
class AbsentMarket:
    """A market that is stored as live and that no list of the sweep showed."""

    ticker: str
    status: str
    is_provisional: bool
    is_marked: bool


@dataclass
class Gone:
    """Markets that neither the live nor the historical endpoints have, and that were not marked before."""

    deleted: list[AbsentMarket] = field(default_factory=list)
    vanished: list[AbsentMarket] = field(default_factory=list)


def absent_markets(
    inputs: IngestInputs, statuses: Collection[str], met: MetKeys, *, is_full: bool
) -> tuple[list[AbsentMarket], int]:
    """Return the stored markets of some live statuses that were not met, and how many markets were expected.

    A full sweep expects combos even if the inputs leave them out of the lists: combos that were once stored must not
    stay live for ever. It also asks again for markets that have been missing for less than a week.
    """
    columns = markets.c
    wanted = [columns.status.in_(statuses), UNSETTLED, ~columns.is_placeholder]
    if is_full:
        again = columns.missing_since_us >= now_us() - _ASKED_AGAIN_US
        wanted.append(sa.or_(columns.missing_since_us.is_(None), again))
    else:
        wanted.append(columns.missing_since_us.is_(None))
        if not inputs.include_combos:
            wanted.append(columns.mve_collection_ticker.is_(None))
    rows = sa.select(columns.ticker, columns.status, columns.is_provisional, columns.missing_since_us).where(*wanted)
    absent: list[AbsentMarket] = []
    expected = 0
    with scanning(inputs.engine) as connection:
        for ticker, status, is_provisional, missing_since_us in connection.execute(rows):
            expected += missing_since_us is None
            if ticker not in met:
                absent.append(AbsentMarket(ticker, status, bool(is_provisional), missing_since_us is not None))
    return absent, expected


def ask_for_markets(
    inputs: IngestInputs, absent: Sequence[AbsentMarket], completeness: Completeness, store: StorePage
) -> Gone:
    """Ask for absent markets by ticker, store the answers, mark markets that are nowhere, and return the latter."""
    gone = Gone()
    for batch in _batches(absent):
        tickers = [market.ticker for market in batch]
        answered: set[str] = set()
        for page in inputs.client.market_pages(tickers=tickers, mve_filter=None):
            store(page)
            answered |= keys_of(page)
            for state in market_states(page.raw_records):
                if inputs.include_combos or not state.is_combo:
                    completeness.judge_market(state)
        for page in archived_markets(inputs.client, [ticker for ticker in tickers if ticker not in answered]):
            store(page)
            answered |= keys_of(page)
        missing = [market for market in batch if market.ticker not in answered]
        _mark_missing(inputs.engine, [market.ticker for market in missing])
        for market in missing:
            if not market.is_marked:
                (gone.deleted if market.is_provisional else gone.vanished).append(market)
    return gone


def archived_markets(exchange: KalshiClient, tickers: Sequence[str]) -> Iterator[Page]:
    """Yield the historical pages of markets that the live endpoints do not have."""
    if tickers:
        yield from exchange.historical_market_pages(tickers=tickers)


def report_gone(gone: Gone, expected: int, completeness: Completeness, checks: PageChecks | None) -> None:
    """Report markets that are nowhere: as a problem of their lists if they are many, else as additive differences."""
    is_much = len(gone.vanished) > int(expected * VANISHED_SHARE)
    if is_much:
        for market in gone.vanished:
            group = GROUP_OF_STATUS[market.status]
            if (read := completeness.list_of(client.MARKETS, f"status={group}")) is not None:
                read.vanished += 1
    if checks is None:
        return
    checks.lists.setdefault(f"GET {client.MARKETS.path}", set()).add(_BY_TICKER)
    if gone.deleted or (gone.vanished and not is_much):
        some = gone.deleted or gone.vanished
        kind = "provisional markets" if gone.deleted else "single markets"
        checks.add(_deletion(kind, f"{len(some):,} of {expected:,}, such as {some[0].ticker}"))


def _deletion(kind: str, example: str) -> Difference:
    endpoint = f"GET {client.MARKETS.path}"
    return Difference(
        endpoint,
        _BY_TICKER,
        Kind.LIST_INCOMPLETE,
        Severity.ADDITIVE,
        before="a listed market can be read until it is archived",
        after=f"{kind} were deleted",
        example=example,
        assets=CONTRACTS[endpoint].used_by,
        advice="Nothing needs to be done. The markets are marked in the column missing_since_us.",
    )


def clear_marks(engine: sa.Engine, met: MetKeys) -> None:
    """Clear the marks of missing markets that a list or an answer showed again."""
    marked = sa.select(markets.c.ticker).where(markets.c.missing_since_us.is_not(None))
    with engine.connect() as connection:
        found = [ticker for ticker in connection.scalars(marked) if ticker in met]
    for batch in _batches(found, ROWS_AT_ONCE):
        _set_missing(engine, batch, None)


def _mark_missing(engine: sa.Engine, tickers: Sequence[str]) -> None:
    if tickers:
        _set_missing(engine, tickers, now_us())


def _set_missing(engine: sa.Engine, tickers: Sequence[str], missing_since_us: int | None) -> None:
    with writing(engine) as connection:
        wanted = wanted_keys(tickers, connection.dialect.name)
        which = [markets.c.ticker.in_(sa.select(wanted.c.value))]
        if missing_since_us is not None:
            which.append(markets.c.missing_since_us.is_(None))
        connection.execute(sa.update(markets).where(*which).values(missing_since_us=missing_since_us))


def keys_of(page: Page) -> set[str]:
    """Return the tickers of a page of markets."""
    return {key for raw in page.raw_records if (key := record_key(Market, raw)) is not None}


def _batches(items: Iterable[Item], size: int = MOST_TICKERS) -> Iterator[tuple[Item, ...]]:
    remaining = iter(items)
    while batch := tuple(islice(remaining, size)):
        yield batch
