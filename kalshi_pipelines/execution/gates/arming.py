"""The operator's token: who holds it has decided, a short while ago, to trade here with this key and these limits.

It is no secret and no signature. It is a deliberate act that ends by itself, and that no change of the environment, the
key, a cap, a list or any other limit survives.
"""

import re
from dataclasses import dataclass
from typing import Final

from kalshi_pipelines.execution.configuration import PRODUCTION_PHRASE, TradeSettings
from kalshi_pipelines.execution.gates.order_checks import check
from kalshi_pipelines.execution.journal.records import Check
from kalshi_pipelines.execution.orders.denials import DenialReason
from kalshi_pipelines.settings import Environment
from kalshi_pipelines.units import DAY_US, SECOND_US, instant

#: No token lives longer.
LONGEST_US: Final = DAY_US
_DIGITS: Final = 8
_TOKEN: Final = re.compile(r"(sandbox|demo|prod):([0-9a-f]{8}):([0-9a-f]{8}):([0-9]{10})", re.ASCII)


@dataclass(frozen=True, slots=True)
class ArmBinding:
    """What a token is bound to."""

    environment: Environment
    key_fingerprint: str
    limits_sha256: str
    """Of ``TradeSettings.limits_sha256``."""


def arm_token(bound: ArmBinding, expires_us: int) -> str:
    """The token for ``KALSHI_TRADE_ARM``: environment, key, limits, and the second it ends."""
    key = bound.key_fingerprint.removeprefix("SHA256:")[:_DIGITS]
    return f"{bound.environment.value}:{key}:{bound.limits_sha256[:_DIGITS]}:{expires_us // SECOND_US}"


def arming_checks(settings: TradeSettings, bound: ArmBinding, now_us: int) -> tuple[Check, ...]:
    """Whether the settings let this process trade live: armed, series named, and production said in words."""
    production = bound.environment is not Environment.PROD or settings.production == PRODUCTION_PHRASE
    return (
        check(
            DenialReason.ENVIRONMENT_MISMATCH,
            production,
            f"KALSHI_TRADE_PRODUCTION={PRODUCTION_PHRASE} to trade real money",
            "set" if production else "not set",
        ),
        check(
            DenialReason.TICKER_NOT_ALLOWED,
            settings.series is not None and settings.allowed_series != frozenset(),
            "KALSHI_TRADE_SERIES names the series, or * for all",
            settings.series or "not set",
        ),
        _token_check(settings, bound, now_us),
    )


def _token_check(settings: TradeSettings, bound: ArmBinding, now_us: int) -> Check:
    if settings.arm is None:
        return check(DenialReason.NOT_ARMED, False, "a token of the `arm` command", "KALSHI_TRADE_ARM is not set")
    token = settings.arm.get_secret_value().strip()
    found = _TOKEN.fullmatch(token)
    wanted = "a token of the `arm` command for this environment, key and limits"
    if found is None:
        return check(DenialReason.ARM_TOKEN_INVALID, False, wanted, "something else")
    expires_us = int(found.group(4)) * SECOND_US
    if token != arm_token(bound, expires_us):
        return check(DenialReason.ARM_TOKEN_INVALID, False, wanted, "one for another environment, key or limits")
    return check(
        DenialReason.ARM_TOKEN_INVALID,
        now_us < expires_us <= now_us + LONGEST_US,
        wanted,
        f"ends {instant(expires_us)}",
    )


def arm_expires_us(settings: TradeSettings) -> int | None:
    """When the token ends, in microseconds; None if there is none."""
    found = _TOKEN.fullmatch(settings.arm.get_secret_value().strip()) if settings.arm else None
    return int(found.group(4)) * SECOND_US if found else None
