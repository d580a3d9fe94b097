"""Dagster resources of the warehouse, the journal and the exchange. Each is opened at its first use."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import sqlalchemy as sa
from pydantic import Field, PrivateAttr

from kalshi_pipelines.execution.journal.engine import journal_url, open_journal
from kalshi_pipelines.kalshi.client import KalshiClient
from kalshi_pipelines.lake.lake import Lake, open_lake
from kalshi_pipelines.sandbox.process import SandboxOptions, running_sandbox
from kalshi_pipelines.settings import Environment, Settings
from kalshi_pipelines.warehouse.engine import open_engine


class DatabaseResource(dg.ConfigurableResource[Any]):
    """Settings and engine of a database: the common part of the warehouse's and the journal's resources."""

    data_dir: str = Field(
        default="",
        description="Folder for all files of this resource. Leave empty to use the KALSHI_ environment variables.",
    )

    _engine: sa.Engine | None = PrivateAttr(default=None)

    @property
    def settings(self) -> Settings:
        """Settings from the environment variables.

        If this resource sets ``data_dir``, all databases and files are in that folder. Environment variables that name
        other places for databases or files are ignored in this case.
        """
        settings = Settings.from_environment()
        if not self.data_dir:
            return settings
        places = ("warehouse_url", "lake_dir", "lake_url", "journal_url", "journal_anchors")
        return settings.model_copy(update={"data_dir": Path(self.data_dir), **dict.fromkeys(places)})

    @property
    def engine(self) -> sa.Engine:
        """Engine of the database, opened at first use."""
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
    """SQL warehouse and Parquet lake."""

    @property
    def lake(self) -> Lake:
        """The Parquet lake: a local folder or an object store."""
        return open_lake(self.settings)

    def _open(self) -> sa.Engine:
        return open_engine(self.settings.resolved_warehouse_url)


class JournalResource(DatabaseResource):
    """Journal of orders: a separate database, so that an ingest never blocks the recording of orders."""

    def _open(self) -> sa.Engine:
        return open_journal(journal_url(self.settings))


class ExchangeResource(dg.ConfigurableResource[Any]):
    """The exchange to read from: production, demo, a running sandbox, or a sandbox started for one run."""

    sandbox_url: str = Field(
        default="", description="URL of a running sandbox. Leave empty to use KALSHI_SANDBOX_URL or start one."
    )

    _url: str | None = PrivateAttr(default=None)
    _started: ExitStack = PrivateAttr(default_factory=ExitStack)

    @contextmanager
    def client(self, engine: sa.Engine, not_with_key: str | None = None) -> Iterator[KalshiClient]:
        """Open a client of the exchange. The warehouse that ``engine`` opens keeps the client's rate budget.

        If the configured API key has the id ``not_with_key``, the client reads without a key.
        """
        settings = Settings.from_environment().without_key(not_with_key)
        with KalshiClient.from_settings(settings, engine, url=self.sandbox_address(settings)) as client:
            yield client

    def sandbox_address(self, settings: Settings) -> str | None:
        """Return the URL of the sandbox for this run, or None if the exchange is not a sandbox.

        If no URL of a sandbox is configured, the first call starts a sandbox.
        """
        if settings.environment is not Environment.SANDBOX:
            return None
        if self._url is None:
            self._url = self.sandbox_url or settings.sandbox_url or self._start_sandbox(settings)
        return self._url

    def _start_sandbox(self, settings: Settings) -> str:
        keys: dict[str, Path] = {}
        # The sandbox started here must accept the configured API key.
        if settings.api_key_id and settings.private_key_file:
            keys[settings.api_key_id] = settings.private_key_file
        options = SandboxOptions(markets=settings.sandbox_markets, seed=settings.sandbox_seed, keys=keys)
        return self._started.enter_context(running_sandbox(options)).url

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:
        """Stop the sandbox that this run started."""
        self._started.close()
