"""The traded account, opened with the trade key: its order transport, its client and its reconciler.

This is the only module that opens the trade key's file to send orders. ``trading_session`` and ``kill_switch`` use it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import sqlalchemy as sa

from kalshi_pipelines.execution.configuration import TradeSettings
from kalshi_pipelines.execution.gates.key import available_balance, key_checks
from kalshi_pipelines.execution.journal.journal import Journal
from kalshi_pipelines.execution.journal.records import Check
from kalshi_pipelines.execution.orders.account import Account
from kalshi_pipelines.execution.reconciliation.account import ExchangeAccount
from kalshi_pipelines.execution.reconciliation.reconciler import Reconciler
from kalshi_pipelines.execution.service.account.other_traders import OtherTraders
from kalshi_pipelines.execution.transport.order_transport import OrderTransport
from kalshi_pipelines.kalshi.client import KalshiClient
from kalshi_pipelines.kalshi.errors import UnusableKey
from kalshi_pipelines.kalshi.key_file import exposure_of
from kalshi_pipelines.kalshi.signing import Signer
from kalshi_pipelines.settings import InvalidSettings, Settings


@dataclass(frozen=True)
class LiveAccount:
    """A sub-account at the exchange, opened for trading with the trade key."""

    transport: OrderTransport
    client: KalshiClient
    key_id: str
    subaccount: int

    def key_checks(self) -> tuple[Check, ...]:
        """Ask the exchange for the trade key's scopes and sub-account, and check them."""
        return key_checks(self.client.portfolio, self.key_id, self.subaccount)

    def available_balance(self, exchange_index: int) -> int | None:
        """Return the micro-dollars that an order on a shard can use, or None if the balance cannot be read."""
        return available_balance(self.client.portfolio, self.subaccount, exchange_index)

    def other_traders(self, journal: Journal) -> OtherTraders:
        """Read the account, and return what it did elsewhere, as far as the journal does not know it.

        Raises:
            KalshiError, UnreadableAccount: The account cannot be read completely.
            JournalUnavailable: The journal cannot be read.
        """
        exchange = ExchangeAccount(self.client, self.subaccount)
        return OtherTraders.detect(journal, Account(journal.environment, self.subaccount), exchange)

    def reconciler(self, journal: Journal) -> Reconciler:
        """Return a reconciler, which compares this account with a journal."""
        exchange = ExchangeAccount(self.client, self.subaccount)
        return Reconciler(journal, exchange, self.transport, Account(journal.environment, self.subaccount))


def has_trade_key(settings: TradeSettings) -> bool:
    """Return whether the settings name a trade key and the exchange's address."""
    return None not in (settings.api_key_id, settings.private_key_file, settings.url)


def require_private_key_file(trade: TradeSettings) -> None:
    """Check that only the owner of the trade key's file can read or change it.

    Sessions that send orders and arm tokens require this. Commands that stop trading do not: a halt works with an
    exposed file, too.

    Raises:
        UnusableKey: Others can read, change or replace the file.
    """
    file = trade.private_key_file
    if file is None:
        return
    try:
        exposure = exposure_of(file)
    except OSError:
        # Opening the file fails as well, and tells why.
        return
    if exposure is not None:
        raise UnusableKey(
            f"The private key file {file} of KALSHI_TRADE_PRIVATE_KEY_FILE {exposure.how}. Nothing was sent.",
            f"{exposure.remedy}. If others may have read the key, replace it on the exchange's API keys page.",
        )


def live_transport(settings: Settings, trade: TradeSettings) -> OrderTransport:
    """Return the transport that can send orders to the exchange.

    Raises:
        InvalidSettings: The settings name no trade key or no address.
        UnusableKey: The key's file cannot be used.
        EnvironmentMismatch: The address does not belong to the environment.
    """
    key_id, file, url = trade.api_key_id, trade.private_key_file, trade.url
    if key_id is None or file is None or url is None:
        raise InvalidSettings(
            "This needs the trade key.",
            "Set KALSHI_TRADE_API_KEY_ID, KALSHI_TRADE_PRIVATE_KEY_FILE and KALSHI_TRADE_URL. Without them only dry "
            "runs are possible (KALSHI_TRADE_MODE=dry_run).",
        )
    signer = Signer.from_file(key_id, file, "KALSHI_TRADE_PRIVATE_KEY_FILE")
    return OrderTransport(trade.account(settings.environment), url, signer)


@contextmanager
def live_account(settings: Settings, trade: TradeSettings, warehouse: sa.Engine) -> Iterator[LiveAccount]:
    """Yield the traded account, and close its connections afterwards. The warehouse keeps the rate budget of reads.

    Raises:
        InvalidSettings: The settings name no trade key or no address.
        KalshiError: The key's file cannot be used, or the address does not belong to the environment.
    """
    with live_transport(settings, trade) as transport:
        with_key = {"api_key_id": trade.api_key_id, "private_key_file": trade.private_key_file}
        with KalshiClient.from_settings(settings.model_copy(update=with_key), warehouse, trade.url) as client:
            yield LiveAccount(transport, client, str(trade.api_key_id), trade.subaccount)
