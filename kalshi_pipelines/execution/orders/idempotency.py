"""One signal, one order: ids that are the same however often, wherever and whenever a signal is proposed.

Neither a clock nor a run nor the price goes in, so that a retry meets the earlier order instead of making another.
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
    """SHA-256, as 64 hexadecimal digits, of what makes an order the same order.

    Each part is written with its length, so that no two signals have the same text.
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
    """The id the exchange is given for an idempotency key: 36 characters of its alphabet."""
    digest = bytes.fromhex(key)[:_DIGEST_BYTES]
    return ClientOrderId(_PREFIX + base64.b32encode(digest).decode().lower())
