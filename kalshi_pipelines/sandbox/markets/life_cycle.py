"""The life cycle of markets: they open, close, are determined, are paid out, and move to the history.

Belongs here: planning the next status change of each market, and drawing the result. Does not belong here: making the
change (``venue``) and pay-outs (``trading``).

Only generated markets change by themselves, and only if they had not closed when the catalogue was built. A market that
was changed by hand continues from its new status. Source of the stages: the vendor's page on the life cycle of markets.
"""

import heapq
from collections.abc import Callable
from random import Random
from typing import Final

from kalshi_pipelines.sandbox.clock import midnight_us
from kalshi_pipelines.sandbox.markets.catalogue import garbage_collection_paused
from kalshi_pipelines.sandbox.markets.generated import GeneratedMarket
from kalshi_pipelines.sandbox.markets.generated_events import GeneratedEvent
from kalshi_pipelines.sandbox.markets.generation import HISTORY_DAYS, OVERLAP_US
from kalshi_pipelines.sandbox.markets.listing import Catalogue
from kalshi_pipelines.sandbox.markets.rows import MarketRow
from kalshi_pipelines.sandbox.noise import mixed
from kalshi_pipelines.sandbox.trading.events import MarketChanged, MarketStatus, Result
from kalshi_pipelines.units import DAY_US, DOLLAR_CENTICENTS, SECOND_US

LEGAL_CHANGES: Final[dict[str, frozenset[str]]] = {
    "initialized": frozenset({"active", "inactive", "closed"}),
    "active": frozenset({"inactive", "closed"}),
    "inactive": frozenset({"active", "closed"}),
    "closed": frozenset({"active", "determined"}),
    "determined": frozenset({"disputed", "amended", "finalized"}),
    "disputed": frozenset({"amended", "determined", "finalized"}),
    "amended": frozenset({"disputed", "finalized"}),
    "finalized": frozenset(),
}
_TIMED: Final = frozenset({"determined", "disputed", "amended"})
_LONGEST_DETERMINATION_S: Final = 600
_SCALAR_ODDS: Final = 50
_DETERMINED, _SCALAR, _SCALAR_VALUE = 21, 22, 23


class MarketLifeCycle:
    """Planned status changes of a catalogue's markets. The function ``change`` carries out a status change."""

    def __init__(self, catalogue: Catalogue, seed: int, change: Callable[[MarketChanged], None]) -> None:
        self._catalogue = catalogue
        self._seed = seed
        self._change = change
        self._due: list[tuple[int, int, MarketRow, int]] = []
        self._plans = 0

    def next_due_us(self) -> int | None:
        """Return the instant of the next planned change in microseconds since 1970, or None if none is planned."""
        newcomers = self._catalogue.take_newcomers()
        if newcomers:
            with garbage_collection_paused():
                for row in newcomers:
                    self._begin(row)
        return self._due[0][0] if self._due else None

    def run(self, at_us: int) -> None:
        """Carry out the earliest planned status change."""
        _, _, row, changes = heapq.heappop(self._due)
        # The market's status has changed since this change was planned, so the plan is void.
        if changes != row.changes:
            return
        if row.status == "finalized":
            self._move_to_history(row)
        elif row.status in _TIMED:
            self._happen(row, "finalized", at_us, row.result, row.value)
        elif row.status == "closed":
            self._happen(row, "determined", at_us, *self._ending(row))
        else:
            self._happen(row, "active" if row.status == "initialized" else "closed", at_us)

    def changed(self, row: MarketRow, change: MarketChanged) -> None:
        """Plan the status change that follows the given change of a market's status."""
        if change.status in {"active", "inactive"}:
            # A recorded market may still trade after its recorded close time. Such a market gets no planned close.
            if row.close_us > change.at_us:
                self._plan(row, row.close_us)
        elif change.status == "closed" and change.close_us is None:
            # The clock closed this market, so plan when its result is determined. A market that an operator closed
            # gets no plan: it stays closed until the operator changes it.
            self._plan(row, change.at_us + self._determination_us(row))
        elif change.status in _TIMED:
            self._plan(row, change.at_us + row.settlement_timer_us)
        elif change.status == "finalized":
            self._plan_leaving(row)

    def _begin(self, row: MarketRow) -> None:
        if not isinstance(row, GeneratedMarket):
            return
        if row.status == "initialized":
            self._plan(row, row.open_us)
        elif row.status in {"active", "inactive"}:
            self._plan(row, row.close_us)
        elif row.status == "finalized":
            self._plan_leaving(row)

    def _plan(self, row: MarketRow, at_us: int) -> None:
        """Plan the next status change of a market for the instant ``at_us``.

        If the market's status changes before ``at_us``, the plan is void.
        """
        self._plans += 1
        heapq.heappush(self._due, (at_us, self._plans, row, row.changes))

    def _plan_leaving(self, row: MarketRow) -> None:
        if row.settled_us is not None:
            # A settled market enters the historical lists at the first midnight whose historical cutoff is later than
            # the settlement.
            self._plan(row, midnight_us(row.settled_us) + (HISTORY_DAYS + 1) * DAY_US)

    def _move_to_history(self, row: MarketRow) -> None:
        if row.ticker in self._catalogue.archived_markets:
            self._catalogue.leave_live(row)
            return
        self._catalogue.archive(row)
        # A market that settled shortly before the cutoff stays in the live lists, too, until the cutoff moves again.
        overlapping_us = (row.settled_us or 0) + OVERLAP_US
        self._plan(row, midnight_us(overlapping_us) + (HISTORY_DAYS + 1) * DAY_US)

    def _determination_us(self, row: MarketRow) -> int:
        return (30 + mixed(self._seed, _number_of(row), _DETERMINED) % _LONGEST_DETERMINATION_S) * SECOND_US

    def _happen(
        self, row: MarketRow, status: MarketStatus, at_us: int, result: Result = "", value: int | None = None
    ) -> None:
        self._change(MarketChanged(at_us=at_us, ticker=row.ticker, status=status, result=result, value=value))

    def _ending(self, row: MarketRow) -> tuple[Result, int]:
        """Draw the result of a market and the centi-cents that one YES pays.

        The chance of YES is the last mid price.
        """
        event = self._catalogue.events.get(row.event_ticker)
        if isinstance(event, GeneratedEvent) and event.exclusive:
            wins = self._winner(event) is row
        elif mixed(self._seed, _number_of(row), _SCALAR) % _SCALAR_ODDS == 0:
            return "scalar", 100 * (1 + mixed(self._seed, _number_of(row), _SCALAR_VALUE) % 99)
        else:
            wins = Random(f"{self._seed}:{row.ticker}:ends").randrange(DOLLAR_CENTICENTS) < _chance(row)
        return ("yes", DOLLAR_CENTICENTS) if wins else ("no", 0)

    def _winner(self, event: GeneratedEvent) -> MarketRow:
        """Return the one market of an exclusive event that wins. Every other undetermined market of the event loses."""
        markets = self._catalogue.markets_of_event(event.ticker)
        for market in markets:
            if market.result == "yes":
                return market
        rng = Random(f"{self._seed}:{event.ticker}:ends")
        drawn = rng.choices(markets, [_chance(market) + 1 for market in markets])[0]
        if not drawn.result:
            return drawn
        # An operator has already given the drawn market a result other than YES. The first market without a result wins
        # instead.
        return next(market for market in markets if not market.result)


def _number_of(row: MarketRow) -> int:
    return row.number if isinstance(row, GeneratedMarket) else 0


def _chance(row: MarketRow) -> int:
    """Return the last mid price of a market in centi-cents.

    A missing bid counts as zero and a missing ask as one dollar.
    """
    if not isinstance(row, GeneratedMarket):
        return DOLLAR_CENTICENTS // 2
    quote = row.path.quote(row.epoch_of(row.close_us))
    return (quote.bid + quote.ask) // 2
