"""Recording of decisions: each decision becomes an event that changes the state and enters the truth log.

Belongs here: steps that all parts of the trading side share, such as identifiers, cancels and shard checks. Does not
belong here: deciding (``engine``, ``groups``, ``accounts``, ``market_control``).
"""

from collections.abc import Iterable
from uuid import UUID

from kalshi_pipelines.sandbox.noise import mixed
from kalshi_pipelines.sandbox.trading import events as ev
from kalshi_pipelines.sandbox.trading.commands import RequestRefused
from kalshi_pipelines.sandbox.trading.log import TruthLog
from kalshi_pipelines.sandbox.trading.records import SandboxOrder
from kalshi_pipelines.sandbox.trading.state import TradingState

ORDER_NUMBERS, TRADE_NUMBERS, GROUP_NUMBERS, TRANSFER_NUMBERS = 1, 2, 3, 4


class EventRecorder:
    """The one writer of a trading state and its truth log.

    ``seed`` makes the identifiers of one exchange differ from those of another.
    """

    def __init__(self, state: TradingState, log: TruthLog, seed: int = 0) -> None:
        self.state = state
        self.log = log
        self.seed = seed

    def emit(self, event: ev.AnyEvent) -> None:
        """Apply an event to the state and append it to the truth log."""
        self.state.apply(event)
        self.log.append(event)

    def identifier(self, purpose: int) -> str:
        """Return a UUID that is unique in this exchange and follows from the seed and the number of events so far."""
        sequence = self.state.sequence
        bits = mixed(self.seed, sequence, purpose) << 64 | mixed(sequence, self.seed, purpose + 16)
        return str(UUID(int=bits, version=4))

    def cancel_each(self, orders: Iterable[SandboxOrder], reason: ev.CancelReason, at_us: int) -> None:
        """Cancel those of the given orders that still rest."""
        for order in list(orders):
            if order.is_resting:
                self.emit(ev.OrderCanceled(at_us=at_us, order_id=order.order_id, count=order.remaining, reason=reason))

    def check_shard(self, shard: int, *, trading: bool) -> None:
        """Refuse a request if a shard is down, or if ``trading`` is required and the shard does not trade."""
        state = self.state.shards[shard]
        if not state.exchange_active:
            raise RequestRefused("exchange_unavailable")
        if trading and not state.trading_active:
            raise RequestRefused("trading_paused")
