"""The ids of an order, derived from its proposer and its signal. Every proposal of the same signal gets the same ids.

Time, run and price are not part of the ids, so a retry finds the earlier order instead of placing another one. The
proposer is a part, so that nobody can take the name of another proposer's order.
"""

import base64
import hashlib
from typing import Final

from kalshi_pipelines.execution.orders.account import Account
from kalshi_pipelines.execution.orders.proposals import Proposer, Signal
from kalshi_pipelines.execution.orders.terms import ClientOrderId

_VERSION: Final = "2"
_FORMER_VERSION: Final = "1"
_PREFIX: Final = "kx1-"
_DIGEST_BYTES: Final = 20


def idempotency_key(account: Account, proposer: Proposer, signal: Signal) -> str:
    """Return the idempotency key of an order: the SHA-256 of its account, proposer and signal in hexadecimal digits.

    Each part of the hashed text is written with its length, so that no two signals give the same text.
    """
    return _digest(_VERSION, *_account_parts(account), proposer.kind.value, proposer.name, *_signal_parts(signal))


def former_idempotency_key(account: Account, signal: Signal) -> str:
    """Return the key that an order with this signal had before the proposer became a part of the key.

    A signal that was planned in those days stays used for every proposer.
    """
    return _digest(_FORMER_VERSION, *_account_parts(account), *_signal_parts(signal))


def client_order_id(key: str) -> ClientOrderId:
    """Return the client order id for an idempotency key: 36 characters that the exchange allows."""
    digest = bytes.fromhex(key)[:_DIGEST_BYTES]
    return ClientOrderId(_PREFIX + base64.b32encode(digest).decode().lower())


def _account_parts(account: Account) -> tuple[str, ...]:
    return account.environment, str(account.subaccount)


def _signal_parts(signal: Signal) -> tuple[str, ...]:
    return (
        signal.strategy,
        signal.strategy_version,
        signal.partition,
        signal.signal,
        signal.leg,
        str(signal.attempt),
    )


def _digest(*parts: str) -> str:
    text = "".join(f"{len(part.encode())}:{part}|" for part in parts)
    return hashlib.sha256(text.encode()).hexdigest()


def is_made_by_this_program(client_order_id: str) -> bool:
    """Return whether a client order id has the form that this program gives to its orders, with any journal."""
    return client_order_id.startswith(_PREFIX)
