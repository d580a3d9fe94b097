"""Recording of the engine's decisions.

Each decision becomes an event, which is applied to the state and added to the truth log.

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
    """The only object that changes a trading state and its truth log.

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
        """Return a UUID that is unique in this exchange. It depends only on the seed and on the number of events."""
        sequence = self.state.sequence
        bits = mixed(self.seed, sequence, purpose) << 64 | mixed(sequence, self.seed, purpose + 16)
        return str(UUID(int=bits, version=4))

    def cancel_each(self, orders: Iterable[SandboxOrder], reason: ev.CancelReason, at_us: int) -> None:
        """Cancel each of the given orders that is still resting."""
        for order in list(orders):
            if order.is_resting:
                self.emit(ev.OrderCanceled(at_us=at_us, order_id=order.order_id, count=order.remaining, reason=reason))

    def check_shard(self, shard: int, *, trading: bool) -> None:
        """Refuse a request if its shard is down.

        If ``trading`` is True, also refuse it while trading on the shard is paused.
        """
        state = self.state.shards[shard]
        if not state.exchange_active:
            raise RequestRefused("exchange_unavailable")
        if trading and not state.trading_active:
            raise RequestRefused("trading_paused")
