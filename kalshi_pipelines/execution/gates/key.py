"""Checks of the trade key: the exchange lists the key, its scopes are minimal, and it is locked to the sub-account."""

from typing import Final

from kalshi_pipelines.execution.gates.order_checks import check
from kalshi_pipelines.execution.journal.records import Check
from kalshi_pipelines.execution.orders.denials import DenialReason
from kalshi_pipelines.kalshi.errors import Forbidden, KalshiError, NotFound
from kalshi_pipelines.kalshi.portfolio import PortfolioClient
from kalshi_pipelines.kalshi.portfolio_records import ApiKeyRecord, Balance
from kalshi_pipelines.units import InexactValue, microdollars
from kalshi_pipelines.warehouse.engine import WarehouseUnavailable

#: The scopes of a trade key: exactly those that trading needs. They do not permit moving money out of the account.
NEEDED_SCOPES: Final = frozenset({"read", "write::trade"})


def key_checks(portfolio: PortfolioClient, key_id: str, subaccount: int) -> tuple[Check, ...]:
    """Ask the exchange about the trade key and check the answer. Without a usable answer the check fails.

    The vendor's document does not tell whether a key that is locked to a sub-account may list the keys. If the exchange
    refuses the list, two other reads must prove the lock. A key that may list the keys must show its own entry.
    """
    wanted = f"`read` and `write::trade` only, locked to sub-account {subaccount}"
    try:
        balance = portfolio.balance(subaccount)
        try:
            keys = portfolio.api_keys()
        except Forbidden:
            is_fit, seen = _prove_lock(portfolio, subaccount, balance)
        else:
            is_fit, seen = _judge_entry([key for key in keys if key.api_key_id == key_id], subaccount)
    except (KalshiError, WarehouseUnavailable) as error:
        is_fit, seen = False, str(error)
    return (check(DenialReason.KEY_NOT_FIT, is_fit, wanted, seen),)


def _judge_entry(found: list[ApiKeyRecord], subaccount: int) -> tuple[bool, str]:
    """Return whether the key's entry in the list of keys is fit for trading, and what the list shows."""
    if len(found) != 1:
        return False, "the exchange does not list this key"
    key = found[0]
    # Sub-account 0 is the main account. A key of the main account may have no lock to a sub-account at all.
    is_locked = key.subaccount == subaccount or (subaccount == 0 and key.subaccount is None)
    scopes = ", ".join(sorted(key.scopes)) or "no scopes"
    return frozenset(key.scopes) == NEEDED_SCOPES and is_locked, f"{scopes}; sub-account {key.subaccount}"


def _prove_lock(portfolio: PortfolioClient, subaccount: int, balance: Balance) -> tuple[bool, str]:
    """Return whether reads prove that the key is locked to a sub-account, and what they show.

    The vendor's document states two facts about locked keys only. Their balance has no breakdown by shard. The list of
    sub-account balances names no other sub-account. Reads of another sub-account must be refused as well. The lock
    keeps the money in the sub-account, even if the key has more scopes than it needs.

    Raises:
        KalshiError: A read failed, so nothing is proved.
    """
    listed = sorted({each.subaccount_number for each in portfolio.subaccount_balances()})
    if balance.balance_breakdown is not None or listed != [subaccount]:
        return False, f"the key may not list keys, and reads sub-accounts {listed}"
    other = 1 if subaccount == 0 else 0
    try:
        portfolio.balance(other)
    except (Forbidden, NotFound):
        return True, f"the key may not list keys; it reads sub-account {subaccount} and no other"
    return False, f"the key may not list keys, and reads sub-account {other}"


def available_balance(portfolio: PortfolioClient, subaccount: int, exchange_index: int) -> int | None:
    """Return the micro-dollars that an order on a shard can use, or None if the balance cannot be read."""
    try:
        balance = portfolio.balance(subaccount, exchange_index)
        return microdollars(balance.balance_dollars)
    except (KalshiError, InexactValue, WarehouseUnavailable):
        return None
