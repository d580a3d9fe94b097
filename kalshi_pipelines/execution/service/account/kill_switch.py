"""The kill switch and the halt of the configured account, assembled from the settings.

Stopping must work when other parts fail. So nothing in this module needs the warehouse, and a halt works without the
journal.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

from kalshi_pipelines.execution.configuration import TradeSettings
from kalshi_pipelines.execution.journal.journal import Journal
from kalshi_pipelines.execution.journal.records import Mode
from kalshi_pipelines.execution.kill.emergency import EmergencyFile
from kalshi_pipelines.execution.kill.groups import GroupsToFence
from kalshi_pipelines.execution.kill.halt import Halt
from kalshi_pipelines.execution.kill.sources import EnvironmentSource, FileSource, FolderSource
from kalshi_pipelines.execution.kill.switch import KillSwitch
from kalshi_pipelines.execution.reconciliation.account import ExchangeAccount
from kalshi_pipelines.execution.service.account.live_account import live_transport
from kalshi_pipelines.kalshi import hosts
from kalshi_pipelines.kalshi.client import KalshiClient
from kalshi_pipelines.kalshi.rate_budget import Bucket, RateBudget, documented_rates
from kalshi_pipelines.kalshi.signing import Signer
from kalshi_pipelines.kalshi.transport import Transport
from kalshi_pipelines.settings import Environment, Settings

OpenJournal = Callable[[], Journal]


class _UnsharedBudget(RateBudget):
    """A rate budget that never makes a halt wait.

    The shared rate budget is in the warehouse, which may be broken.
    """

    def acquire(self, cost: int, bucket: Bucket = Bucket.READ) -> float:
        """Permit a request at once by returning a wait of 0 seconds."""
        del cost, bucket
        return 0.0


def emergency_file(settings: Settings) -> EmergencyFile:
    """Return the emergency file, in which a kill is recorded before the journal records it."""
    return EmergencyFile(settings.environment_dir / "kill.emergency.jsonl")


def kill_file(settings: Settings, trade: TradeSettings) -> Path:
    """Return the path of the kill file, whose presence stops trading."""
    return trade.kill_file or settings.environment_dir / "KILL"


def kill_switch(settings: Settings, trade: TradeSettings, journal: OpenJournal) -> KillSwitch:
    """Return the kill switch with all its sources: journal, emergency file, environment variable, file and data folder.

    A source that cannot be read stops trading. A missing data folder also stops trading, because a kill may be recorded
    in it. On demo and production, trading also stops if the folder's path is relative: such a path means a different
    folder for each working directory.
    """
    is_real = trade.mode is Mode.LIVE and settings.environment is not Environment.SANDBOX
    return KillSwitch(
        journal,
        emergency_file(settings),
        (
            EnvironmentSource(),
            FileSource(kill_file(settings, trade), needs_folder=trade.kill_file is not None),
            FolderSource(settings.environment_dir, needs_absolute_path=is_real),
        ),
        account=trade.account(settings.environment),
    )


@contextmanager
def halt(settings: Settings, trade: TradeSettings, journal: OpenJournal) -> Iterator[Halt]:
    """Yield a halt, which can cancel all orders and prove that no order rests. Close its connections afterwards.

    Raises:
        InvalidSettings: The settings name no trade key or no address.
        KalshiError: The key's file cannot be used, or the address does not belong to the environment.
    """
    with live_transport(settings, trade) as transport:
        signer = Signer.from_file(str(trade.api_key_id), Path(str(trade.private_key_file)))
        budget = _UnsharedBudget(sa.create_engine("sqlite://"), "halt", documented_rates(settings.rate_tier))
        sandbox = settings.environment is Environment.SANDBOX
        address = hosts.base_url(settings.environment, trade.url)
        client = KalshiClient(Transport(address, budget, signer=signer, trust_proxies=not sandbox))
        try:
            yield Halt(
                kill_switch(settings, trade, journal),
                emergency_file(settings),
                transport,
                ExchangeAccount(client, trade.subaccount),
                GroupsToFence(journal, client.portfolio, trade.account(settings.environment)),
            )
        finally:
            client.close()
