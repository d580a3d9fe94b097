"""Counting of the activity that an account had elsewhere, so that the caps of a live session begin with it."""

from collections.abc import Sequence
from typing import Protocol

from kalshi_pipelines.execution.journal.journal import Journal
from kalshi_pipelines.execution.journal.reading.journal_reading import JournalReading
from kalshi_pipelines.execution.journal.records import Fill
from kalshi_pipelines.execution.journal.transaction import JournalTransaction
from kalshi_pipelines.execution.journal.writing.postings import Change
from kalshi_pipelines.execution.orders.account import Account
from kalshi_pipelines.execution.orders.evidence import Settlement
from kalshi_pipelines.execution.orders.terms import Side
from kalshi_pipelines.execution.orders.worst_case import Exposure
from kalshi_pipelines.execution.reconciliation.fill_results import FillResult, fill_results
from kalshi_pipelines.execution.reconciliation.other_journals import LOOK_BACK_US, OtherActivity
from kalshi_pipelines.units import DOLLAR_CENTICENTS


class FillReader(Protocol):
    """Reads the fills and settlements of an account at the exchange."""

    def fills(self, since_us: int) -> list[Fill]:
        """Return every fill of the account since an instant, oldest first."""
        ...

    def fills_of(self, ticker: str) -> list[Fill]:
        """Return every fill of the account in one market, oldest first."""
        ...

    def settlements(self, since_us: int) -> list[Settlement]:
        """Return every settlement of the account since an instant, oldest first."""
        ...


def count_other_activity(journal: Journal, account: Account, other: OtherActivity, exchange: FillReader) -> int:
    """Count orders, notional and losses that this journal did not cause, and return how many entries are new.

    The account must have a live session, whose caps are used. An order or a fill is counted once. An account without
    activity elsewhere needs one read of its recent fills and one of its settlements.

    Raises:
        KalshiError, UnreadableAccount: The account cannot be read; nothing was counted.
        JournalUnavailable: The journal cannot be written; nothing was counted.
    """
    since_us = journal.now_us() - LOOK_BACK_US
    recent, settlements = exchange.fills(since_us), exchange.settlements(since_us)
    with journal.reading() as reading:
        first_us = reading.sessions.first_live_session_us(account)
        unknown = {fill.ticker for fill in recent if not _is_known(reading, account, fill)}
    paid = {each.ticker: each for each in settlements if first_us is None or each.settled_us < first_us}
    histories = {ticker: exchange.fills_of(ticker) for ticker in sorted(unknown | paid.keys())}
    counted = 0
    with journal.writing() as transaction:
        for order in other.orders:
            price = order.price_centicents
            unit = price if order.side is Side.BID else DOLLAR_CENTICENTS - price
            counted += transaction.other_activity.count_order(
                account,
                order.order_id,
                order.ticker,
                # An order of unknown age counts as an order of now, so that no cap is too large.
                order.placed_us or transaction.now_us,
                unit * order.count_centicontracts,
            )
        for ticker, fills in histories.items():
            counted += _count_market(transaction, account, fills, paid.get(ticker), since_us)
    return counted


def _count_market(
    transaction: JournalTransaction, account: Account, fills: Sequence[Fill], paid: Settlement | None, since_us: int
) -> int:
    first_us = transaction.reading.sessions.first_live_session_us(account)
    counted = 0
    for result in fill_results(fills):
        fill = result.fill
        if fill.at_us < since_us or _is_known(transaction.reading, account, fill):
            continue
        # The positions that the account holds at its first session are counted as opening balances of the day. From
        # then on, reconciliations count every fill in the day.
        is_before = first_us is None or fill.at_us < first_us
        counted += transaction.other_activity.count_result(
            account,
            fill.ticker,
            fill.at_us,
            f"fill:{fill.fill_id}",
            _loss(result.realised_microdollars + result.opening_fee_microdollars) if is_before else None,
            _rolling(result, is_settled=paid is not None),
        )
    if paid is not None and fills:
        loss = _loss_at_settlement(fills, paid)
        counted += transaction.other_activity.count_result(
            account, paid.ticker, paid.settled_us, f"settle:{paid.dedupe}", _loss(loss), _loss(loss)
        )
    return counted


def _is_known(reading: JournalReading, account: Account, fill: Fill) -> bool:
    number = reading.orders.intent_id_of_order(fill.order_id)
    return number is not None and reading.orders.intent(number).account == account


def _loss(microdollars: int) -> Change:
    return Change(Exposure(microdollars, microdollars), microdollars)


def _rolling(result: FillResult, *, is_settled: bool) -> Change:
    """Return what a fill adds to its hour: the worst case of what it opened, and the loss of what it closed.

    The contracts of a settled market have no worst case any more.
    """
    fill, opened = result.fill, 0 if is_settled else result.opened_centicontracts
    sign = 1 if fill.side is Side.BID else -1
    fee, lost = result.opening_fee_microdollars, result.realised_microdollars
    exposure = Exposure.of_fill(fill.side, fill.price_centicents, opened, fee) + Exposure(lost, lost)
    return Change(exposure, sign * fill.price_centicents * opened + fee + lost, sign * opened)


def _loss_at_settlement(fills: Sequence[Fill], paid: Settlement) -> int:
    """Return the loss of the position that a settlement ended. It is negative for a gain."""
    position = sum(fill.count_centicontracts * (1 if fill.side is Side.BID else -1) for fill in fills)
    if not position:
        return 0
    side = Side.ASK if position > 0 else Side.BID
    last = Fill("settlement", "", paid.ticker, side, paid.payoff_centicents, abs(position), 0, paid.settled_us)
    return fill_results([*fills, last])[-1].realised_microdollars
