"""Checks of the trade key: the exchange lists the key, its scopes are minimal, and it is locked to the sub-account."""

from typing import Final

from kalshi_pipelines.execution.gates.order_checks import check
from kalshi_pipelines.execution.journal.records import Check
from kalshi_pipelines.execution.orders.denials import DenialReason
from kalshi_pipelines.kalshi.errors import KalshiError
from kalshi_pipelines.kalshi.portfolio import PortfolioClient
from kalshi_pipelines.units import InexactValue, microdollars
from kalshi_pipelines.warehouse.engine import WarehouseUnavailable

#: The scopes of a trade key: exactly those that trading needs. They do not permit moving money out of the account.
NEEDED_SCOPES: Final = frozenset({"read", "write::trade"})


def key_checks(portfolio: PortfolioClient, key_id: str, subaccount: int) -> tuple[Check, ...]:
    """Ask the exchange about the trade key and check the answer. Without a usable answer the check fails."""
    wanted = f"`read` and `write::trade` only, locked to sub-account {subaccount}"
    try:
        portfolio.balance(subaccount)
        found = [key for key in portfolio.api_keys() if key.api_key_id == key_id]
    except (KalshiError, WarehouseUnavailable) as error:
        return (check(DenialReason.KEY_NOT_FIT, False, wanted, error),)
    if len(found) != 1:
        return (check(DenialReason.KEY_NOT_FIT, False, wanted, "the exchange does not list this key"),)
    key = found[0]
    # Sub-account 0 is the main account. A key of the main account may have no lock to a sub-account at all.
    is_locked = key.subaccount == subaccount or (subaccount == 0 and key.subaccount is None)
    return (
        check(
            DenialReason.KEY_NOT_FIT,
            frozenset(key.scopes) == NEEDED_SCOPES and is_locked,
            wanted,
            f"{', '.join(sorted(key.scopes)) or 'no scopes'}; sub-account {key.subaccount}",
        ),
    )


def available_balance(portfolio: PortfolioClient, subaccount: int, exchange_index: int) -> int | None:
    """Return the micro-dollars that an order on a shard can use, or None if the balance cannot be read."""
    try:
        told = portfolio.balance(subaccount, exchange_index)
        return microdollars(told.balance_dollars)
    except (KalshiError, InexactValue, WarehouseUnavailable):
        return None
