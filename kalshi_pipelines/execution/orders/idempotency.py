"""The ids of an order, derived from its signal. Every proposal of the same signal gets the same ids.

Time, run and price are not part of the ids, so a retry finds the earlier order instead of placing another one.
"""

import base64
import hashlib
from typing import Final

from kalshi_pipelines.execution.orders.account import Account
from kalshi_pipelines.execution.orders.proposals import Signal
from kalshi_pipelines.execution.orders.terms import ClientOrderId

_VERSION: Final = "1"
_PREFIX: Final = "kx1-"
_DIGEST_BYTES: Final = 20


def idempotency_key(account: Account, signal: Signal) -> str:
    """Return the idempotency key of an order: the SHA-256 of its account and signal, as 64 hexadecimal digits.

    Each part of the hashed text is written with its length, so that no two signals give the same text.
    """
    parts = (
        _VERSION,
        account.environment,
        str(account.subaccount),
        signal.strategy,
        signal.strategy_version,
        signal.partition,
        signal.signal,
        signal.leg,
        str(signal.attempt),
    )
    text = "".join(f"{len(part.encode())}:{part}|" for part in parts)
    return hashlib.sha256(text.encode()).hexdigest()


def client_order_id(key: str) -> ClientOrderId:
    """Return the client order id for an idempotency key: 36 characters that the exchange allows."""
    digest = bytes.fromhex(key)[:_DIGEST_BYTES]
    return ClientOrderId(_PREFIX + base64.b32encode(digest).decode().lower())
