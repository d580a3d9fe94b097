"""Connection of the catalogue, the clock and the matching engine.

Belongs here: opening markets in the engine, making status changes in both the catalogue and the engine, and running due
actions on time. Does not belong here: the actions themselves (``trading.engine``, ``life_cycle``,
``simulated_traders``), and HTTP.
"""

import heapq
from collections.abc import Callable
from typing import Final

from kalshi_pipelines.sandbox.clock import ExchangeClock
from kalshi_pipelines.sandbox.markets.life_cycle import MarketLifeCycle
from kalshi_pipelines.sandbox.markets.listing import Catalogue
from kalshi_pipelines.sandbox.markets.opening import facts_of
from kalshi_pipelines.sandbox.markets.public_trades import PublicTrades
from kalshi_pipelines.sandbox.markets.rows import MarketRow
from kalshi_pipelines.sandbox.markets.simulated_traders import SimulatedTraders
from kalshi_pipelines.sandbox.trading.commands import RequestRefused
from kalshi_pipelines.sandbox.trading.engine import MatchingEngine
from kalshi_pipelines.sandbox.trading.events import MarketChanged, MarketOpened
from kalshi_pipelines.sandbox.trading.log import TruthLog
from kalshi_pipelines.sandbox.trading.state import TradingState

Act = Callable[[int], None]
"""A scheduled action: a function that gets the instant at which it runs, in microseconds since 1970."""

_NEVER: Final = 1 << 63


class Venue:
    """The catalogue, the clock and the matching engine of one exchange, working together.

    ``read_lag_us`` is the delay of portfolio reads. ``trades`` are the public trades. If ``has_crowd`` is False, no
    simulated traders enter opened markets.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        clock: ExchangeClock,
        engine: MatchingEngine,
        log: TruthLog,
        *,
        has_crowd: bool = True,
    ) -> None:
        self.engine = engine
        self.simulated_traders = SimulatedTraders(engine, is_active=has_crowd)
        self.trades = PublicTrades(catalogue.history, lambda: engine.state)
        self.read_lag_us = 0
        self._catalogue = catalogue
        self._clock = clock
        self._log = log
        self._life_cycle = MarketLifeCycle(catalogue, engine.recorder.seed, self.change_market)
        self._acts: list[tuple[int, int, Act]] = []
        self._scheduled = 0
        self._last_us = 0
        self._is_running = False
        self._replica = TradingState()
        self._replicated = 0
        # Plan the status changes of the whole catalogue now. This takes a moment, and the first request should not wait
        # for it.
        self._life_cycle.next_due_us()

    @property
    def state(self) -> TradingState:
        """Present state of the matching engine."""
        return self.engine.state

    def now_us(self) -> int:
        """Return the present instant of the exchange, in microseconds since 1970.

        The result is the clock's time, but never earlier than the last event. While a due action runs, the result is
        the instant at which that action was due.
        """
        return self._last_us if self._is_running else max(self._clock.now_us(), self._last_us)

    def schedule(self, at_us: int, act: Act) -> None:
        """Schedule an action. Actions for the same instant run in the order in which they were scheduled."""
        self._scheduled += 1
        heapq.heappush(self._acts, (at_us, self._scheduled, act))

    def advance(self) -> int:
        """Run all due actions, ordered by time. Return the present instant in microseconds since 1970."""
        now_us = self.now_us()
        self._is_running = True
        try:
            while True:
                due_us, run = self._next_due(now_us)
                if due_us > now_us:
                    break
                self._last_us = max(self._last_us, due_us)
                run(self._last_us)
        finally:
            self._is_running = False
        self._last_us = now_us
        return now_us

    def ensure_open(self, ticker: str) -> None:
        """Open a market of the catalogue in the engine, with simulated traders, unless the engine has the market
        already.

        Raises:
            RequestRefused: No live market has this ticker.
        """
        if ticker in self.state.markets:
            return
        row = self._catalogue.markets.get(ticker)
        if row is None:
            raise RequestRefused("market_not_found")
        at_us = self.now_us()
        self.engine.market_control.open(facts_of(self._catalogue, row, at_us))
        self._show_engine(row)
        self._catalogue.history.market_opened()
        self.simulated_traders.enter(row, at_us)

    def change_market(self, change: MarketChanged) -> None:
        """Change the status of a market in the catalogue.

        If the market is open in the engine, change the engine's status too.
        """
        row = self._catalogue.markets[change.ticker]
        if row.opened is not None:
            self.engine.market_control.change(
                change.ticker,
                change.status,
                at_us=change.at_us,
                result=change.result,
                value=change.value,
                close_us=change.close_us,
            )
        row.change(change)
        self._catalogue.market_changed()
        self._life_cycle.changed(row, change)
        if change.status == "active":
            self.simulated_traders.follow(change.ticker, change.at_us)

    def prices_moved(self) -> None:
        """Let the simulated traders adjust their orders after quotes were moved by hand."""
        at_us = self.now_us()
        for ticker in self.state.markets:
            self.simulated_traders.follow(ticker, at_us)

    def restore(self) -> None:
        """After a restart, bring the catalogue to the state that the truth log describes.

        Call this method once, before ``advance``. Added markets and quotes moved by hand are not in the log, so they
        are lost.
        """
        for event in self._log.events:
            if isinstance(event, MarketOpened):
                self._live_until(event.at_us)
                if event.ticker in self._catalogue.markets:
                    self._show_engine(self._catalogue.markets[event.ticker])
            elif isinstance(event, MarketChanged):
                # Apply only the status changes that the clock caused before the instant of this event. At that instant,
                # the log itself contains every status change of a market that is open in the engine.
                self._live_until(event.at_us - 1)
                if event.ticker not in self._catalogue.markets:
                    continue
                row = self._catalogue.markets[event.ticker]
                row.change(event)
                self._life_cycle.changed(row, event)
        self._last_us = self.state.last_us
        self._live_until(self._last_us)
        for ticker in self.state.markets:
            if ticker in self._catalogue.markets:
                self.simulated_traders.return_to(self._catalogue.markets[ticker], self._last_us)
        self._catalogue.market_changed()
        self._catalogue.history.market_opened()

    def as_of_us(self) -> int:
        """Return the instant of the state that portfolio reads show, in microseconds since 1970."""
        return self.now_us() - self.read_lag_us

    def as_read(self) -> TradingState:
        """Return the trading state that portfolio reads show. Callers must not change it."""
        if not self.read_lag_us:
            return self.state
        as_of_us = self.as_of_us()
        if self._replica.last_us > as_of_us:
            self._replica, self._replicated = TradingState(), 0
        self._replicated = self._follow(self._replica, self._replicated, as_of_us)
        return self._replica

    def state_at(self, at_us: int) -> TradingState:
        """Rebuild the trading state at an instant from the truth log."""
        state = TradingState()
        self._follow(state, 0, at_us)
        return state

    def _follow(self, state: TradingState, applied: int, until_us: int) -> int:
        events = self._log.events
        while applied < len(events) and events[applied].at_us <= until_us:
            state.apply(events[applied])
            applied += 1
        return applied

    def _live_until(self, until_us: int) -> None:
        """Carry out the planned status changes of untraded markets up to an instant.

        The truth log does not record these changes.
        """
        while (due_us := self._life_cycle.next_due_us()) is not None and due_us <= until_us:
            self._life_cycle.run(due_us)

    def _show_engine(self, row: MarketRow) -> None:
        row.follow(self.state.markets[row.ticker], self.now_us)

    def _next_due(self, now_us: int) -> tuple[int, Act]:
        """Return the action that is due next, and its instant.

        At the same instant, status changes run first and scheduled actions last.
        """
        due_us, run = _NEVER, self._run_act
        life_us, expiry_us, visit_us = (
            self._life_cycle.next_due_us(),
            self.engine.next_due_us(),
            self.simulated_traders.next_due_us(),
        )
        if self._acts:
            due_us = self._acts[0][0]
        if visit_us is not None and visit_us <= due_us:
            due_us, run = visit_us, lambda at_us: self.simulated_traders.run(at_us, now_us)
        if expiry_us is not None and expiry_us <= due_us:
            due_us, run = expiry_us, self.engine.expire
        if life_us is not None and life_us <= due_us:
            due_us, run = life_us, self._life_cycle.run
        return due_us, run

    def _run_act(self, at_us: int) -> None:
        heapq.heappop(self._acts)[2](at_us)
