"""The settings of trading: environment variables that begin with ``KALSHI_TRADE_``, read once into a frozen object.

An unknown variable or an unusable value is an error; nothing is guessed. A cap cannot be set above its ceiling. The
ceilings are constants in the journal's tables. The database also refuses to open a session with a cap above its
ceiling.
"""

import hashlib
import os
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import AfterValidator, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import SettingsConfigDict

from kalshi_pipelines.execution.journal.records import Mode, ScopeCaps, ScopeKind, SessionCaps
from kalshi_pipelines.execution.journal.tables import (
    CEILINGS,
    MOST_ATTEMPTS_PER_MINUTE,
    MOST_ORDER_WORST_MICRODOLLARS,
    MOST_POSITION_CENTICONTRACTS,
    UNCAPPED,
)
from kalshi_pipelines.execution.orders.account import Account
from kalshi_pipelines.execution.orders.canonical_json import canonical_json
from kalshi_pipelines.settings import Environment, InvalidSettings, PlainSettings, home_expanded, settle_variables
from kalshi_pipelines.units import dollars, microdollars

PREFIX: Final = "KALSHI_TRADE_"
#: The value that KALSHI_TRADE_PRODUCTION must have before trading on production is allowed.
PRODUCTION_PHRASE: Final = "i-trade-real-money"
_LEFT_OUT: Final = frozenset({"arm", "private_key_file", "kill", "kill_file"})
#: Settings that do not limit orders, so the digest of the limits leaves them out. Each of these settings has its own
#: check before a live session opens.
_NOT_LIMITS: Final = frozenset({"mode", "production", "api_key_id", "url"})
LONGEST_SESSION_MINUTES: Final = 24 * 60


class BalanceStep(StrEnum):
    """The smallest change of the account's balance, in dollars.

    Source: docs.kalshi.com "Fee rounding", October 2026.
    """

    DIRECT_MEMBER = "0.0001"
    OTHERS = "0.01"


_NOT_PLAIN: Final = "write plain dollars with at most six decimals, such as 12.50"


def _require_exact(amount: Decimal) -> Decimal:
    if amount != amount.quantize(Decimal("0.000001")):
        raise ValueError(_NOT_PLAIN)
    return amount


Dollars = Annotated[Decimal, AfterValidator(_require_exact)]


def _ceiling(kind: ScopeKind) -> Decimal:
    return dollars(CEILINGS[kind.value][2])


class TradeSettings(PlainSettings):
    """Settings of trading.

    Each setting is read from the environment variable ``KALSHI_TRADE_`` plus the setting's name in capitals.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid", env_ignore_empty=True)

    mode: Mode = Field(
        Mode.DRY_RUN, description="dry_run decides about proposals but sends nothing; live sends orders."
    )
    api_key_id: str | None = Field(
        None,
        description="Id of the trade key. It has scopes `read` and `write::trade` and is locked to the sub-account.",
    )
    private_key_file: Path | None = Field(None, description="PEM file of the trade key. Live trading needs mode 0600.")
    url: str | None = Field(None, description="Address that orders are sent to. There is no default.")
    subaccount: int = Field(0, ge=0, le=63, description="The one sub-account that is traded.")
    arm: SecretStr | None = Field(
        None, description="The operator's token, printed by the `arm` command. It expires by itself."
    )
    production: str | None = Field(
        None, description=f"Must be `{PRODUCTION_PHRASE}` before orders go to the real exchange."
    )
    kill: str | None = Field(None, description="Any value but `0` engages the kill switch.")
    kill_file: Path | None = Field(
        None,
        description="A file whose presence engages the kill switch. Default: `KILL` in the environment's folder.",
    )
    series: str | None = Field(
        None,
        description="Series that may be traded, separated by commas; `*` allows all. Live trading needs this setting.",
    )

    order_dollars: Dollars = Field(
        dollars(MOST_ORDER_WORST_MICRODOLLARS),
        gt=0,
        le=dollars(MOST_ORDER_WORST_MICRODOLLARS),
        description="Most dollars that one order may cost, and most that it may lose, fees included.",
    )
    session_orders: int = Field(
        CEILINGS["session"][0], ge=1, le=CEILINGS["session"][0], description="Most orders in one session."
    )
    session_loss_dollars: Dollars = Field(
        _ceiling(ScopeKind.SESSION),
        gt=0,
        le=_ceiling(ScopeKind.SESSION),
        description="Largest possible loss of all orders of a session, fees and resting orders included.",
    )
    day_orders: int = Field(
        CEILINGS["day"][0], ge=1, le=CEILINGS["day"][0], description="Most orders in one New York day."
    )
    day_loss_dollars: Dollars = Field(
        _ceiling(ScopeKind.DAY),
        gt=0,
        le=_ceiling(ScopeKind.DAY),
        description="Largest possible loss of all orders of one New York day.",
    )
    rolling_loss_dollars: Dollars = Field(
        _ceiling(ScopeKind.ROLLING),
        gt=0,
        le=_ceiling(ScopeKind.ROLLING),
        description="Largest possible loss of all orders of the last 24 hours, counted by whole hours.",
    )
    event_loss_dollars: Dollars = Field(
        _ceiling(ScopeKind.EVENT),
        gt=0,
        le=_ceiling(ScopeKind.EVENT),
        description="Largest possible loss in all markets of one event, positions included; markets are not netted.",
    )
    account_loss_dollars: Dollars = Field(
        _ceiling(ScopeKind.ACCOUNT),
        gt=0,
        le=_ceiling(ScopeKind.ACCOUNT),
        description="Largest possible loss of the sub-account, positions included.",
    )
    notional_dollars: Dollars = Field(
        Decimal(1_000),
        gt=0,
        le=1_000,
        description="Most dollars that all orders of a session may cost, and all orders of a day.",
    )
    position_contracts: int = Field(
        MOST_POSITION_CENTICONTRACTS // 100,
        ge=1,
        le=MOST_POSITION_CENTICONTRACTS // 100,
        description="Most contracts of one market that may be held once every resting order is filled.",
    )
    attempts_per_minute: int = Field(
        MOST_ATTEMPTS_PER_MINUTE,
        ge=1,
        le=MOST_ATTEMPTS_PER_MINUTE,
        description="Most orders that may be attempted in a minute; denied orders count.",
    )
    session_minutes: int = Field(
        60, ge=1, le=LONGEST_SESSION_MINUTES, description="Most minutes that a session may last."
    )

    price_band_dollars: Dollars = Field(
        Decimal("0.10"),
        gt=0,
        lt=1,
        description="Most dollars between an order's price and the best bid and ask: a buy above the ask, a sale below "
        "the bid, or a resting order away from its own side.",
    )
    book_seconds: int = Field(
        10, ge=1, le=60, description="Greatest age of the orderbook, in seconds, when an order is sent."
    )
    rest_minutes: int = Field(15, ge=1, le=15, description="Most minutes that a good-till-canceled order may rest.")
    reconciled_minutes: int = Field(
        15, ge=1, le=60, description="Greatest age of the last clean reconciliation, in minutes, when an order is sent."
    )
    approval_dollars: Dollars = Field(
        Decimal(25),
        ge=0,
        le=dollars(MOST_ORDER_WORST_MICRODOLLARS),
        description="Orders that cost more dollars need a person's approval; orders of agents always need it.",
    )
    balance_step_dollars: BalanceStep = Field(
        BalanceStep.DIRECT_MEMBER,
        description="Smallest step of the account's balance in dollars: 0.0001 for direct members, 0.01 for others.",
    )

    @field_validator("private_key_file", "kill_file", mode="after")
    @classmethod
    def _expand_home(cls, path: Path | None) -> Path | None:
        return home_expanded(path)

    @field_validator("kill_file", mode="after")
    @classmethod
    def _same_from_everywhere(cls, path: Path | None) -> Path | None:
        if path is not None and not path.is_absolute():
            raise ValueError("write an absolute path; a relative path names another file wherever a run starts")
        return path

    @classmethod
    def from_environment(cls) -> Self:
        """Read the settings from the environment variables.

        Raises:
            InvalidSettings: A variable is unknown or its value cannot be used; the message names every such variable.
        """
        settle_variables(of_trading=True)
        unknown = sorted(
            name
            for name in os.environ
            if name.upper().startswith(PREFIX) and name.upper().removeprefix(PREFIX).lower() not in cls.model_fields
        )
        if unknown:
            raise InvalidSettings(f"{', '.join(unknown)}: no setting of trading has this name.", "Correct or unset it.")
        try:
            settings = cls()
        except ValidationError as error:
            raise InvalidSettings(_describe_problems(error), "Change or unset it.") from None
        if (settings.api_key_id is None) != (settings.private_key_file is None):
            raise InvalidSettings(
                f"Only one of {PREFIX}API_KEY_ID and {PREFIX}PRIVATE_KEY_FILE is set.", "Set both, or neither."
            )
        return settings

    def account(self, environment: Environment) -> Account:
        """Return the account that trading uses in an environment: the configured sub-account."""
        return Account(environment.value, self.subaccount)

    @property
    def allowed_series(self) -> frozenset[str] | None:
        """The series of markets that may be traded, or None if every series may be traded."""
        if self.series is None or self.series.strip() == "*":
            return None
        return frozenset(name.strip() for name in self.series.split(",") if name.strip())

    @property
    def caps(self) -> SessionCaps:
        """The configured caps of a trading session: money in micro-dollars, positions in centi-contracts."""
        notional = _micro(self.notional_dollars)
        return SessionCaps(
            order_notional_microdollars=_micro(self.order_dollars),
            order_worst_microdollars=_micro(self.order_dollars),
            position_centicontracts=100 * self.position_contracts,
            attempts_per_minute=self.attempts_per_minute,
            scopes={
                ScopeKind.SESSION: ScopeCaps(self.session_orders, notional, _micro(self.session_loss_dollars)),
                ScopeKind.DAY: ScopeCaps(self.day_orders, notional, _micro(self.day_loss_dollars)),
                ScopeKind.ROLLING: ScopeCaps(UNCAPPED, UNCAPPED, _micro(self.rolling_loss_dollars)),
                ScopeKind.EVENT: ScopeCaps(UNCAPPED, UNCAPPED, _micro(self.event_loss_dollars)),
                ScopeKind.ACCOUNT: ScopeCaps(UNCAPPED, UNCAPPED, _micro(self.account_loss_dollars)),
            },
        )

    @property
    def balance_step(self) -> int:
        """The smallest change of the account's balance, in micro-dollars."""
        return microdollars(self.balance_step_dollars.value)

    @property
    def config_sha256(self) -> str:
        """A digest of all trading settings except the arm token, the key file and the settings of the kill switch."""
        return self._digest_without(_LEFT_OUT)

    @property
    def limits_sha256(self) -> str:
        """A digest of all settings that limit what may be traded.

        An arm token is valid only while this digest is the same as when the token was made.
        """
        return self._digest_without(_LEFT_OUT | _NOT_LIMITS)

    def _digest_without(self, left_out: frozenset[str]) -> str:
        shown = self.model_dump(exclude=set(left_out))
        return _sha256(canonical_json({name: str(value) for name, value in shown.items()}))


def caps_sha256(caps: SessionCaps) -> str:
    """Return a digest of a session's caps."""
    values = {
        "order_notional": caps.order_notional_microdollars,
        "order_worst": caps.order_worst_microdollars,
        "position": caps.position_centicontracts,
        "attempts": caps.attempts_per_minute,
        "scopes": {
            kind.value: [scope.orders, scope.notional_microdollars, scope.worst_microdollars]
            for kind, scope in caps.scopes.items()
        },
    }
    return _sha256(canonical_json(values))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _micro(amount: Decimal) -> int:
    return microdollars(f"{amount:f}")


def _describe_problems(error: ValidationError) -> str:
    problems = []
    for problem in error.errors(include_url=False):
        name = str(problem["loc"][0])
        shown = "" if name == "arm" else f" is {problem['input']!r}"
        problems.append(f"{PREFIX}{name.upper()}{shown}: {problem['msg']}")
    return "; ".join(problems) + "."
