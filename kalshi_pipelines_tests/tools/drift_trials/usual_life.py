"""The usual life of an exchange: prices, markets and working hours change, and nothing else."""

import random
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

from kalshi_pipelines import units
from kalshi_pipelines.units import EXCHANGE_TIME_ZONE
from kalshi_pipelines_tests.tools.drift_trials.world import SimulatedExchange

_THURSDAY: Final = 3
_AFTERWARDS: Final = ((), ("disputed",), ("disputed", "amended"), ("finalized",), ("disputed", "amended", "finalized"))
_MAINTENANCE_HOURS: Final = (3, 4)


def is_maintenance(now_us: int) -> bool:
    """Return whether the exchange is in maintenance: Thursdays from 03:00 to 05:00 New York time."""
    local = units.instant(now_us).astimezone(EXCHANGE_TIME_ZONE)
    return local.weekday() == _THURSDAY and local.hour in _MAINTENANCE_HOURS


@dataclass
class UsualLife:
    """The usual events at a simulated exchange."""

    exchange: SimulatedExchange
    draw: random.Random
    _is_down: bool = False
    happened: set[str] = field(default_factory=set)
    """The events that happened so far: statuses and results of markets, and ``maintenance``."""

    def advance(self) -> None:
        """Let the events of one or two usual hours happen."""
        self._keep_hours()
        for act in (self._prices, self._new_markets, self._pauses, self._endings):
            act()

    def _keep_hours(self) -> None:
        """Start or end the maintenance. While it lasts, the exchange says that it is inactive. Thirty requests fail."""
        is_down = is_maintenance(self.exchange.now_us())
        if is_down == self._is_down:
            return
        self._is_down = is_down
        self.exchange.steer("/exchange", trading_active=not is_down, exchange_active=not is_down)
        if is_down:
            self.happened.add("maintenance")
            self.exchange.steer("/faults", endpoint="*", kind="server_error", at=3, times=30)
        else:
            self.exchange.admin.delete("/sandbox/faults").raise_for_status()

    def _prices(self) -> None:
        self.exchange.steer("/prices", fraction=self.draw.choice((0.01, 0.2, 1.0)))

    def _new_markets(self) -> None:
        if self.draw.random() < 0.4:
            self.exchange.steer("/markets", count=self.draw.randint(1, 4))

    def _pauses(self) -> None:
        shard = self.draw.randrange(4)
        is_active = self.draw.random() < 0.8
        self.exchange.steer(f"/shards/{shard}", trading_active=is_active or self._is_down)

    def _endings(self) -> None:
        """Pause, resume, close and determine some markets, and dispute, amend or finalize them."""
        for ticker in self._tickers("open", 3):
            self._set_status(ticker, self.draw.choice(("inactive", "closed")))
        for ticker in self._tickers("paused", 2):
            self._set_status(ticker, "active")
        for ticker in self._tickers("closed", 4):
            # The exchange itself finalizes a determined market within the next hour.
            for status in ("determined", *self.draw.choice(_AFTERWARDS)):
                self._set_status(ticker, status)

    def _set_status(self, ticker: str, status: str) -> None:
        body: dict[str, Any] = {"status": status}
        if status == "determined":
            body["result"] = self.draw.choice(("yes", "no", "scalar"))
        if body.get("result") == "scalar":
            body["value"] = "0.3700"
        answer = self.exchange.admin.post(f"/sandbox/markets/{ticker}/status", json=body)
        if answer.is_success:  # some transitions between statuses are not allowed
            self.happened |= {status, body.get("result", status)}

    def _tickers(self, status: str, most: int) -> list[str]:
        """Return the tickers of some markets in a status; none if a drift or an outage makes the list unreadable."""
        url, params = f"{self.exchange.process.url}/markets", {"status": status, "limit": "1000"}
        try:
            markets = self.exchange.admin.get(url, params=params).raise_for_status().json()["markets"]
            found = [market["ticker"] for market in markets]
        except (httpx.HTTPError, ValueError, KeyError, TypeError, RecursionError):
            return []
        return self.draw.sample(found, min(most, len(found)))
