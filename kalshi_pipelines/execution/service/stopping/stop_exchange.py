"""The part of a stop that uses the exchange: the halt of level 2, and cancel-all as the last resort.

It is a module of its own, because it imports the network and database libraries.
"""

from kalshi_pipelines.execution.configuration import TradeSettings
from kalshi_pipelines.execution.kill.halt import HaltReport
from kalshi_pipelines.execution.orders.account import Account
from kalshi_pipelines.execution.service.account.kill_switch import halt
from kalshi_pipelines.execution.service.stopping.stop_journal import existing_journal
from kalshi_pipelines.execution.service.stopping.stop_settings import StopKey, StopTarget
from kalshi_pipelines.execution.transport.order_transport import OrderTransport
from kalshi_pipelines.kalshi import hosts
from kalshi_pipelines.kalshi.errors import EnvironmentMismatch
from kalshi_pipelines.kalshi.signing import Signer
from kalshi_pipelines.settings import Environment, Settings


def environment_of(key: StopKey, environments: tuple[str, ...]) -> str:
    """Return the environment that the key's address belongs to.

    Raises:
        EnvironmentMismatch: The address belongs to none of the environments.
    """
    for environment in environments:
        try:
            hosts.base_url(Environment(environment), key.url, "KALSHI_TRADE_URL")
        except EnvironmentMismatch as error:
            mismatch = error
        else:
            return environment
    raise mismatch


def cancel_until_flat(target: StopTarget, key: StopKey, patience_seconds: float) -> HaltReport:
    """Cancel all orders until it is proved that no order rests. The caller engages the kill switch at the same time.

    Raises:
        KalshiError: The key's file cannot be used.
    """
    # These settings are made without reading the environment, so no other variable can prevent the halt.
    settings = Settings.model_construct(environment=Environment(target.environment), data_dir=target.folder.parent)
    trade = TradeSettings.model_construct(
        api_key_id=key.key_id, private_key_file=key.file, url=key.url, subaccount=key.subaccount
    )
    with halt(settings, trade, lambda: existing_journal(target)) as halting:
        return halting.cancel_until_flat(patience_seconds)


def cancel_all(environment: str, key: StopKey) -> str:
    """Cancel all orders of the key's sub-account with one request.

    Returns:
        Why the exchange did not confirm the cancels; empty if it did.

    Raises:
        KalshiError: The key's file cannot be used.
    """
    signer = Signer.from_file(key.key_id, key.file, "KALSHI_TRADE_PRIVATE_KEY_FILE")
    with OrderTransport(Account(environment, key.subaccount), key.url, signer) as transport:
        answer = transport.cancel_all()
    return "" if answer.status in (200, 204) else f"cancel-all was not confirmed ({answer.status or answer.detail})"
