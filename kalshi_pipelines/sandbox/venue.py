"""Where the catalogue, the clock and the trading engine meet.

Belongs here: opening markets of the catalogue in the engine, and running what is due up to the clock's now, each thing
at its own time. Does not belong here: what happens then (``trading.engine``, ``life``, ``crowd``), and HTTP.
"""

import heapq
from collections.abc import Callable
from typing import Final

from kalshi_pipelines.sandbox.clock import ExchangeClock
from kalshi_pipelines.sandbox.listing import Catalogue
from kalshi_pipelines.sandbox.opening import facts_of
from kalshi_pipelines.sandbox.trading.commands import Refused
from kalshi_pipelines.sandbox.trading.engine import MatchingEngine
from kalshi_pipelines.sandbox.trading.log import TruthLog
from kalshi_pipelines.sandbox.trading.state import TradingState

Act = Callable[[int], None]
"""Something to do when its time has come; it is told the instant, microseconds since 1970."""

_NEVER: Final = 1 << 63


class Venue:
    """The trading side of one exchange on its clock. ``read_lag_us`` is how far portfolio reads lag behind."""

    def __init__(self, catalogue: Catalogue, clock: ExchangeClock, engine: MatchingEngine, log: TruthLog) -> None:
        self.engine = engine
        self.read_lag_us = 0
        self._catalogue = catalogue
        self._clock = clock
        self._log = log
        self._acts: list[tuple[int, int, Act]] = []
        self._scheduled = 0
        self._last_us = log.events[-1].at_us if log.events else 0
        self._replica = TradingState()
        self._replicated = 0

    @property
    def state(self) -> TradingState:
        """The state of the engine."""
        return self.engine.state

    def now_us(self) -> int:
        """Microseconds since 1970 by the clock; never earlier than anything that happened already."""
        return max(self._clock.now_us(), self._last_us)

    def schedule(self, at_us: int, act: Act) -> None:
        """Have something done at an instant; things of one instant happen in the order they were scheduled."""
        self._scheduled += 1
        heapq.heappush(self._acts, (at_us, self._scheduled, act))

    def advance(self) -> int:
        """Run everything that is due up to now, in the order of time; the microseconds since 1970 it is now."""
        now_us = self.now_us()
        while (due_us := self._next_due_us()) <= now_us:
            self._last_us = max(self._last_us, due_us)
            self._run_due(due_us)
        self._last_us = now_us
        return now_us

    def ensure_open(self, ticker: str) -> None:
        """Make a market of the catalogue tradable, if it is not yet.

        Raises:
            Refused: No such market is live.
        """
        if ticker in self.state.markets:
            return
        market = self._catalogue.markets.get(ticker)
        if market is None:
            raise Refused("market_not_found")
        self.engine.open_market(facts_of(self._catalogue, market, self.now_us()))

    def as_of_us(self) -> int:
        """The instant portfolio reads have caught up to, microseconds since 1970."""
        return self.now_us() - self.read_lag_us

    def as_read(self) -> TradingState:
        """The state as portfolio reads see it. It must only be read."""
        if not self.read_lag_us:
            return self.state
        as_of_us = self.as_of_us()
        if self._replicated and self._log.events[self._replicated - 1].at_us > as_of_us:
            self._replica, self._replicated = TradingState(), 0
        self._replicated = self._follow(self._replica, self._replicated, as_of_us)
        return self._replica

    def state_at(self, at_us: int) -> TradingState:
        """The state as it was at an instant, made anew from the truth log."""
        state = TradingState()
        self._follow(state, 0, at_us)
        return state

    def _follow(self, state: TradingState, applied: int, until_us: int) -> int:
        events = self._log.events
        while applied < len(events) and events[applied].at_us <= until_us:
            state.apply(events[applied])
            applied += 1
        return applied

    def _next_due_us(self) -> int:
        expiry_us = self.engine.next_due_us()
        act_us = self._acts[0][0] if self._acts else _NEVER
        return act_us if expiry_us is None else min(act_us, expiry_us)

    def _run_due(self, due_us: int) -> None:
        expiry_us = self.engine.next_due_us()
        if expiry_us is not None and expiry_us <= due_us:
            self.engine.expire(self._last_us)
        else:
            act = heapq.heappop(self._acts)[2]
            act(self._last_us)
