"""What goes on at an exchange where nothing changes but prices, markets and working hours."""

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
    """Whether the exchange is maintained: Thursdays from 03:00 to 05:00 New York time."""
    local = units.instant(now_us).astimezone(EXCHANGE_TIME_ZONE)
    return local.weekday() == _THURSDAY and local.hour in _MAINTENANCE_HOURS


@dataclass
class UsualLife:
    """Lets things happen at an exchange."""

    exchange: SimulatedExchange
    draw: random.Random
    _is_down: bool = False
    went_on: set[str] = field(default_factory=set)
    """What markets went through: statuses, results, and ``maintenance``."""

    def go_on(self) -> None:
        """All that usually happens within an hour or two."""
        self._keep_hours()
        for act in (self._prices, self._new_markets, self._pauses, self._endings):
            act()

    def _keep_hours(self) -> None:
        """The exchange is down in its maintenance: its status says so, and half of the requests fail, too."""
        is_down = is_maintenance(self.exchange.now_us())
        if is_down == self._is_down:
            return
        self._is_down = is_down
        self.exchange.steer("/exchange", trading_active=not is_down, exchange_active=not is_down)
        if is_down:
            self.went_on.add("maintenance")
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
        """Markets are paused and resumed, closed, determined, disputed, amended and finalized."""
        for ticker in self._tickers("open", 3):
            self._go_on(ticker, self.draw.choice(("inactive", "closed")))
        for ticker in self._tickers("paused", 2):
            self._go_on(ticker, "active")
        for ticker in self._tickers("closed", 4):
            # What is determined is finalized by itself before the next hour.
            for status in ("determined", *self.draw.choice(_AFTERWARDS)):
                self._go_on(ticker, status)

    def _go_on(self, ticker: str, status: str) -> None:
        body: dict[str, Any] = {"status": status}
        if status == "determined":
            body["result"] = self.draw.choice(("yes", "no", "scalar"))
        if body.get("result") == "scalar":
            body["value"] = "0.3700"
        answer = self.exchange.admin.post(f"/sandbox/markets/{ticker}/status", json=body)
        if answer.is_success:  # a market does not go from every status to every other
            self.went_on |= {status, body.get("result", status)}

    def _tickers(self, status: str, most: int) -> list[str]:
        """Some markets in a status; none if the list can not be read, because it is down or drifted."""
        url, params = f"{self.exchange.process.url}/markets", {"status": status, "limit": "1000"}
        try:
            markets = self.exchange.admin.get(url, params=params).raise_for_status().json()["markets"]
            found = [market["ticker"] for market in markets]
        except (httpx.HTTPError, ValueError, KeyError, TypeError, RecursionError):
            return []
        return self.draw.sample(found, min(most, len(found)))
