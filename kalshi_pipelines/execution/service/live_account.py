"""The account that is traded, with the trade key: what can write to it, what reads it, and what compares it.

The only place where the key's file is opened for trading. What is done with it is for ``trading_run`` and ``kill``.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import sqlalchemy as sa

from kalshi_pipelines.execution.configuration import TradeSettings
from kalshi_pipelines.execution.gates.key import available_on, key_checks
from kalshi_pipelines.execution.journal.journal import Journal
from kalshi_pipelines.execution.journal.records import Check
from kalshi_pipelines.execution.reconciliation.account import ExchangeAccount
from kalshi_pipelines.execution.reconciliation.reconciler import Reconciler
from kalshi_pipelines.execution.transport.order_transport import OrderTransport
from kalshi_pipelines.kalshi.client import KalshiClient
from kalshi_pipelines.kalshi.signing import Signer
from kalshi_pipelines.settings import InvalidSettings, Settings


@dataclass(frozen=True)
class LiveAccount:
    """A sub-account at the exchange, opened with the trade key."""

    transport: OrderTransport
    client: KalshiClient
    key_id: str
    subaccount: int

    def key_checks(self) -> tuple[Check, ...]:
        """What the exchange says of the key."""
        return key_checks(self.client.portfolio, self.key_id, self.subaccount)

    def available_on(self, exchange_index: int) -> int | None:
        """Micro-dollars an order on a shard can use; None if that can not be read."""
        return available_on(self.client.portfolio, self.subaccount, exchange_index)

    def reconciler(self, journal: Journal) -> Reconciler:
        """What compares the account with a journal."""
        account = ExchangeAccount(self.client, self.subaccount)
        return Reconciler(journal, account, self.transport, journal.environment, self.subaccount)


def has_trade_key(settings: TradeSettings) -> bool:
    """Whether this process was given a trade key and an address."""
    return None not in (settings.api_key_id, settings.private_key_file, settings.url)


def live_transport(settings: Settings, trade: TradeSettings) -> OrderTransport:
    """What can write to the exchange.

    Raises:
        InvalidSettings: The key or the address is missing.
        UnusableKey: The key's file is none.
        EnvironmentMismatch: The address is not one of the environment's.
    """
    key_id, file, url = trade.api_key_id, trade.private_key_file, trade.url
    if key_id is None or file is None or url is None:
        raise InvalidSettings(
            "This needs the trade key: set KALSHI_TRADE_API_KEY_ID, KALSHI_TRADE_PRIVATE_KEY_FILE and "
            "KALSHI_TRADE_URL. Without them there are dry runs only (KALSHI_TRADE_MODE=dry_run)."
        )
    signer = Signer.from_file(key_id, file, "KALSHI_TRADE_PRIVATE_KEY_FILE")
    return OrderTransport(settings.environment, url, signer, subaccount=trade.subaccount)


@contextmanager
def live_account(settings: Settings, trade: TradeSettings, warehouse: sa.Engine) -> Iterator[LiveAccount]:
    """The account for the length of a block; the rate budget of its reads is kept in the warehouse.

    Raises:
        InvalidSettings: The key or the address is missing.
        KalshiError: The key's file is none, or the address is not one of the environment's.
    """
    with live_transport(settings, trade) as transport:
        with_key = {"api_key_id": trade.api_key_id, "private_key_file": trade.private_key_file}
        with KalshiClient.from_settings(settings.model_copy(update=with_key), warehouse, trade.url) as client:
            yield LiveAccount(transport, client, str(trade.api_key_id), trade.subaccount)
