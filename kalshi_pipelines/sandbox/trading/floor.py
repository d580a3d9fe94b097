"""The trading floor: members, their money, the markets and the shards of the exchange.

Belongs here: what is decided apart from orders, and the way every decision becomes an event. Orders are in ``engine``,
order groups in ``groups``.
"""

from collections.abc import Iterable
from typing import Final
from uuid import UUID

from kalshi_pipelines.sandbox.noise import mixed
from kalshi_pipelines.sandbox.trading import events as ev
from kalshi_pipelines.sandbox.trading.commands import RequestRefused
from kalshi_pipelines.sandbox.trading.log import TruthLog
from kalshi_pipelines.sandbox.trading.records import SandboxOrder, Transfer
from kalshi_pipelines.sandbox.trading.state import CENT, TradingState
from kalshi_pipelines.units import DOLLAR_CENTICENTS

LAST_SUBACCOUNT: Final = 63
CLOSED_STATUSES: Final = frozenset({"closed", "determined", "disputed", "amended", "finalized"})
ORDER_NUMBERS, TRADE_NUMBERS, GROUP_NUMBERS, TRANSFER_NUMBERS = 1, 2, 3, 4


class TradingFloor:
    """Decides about members, money, markets and shards. ``seed`` makes the identifiers of one exchange its own."""

    def __init__(self, state: TradingState, log: TruthLog, seed: int = 0) -> None:
        self.state = state
        self.log = log
        self.seed = seed

    def emit(self, event: ev.AnyEvent) -> None:
        """Let something happen, and write it down."""
        self.state.apply(event)
        self.log.append(event)

    def identifier(self, purpose: int) -> str:
        """A UUID that nothing else of this exchange has. It follows from the seed and what happened so far."""
        sequence = self.state.sequence
        bits = mixed(self.seed, sequence, purpose) << 64 | mixed(sequence, self.seed, purpose + 16)
        return str(UUID(int=bits, version=4))

    def join(self, member: str, *, at_us: int, balance_step: int = 100, keeps_history: bool = True) -> None:
        """Make someone a member; one who is already stays as it is."""
        if member not in self.state.members:
            self.emit(
                ev.MemberJoined(at_us=at_us, member=member, balance_step=balance_step, keeps_history=keeps_history)
            )

    def open_subaccount(self, member: str, *, at_us: int) -> int:
        """Open the next sub-account of a member; its number.

        Raises:
            RequestRefused: There are 63 already.
        """
        number = max(self.state.members[member].subaccounts) + 1
        if number > LAST_SUBACCOUNT:
            raise RequestRefused("subaccount_limit_reached")
        self.emit(ev.SubaccountOpened(at_us=at_us, member=member, subaccount=number))
        return number

    def deposit(self, member: str, subaccount: int, shard: int, amount: int, *, at_us: int) -> None:
        """Bring in money from outside; a negative amount takes it out.

        Raises:
            RequestRefused: The sub-account or the shard is not there, or less money is available than is taken out.
        """
        self._check_account(member, subaccount, shard)
        if amount < 0 and self.state.available(member, subaccount, shard) < -amount:
            raise RequestRefused("insufficient_balance")
        self.emit(ev.MoneyMoved(at_us=at_us, member=member, subaccount=subaccount, shard=shard, amount=amount))

    def transfer(
        self,
        member: str,
        source: tuple[int, int],
        destination: tuple[int, int],
        amount: int,
        client_transfer_id: str | None,
        *,
        at_us: int,
    ) -> Transfer:
        """Move a member's money between (sub-account, shard) places; micro-dollars.

        Raises:
            RequestRefused: The transfer id was used before, a place does not exist or is down, or money is missing.
        """
        known = self.state.transfers_of[member]
        if client_transfer_id is not None and any(move.client_transfer_id == client_transfer_id for move in known):
            raise RequestRefused("transfer_already_exists")
        for subaccount, shard in (source, destination):
            self._check_account(member, subaccount, shard)
            self.check_shard(shard, trading=False)
        if amount <= 0 or source == destination:
            raise RequestRefused("bad_request", "amount must be positive and the places different")
        if self.state.available(member, *source) < amount:
            raise RequestRefused("insufficient_balance")
        self.emit(
            ev.MoneyTransferred(
                at_us=at_us, transfer_id=self.identifier(TRANSFER_NUMBERS), client_transfer_id=client_transfer_id,
                member=member, from_subaccount=source[0], from_shard=source[1], to_subaccount=destination[0],
                to_shard=destination[1], amount=amount,
            )
        )  # fmt: skip
        return self.state.transfers_of[member][-1]

    def open_market(self, facts: ev.MarketOpened) -> None:
        """Give a market a book, unless it has one."""
        if facts.ticker not in self.state.markets:
            self.emit(facts)

    def change_market(
        self,
        ticker: str,
        status: ev.MarketStatus,
        *,
        at_us: int,
        result: ev.Result = "",
        value: int | None = None,
        close_us: int | None = None,
    ) -> None:
        """Let a market go on to another status, with the cancels and pay-outs that belong to it.

        ``value`` is what one YES pays in centi-cents; it is needed to finalize. Which changes are legal is decided by
        whoever runs the markets.
        """
        market = self.state.markets[ticker]
        resumed = market.status == "inactive" and status == "active"
        self.emit(
            ev.MarketChanged(at_us=at_us, ticker=ticker, status=status, result=result, value=value, close_us=close_us)
        )
        if status in CLOSED_STATUSES:
            self.cancel_each(self._resting_in(ticker), "market_closed", at_us)
        elif resumed:
            self.cancel_each(self._resting_in(ticker), "market_resumed", at_us)
        elif status == "inactive":
            wanted = [order for order in self._resting_in(ticker) if order.accepted.cancel_on_pause]
            self.cancel_each(wanted, "paused", at_us)
        if status == "finalized":
            self._pay_out(ticker, value or 0, at_us)

    def set_shard(self, shard: int, *, exchange_active: bool, trading_active: bool, at_us: int) -> None:
        """Pause or resume a shard. Orders that asked for it are canceled when trading stops."""
        self.emit(
            ev.ShardChanged(at_us=at_us, shard=shard, exchange_active=exchange_active, trading_active=trading_active)
        )
        if not (exchange_active and trading_active):
            wanted = [
                order
                for ticker, market in self.state.markets.items()
                if market.facts.shard == shard
                for order in self._resting_in(ticker)
                if order.accepted.cancel_on_pause
            ]
            self.cancel_each(wanted, "paused", at_us)

    def cancel_each(self, orders: Iterable[SandboxOrder], reason: ev.CancelReason, at_us: int) -> None:
        """Cancel what still rests of some orders."""
        for order in list(orders):
            if order.is_resting:
                self.emit(ev.OrderCanceled(at_us=at_us, order_id=order.order_id, count=order.remaining, reason=reason))

    def check_shard(self, shard: int, *, trading: bool) -> None:
        """Refuse if a shard does not work, or does not trade where ``trading`` matters."""
        state = self.state.shards[shard]
        if not state.exchange_active:
            raise RequestRefused("exchange_unavailable")
        if trading and not state.trading_active:
            raise RequestRefused("trading_paused")

    def _resting_in(self, ticker: str) -> list[SandboxOrder]:
        book = self.state.markets[ticker].book
        resting = [*book.queue("bid"), *book.queue("ask")]
        return [self.state.orders[order.order_id] for order in resting]

    def _pay_out(self, ticker: str, value: int, at_us: int) -> None:
        for position in self.state.holders_of(ticker):
            count = position.count
            if count:
                owed = count * value if count > 0 else -count * (DOLLAR_CENTICENTS - value)
                # Pay-outs are whole cents; the rest of a scalar one stays with the exchange.
                self.emit(
                    ev.PositionSettled(
                        at_us=at_us, member=position.member, subaccount=position.subaccount, ticker=ticker,
                        revenue=owed // CENT * CENT, fee=0,
                    )
                )  # fmt: skip

    def _check_account(self, member: str, subaccount: int, shard: int) -> None:
        if shard not in self.state.shards:
            raise RequestRefused("bad_request", f"exchange index {shard} does not exist")
        if member not in self.state.members or subaccount not in self.state.members[member].subaccounts:
            raise RequestRefused("subaccount_not_found")
