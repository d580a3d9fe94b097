"""Everything that can be configured, read from the environment into one frozen object when a run needs it.

The names and defaults below are the documentation of record; ``docs/configuration.md`` is checked against them. No
setting prints a secret: a key is named by the path of its file, the URLs of the warehouse and of alerts are hidden.
"""

import os
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Self
from urllib.parse import quote

from dotenv import dotenv_values
from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from kalshi_pipelines.errors import ExpectedError


class InvalidSettings(ExpectedError, ValueError):
    """An environment variable holds a value that can not be used; the message names it and the remedy."""


class Environment(StrEnum):
    """Which exchange is spoken to."""

    SANDBOX = "sandbox"
    DEMO = "demo"
    PROD = "prod"


class RateTier(StrEnum):
    """Published API usage levels; used when the account's own limits can not be read."""

    BASIC = "basic"
    ADVANCED = "advanced"
    EXPERT = "expert"
    PREMIER = "premier"
    PARAGON = "paragon"
    PRIME = "prime"
    PRESTIGE = "prestige"


class Executor(StrEnum):
    """How Dagster runs the steps of a job."""

    IN_PROCESS = "in_process"
    MULTIPROCESS = "multiprocess"


class AlertSeverity(StrEnum):
    """The least severe finding that is worth a message; failed runs always are."""

    BREAKING = "breaking"
    RISKY = "risky"
    ADDITIVE = "additive"


def home_expanded(path: Path | None) -> Path | None:
    """A path with ``~`` written out.

    Raises:
        ValueError: There is no such user.
    """
    try:
        return path.expanduser() if path else path
    except RuntimeError as error:
        raise ValueError(f"{error} Write the path out.") from None


def take_env_file(file: Path = Path(".env")) -> None:
    """Set the variables of a ``.env`` file that are not set yet; a file that is not there sets none.

    The ``dagster`` commands read the one of the current folder themselves.

    Raises:
        InvalidSettings: The file can not be read.
    """
    try:
        found = dotenv_values(file) if file.exists() else {}
        for name, value in found.items():
            if value is not None:
                os.environ.setdefault(name, value)
    except (OSError, ValueError) as error:
        raise InvalidSettings(
            f"The file {file.absolute()} can not be read ({type(error).__name__}). Correct or delete it."
        ) from None


class Settings(BaseSettings):
    """The settings of one process. Each field is read from ``KALSHI_`` + its name in capitals, or its alias."""

    model_config = SettingsConfigDict(env_prefix="KALSHI_", frozen=True, extra="ignore", env_ignore_empty=True)

    environment: Environment = Field(Environment.SANDBOX, description="Which exchange to use: sandbox, demo or prod.")
    sandbox_url: str | None = Field(
        None, description="Address of a running sandbox exchange; without it each run starts its own."
    )
    sandbox_markets: int = Field(2_000, ge=1, description="How many markets a sandbox started by a run generates.")
    sandbox_seed: int = Field(7, description="Seed of a sandbox started by a run.")
    api_key_id: str | None = Field(None, description="Id of the API key; without it requests are anonymous.")
    private_key_file: Path | None = Field(None, description="PEM file of the API key (RSA or Ed25519).")
    rate_tier: RateTier = Field(
        RateTier.BASIC, description="Usage level whose published limits apply when requests are anonymous."
    )
    data_dir: Path = Field(
        Path("data"), description="Folder of the SQLite warehouse and the Parquet lake, a folder each environment."
    )
    warehouse_url: SecretStr | None = Field(
        None, description="SQLAlchemy URL of the warehouse; without it `warehouse.db` in the environment's folder."
    )
    journal_url: SecretStr | None = Field(
        None,
        description="SQLAlchemy URL of the journal of orders; without it `journal.db` beside a SQLite warehouse, the "
        "schema `journal` beside one in Postgres.",
    )
    journal_anchors: Path | None = Field(
        None,
        description="File in which the head of the journal's audit is noted, best on another disk; without it "
        "`journal.anchors` in the environment's folder.",
    )
    lake_dir: Path | None = Field(
        None, description="Folder of the Parquet lake; without it `lake` in the environment's folder."
    )
    adopt_database: Path | None = Field(
        None, description="A kalshi_research database that `migrate` takes over into an empty warehouse; only read."
    )
    include_combos: bool = Field(False, description="Also ingest multivariate combo events and markets.")
    settled_lookback_hours: int | None = Field(
        None,
        ge=1,
        description="How far back the first run looks for settled markets: without it 48, and all of a sandbox's. "
        "Later runs continue from the last.",
    )
    executor: Executor = Field(
        Executor.IN_PROCESS, description="Dagster executor: in_process (quickest) or multiprocess (a process a step)."
    )

    alert_urls: SecretStr | None = Field(
        None, description="Where alerts go: Apprise URLs, separated by commas or spaces. Shown as scheme only."
    )
    alert_minimum_severity: AlertSeverity = Field(
        AlertSeverity.ADDITIVE,
        description="Least severe drift that is sent: breaking, risky or additive (a summary at most twice a day).",
    )

    run_live_api: bool = Field(
        False, description="Let contract checks and recordings ask the real vendors; without it they ask a sandbox."
    )
    exa_api_key: SecretStr | None = Field(
        None, validation_alias="EXA_API_KEY", description="API key of Exa, under the name Exa gives it."
    )
    exa_daily_probe_dollars: Decimal = Field(
        Decimal(0), ge=0, le=10, description="Most dollars a UTC day that contract checks may spend at Exa; 0 is never."
    )

    news_feeds: SecretStr | None = Field(
        None,
        description="RSS and Atom feeds, separated by commas or spaces; `{query}` in one makes it a search; `none` is "
        "no feed. Without it the sandbox's own, elsewhere a default set.",
    )
    news_daily_dollars: Decimal | None = Field(
        None,
        ge=0,
        le=1_000,
        description="Most dollars a UTC day that news may cost; 0 is never. Without it 1 in the sandbox, where nothing "
        "costs real money, and 0 elsewhere.",
    )
    news_run_dollars: Decimal = Field(
        Decimal("0.25"), ge=0, le=1_000, description="Most dollars one collection of news may cost."
    )
    news_results: int = Field(10, ge=1, le=100, description="Most articles one search may return.")
    news_searches: int = Field(50, ge=0, le=10_000, description="Most searches that cost money in one collection.")
    news_selected_events: int = Field(
        10,
        ge=0,
        le=1_000,
        description="How many of the day's most traded events are looked for beside what is tracked.",
    )
    news_lookback_days: int = Field(
        7, ge=1, le=365, description="How far back the first search of a market or event looks."
    )
    news_text_characters: int = Field(
        10_000, ge=0, le=50_000, description="How many characters of an article's text are kept."
    )
    news_fetch_articles: bool = Field(
        False, description="Fetch the pages of articles that came without text; only ever from public addresses."
    )

    @field_validator("private_key_file", "data_dir", "journal_anchors", "lake_dir", "adopt_database", mode="after")
    @classmethod
    def _expand_home(cls, path: Path | None) -> Path | None:
        return home_expanded(path)

    @field_validator("lake_dir", mode="after")
    @classmethod
    def _refuse_address(cls, path: Path | None) -> Path | None:
        # Path() turns s3://bucket into the local folder s3:/bucket.
        if path and path.parts and path.parts[0].endswith(":"):
            raise ValueError("only folders of this computer are supported, not addresses")
        return path

    @classmethod
    def from_environment(cls) -> Self:
        """Settings of the present environment variables.

        Raises:
            InvalidSettings: A variable can not be used; one sentence names each and says what would be accepted.
        """
        try:
            settings = cls()
        except ValidationError as error:
            raise InvalidSettings(_sentence(error)) from None
        if (settings.api_key_id is None) != (settings.private_key_file is None):
            raise InvalidSettings(
                "KALSHI_API_KEY_ID and KALSHI_PRIVATE_KEY_FILE go together: set both to sign requests, or neither."
            )
        return settings

    @property
    def resolved_settled_lookback_hours(self) -> int | None:
        """How far back the first run looks for settled markets; None for no limit. 75,000 settle a day."""
        if self.settled_lookback_hours is None and self.environment is not Environment.SANDBOX:
            return 48
        return self.settled_lookback_hours

    @property
    def resolved_news_daily_dollars(self) -> Decimal:
        """Most dollars a UTC day that news may cost."""
        if self.news_daily_dollars is None:
            return Decimal(1) if self.environment is Environment.SANDBOX else Decimal(0)
        return self.news_daily_dollars

    @property
    def resolved_warehouse_url(self) -> str:
        """The SQLAlchemy URL of the warehouse: as configured, or of a SQLite file."""
        if self.warehouse_url is not None:
            return self.warehouse_url.get_secret_value()
        return f"sqlite:///{quote(str(self.environment_dir / 'warehouse.db'))}"

    @property
    def resolved_journal_anchors(self) -> Path:
        """The file of the journal's anchors."""
        return self.journal_anchors or self.environment_dir / "journal.anchors"

    @property
    def resolved_lake_dir(self) -> Path:
        """The folder of the Parquet lake."""
        return self.lake_dir or self.environment_dir / "lake"

    @property
    def environment_dir(self) -> Path:
        """The folder of the environment's own files."""
        return self.data_dir / self.environment


def _sentence(error: ValidationError) -> str:
    problems = []
    for problem in error.errors(include_url=False):
        name = str(problem["loc"][0])
        variable = name if name.isupper() else f"KALSHI_{name.upper()}"
        problems.append(f"{variable} is {problem['input']!r}: {problem['msg']}")
    return "; ".join(problems) + ". Change or unset it."
