"""Markets and shards of the trading side: opening, status changes, pay-outs and pauses.

Does not belong here: deciding which status changes are legal, and when they happen (``markets.life_cycle``).
"""

from typing import Final

from kalshi_pipelines.sandbox.trading import events as ev
from kalshi_pipelines.sandbox.trading.recorder import EventRecorder
from kalshi_pipelines.sandbox.trading.records import SandboxOrder
from kalshi_pipelines.sandbox.trading.state import CENT
from kalshi_pipelines.units import DOLLAR_CENTICENTS

CLOSED_STATUSES: Final = frozenset({"closed", "determined", "disputed", "amended", "finalized"})


class MarketControl:
    """Commands that open markets, change their status, and pause or resume shards."""

    def __init__(self, recorder: EventRecorder) -> None:
        self._recorder = recorder
        self._state = recorder.state

    def open(self, facts: ev.MarketOpened) -> None:
        """Give a market an order book unless it already has one."""
        if facts.ticker not in self._state.markets:
            self._recorder.emit(facts)

    def change(
        self,
        ticker: str,
        status: ev.MarketStatus,
        *,
        at_us: int,
        result: ev.Result = "",
        value: int | None = None,
        close_us: int | None = None,
    ) -> None:
        """Change the status of a market. Cancel orders and pay out positions as the new status requires.

        ``value`` is the centi-cents that one YES pays, and is required to finalize a market. This method does not check
        whether the change is legal. ``markets.life_cycle`` and the admin routes do so.
        """
        market = self._state.markets[ticker]
        resumed = market.status == "inactive" and status == "active"
        self._recorder.emit(
            ev.MarketChanged(at_us=at_us, ticker=ticker, status=status, result=result, value=value, close_us=close_us)
        )
        if status in CLOSED_STATUSES:
            self._recorder.cancel_each(self._resting_in(ticker), "market_closed", at_us)
        elif resumed:
            self._recorder.cancel_each(self._resting_in(ticker), "market_resumed", at_us)
        elif status == "inactive":
            wanted = [order for order in self._resting_in(ticker) if order.accepted.cancel_on_pause]
            self._recorder.cancel_each(wanted, "paused", at_us)
        if status == "finalized":
            self._pay_out(ticker, value or 0, at_us)

    def set_shard(self, shard: int, *, exchange_active: bool, trading_active: bool, at_us: int) -> None:
        """Pause or resume a shard. Orders with ``cancel_on_pause`` are canceled when trading stops."""
        self._recorder.emit(
            ev.ShardChanged(at_us=at_us, shard=shard, exchange_active=exchange_active, trading_active=trading_active)
        )
        if not (exchange_active and trading_active):
            wanted = [
                order
                for ticker, market in self._state.markets.items()
                if market.facts.shard == shard
                for order in self._resting_in(ticker)
                if order.accepted.cancel_on_pause
            ]
            self._recorder.cancel_each(wanted, "paused", at_us)

    def _resting_in(self, ticker: str) -> list[SandboxOrder]:
        book = self._state.markets[ticker].book
        resting = [*book.queue("bid"), *book.queue("ask")]
        return [self._state.orders[order.order_id] for order in resting]

    def _pay_out(self, ticker: str, value: int, at_us: int) -> None:
        for position in self._state.holders_of(ticker):
            count = position.count
            if count:
                owed = count * value if count > 0 else -count * (DOLLAR_CENTICENTS - value)
                # A pay-out is a whole number of cents. The exchange keeps any fraction of a cent from a scalar result.
                self._recorder.emit(
                    ev.PositionSettled(
                        at_us=at_us,
                        member=position.member,
                        subaccount=position.subaccount,
                        ticker=ticker,
                        revenue=owed // CENT * CENT,
                        fee=0,
                    )
                )
