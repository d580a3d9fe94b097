"""The context of every command: settings, databases and the exchange's client, opened when first needed."""

import argparse
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final, Self

import sqlalchemy as sa

from kalshi_pipelines.errors import ExpectedError
from kalshi_pipelines.execution.configuration import TradeSettings
from kalshi_pipelines.execution.journal.engine import journal_url, missing_journal, open_journal, sqlite_file
from kalshi_pipelines.execution.journal.journal import Journal
from kalshi_pipelines.execution.orders.persons import person_name
from kalshi_pipelines.execution.service.account.live_account import LiveAccount, live_account, live_transport
from kalshi_pipelines.execution.service.sessions.session_registration import registered_journals
from kalshi_pipelines.execution.transport.order_transport import OrderTransport
from kalshi_pipelines.kalshi.client import KalshiClient
from kalshi_pipelines.settings import InvalidSettings, Settings
from kalshi_pipelines.warehouse.engine import (
    WarehouseUnavailable,
    explain_failures,
    open_engine,
    place_of,
    warehouse_url,
)
from kalshi_pipelines.warehouse.migrations import MIGRATE_COMMAND, require_head

#: The largest number of characters in a person's name, or in a reason, that an armed run or a session can store.
LONGEST_TEXT: Final = 200


class CommandRefused(ExpectedError):
    """A command cannot be carried out in the present state of the journal or the settings."""


@dataclass(frozen=True)
class CommandContext:
    """Settings, databases and client of one command.

    Each database is opened when it is first used and closed after the command.
    """

    settings: Settings
    _open: ExitStack

    @classmethod
    @contextmanager
    def from_environment(cls) -> Iterator[Self]:
        """Yield a context with the settings from the environment variables, and close its databases afterwards.

        Raises:
            InvalidSettings: A variable's value cannot be used.
        """
        with ExitStack() as opened:
            yield cls(Settings.from_environment(), opened)

    @cached_property
    def trade(self) -> TradeSettings:
        """The settings of trading.

        Raises:
            InvalidSettings: A variable is unknown or its value cannot be used.
        """
        return TradeSettings.from_environment()

    def read_trade_settings_again(self) -> None:
        """Forget the settings of trading, so that changed environment variables are read when next needed."""
        self.__dict__.pop("trade", None)

    def whereabouts(self) -> str:
        """Return one line that names the environment, sub-account and journal that a command acts on.

        This opens no database, and wrong settings raise no error, so that the ``kill`` command always works.
        """
        try:
            subaccount = str(self.trade.subaccount)
        except InvalidSettings:
            subaccount = "not known"
        return f"{self.settings.environment.value}, sub-account {subaccount}, journal {self.place_of_journal()}"

    def place_of_journal(self) -> str:
        """Return the path or address of the journal, without its password."""
        try:
            url = warehouse_url(journal_url(self.settings))
            place = place_of(url)
            return str(Path(place).absolute()) if url.get_backend_name() == "sqlite" else place
        except (OSError, WarehouseUnavailable):
            return "not known"

    def journal_engine(self) -> sa.Engine:
        """Open the journal's database, which is never created. It is closed after the command.

        Raises:
            JournalMissing: There is no such file. The error names the journals in which this user traded.
        """
        engine = open_journal(journal_url(self.settings))
        self._open.callback(engine.dispose)
        file = sqlite_file(engine)
        if file is not None and not file.exists():
            raise missing_journal(file, registered_journals(self.settings))
        return engine

    def journal(self) -> Journal:
        """Open the journal, which must be at its newest migration and belong to this environment."""
        return Journal(
            self.journal_engine(), self.settings.environment, anchor_file=self.settings.resolved_journal_anchors
        )

    def warehouse(self) -> sa.Engine:
        """Open the warehouse, which must be at its newest migration."""
        engine = open_engine(self.settings.resolved_warehouse_url, _missing_warehouse)
        self._open.callback(engine.dispose)
        with explain_failures(engine):
            require_head(engine)
        return engine

    def client(self, warehouse: sa.Engine) -> KalshiClient:
        """Open a client for reading the exchange in a dry run. It is closed after the command.

        The client never reads with the trade key, because its rate budget belongs to live sessions.
        """
        settings = self.settings.without_key(self.trade.api_key_id)
        if settings.sandbox_url is None and self.trade.url is not None:
            client = KalshiClient.from_settings(settings, warehouse, self.trade.url, "KALSHI_TRADE_URL")
        else:
            client = KalshiClient.from_settings(settings, warehouse)
        return self._open.enter_context(client)

    def live_transport(self) -> OrderTransport:
        """Open the transport that can send orders with the trade key. It is closed after the command."""
        return self._open.enter_context(live_transport(self.settings, self.trade))

    def live_account(self, warehouse: sa.Engine, trade: TradeSettings | None = None) -> LiveAccount:
        """Open the traded account with the trade key. It is closed after the command.

        ``trade`` replaces the settings of trading, for commands that also work if some of these are wrong.
        """
        return self._open.enter_context(live_account(self.settings, trade or self.trade, warehouse))


def _missing_warehouse(file: Path) -> WarehouseUnavailable:
    return WarehouseUnavailable(
        f"There is no warehouse in {file.parent.absolute()}.",
        f"Go to the folder in which you trade, or set KALSHI_DATA_DIR. For a new one, run `{MIGRATE_COMMAND}`.",
    )


def require_by_and_why(given: argparse.Namespace) -> None:
    """Check that the person's name and the reason can be stored, and bring the name into its stored form.

    Raises:
        CommandRefused: ``--by`` or ``--why`` is empty, too long, or has characters that cannot be printed.
        UnusableName: ``--by`` has characters that no screen shows.
    """
    for option, text in (("--by", given.by), ("--why", given.why)):
        if not (text.strip() and text.isprintable() and len(text) <= LONGEST_TEXT):
            raise CommandRefused(
                f"{option} has {len(text)} characters.", f"Write one printable line of 1 to {LONGEST_TEXT} characters."
            )
    given.by = person_name(given.by)
