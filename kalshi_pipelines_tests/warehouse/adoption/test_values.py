"""Values of the older tool are converted exactly, or refused with a reason."""

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalshi_pipelines.units import dollars, instant
from kalshi_pipelines.warehouse.adoption import values
from kalshi_pipelines.warehouse.adoption.values import RefusedLegacyRow, Remarks


@given(cents=st.integers(0, 100))
def test_cents_become_exact_dollars(cents: int) -> None:
    assert dollars(values.price("yes_bid", cents)) == Decimal(cents) / 100


@given(cents=st.integers(-(2**40), 2**40))
def test_gains_and_losses_become_exact_dollars(cents: int) -> None:
    assert dollars(values.amount("realized_pnl_cents", cents)) == Decimal(cents) / 100


@pytest.mark.parametrize("value", [101, -1, 55.5, "55", b"55", None, True, float("inf")])
def test_price_must_be_a_whole_number_of_cents_from_0_to_100(value: Any) -> None:
    with pytest.raises(RefusedLegacyRow, match="yes_bid="):
        values.price("yes_bid", value)


@pytest.mark.parametrize("value", [-1, 12.5, "abc", b"1", None])
def test_count_must_be_a_whole_number_from_0(value: Any) -> None:
    with pytest.raises(RefusedLegacyRow, match="quantity="):
        values.count("quantity", value)


@given(moment=st.datetimes(), zone=st.integers(-23, 23))
def test_every_format_of_an_instant_gives_the_same_instant(moment: dt.datetime, zone: int) -> None:
    stored = moment.strftime("%Y-%m-%d %H:%M:%S.%f").rjust(26, "0")
    elsewhere = moment.replace(tzinfo=dt.UTC)
    if 1 < moment.year < 9999:
        elsewhere = elsewhere.astimezone(dt.timezone(dt.timedelta(hours=zone)))
    plain, iso = Remarks(), Remarks()
    read = values.instant("opened_at", stored, plain)
    assert instant(read) == moment.replace(tzinfo=dt.UTC)
    assert values.instant("opened_at", elsewhere.isoformat(), iso) == read
    assert (bool(plain), bool(iso)) == (False, True)


@pytest.mark.parametrize(
    "value",
    [
        "not-a-date",
        "",
        "2026-13-01 00:00:00",
        1_700_000_000,
        None,
        b"2026-01-01",
        "9999-12-31T23:59:59-05:00",
        "0001-01-01T00:00:00+05:00",
    ],
)
def test_value_that_is_not_an_instant_is_refused(value: Any) -> None:
    with pytest.raises(RefusedLegacyRow, match="opened_at="):
        values.instant("opened_at", value, Remarks())


@pytest.mark.parametrize("written", ["2026-W04-2 12:00:00.000000", "2026-01-20 12:00:00.000+05", "2026-01-20"])
def test_instant_in_an_unusual_format_is_noted(written: str) -> None:
    remarks = Remarks()
    values.instant("opened_at", written, remarks)
    assert remarks.normalised


@pytest.mark.parametrize("convert", [values.count, values.amount, values.cost])
def test_number_larger_than_64_bits_is_refused(convert: Callable[[str, int], int]) -> None:
    with pytest.raises(RefusedLegacyRow, match="larger than the warehouse can hold"):
        convert("quantity", 2**62)


@pytest.mark.parametrize("written", ["", " ", "\xa0\u2003", "\n"])
def test_empty_identifier_is_refused(written: str) -> None:
    with pytest.raises(RefusedLegacyRow, match="ticker is empty"):
        values.identifier("ticker", written, Remarks())


@pytest.mark.parametrize("written", ["YES", " yes", "yes\n", "\tYes "])
def test_word_with_spaces_or_capitals_is_normalised_and_noted(written: str) -> None:
    remarks = Remarks()
    assert values.word("side", written, ("yes", "no"), remarks) == "yes"
    assert remarks.normalised == [f"side {written!r} -> 'yes'"]


@pytest.mark.parametrize("written", ["hold", "", " ", "y", "yes/no", "ye s", 1, None, b"yes"])
def test_word_outside_the_vocabulary_is_refused(written: Any) -> None:
    with pytest.raises(RefusedLegacyRow, match="is not one of yes, no"):
        values.word("side", written, ("yes", "no"), Remarks())


@given(text=st.text(max_size=12))
def test_word_is_in_the_vocabulary_after_trimming_or_refused(text: str) -> None:
    try:
        assert values.word("side", text, ("yes", "no"), Remarks()) in {"yes", "no"}
    except RefusedLegacyRow:
        assert text.strip().lower() not in {"yes", "no"}


@pytest.mark.parametrize(("written", "micro"), [("1.0600", 1_060_000), (" 0.02 ", 20_000), ("0", 0)])
def test_fee_text_is_converted_exactly(written: str, micro: int) -> None:
    assert values.dollar_text("fee_cost_dollars", written, Remarks()) == micro


@pytest.mark.parametrize("written", ["n/a", "-0.01", "1e-2", "0.00000001", "", 0.02, None])
def test_fee_that_is_not_an_exact_decimal_is_refused(written: Any) -> None:
    with pytest.raises(RefusedLegacyRow, match="fee_cost_dollars"):
        values.dollar_text("fee_cost_dollars", written, Remarks())


@pytest.mark.parametrize("written", ["fed rate, cpi", '{"q": 1}', "[1]", "null", "[" * 100_000, 5, None])
def test_search_queries_must_be_a_list_of_texts(written: Any) -> None:
    with pytest.raises(RefusedLegacyRow, match="search_queries"):
        values.texts_as_json("search_queries", written)


def test_long_value_is_shortened_in_the_reason() -> None:
    with pytest.raises(RefusedLegacyRow) as refusal:
        values.whole_number("quantity", "x" * 10_000)
    assert len(str(refusal.value)) < 200
