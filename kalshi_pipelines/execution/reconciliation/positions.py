"""Positions the journal takes over from the exchange because no fill it knows explains them."""

from kalshi_pipelines.execution.journal.transaction import JournalTransaction
from kalshi_pipelines.execution.orders.account import Account
from kalshi_pipelines.execution.orders.evidence import Holding
from kalshi_pipelines.units import DOLLAR_CENTICENTS


def counted_positions(transaction: JournalTransaction, account: Account) -> dict[str, int]:
    """Signed centi-contracts of each market that is held by the journal's account; none are 0."""
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
    """Count the part of a holding that the journal does not explain; by how many centi-contracts it was corrected.

    It is done once for each ``dedupe``.
    """
    unexplained = (holding.position_centicontracts if holding else 0) - counted
    if unexplained:
        # What part of the cost belongs to what is not explained is not told: then it is the most there can be.
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
