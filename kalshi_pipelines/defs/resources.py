"""Resources: settings in, domain objects out. Nothing is opened before an asset asks for it."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import sqlalchemy as sa
from pydantic import Field, PrivateAttr

from kalshi_pipelines.execution.journal.engine import journal_url, open_journal
from kalshi_pipelines.kalshi.client import KalshiClient
from kalshi_pipelines.sandbox.process import SandboxOptions, running_sandbox
from kalshi_pipelines.settings import Environment, Settings
from kalshi_pipelines.warehouse.engine import open_engine


class DatabaseResource(dg.ConfigurableResource[Any]):
    """What the warehouse and the journal have in common: settings, one engine, and its end."""

    data_dir: str = Field(
        default="", description="Folder of all files of this resource. Empty: the KALSHI_ environment variables decide."
    )

    _engine: sa.Engine | None = PrivateAttr(default=None)

    @property
    def settings(self) -> Settings:
        """Settings from the environment variables; a folder of this resource replaces every place they name."""
        settings = Settings.from_environment()
        if not self.data_dir:
            return settings
        places = ("warehouse_url", "lake_dir", "journal_url", "journal_anchors")
        return settings.model_copy(update={"data_dir": Path(self.data_dir), **dict.fromkeys(places)})

    @property
    def engine(self) -> sa.Engine:
        """The engine of the database, opened at first use."""
        if self._engine is None:
            self._engine = self._open()
        return self._engine

    def _open(self) -> sa.Engine:
        raise NotImplementedError

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:
        """Close the connections at the end of a run."""
        if self._engine is not None:
            self._engine.dispose()


class WarehouseResource(DatabaseResource):
    """The SQL warehouse and the Parquet lake."""

    @property
    def lake(self) -> Path:
        """The folder of the lake."""
        return self.settings.resolved_lake_dir

    def _open(self) -> sa.Engine:
        return open_engine(self.settings.resolved_warehouse_url)


class JournalResource(DatabaseResource):
    """The journal of orders: a database of its own, so that ingest never holds its write lock."""

    def _open(self) -> sa.Engine:
        return open_journal(journal_url(self.settings))


class ExchangeResource(dg.ConfigurableResource[Any]):
    """The exchange: production, demo, a running sandbox, or a sandbox started for the length of the run."""

    sandbox_url: str = Field(default="", description="A running sandbox; empty: as the KALSHI_ variables say.")

    _url: str | None = PrivateAttr(default=None)
    _started: ExitStack = PrivateAttr(default_factory=ExitStack)

    @contextmanager
    def client(self, engine: sa.Engine) -> Iterator[KalshiClient]:
        """A client whose rate budget is kept in the warehouse behind the engine."""
        settings = Settings.from_environment()
        with KalshiClient.from_settings(settings, engine, url=self.sandbox_address(settings)) as client:
            yield client

    def sandbox_address(self, settings: Settings) -> str | None:
        """The sandbox of this run, started if none runs; None where the exchange is no sandbox."""
        if settings.environment is not Environment.SANDBOX:
            return None
        if self._url is None:
            self._url = self.sandbox_url or settings.sandbox_url or self._start_sandbox(settings)
        return self._url

    def _start_sandbox(self, settings: Settings) -> str:
        keys: dict[str, Path] = {}
        if settings.api_key_id and settings.private_key_file:  # the exchange is ours, so it knows our key
            keys[settings.api_key_id] = settings.private_key_file
        options = SandboxOptions(markets=settings.sandbox_markets, seed=settings.sandbox_seed, keys=keys)
        return self._started.enter_context(running_sandbox(options)).url

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:
        """Stop the sandbox this run started."""
        self._started.close()
