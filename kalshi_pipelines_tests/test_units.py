"""Conversions of units are exact, and text that is not exact is refused."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalshi_pipelines.units import (
    InexactValue,
    centicontracts,
    contracts,
    dollars,
    instant,
    microdollars,
    microseconds,
    trading_day,
)


@given(st.decimals(min_value=-(10**6), max_value=10**6, places=6))
def test_dollars_survive_the_round_trip(amount: Decimal) -> None:
    assert dollars(microdollars(f"{amount:f}")) == amount


@given(st.decimals(min_value=0, max_value=10**9, places=2))
def test_contracts_survive_the_round_trip(count: Decimal) -> None:
    assert contracts(centicontracts(f"{count:f}")) == count


@pytest.mark.parametrize("text", ["", "abc", "1e3", "NaN", "inf", "0.57 ", "+1", ".5", "1.", "0x1", "１"])
def test_text_that_is_not_a_plain_decimal_is_refused(text: str) -> None:
    with pytest.raises(InexactValue):
        microdollars(text)


def test_value_finer_than_the_unit_is_refused_unless_the_digits_are_zeros() -> None:
    with pytest.raises(InexactValue):
        microdollars("0.1234567")
    with pytest.raises(InexactValue):
        centicontracts("0.015")
    assert microdollars("0.12345600") == 123456
    assert centicontracts("1.5000") == 150


def test_fifty_seven_cents_are_converted_exactly() -> None:
    assert microdollars("0.57") == 570_000


@given(st.integers(min_value=-(10**15), max_value=10**16))
def test_instants_keep_every_microsecond(value: int) -> None:
    assert microseconds(instant(value)) == value


def test_the_trading_day_ends_at_midnight_in_new_york() -> None:
    midnight = 1_795_323_600_000_000
    assert [str(trading_day(midnight - 1)), str(trading_day(midnight))] == ["2026-11-21", "2026-11-22"]
