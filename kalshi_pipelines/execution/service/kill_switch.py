"""The kill switch and the halt of the configured account, put together from the settings.

Nothing here needs the warehouse, and a halt does not need the journal: what stops must work when other things do not.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

from kalshi_pipelines.errors import ExpectedError
from kalshi_pipelines.execution.configuration import TradeSettings
from kalshi_pipelines.execution.journal.journal import Journal
from kalshi_pipelines.execution.journal.records import Mode
from kalshi_pipelines.execution.kill.emergency import EmergencyFile
from kalshi_pipelines.execution.kill.groups import GroupsToFence
from kalshi_pipelines.execution.kill.halt import Halt, HaltReport
from kalshi_pipelines.execution.kill.sources import EnvironmentSource, FileSource, FolderSource
from kalshi_pipelines.execution.kill.switch import Engaged, KillSwitch
from kalshi_pipelines.execution.reconciliation.account import ExchangeAccount
from kalshi_pipelines.execution.service.live_account import live_transport
from kalshi_pipelines.kalshi import hosts
from kalshi_pipelines.kalshi.client import KalshiClient
from kalshi_pipelines.kalshi.errors import KalshiError
from kalshi_pipelines.kalshi.rate_budget import Bucket, RateBudget, documented_laws
from kalshi_pipelines.kalshi.signing import Signer
from kalshi_pipelines.kalshi.transport import Transport
from kalshi_pipelines.settings import Environment, InvalidSettings, Settings

OpenJournal = Callable[[], Journal]


class _UnsharedBudget(RateBudget):
    """Few reads that wait for nobody: the shared budget is in the warehouse, which may be what is broken."""

    def acquire(self, cost: int, bucket: Bucket = Bucket.READ) -> float:
        """Let a request go at once."""
        del cost, bucket
        return 0.0


def emergency_file(settings: Settings) -> EmergencyFile:
    """Where an engagement is written before the journal has it."""
    return EmergencyFile(settings.environment_dir / "kill.emergency.jsonl")


def kill_file(settings: Settings, trade: TradeSettings) -> Path:
    """The file whose presence stops trading."""
    return trade.kill_file or settings.environment_dir / "KILL"


def kill_switch(settings: Settings, trade: TradeSettings, journal: OpenJournal) -> KillSwitch:
    """The switch: journal, emergency file, environment variable and file; one that can not be read says stop.

    So does a data folder that is not there, because a stop may be in it, and where orders are sent to another exchange
    than a sandbox one that is not the same from everywhere.
    """
    is_real = trade.mode is Mode.LIVE and settings.environment is not Environment.SANDBOX
    return KillSwitch(
        journal,
        emergency_file(settings),
        (
            EnvironmentSource(),
            FileSource(kill_file(settings, trade), needs_folder=trade.kill_file is not None),
            FolderSource(settings.environment_dir, needs_one_place=is_real),
        ),
        environment=settings.environment.value,
        subaccount=trade.subaccount,
    )


class NothingCanceled(ExpectedError):
    """The kill switch is engaged, but orders that rest could not be canceled; the message says why."""


def engage(settings: Settings, journal: OpenJournal, by: str, reason: str) -> Engaged:
    """Stop every new risk. A setting of trading that can not be used is not in the way.

    Raises:
        OSError: Neither the journal nor the emergency file can be written.
    """
    try:
        trade = TradeSettings.from_environment()
    except InvalidSettings:
        trade = TradeSettings.model_construct()
    return kill_switch(settings, trade, journal).engage(by, reason)


def halt_now(
    settings: Settings, journal: OpenJournal, by: str, reason: str, patience_seconds: float = 300.0
) -> HaltReport:
    """Stop every new risk, cancel everything, and go on until nothing is proved to rest or patience ends.

    Raises:
        NothingCanceled: The key can not be used; new risk is stopped all the same.
        OSError: And neither the journal nor the emergency file can be written.
    """
    try:
        with halt(settings, TradeSettings.from_environment(), journal) as halting:
            return halting.run(by, reason, patience_seconds)
    except (InvalidSettings, KalshiError) as error:
        engage(settings, journal, by, reason)
        raise NothingCanceled(f"The kill switch is engaged, but nothing was canceled: {error}") from None


@contextmanager
def halt(settings: Settings, trade: TradeSettings, journal: OpenJournal) -> Iterator[Halt]:
    """What cancels everything and proves it, for the length of a block.

    Raises:
        InvalidSettings: There is no trade key to cancel with.
        KalshiError: The key's file is none, or the address is not one of the environment's.
    """
    with live_transport(settings, trade) as transport:
        signer = Signer.from_file(str(trade.api_key_id), Path(str(trade.private_key_file)))
        budget = _UnsharedBudget(sa.create_engine("sqlite://"), "halt", documented_laws(settings.rate_tier))
        sandbox = settings.environment is Environment.SANDBOX
        address = hosts.base_url(settings.environment, trade.url)
        client = KalshiClient(Transport(address, budget, signer=signer, trust_proxies=not sandbox))
        try:
            yield Halt(
                kill_switch(settings, trade, journal),
                emergency_file(settings),
                transport,
                ExchangeAccount(client, trade.subaccount),
                GroupsToFence(journal, client.portfolio, settings.environment.value, trade.subaccount),
            )
        finally:
            client.close()
