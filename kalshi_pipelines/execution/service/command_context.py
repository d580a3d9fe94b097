"""What every command of the command line works with: settings, databases and the exchange's client."""

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
from kalshi_pipelines.execution.journal.engine import journal_url, open_journal
from kalshi_pipelines.execution.journal.journal import Journal
from kalshi_pipelines.kalshi.client import KalshiClient
from kalshi_pipelines.settings import InvalidSettings, Settings
from kalshi_pipelines.warehouse.engine import (
    WarehouseUnavailable,
    explained_failures,
    open_engine,
    place_of,
    warehouse_url,
)
from kalshi_pipelines.warehouse.migrations import require_head

#: The longest name and reason that an armed run and a session take.
LONGEST_TEXT: Final = 200


class CommandRefused(ExpectedError):
    """A command that makes no sense as things are; the message says why and what would."""


@dataclass(frozen=True)
class CommandContext:
    """What commands work with; databases are opened when they are first asked for, and closed at the end."""

    settings: Settings
    _open: ExitStack

    @classmethod
    @contextmanager
    def from_environment(cls) -> Iterator[Self]:
        """With the settings of the present environment variables.

        Raises:
            InvalidSettings: One can not be used.
        """
        with ExitStack() as opened:
            yield cls(Settings.from_environment(), opened)

    @cached_property
    def trade(self) -> TradeSettings:
        """The settings of trading.

        Raises:
            InvalidSettings: One can not be used.
        """
        return TradeSettings.from_environment()

    def whereabouts(self) -> str:
        """What a command acts on. Nothing is opened for it, and nothing that is wrong keeps a kill from its work."""
        try:
            subaccount = str(self.trade.subaccount)
        except InvalidSettings:
            subaccount = "not known"
        return f"{self.settings.environment.value}, sub-account {subaccount}, journal {self.place_of_journal()}"

    def place_of_journal(self) -> str:
        """Where the journal is, for people."""
        try:
            url = warehouse_url(journal_url(self.settings))
            place = place_of(url)
            return str(Path(place).absolute()) if url.get_backend_name() == "sqlite" else place
        except (OSError, WarehouseUnavailable):
            return "not known"

    def journal_engine(self) -> sa.Engine:
        """The journal's database."""
        engine = open_journal(journal_url(self.settings))
        self._open.callback(engine.dispose)
        return engine

    def journal(self) -> Journal:
        """The journal, at head and of this environment."""
        return Journal(
            self.journal_engine(), self.settings.environment, anchor_file=self.settings.resolved_journal_anchors
        )

    def warehouse(self) -> sa.Engine:
        """The warehouse, at head."""
        engine = open_engine(self.settings.resolved_warehouse_url)
        self._open.callback(engine.dispose)
        with explained_failures(engine):
            require_head(engine)
        return engine

    def client(self, warehouse: sa.Engine) -> KalshiClient:
        """Reads the exchange."""
        if self.settings.sandbox_url is None and self.trade.url is not None:
            client = KalshiClient.from_settings(self.settings, warehouse, self.trade.url, "KALSHI_TRADE_URL")
        else:
            client = KalshiClient.from_settings(self.settings, warehouse)
        return self._open.enter_context(client)


def require_by_and_why(given: argparse.Namespace) -> None:
    """Who and why can be stored: an armed run takes no other.

    Raises:
        CommandRefused: One of them can not.
    """
    for option, text in (("--by", given.by), ("--why", given.why)):
        if not (text.strip() and text.isprintable() and len(text) <= LONGEST_TEXT):
            raise CommandRefused(f"{option}: write one line of 1 to {LONGEST_TEXT} characters, not {len(text)}.")
