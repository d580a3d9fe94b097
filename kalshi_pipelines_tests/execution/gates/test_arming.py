"""Arm tokens: a token arms one environment, one key and one set of limits for a limited time."""

from dataclasses import replace
from typing import Any

import pytest

from kalshi_pipelines.execution.configuration import PRODUCTION_PHRASE, TradeSettings
from kalshi_pipelines.execution.gates.arming import (
    LONGEST_US,
    ArmBinding,
    arm_expires_us,
    arm_token,
    arming_checks,
    run_arming,
    token_arming,
)
from kalshi_pipelines.execution.gates.order_checks import first_denial
from kalshi_pipelines.execution.orders.denials import DenialReason
from kalshi_pipelines.settings import Environment
from kalshi_pipelines.units import HOUR_US

NOW_US = 1_795_449_600_000_000
BOUND = ArmBinding(Environment.DEMO, "SHA256:0123456789abcdef", "a77fbdc4" + "0" * 56)


def _reason(token: str | None, bound: ArmBinding = BOUND, **settings: Any) -> DenialReason | None:
    made = TradeSettings.model_validate({"arm": token, "series": "KXA", **settings})
    denied = first_denial(arming_checks(made, bound, NOW_US))
    return denied.reason if denied else None


def test_valid_arm_token_passes() -> None:
    token = arm_token(BOUND, NOW_US + HOUR_US, "0123456789abcdef")
    assert token.split(":") == ["demo", "01234567", "a77fbdc4", "1795453200", "0123456789abcdef"]
    assert _reason(token) is None
    assert _reason(f" {token}\n") is None
    assert _reason(arm_token(BOUND, NOW_US + LONGEST_US)) is None
    assert arm_expires_us(TradeSettings.model_validate({"arm": f" {token}\n"})) == NOW_US + HOUR_US
    assert arm_expires_us(TradeSettings.model_validate({"arm": "demo"})) is None
    assert arm_expires_us(TradeSettings()) is None


@pytest.mark.parametrize(
    "other",
    [
        replace(BOUND, environment=Environment.PROD),
        replace(BOUND, key_fingerprint="SHA256:1123456789abcdef"),
        replace(BOUND, limits_sha256="b" * 64),
    ],
)
def test_F27_F40_arm_token_for_another_environment_key_or_limits_fails(other: ArmBinding) -> None:
    assert _reason(arm_token(other, NOW_US + HOUR_US)) is DenialReason.ARM_TOKEN_INVALID


@pytest.mark.parametrize("expires_us", [NOW_US, NOW_US - HOUR_US, NOW_US + LONGEST_US + 1_000_000])
def test_arm_token_that_has_expired_or_lasts_too_long_fails(expires_us: int) -> None:
    assert _reason(arm_token(BOUND, expires_us)) is DenialReason.ARM_TOKEN_INVALID


@pytest.mark.parametrize("token", ["yes", "1", "demo", "demo:*:*:*", "demo:01234567:a77fbdc4:9999999999999", "٠" * 30])
def test_text_that_is_not_an_arm_token_fails(token: str) -> None:
    assert _reason(token) is DenialReason.ARM_TOKEN_INVALID


def test_token_of_an_older_version_fails_with_a_text_that_says_so() -> None:
    former = arm_token(BOUND, NOW_US + HOUR_US).rpartition(":")[0]
    settings = TradeSettings.model_validate({"arm": former, "series": "KXA"})
    denied = first_denial(arming_checks(settings, BOUND, NOW_US))
    assert denied
    assert denied.reason is DenialReason.ARM_TOKEN_INVALID
    assert denied.detail.startswith("a token of an older version, which did not end with a random number")


def test_armings_of_the_same_second_differ() -> None:
    tokens = [arm_token(BOUND, NOW_US + HOUR_US) for _ in range(3)]
    armings = [token_arming(TradeSettings.model_validate({"arm": token})) for token in tokens]
    assert len(set(tokens)) == len(set(armings)) == 3
    assert token_arming(TradeSettings.model_validate({"arm": f" {tokens[0]}\n"})) == armings[0]
    assert token_arming(TradeSettings()) is None
    texts = ("ann", "2026-11-23T14:05:00Z", "a try", "")
    runs = {run_arming(*texts), run_arming("ann", "", "2026-11-23T14:05:00Z", "a try"), run_arming(*texts[:3], "1")}
    assert len(runs) == 3
    assert run_arming(*texts) in runs


def test_missing_arm_token_fails() -> None:
    assert _reason(None) is DenialReason.NOT_ARMED
    denied = first_denial(arming_checks(TradeSettings(series="KXA"), BOUND, NOW_US))
    assert denied
    assert denied.detail == "KALSHI_TRADE_ARM is not set; wanted: a token of the `arm` command"


def test_live_trading_without_named_series_is_denied() -> None:
    token = arm_token(BOUND, NOW_US + HOUR_US)
    assert _reason(token, series=None) is DenialReason.TICKER_NOT_ALLOWED
    assert _reason(token, series=" , ") is DenialReason.TICKER_NOT_ALLOWED
    assert _reason(token, series="*") is None


@pytest.mark.parametrize("said", [None, "yes", "true", "1", "I-TRADE-REAL-MONEY", " i-trade-real-money"])
def test_F27_production_needs_its_own_phrase(said: str | None) -> None:
    real = replace(BOUND, environment=Environment.PROD)
    token = arm_token(real, NOW_US + HOUR_US)
    assert _reason(token, real, production=said) is DenialReason.ENVIRONMENT_MISMATCH
    assert _reason(token, real, production=PRODUCTION_PHRASE) is None


def test_armed_run_without_token_says_which_half_is_missing() -> None:
    denied = first_denial(arming_checks(TradeSettings(series="KXA"), BOUND, NOW_US, is_run_armed=True))
    assert denied
    assert denied.reason is DenialReason.NOT_ARMED
    assert denied.detail == (
        "The run was armed by run.yaml, but the process that runs it has no KALSHI_TRADE_ARM; "
        "wanted: both, so start the run with `dagster job execute` in the armed shell"
    )
