"""All settings except those of trading, read from environment variables into one frozen object.

A test compares ``docs/configuration.md`` with the names, defaults and descriptions below. No setting prints a secret. A
private key is named by the path of its file, and the URLs of the warehouse and of alerts are hidden.
"""

from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Final, Self, get_args
from urllib.parse import quote

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from kalshi_pipelines.errors import ExpectedError
from kalshi_pipelines.variables.env_file import read_env_file
from kalshi_pipelines.variables.precedence import (
    problems,
    restore_shell_variables,
    set_missing_variables,
    undecided_variables,
)
from kalshi_pipelines.variables.spelling import is_decimal_number, is_whole_number

#: A settled market stays in the warehouse at least this number of days, whatever the settings say.
LEAST_SETTLED_DAYS: Final = 2


class InvalidSettings(ExpectedError, ValueError):
    """An environment variable whose value cannot be used. The message names the variable and the accepted values."""


class Environment(StrEnum):
    """The exchange that the program uses."""

    SANDBOX = "sandbox"
    DEMO = "demo"
    PROD = "prod"


class RateTier(StrEnum):
    """Published API usage levels, used if the account's own limits cannot be read."""

    BASIC = "basic"
    ADVANCED = "advanced"
    EXPERT = "expert"
    PREMIER = "premier"
    PARAGON = "paragon"
    PRIME = "prime"
    PRESTIGE = "prestige"


class Executor(StrEnum):
    """The ways in which Dagster can run the steps of a job."""

    IN_PROCESS = "in_process"
    MULTIPROCESS = "multiprocess"


class CandlesOf(StrEnum):
    """The markets whose candlesticks are read for a day."""

    TRADED = "traded"
    OPEN = "open"


class AlertSeverity(StrEnum):
    """Severities of findings. Alerts below the configured severity are not sent; failed runs are always reported."""

    BREAKING = "breaking"
    RISKY = "risky"
    ADDITIVE = "additive"


def home_expanded(path: Path | None) -> Path | None:
    """Return the path with ``~`` replaced by the home folder.

    Raises:
        ValueError: The path begins with ``~name``, and no user has this name.
    """
    try:
        return path.expanduser() if path else path
    except RuntimeError as error:
        raise ValueError(f"{error} Write the full path.") from None


def take_env_file(file: Path = Path(".env")) -> None:
    """Set the variables of a ``.env`` file, except those that are already set. A missing file sets nothing.

    A value that engages the kill switch is set in any case. The ``dagster`` commands read the ``.env`` file of the
    current folder themselves.

    Raises:
        InvalidSettings: The file cannot be read, or sets one of our variables twice.
    """
    try:
        found = read_env_file(file)
    except (OSError, ValueError) as error:
        raise _unreadable(file.absolute(), error) from None
    if found is not None:
        set_missing_variables(found)
        if found.problems:
            raise InvalidSettings(" ".join(text for _, text in found.problems), "Correct the file.")


def settle_variables(*, of_trading: bool) -> None:
    """Restore the variables of the shell that Dagster has overwritten with those of ``.env``, and check variables.

    Args:
        of_trading: Whether the variables of trading are checked, or all others.

    Raises:
        InvalidSettings: A variable is set twice, or its name or value has white space or other unusual characters.
    """
    restore_shell_variables()
    try:
        found = problems(of_trading=of_trading)
    except (OSError, ValueError) as error:
        raise _unreadable(Path(".env").absolute(), error) from None
    if found:
        raise InvalidSettings(" ".join(found), "Keep one spelling of each variable, without white space at the ends.")


def require_decided_variables() -> None:
    """Check that no variable of ``.env`` may have replaced another value of the shell.

    Raises:
        InvalidSettings: The value that a person set cannot be determined. The message names each variable.
    """
    try:
        undecided = undecided_variables()
    except (OSError, ValueError) as error:
        raise _unreadable(Path(".env").absolute(), error) from None
    if undecided:
        raise InvalidSettings(
            f"Dagster has read {', '.join(undecided)} from .env, and the values in the shell cannot be determined.",
            "Start Dagster in a folder without .env, with all variables set in the shell.",
        )


def _unreadable(file: Path, error: Exception) -> InvalidSettings:
    return InvalidSettings(f"The file {file} cannot be read ({type(error).__name__}).", "Correct or delete the file.")


def _is_of(annotation: object, kind: type) -> bool:
    return annotation is kind or any(_is_of(part, kind) for part in get_args(annotation))


class PlainSettings(BaseSettings):
    """The base of all settings. Numbers must be written in plain digits."""

    @field_validator("*", mode="before")
    @classmethod
    def _require_plain_number(cls, given: object, info: ValidationInfo) -> object:
        """Check numbers that are given as text. ``int`` and ``Decimal`` would also accept 1_0, +5, ٣ and 1e1."""
        field = cls.model_fields.get(info.field_name or "")
        if field is None or not isinstance(given, str):
            return given
        if _is_of(field.annotation, int) and not is_whole_number(given):
            raise ValueError("write a whole number in plain digits, such as 10")
        if _is_of(field.annotation, Decimal) and not is_decimal_number(given):
            raise ValueError("write plain dollars with at most six decimals, such as 12.50")
        return given


class Settings(PlainSettings):
    """The settings of one process.

    A field is read from the variable ``KALSHI_`` + field name in capitals, or from its alias.
    """

    model_config = SettingsConfigDict(env_prefix="KALSHI_", frozen=True, extra="ignore", env_ignore_empty=True)

    environment: Environment = Field(Environment.SANDBOX, description="Which exchange to use: sandbox, demo or prod.")
    sandbox_url: str | None = Field(
        None, description="Address of a running sandbox exchange. If it is not set, each run starts its own sandbox."
    )
    sandbox_markets: int = Field(2_000, ge=1, description="Number of markets in a sandbox that a run starts.")
    sandbox_seed: int = Field(7, description="Random seed of a sandbox that a run starts.")
    api_key_id: str | None = Field(None, description="Id of the API key. If it is not set, requests are anonymous.")
    private_key_file: Path | None = Field(None, description="PEM file of the API key (RSA or Ed25519).")
    rate_tier: RateTier = Field(
        RateTier.BASIC, description="Usage level whose published rate limits apply to anonymous requests."
    )
    data_dir: Path = Field(
        Path("data"),
        description="Folder of the SQLite warehouse and the Parquet lake. Each environment has a subfolder.",
    )
    warehouse_url: SecretStr | None = Field(
        None, description="SQLAlchemy URL of the warehouse. Default: `warehouse.db` in the environment's folder."
    )
    copy_to: SecretStr | None = Field(
        None, description="SQLAlchemy URL of the empty database that `kalshi-pipelines copy` fills."
    )
    journal_url: SecretStr | None = Field(
        None,
        description="SQLAlchemy URL of the journal of orders. Default: `journal.db` beside a SQLite warehouse, or the "
        "schema `journal` in the database of a Postgres warehouse.",
    )
    journal_anchors: Path | None = Field(
        None,
        description="File that records the head of the journal's audit chain, best on another disk. Default: "
        "`journal.anchors` in the environment's folder.",
    )
    sessions_dir: Path | None = Field(
        None,
        description="Folder in which sessions of the sandbox are registered, so that `kill` finds them. Default: the "
        "user's registry. Set it only to keep two sandboxes apart: `kill` without it does not find these sessions.",
    )
    lake_dir: Path | None = Field(
        None, description="Folder of the Parquet lake. Default: `lake` in the environment's folder."
    )
    lake_url: SecretStr | None = Field(
        None,
        description="Address of the lake instead of a folder: `file:///path` or "
        "`s3://bucket/prefix?region=...&endpoint_override=...`. Credentials come from the AWS variables.",
    )
    keep_days: int = Field(
        7, ge=1, le=3_650, description="Days that history rows of quotes stay in SQL after the lake has them."
    )
    keep_settled_days: int = Field(
        30,
        ge=LEAST_SETTLED_DAYS,
        le=3_650,
        description="Days that settled markets stay in SQL. Afterwards they are in the lake only, unless they were "
        "traded or proposed on, or are held, tracked or linked to news.",
    )
    keep_records_days: int = Field(
        90,
        ge=7,
        le=3_650,
        description="Days that records of past work stay in SQL: ended runs, closed findings, sent alerts, resolved "
        "records of the quarantine.",
    )
    keep_dagster_days: int = Field(
        30, ge=2, le=3_650, description="Days that Dagster's runs, with their events and logs, are kept."
    )
    keep_backups: int = Field(
        3,
        ge=1,
        le=1_000,
        description="Number of backups that are kept beside a SQLite warehouse, or in the data folder.",
    )
    adopt_database: Path | None = Field(
        None,
        description="A kalshi_research database that `migrate` copies into an empty warehouse. The file is only read.",
    )
    include_combos: bool = Field(False, description="Also ingest multivariate combo events and markets.")
    settled_lookback_hours: int | None = Field(
        None,
        ge=1,
        description="Hours of settled markets that the first run reads. Default: 48, and no limit in the sandbox. "
        "Later runs continue where the last run ended.",
    )
    candles_of: CandlesOf = Field(
        CandlesOf.TRADED,
        description="Markets whose candlesticks are read for a day: `traded` (those that were traded on the day), or "
        "`open` (all that were open, for changes of quotes without trades).",
    )
    daily_reports: bool = Field(
        False,
        description="Also compare public trades of production with the exchange's daily files of trades, which are up "
        "to hundreds of megabytes a day.",
    )
    executor: Executor = Field(
        Executor.IN_PROCESS,
        description="Dagster executor: in_process (fastest) or multiprocess (one process per step).",
    )

    alert_urls: SecretStr | None = Field(
        None,
        description="Destinations of alerts: Apprise URLs, separated by commas or spaces. Only the schemes are shown.",
    )
    alert_minimum_severity: AlertSeverity = Field(
        AlertSeverity.ADDITIVE,
        description="Least severe drift that is sent: breaking, risky or additive (a summary at most twice a day).",
    )

    run_live_api: bool = Field(
        False, description="Let contract checks and recordings use the real vendors instead of a sandbox."
    )
    exa_api_key: SecretStr | None = Field(
        None, validation_alias="EXA_API_KEY", description="API key of Exa. Exa itself gives the variable this name."
    )
    exa_daily_probe_dollars: Decimal = Field(
        Decimal(0),
        ge=0,
        le=10,
        description="Most dollars that contract checks may spend at Exa per UTC day; 0 permits no spending.",
    )

    news_feeds: SecretStr | None = Field(
        None,
        description="RSS and Atom feeds, separated by commas or spaces. A feed whose address contains `{query}` is a "
        "search; `none` means no feeds. Default: the sandbox's own feeds in the sandbox, otherwise a built-in set.",
    )
    news_daily_dollars: Decimal | None = Field(
        None,
        ge=0,
        le=1_000,
        description="Most dollars that news may cost per UTC day; 0 permits no spending. Default: 1 in the sandbox, "
        "where no real money is spent, and 0 elsewhere.",
    )
    news_run_dollars: Decimal = Field(
        Decimal("0.25"), ge=0, le=1_000, description="Most dollars one collection of news may cost."
    )
    news_results: int = Field(10, ge=1, le=100, description="Most articles that one search may return.")
    news_searches: int = Field(50, ge=0, le=10_000, description="Most paid searches in one collection.")
    news_selected_events: int = Field(
        10,
        ge=0,
        le=1_000,
        description="Number of the day's most traded events that are searched for besides tracked markets and events.",
    )
    news_lookback_days: int = Field(
        7, ge=1, le=365, description="Number of days that the first search for a market or event looks back."
    )
    news_text_characters: int = Field(
        10_000, ge=0, le=50_000, description="Number of characters of an article's text that are kept."
    )
    news_fetch_articles: bool = Field(
        False, description="Fetch the pages of articles that arrived without text, from public addresses only."
    )

    @field_validator(
        "private_key_file", "data_dir", "journal_anchors", "sessions_dir", "lake_dir", "adopt_database", mode="after"
    )
    @classmethod
    def _expand_home(cls, path: Path | None) -> Path | None:
        return home_expanded(path)

    @field_validator("data_dir", mode="after")
    @classmethod
    def _refuse_bytes(cls, path: Path) -> Path:
        # The URL of the warehouse is text, so it cannot name a folder whose name has other bytes.
        if "\ufffd" in str(path).encode(errors="surrogateescape").decode(errors="replace"):
            raise ValueError("the path has bytes that are no UTF-8 text")
        return path

    @field_validator("lake_dir", mode="after")
    @classmethod
    def _refuse_address(cls, path: Path | None) -> Path | None:
        # Addresses are refused, because Path() would turn s3://bucket into the local folder s3:/bucket.
        if path and path.parts and path.parts[0].endswith(":"):
            raise ValueError("only folders of this computer are supported, not addresses")
        return path

    @classmethod
    def from_environment(cls) -> Self:
        """Return the settings of the present environment variables.

        Raises:
            InvalidSettings: A variable cannot be used. The message names each such variable and the accepted values.
        """
        settle_variables(of_trading=False)
        try:
            settings = cls()
        except ValidationError as error:
            raise InvalidSettings(_problem(error), "Change or unset it.") from None
        if (settings.api_key_id is None) != (settings.private_key_file is None):
            raise InvalidSettings(
                "Only one of KALSHI_API_KEY_ID and KALSHI_PRIVATE_KEY_FILE is set.",
                "Set both to sign requests, or neither.",
            )
        return settings

    @property
    def resolved_settled_lookback_hours(self) -> int | None:
        """How many hours back the first run reads settled markets; None for no limit.

        About 75,000 markets settle per day.
        """
        if self.settled_lookback_hours is None and self.environment is not Environment.SANDBOX:
            return 48
        return self.settled_lookback_hours

    @property
    def resolved_news_daily_dollars(self) -> Decimal:
        """The highest amount in dollars that news searches may cost per UTC day."""
        if self.news_daily_dollars is None:
            return Decimal(1) if self.environment is Environment.SANDBOX else Decimal(0)
        return self.news_daily_dollars

    @property
    def resolved_warehouse_url(self) -> str:
        """The SQLAlchemy URL of the warehouse: the configured URL, or the URL of a SQLite file."""
        if self.warehouse_url is not None:
            return self.warehouse_url.get_secret_value()
        return f"sqlite:///{quote(str(self.environment_dir / 'warehouse.db'))}"

    @property
    def resolved_journal_anchors(self) -> Path:
        """The file that records the head of the journal's audit chain."""
        return self.journal_anchors or self.environment_dir / "journal.anchors"

    @property
    def resolved_lake_dir(self) -> Path:
        """The folder of the Parquet lake."""
        return self.lake_dir or self.environment_dir / "lake"

    def without_key(self, key_id: str | None) -> Self:
        """Return these settings without their API key if it is the key with this id, and otherwise unchanged."""
        if key_id is None or self.api_key_id != key_id:
            return self
        return self.model_copy(update={"api_key_id": None, "private_key_file": None})

    @property
    def environment_dir(self) -> Path:
        """The folder with the files of the configured environment: sandbox, demo or prod."""
        return self.data_dir / self.environment


def _problem(error: ValidationError) -> str:
    found = []
    for problem in error.errors(include_url=False):
        name = str(problem["loc"][0])
        variable = name if name.isupper() else f"KALSHI_{name.upper()}"
        found.append(f"{variable} is {problem['input']!r}: {problem['msg']}")
    return "; ".join(found) + "."
