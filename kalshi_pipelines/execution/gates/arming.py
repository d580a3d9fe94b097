"""The arm token, which shows that an operator recently decided to trade live with this key and these limits.

The token is neither a secret nor a signature. It makes live trading a deliberate act. The token expires, and it opens
one session. A change of the environment, the key, a cap, the allowed series or another limit invalidates the token.
"""

import hashlib
import re
import secrets
from dataclasses import dataclass
from typing import Final

from kalshi_pipelines.execution.configuration import PRODUCTION_PHRASE, TradeSettings
from kalshi_pipelines.execution.gates.order_checks import check
from kalshi_pipelines.execution.journal.records import Arming, ArmingKind, Check
from kalshi_pipelines.execution.orders.canonical_json import canonical_json
from kalshi_pipelines.execution.orders.denials import DenialReason
from kalshi_pipelines.settings import Environment
from kalshi_pipelines.units import DAY_US, SECOND_US, instant

#: The longest time for which an arm token is valid.
LONGEST_US: Final = DAY_US
#: A live run needs its config and the token. A Dagster UI that was started before `arm` has no token.
ONLY_RUN_ARMED: Final = "The run was armed by run.yaml, but the process that runs it has no KALSHI_TRADE_ARM"
_DIGITS: Final = 8
_TOKEN: Final = re.compile(r"(sandbox|demo|prod):([0-9a-f]{8}):([0-9a-f]{8}):([0-9]{10}):([0-9a-f]{16})", re.ASCII)
#: Tokens of older versions, which could open any number of sessions.
_FORMER_TOKEN: Final = re.compile(r"(sandbox|demo|prod):[0-9a-f]{8}:[0-9a-f]{8}:[0-9]{10}", re.ASCII)


@dataclass(frozen=True, slots=True)
class ArmBinding:
    """The environment, key and limits to which an arm token is bound."""

    environment: Environment
    key_fingerprint: str
    limits_sha256: str
    """The digest of the limits: the value of ``TradeSettings.limits_sha256``."""


def arm_token(bound: ArmBinding, expires_us: int, nonce: str | None = None) -> str:
    """Return an arm token for ``KALSHI_TRADE_ARM``. Each call returns another token, unless ``nonce`` is given.

    The token contains the environment, the beginnings of two digests (key and limits), the time of expiry in seconds
    since 1970, and a random number.
    """
    key = bound.key_fingerprint.removeprefix("SHA256:")[:_DIGITS]
    unique = new_nonce() if nonce is None else nonce
    return f"{bound.environment.value}:{key}:{bound.limits_sha256[:_DIGITS]}:{expires_us // SECOND_US}:{unique}"


def new_nonce() -> str:
    """Return a random number as text, which makes an arming different from every other one."""
    return secrets.token_hex(8)


def token_arming(settings: TradeSettings) -> Arming | None:
    """Return the arm token of the settings as an arming that one session uses up, or None if no token is set."""
    if settings.arm is None:
        return None
    return Arming(ArmingKind.TOKEN, _sha256("token", settings.arm.get_secret_value().strip()))


def run_arming(armed_by: str, armed_at: str, why: str, nonce: str) -> Arming:
    """Return an armed run as an arming that one session uses up. The four texts are the run's config."""
    return Arming(ArmingKind.RUN, _sha256("run", armed_by, armed_at, why, nonce))


def _sha256(*texts: str) -> str:
    return hashlib.sha256(canonical_json({"kalshi_pipelines_arming": list(texts)}).encode()).hexdigest()


def arming_checks(
    settings: TradeSettings, bound: ArmBinding, now_us: int, *, is_run_armed: bool = False
) -> tuple[Check, ...]:
    """Check whether the settings permit live trading: a valid token, named series, and consent to real money.

    ``is_run_armed`` tells whether the config of a run arms it. Such a run needs the token all the same.
    """
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
            "KALSHI_TRADE_SERIES with the allowed series, or * for all",
            settings.series or "not set",
        ),
        _token_check(settings, bound, now_us, is_run_armed=is_run_armed),
    )


def _token_check(settings: TradeSettings, bound: ArmBinding, now_us: int, *, is_run_armed: bool) -> Check:
    if settings.arm is None:
        both = "both, so start the run with `dagster job execute` in the armed shell"
        limit = both if is_run_armed else "a token of the `arm` command"
        return check(
            DenialReason.NOT_ARMED, False, limit, ONLY_RUN_ARMED if is_run_armed else "KALSHI_TRADE_ARM is not set"
        )
    token = settings.arm.get_secret_value().strip()
    found = _TOKEN.fullmatch(token)
    wanted = "a token of the `arm` command for this environment, key and limits"
    if _FORMER_TOKEN.fullmatch(token):
        former = "a token of an older version, which did not end with a random number"
        return check(DenialReason.ARM_TOKEN_INVALID, False, wanted, former)
    if found is None:
        return check(DenialReason.ARM_TOKEN_INVALID, False, wanted, "KALSHI_TRADE_ARM is not a token")
    expires_us = int(found.group(4)) * SECOND_US
    if token != arm_token(bound, expires_us, found.group(5)):
        return check(DenialReason.ARM_TOKEN_INVALID, False, wanted, "a token for another environment, key or limits")
    return check(
        DenialReason.ARM_TOKEN_INVALID,
        now_us < expires_us <= now_us + LONGEST_US,
        wanted,
        f"a token that expires at {instant(expires_us)}",
    )


def arm_expires_us(settings: TradeSettings) -> int | None:
    """Return the time at which the arm token expires, in microseconds, or None if no token is set."""
    found = _TOKEN.fullmatch(settings.arm.get_secret_value().strip()) if settings.arm else None
    return int(found.group(4)) * SECOND_US if found else None
