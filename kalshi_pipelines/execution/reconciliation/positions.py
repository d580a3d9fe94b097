"""Positions that the journal takes over from the exchange because no recorded fill explains them."""

from kalshi_pipelines.execution.journal.transaction import JournalTransaction
from kalshi_pipelines.execution.orders.account import Account
from kalshi_pipelines.execution.orders.evidence import Holding
from kalshi_pipelines.units import DOLLAR_CENTICENTS


def counted_positions(transaction: JournalTransaction, account: Account) -> dict[str, int]:
    """Return the positions other than 0 that the journal has counted: signed centi-contracts by ticker."""
    held = transaction.reading.ledger.markets(account)
    return {market.ticker: market.position_centicontracts for market in held if market.position_centicontracts}


def take_over(
    transaction: JournalTransaction,
    account: Account,
    ticker: str,
    event_ticker: str,
    *,
    holding: Holding | None,
    counted: int,
    dedupe: str = "",
) -> int:
    """Record the part of a position that the journal does not explain.

    The correction is recorded only once for each value of ``dedupe``.

    Returns:
        The correction in centi-contracts; 0 if the journal explains the whole position.
    """
    unexplained = (holding.position_centicontracts if holding else 0) - counted
    if unexplained:
        # The exchange states only the cost of the whole position. If the journal explains a part of the position, the
        # other part is counted with the highest possible cost.
        dearest = max(0, unexplained) * DOLLAR_CENTICENTS
        transaction.positions.record_opening(
            account,
            ticker,
            event_ticker,
            position_centicontracts=unexplained,
            spent_microdollars=holding.spent_microdollars if holding and not counted else dearest,
            dedupe=f"{account.environment}:{account.subaccount}:{ticker}{dedupe}",
        )
    return unexplained
