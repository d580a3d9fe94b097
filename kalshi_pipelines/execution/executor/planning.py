"""Planning of an order: it reads the market and the account, and fixes the request.

Planning changes nothing in the journal. It may create an order group at the exchange, which the request then names.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from kalshi_pipelines.execution.configuration import TradeSettings
from kalshi_pipelines.execution.executor.decisions import AdmittedOrder, PlannedOrder, ShardBalance
from kalshi_pipelines.execution.executor.dispatch import GroupNotMade, KillReader, OrderDispatch
from kalshi_pipelines.execution.executor.session import TradeSession
from kalshi_pipelines.execution.gates.market_snapshot import MarketReader, MarketSnapshot, UnreadableMarket
from kalshi_pipelines.execution.gates.order_checks import (
    Denial,
    check,
    fee_bound_check,
    first_denial,
    proposal_checks,
)
from kalshi_pipelines.execution.journal.errors import JournalRefused
from kalshi_pipelines.execution.journal.journal import Journal
from kalshi_pipelines.execution.journal.records import Check
from kalshi_pipelines.execution.orders.checkpoints import Checkpoint, PassCheckpoint
from kalshi_pipelines.execution.orders.denials import DenialReason
from kalshi_pipelines.execution.orders.idempotency import client_order_id, idempotency_key
from kalshi_pipelines.execution.orders.proposals import ProposedOrder
from kalshi_pipelines.execution.orders.request import OrderRequest
from kalshi_pipelines.execution.orders.terms import ClientOrderId
from kalshi_pipelines.execution.text import safe_line
from kalshi_pipelines.kalshi.errors import KalshiError
from kalshi_pipelines.units import microseconds
from kalshi_pipelines.warehouse.engine import WarehouseUnavailable

#: Errors that reading a market can raise. Every read first takes tokens from the rate budget in the warehouse, so these
#: errors include a failure of the warehouse.
MARKET_READ_ERRORS: Final = (KalshiError, UnreadableMarket, WarehouseUnavailable)
#: Errors that an unusual proposal can cause while it is planned. Such an error denies only this one proposal.
PLANNING_ERRORS: Final = (ValueError, ArithmeticError, LookupError, TypeError)
#: The type of functions that return the micro-dollars available on a shard, or None if the balance cannot be read.
BalanceReader = Callable[[int], int | None]


@dataclass(frozen=True, slots=True)
class ExecutorInputs:
    """The functions with which the executor reads markets, the kill switch and the account's balance."""

    markets: MarketReader
    kill: KillReader
    balance: BalanceReader | None = None
    """The reader of the balance. It is None in a dry run, which has no key for reading the balance."""
    used_elsewhere: frozenset[str] = frozenset()
    """Client order ids of orders that another journal placed. The exchange may accept such an id a second time."""


class OrderPlanning:
    """Plans the orders of one trading session.

    Args:
        session: An open session. Every order has the session's mode, caps and sub-account.
        journal: The journal whose attempts of the last minute are counted.
        settings: Limits of single orders.
        inputs: Readers of markets, kill switch and balance.
        dispatch: The session's dispatch, which creates the order group of a shard.
        checkpoint: A function that tests use to interrupt an order between two steps.
        clock_us: A function that returns the present instant in microseconds.
    """

    def __init__(
        self,
        session: TradeSession,
        journal: Journal,
        settings: TradeSettings,
        inputs: ExecutorInputs,
        dispatch: OrderDispatch,
        *,
        checkpoint: PassCheckpoint,
        clock_us: Callable[[], int],
    ) -> None:
        self._session, self._journal, self._settings = session, journal, settings
        self._read, self._dispatch = inputs, dispatch
        self._checkpoint, self._clock_us = checkpoint, clock_us

    def plan(self, order: ProposedOrder, proposal_id: int | None) -> PlannedOrder | Denial:
        """Return the order as it would be sent, or the reason to deny it before the journal stores it.

        Raises:
            ValueError, ArithmeticError, LookupError, TypeError: The proposal is unusual, so it cannot be planned.
        """
        early = self._deny_early(order)
        if early is not None:
            return early
        try:
            market = self._read.markets(order.ticker)
            group = self._dispatch.ensure_group(market.exchange_index)
        except (*MARKET_READ_ERRORS, GroupNotMade, JournalRefused) as error:
            return Denial(DenialReason.CHECK_FAILED, str(error))
        self._checkpoint(Checkpoint.INPUTS_READ)
        bound, fee_check = fee_bound_check(order, order.count, market, self._settings)
        request = OrderRequest(
            client_order_id=self._client_order_id(order),
            ticker=order.ticker,
            side=order.leg.side,
            price=order.leg.yes_price,
            count=order.count,
            time_in_force=order.time_in_force,
            subaccount=self._session.account.subaccount,
            exchange_index=market.exchange_index,
            order_group_id=group,
            expires_us=None if order.expires is None else microseconds(order.expires),
            post_only=order.post_only,
            reduce_only=order.reduce_only,
        )
        balance = self._read_balance(market.exchange_index)
        return PlannedOrder(order, proposal_id, request, market, bound, (fee_check,), balance)

    def look_again(self, admitted: AdmittedOrder) -> AdmittedOrder:
        """Check market, fee and balance again for an order that waited for approval, and return the order.

        The order's request and reservation were fixed when the order was planned. If the market's shard, event or fee
        terms have changed since then, a check fails and the order is abandoned.

        Raises:
            KalshiError, UnreadableMarket, WarehouseUnavailable: The market cannot be read.
        """
        planned = admitted.planned
        market = self._read.markets(planned.order.ticker)
        _, fee_check = fee_bound_check(planned.order, planned.request.count, market, self._settings)
        checks = (_same_terms_check(planned.market, market), fee_check)
        balance = self._read_balance(market.exchange_index)
        return replace(admitted, planned=replace(planned, market=market, checks=checks, balance=balance))

    def _deny_early(self, order: ProposedOrder) -> Denial | None:
        """Return the reason to deny an order before the exchange is asked about its market."""
        early = first_denial(proposal_checks(order, self._settings, self._clock_us()))
        if early is not None:
            return early
        killed = self._read.kill()
        if killed is not None:
            return Denial(DenialReason.KILL_SWITCH_ENGAGED, killed)
        often = self._check_attempt_rate()
        if often is not None:
            return often
        client_id = str(self._client_order_id(order))
        if client_id in self._read.used_elsewhere:
            detail = f"another journal placed order {client_id} for this signal"
            return Denial(DenialReason.IDEMPOTENCY_CONFLICT, detail)
        return None

    def _client_order_id(self, order: ProposedOrder) -> ClientOrderId:
        return client_order_id(idempotency_key(self._session.account, order.proposer, order.signal))

    def _check_attempt_rate(self) -> Denial | None:
        """Return a denial if the account has used up its attempts of the last minute.

        This check comes before the market is read and an order group is created. Creating a group is a write to the
        exchange, and no reservation limits how many groups are created.
        """
        session, most = self._session, self._session.caps.attempts_per_minute
        with self._journal.reading() as reading:
            tried = reading.orders.attempts_in_last_minute(session.account, session.mode, self._clock_us())
        if tried < most:
            return None
        return Denial(DenialReason.CAP_MESSAGE_RATE, f"{tried} attempts in the last minute; the cap is {most}")

    def _read_balance(self, exchange_index: int) -> ShardBalance | None:
        return None if self._read.balance is None else ShardBalance(self._read.balance(exchange_index))


def denied_as_unplannable(error: Exception) -> Denial:
    """Return the denial of a proposal whose planning raised an error."""
    return Denial(
        DenialReason.CHECK_FAILED, f"the order cannot be planned: {type(error).__name__}: {safe_line(str(error))}"
    )


def _same_terms_check(before: MarketSnapshot, now: MarketSnapshot) -> Check:
    """Check that the market's shard, event and fee terms are unchanged since the order was planned."""
    planned, present = (
        f"shard {market.exchange_index}, event {market.event_ticker}, fee {market.fee_type} times "
        f"{str(market.fee_multiplier)[:40]}"
        for market in (before, now)
    )
    return check(DenialReason.CHECK_FAILED, planned == present, f"as planned: {planned}", present)
