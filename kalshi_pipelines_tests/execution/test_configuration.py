"""Settings of trading: an error names each setting that cannot be used, and caps cannot exceed their ceilings."""

from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from kalshi_pipelines.execution.configuration import TradeSettings, _describe_problems, caps_sha256
from kalshi_pipelines.execution.journal.records import Mode, ScopeCaps, ScopeKind, SessionCaps
from kalshi_pipelines.execution.journal.tables import CEILINGS, UNCAPPED
from kalshi_pipelines.settings import InvalidSettings
from kalshi_pipelines_tests.support.checkout import DOCS

DOCUMENTATION = DOCS / "configuration.md"


def test_settings_by_default_are_a_dry_run_without_key_or_address() -> None:
    made = TradeSettings.from_environment()
    assert (made.mode, made.url, made.api_key_id, made.arm) == (Mode.DRY_RUN, None, None, None)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ORDER_DOLLARS", "NaN"),
        ("ORDER_DOLLARS", "Infinity"),
        ("ORDER_DOLLARS", "-1"),
        ("ORDER_DOLLARS", "0"),
        ("ORDER_DOLLARS", "50.01"),
        ("ORDER_DOLLARS", "1e9"),
        ("ORDER_DOLLARS", "1e1"),
        ("ORDER_DOLLARS", "1E-2"),
        ("ORDER_DOLLARS", "1_0"),
        ("ORDER_DOLLARS", "\u0661"),
        ("APPROVAL_DOLLARS", "1e1"),
        ("ORDER_DOLLARS", "0.0000001"),
        ("ORDER_DOLLARS", "$10"),
        ("ORDER_DOLLARS", "10,00"),
        ("SESSION_ORDERS", "26"),
        ("SESSION_ORDERS", "0"),
        ("SESSION_ORDERS", "2.5"),
        ("SESSION_LOSS_DOLLARS", "200.01"),
        ("DAY_LOSS_DOLLARS", "501"),
        ("ROLLING_LOSS_DOLLARS", "501"),
        ("EVENT_LOSS_DOLLARS", "201"),
        ("ACCOUNT_LOSS_DOLLARS", "1001"),
        ("POSITION_CONTRACTS", "2001"),
        ("ATTEMPTS_PER_MINUTE", "61"),
        ("SESSION_MINUTES", "1441"),
        ("REST_MINUTES", "16"),
        ("PRICE_BAND_DOLLARS", "1"),
        ("MODE", "LIVE!"),
        ("MODE", "true"),
        ("SUBACCOUNT", "64"),
        ("SUBACCOUNT", "-1"),
        ("BALANCE_STEP_DOLLARS", "0.001"),
        ("LIVE", "1"),
        ("MAX_ORDER_DOLLARS", "10"),
        ("order_dolars", "10"),
        ("API_KEY_ID", "abc"),
        ("KILL_FILE", "KILL"),
        ("KILL_FILE", "~nobody-of-this-name/KILL"),
    ],
)
def test_F26_setting_with_unusable_value_is_named_in_the_error(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"KALSHI_TRADE_{name}", value)
    with pytest.raises(InvalidSettings, match=f"(?i)KALSHI_TRADE_{name}"):
        TradeSettings.from_environment()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(name=st.sampled_from(sorted(TradeSettings.model_fields)), value=st.text(min_size=1, max_size=12))
def test_F26_cap_of_any_text_stays_below_its_ceiling(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    if "\0" in value or not value.isprintable():
        return
    with monkeypatch.context() as environment:
        environment.setenv(f"KALSHI_TRADE_{name.upper()}", value)
        try:
            made = TradeSettings.from_environment()
        except InvalidSettings:
            return
    for kind, scope in made.caps.scopes.items():
        orders, notional, worst = CEILINGS[kind.value]
        assert 0 < scope.orders <= orders
        assert 0 < scope.notional_microdollars <= notional
        assert 0 < scope.worst_microdollars <= worst
    assert 0 < made.caps.order_worst_microdollars <= 50_000_000


def test_caps_of_decimal_dollars_are_exact_micro_dollars() -> None:
    made = TradeSettings(order_dollars=Decimal("12.345678"), session_loss_dollars=Decimal("0.000001"))
    assert made.caps.order_notional_microdollars == 12_345_678
    assert made.caps.scopes[ScopeKind.SESSION].worst_microdollars == 1


def test_caps_of_a_session_equal_the_settings_of_the_same_name() -> None:
    made = TradeSettings(
        order_dollars=Decimal(11),
        session_orders=3,
        session_loss_dollars=Decimal(12),
        day_orders=5,
        day_loss_dollars=Decimal(13),
        rolling_loss_dollars=Decimal(14),
        event_loss_dollars=Decimal(15),
        account_loss_dollars=Decimal(16),
        notional_dollars=Decimal(17),
        position_contracts=18,
        attempts_per_minute=19,
    )
    million = 1_000_000
    assert made.caps == SessionCaps(
        11 * million,
        11 * million,
        1_800,
        19,
        {
            ScopeKind.SESSION: ScopeCaps(3, 17 * million, 12 * million),
            ScopeKind.DAY: ScopeCaps(5, 17 * million, 13 * million),
            ScopeKind.ROLLING: ScopeCaps(UNCAPPED, UNCAPPED, 14 * million),
            ScopeKind.EVENT: ScopeCaps(UNCAPPED, UNCAPPED, 15 * million),
            ScopeKind.ACCOUNT: ScopeCaps(UNCAPPED, UNCAPPED, 16 * million),
        },
    )


def test_F40_digest_of_a_session_changes_with_every_cap() -> None:
    plain = caps_sha256(TradeSettings().caps)
    changed = [
        {"order_dollars": Decimal(1)},
        {"session_orders": 1},
        {"session_loss_dollars": Decimal(1)},
        {"day_orders": 1},
        {"day_loss_dollars": Decimal(1)},
        {"rolling_loss_dollars": Decimal(1)},
        {"event_loss_dollars": Decimal(1)},
        {"account_loss_dollars": Decimal(1)},
        {"notional_dollars": Decimal(1)},
        {"position_contracts": 1},
        {"attempts_per_minute": 1},
    ]
    digests = [caps_sha256(TradeSettings.model_validate(each).caps) for each in changed]
    assert len({plain, *digests}) == len(changed) + 1


def settings_with_one_change(name: str) -> TradeSettings:
    """Return settings in which one setting differs from its default."""
    values = {"kill_file": "/stop", "series": "KXA", "subaccount": 3, "balance_step_dollars": "0.01", "mode": "live"}
    return TradeSettings.model_validate({name: values.get(name, "0.5" if name.endswith("dollars") else "1")})


@pytest.mark.parametrize("name", sorted(TradeSettings.model_fields))
def test_F40_digest_of_an_arm_token_changes_with_every_limit(name: str) -> None:
    changed = settings_with_one_change(name).limits_sha256 != TradeSettings().limits_sha256
    ways_there = {"mode", "production", "api_key_id", "url", "arm", "private_key_file", "kill", "kill_file"}
    assert changed is (name not in ways_there)


@pytest.mark.parametrize("name", sorted(TradeSettings.model_fields))
def test_F40_digest_of_the_settings_leaves_out_secrets_and_kill_switches(name: str) -> None:
    changed = settings_with_one_change(name).config_sha256 != TradeSettings().config_sha256
    assert changed is (name not in {"arm", "private_key_file", "kill", "kill_file"})


def test_digest_of_unchanged_caps_stays_the_same_between_versions() -> None:
    assert caps_sha256(TradeSettings(order_dollars=Decimal("12.5")).caps).startswith("5749b31a8158")


@pytest.mark.parametrize(("said", "micro_dollars"), [(None, 100), ("0.0001", 100), ("0.01", 10_000)])
def test_balance_step_is_given_in_micro_dollars(said: str | None, micro_dollars: int) -> None:
    made = TradeSettings.model_validate({"balance_step_dollars": said} if said else {})
    assert made.balance_step == micro_dollars


@pytest.mark.parametrize(
    ("value", "allowed"),
    [
        (None, None),
        ("*", None),
        (" * ", None),
        ("KXA", {"KXA"}),
        ("KXA, KXB,", {"KXA", "KXB"}),
        ("KXA,*", {"KXA", "*"}),
    ],
)
def test_allowed_series_are_those_named_in_the_setting(value: str | None, allowed: set[str] | None) -> None:
    assert TradeSettings(series=value).allowed_series == allowed


def test_invalid_settings_error_names_each_setting_and_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KALSHI_TRADE_SUBACCOUNT", "many")
    monkeypatch.setenv("KALSHI_TRADE_DAY_ORDERS", "0")
    with pytest.raises(InvalidSettings) as caught:
        TradeSettings.from_environment()
    assert str(caught.value) == (
        "KALSHI_TRADE_SUBACCOUNT is 'many': Value error, write a whole number in plain digits, such as 10; "
        "KALSHI_TRADE_DAY_ORDERS is '0': Input should be greater than or equal to 1. Change or unset it."
    )


def test_F57_invalid_arm_token_is_not_repeated_in_the_error() -> None:
    with pytest.raises(ValidationError) as caught:
        TradeSettings.model_validate({"arm": ["secrettoken"]})
    assert _describe_problems(caught.value).startswith("KALSHI_TRADE_ARM: ")
    assert "secrettoken" not in _describe_problems(caught.value)


def test_F57_arm_token_is_shown_neither_by_repr_nor_by_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KALSHI_TRADE_ARM", "prod:secrettoken")
    assert "secrettoken" not in repr(TradeSettings.from_environment())
    monkeypatch.setenv("KALSHI_TRADE_SUBACCOUNT", "many")
    with pytest.raises(InvalidSettings) as caught:
        TradeSettings.from_environment()
    assert "secrettoken" not in str(caught.value)


def test_every_setting_of_trading_is_on_the_configuration_page() -> None:
    lines = DOCUMENTATION.read_text("utf-8").splitlines()
    for name, setting in TradeSettings.model_fields.items():
        (line,) = [line for line in lines if line.startswith(f"| `KALSHI_TRADE_{name.upper()}` |")]
        assert str(setting.description) in line


@pytest.mark.parametrize(("text", "dollars"), [("10", "10"), ("2.50", "2.5"), (".5", "0.5"), ("0.000001", "0.000001")])
def test_amount_in_plain_dollars_is_read_and_other_forms_are_refused(
    monkeypatch: pytest.MonkeyPatch, text: str, dollars: str
) -> None:
    monkeypatch.setenv("KALSHI_TRADE_ORDER_DOLLARS", text)
    assert TradeSettings.from_environment().order_dollars == Decimal(dollars)
    monkeypatch.setenv("KALSHI_TRADE_ORDER_DOLLARS", "1e1")
    with pytest.raises(InvalidSettings, match=r"KALSHI_TRADE_ORDER_DOLLARS is '1e1': .*write plain dollars"):
        TradeSettings.from_environment()
