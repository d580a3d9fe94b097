"""A member of the sandbox exchange that trades directly on the venue, without HTTP."""

from dataclasses import dataclass
from typing import Any

from kalshi_pipelines.sandbox.markets.venue import Venue
from kalshi_pipelines.sandbox.trading.commands import Execution, NewOrder
from kalshi_pipelines.sandbox.trading.events import Side
from kalshi_pipelines.sandbox.trading.records import SandboxOrder
from kalshi_pipelines_tests.support.sandbox.local_sandbox import LocalSandbox

ME = "me"
A_MILLION = 10**12


@dataclass
class SandboxTrader:
    """A member that trades on a venue. Prices are in centi-cents, counts in centi-contracts."""

    venue: Venue
    member: str = ME

    def __post_init__(self) -> None:
        now_us = self.venue.advance()
        self.venue.engine.accounts.join(self.member, at_us=now_us)
        for shard in range(4):
            self.venue.engine.accounts.deposit(self.member, 0, shard, A_MILLION, at_us=now_us)

    def place(self, ticker: str, side: Side, price: int, count: int, **terms: Any) -> Execution:
        now_us = self.venue.advance()
        self.venue.ensure_open(ticker)
        return self.venue.engine.place(NewOrder(self.member, 0, ticker, side, price, count, **terms), at_us=now_us)

    def rest(self, ticker: str, side: Side, price: int, count: int, **terms: Any) -> SandboxOrder:
        order = self.place(ticker, side, price, count, **terms).order
        assert order.is_resting
        return order

    def money(self) -> int:
        return sum(cash for (member, _, _), cash in self.venue.state.cash.items() if member == self.member)


def quoted_market(sandbox: LocalSandbox, number: int = 0) -> str:
    """Return the ticker of a market with a whole-cent grid and with bids and asks between 10 and 90 cents."""
    found = [
        market
        for market in sandbox.markets(status="open", mve_filter="exclude")
        if "0.1000" < market["yes_bid_dollars"] < market["yes_ask_dollars"] < "0.9000"
        and market["price_level_structure"] == "linear_cent"
    ]
    return str(found[number]["ticker"])
