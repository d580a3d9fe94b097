"""Names and values of our variables must be written in one way only."""

from decimal import Decimal

import pytest

from kalshi_pipelines.execution.configuration import TradeSettings
from kalshi_pipelines.settings import InvalidSettings, Settings
from kalshi_pipelines.variables.spelling import (
    is_decimal_number,
    is_whole_number,
    name_problems,
    setting_of,
    value_problems,
)

ODD_NUMBERS = ["1_0", "\uff11\uff10", "\u0663", "+5", "1e1", "0x10", "1.0.", "five", "1,000", "--1", "\u22125"]


@pytest.mark.parametrize("given", ODD_NUMBERS)
def test_odd_numbers_are_no_plain_numbers(given: str) -> None:
    assert not is_whole_number(given)
    assert not is_decimal_number(given)


@pytest.mark.parametrize("given", ODD_NUMBERS)
@pytest.mark.parametrize(
    "variable",
    [
        "KALSHI_TRADE_SUBACCOUNT",
        "KALSHI_TRADE_ORDER_DOLLARS",
        "KALSHI_SANDBOX_MARKETS",
        "KALSHI_NEWS_DAILY_DOLLARS",
        "KALSHI_EXA_DAILY_PROBE_DOLLARS",
        "KALSHI_SETTLED_LOOKBACK_HOURS",
    ],
)
def test_F79_odd_number_is_refused_by_every_setting(monkeypatch: pytest.MonkeyPatch, variable: str, given: str) -> None:
    if variable == "KALSHI_EXA_DAILY_PROBE_DOLLARS":
        variable = "EXA_DAILY_PROBE_DOLLARS"
        monkeypatch.setenv(f"KALSHI_{variable}", given)
    else:
        monkeypatch.setenv(variable, given)
    reader = TradeSettings if "_TRADE_" in variable else Settings
    with pytest.raises(InvalidSettings, match=f"{variable} is .*plain d"):
        reader.from_environment()


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("KALSHI_TRADE_MODE", "live "),
        ("KALSHI_TRADE_MODE", "\u00a0live"),
        ("KALSHI_TRADE_SERIES", "KXA\t"),
        ("KALSHI_TRADE_ARM", "token\n"),
        ("KALSHI_TRADE_PRIVATE_KEY_FILE", " /key.pem"),
        ("KALSHI_TRADE_SUBACCOUNT", " 5 "),
        ("KALSHI_TRADE_PRODUCTION", "\u200bi-trade-real-money"),
        ("KALSHI_TRADE_API_KEY_ID", "\ufeffid"),
        ("KALSHI_ENVIRONMENT", "prod\r"),
        ("KALSHI_DATA_DIR", "data "),
        ("KALSHI_WAREHOUSE_URL", " sqlite://"),
        ("EXA_API_KEY", "key "),
        ("KALSHI_TRADE_ORDER_DOLLARS", " "),
    ],
)
def test_F79_value_with_invisible_ends_is_refused_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    reader = TradeSettings if "_TRADE_" in variable else Settings
    with pytest.raises(InvalidSettings) as refused:
        reader.from_environment()
    assert f"{variable} begins or ends with white space or an invisible character." in str(refused.value)
    assert "token" not in str(refused.value)


@pytest.mark.parametrize(
    ("first", "second", "reader"),
    [
        ("KALSHI_TRADE_MODE", "kalshi_trade_mode", TradeSettings),
        ("KALSHI_TRADE_KILL", "Kalshi_Trade_Kill", TradeSettings),
        ("KALSHI_TRADE_MODE", "\uff2bALSHI_TRADE_MODE", TradeSettings),
        ("KALSHI_TRADE_MODE", "KALSHI_TRADE_MODE ", TradeSettings),
        ("KALSHI_ENVIRONMENT", "kalshi_environment", Settings),
        ("EXA_API_KEY", "exa_api_key", Settings),
    ],
)
def test_F79_setting_with_two_spellings_is_refused(
    monkeypatch: pytest.MonkeyPatch, first: str, second: str, reader: type[Settings] | type[TradeSettings]
) -> None:
    monkeypatch.setenv(first, "")
    monkeypatch.setenv(second, "")
    with pytest.raises(InvalidSettings, match="are the same setting"):
        reader.from_environment()


@pytest.mark.parametrize("name", ["KALSHI_TRADE_MODE ", "KAL\u017fHI_TRADE_MODE", "\uff2bALSHI_TRADE_MODE"])
def test_variable_that_only_looks_like_a_setting_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "dry_run")
    with pytest.raises(InvalidSettings, match="is not read; the setting's name is KALSHI_TRADE_MODE"):
        TradeSettings.from_environment()


def test_plain_names_and_values_are_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("kalshi_trade_subaccount", "5")
    monkeypatch.setenv("KALSHI_TRADE_ORDER_DOLLARS", "2.5")
    settings = TradeSettings.from_environment()
    assert (settings.subaccount, settings.order_dollars) == (5, Decimal("2.5"))
    assert name_problems(["PATH", "path", "KALSHI_TRADE_MODE", "kalshi_trade_kill"]) == []
    assert value_problems({"PATH": " x ", "KALSHI_TRADE_SERIES": "KXA, KXB"}) == []
    assert setting_of("KALSHIX") is None


def test_bad_variable_of_trading_does_not_prevent_other_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KALSHI_TRADE_MODE", "live ")
    monkeypatch.setenv("kalshi_trade_mode", "live")
    assert Settings.from_environment().sandbox_seed == 7
