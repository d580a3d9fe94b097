"""The terms of an order cannot be confused with each other, with cents or with floats."""

from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kalshi_pipelines.execution.orders import amounts
from kalshi_pipelines.execution.orders.denials import BY_CODE, DenialReason
from kalshi_pipelines.execution.orders.terms import (
    Action,
    ClientOrderId,
    Contracts,
    InvalidTerms,
    Leg,
    MarketTicker,
    OrderId,
    Outcome,
    Side,
    YesPrice,
)


@pytest.mark.parametrize(
    ("action", "outcome", "price", "side", "yes_price"),
    [
        (Action.BUY, Outcome.YES, "0.3000", Side.BID, "0.3000"),
        (Action.BUY, Outcome.NO, "0.3000", Side.ASK, "0.7000"),
        (Action.SELL, Outcome.YES, "0.3000", Side.ASK, "0.3000"),
        (Action.SELL, Outcome.NO, "0.3000", Side.BID, "0.7000"),
    ],
)
def test_F28_every_leg_maps_to_its_side_and_yes_price(
    action: Action, outcome: Outcome, price: str, side: Side, yes_price: str
) -> None:
    leg = Leg(action, outcome, YesPrice.from_text(price))
    assert (leg.side, str(leg.yes_price)) == (side, yes_price)


@given(st.sampled_from(Action), st.sampled_from(Outcome), st.integers(1, 9_999))
def test_sale_of_an_outcome_equals_purchase_of_the_other_at_the_complement(
    action: Action, outcome: Outcome, price: int
) -> None:
    leg = Leg(action, outcome, YesPrice(price))
    opposite = Leg(
        Action.SELL if action is Action.BUY else Action.BUY,
        Outcome.NO if outcome is Outcome.YES else Outcome.YES,
        YesPrice(price).complement,
    )
    assert (leg.side, leg.yes_price) == (opposite.side, opposite.yes_price)


@pytest.mark.parametrize("value", [56, 0.56, Decimal("0.56"), None, b"0.56", True])
def test_F29_number_instead_of_dollars_as_text_is_a_type_error(value: object) -> None:
    with pytest.raises(TypeError, match="must be text such as"):
        YesPrice.from_text(value)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="must be text such as"):
        Contracts.from_text(value)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text", ["56", "0", "1", "1.0000", "-0.5", "0.00005", "nan", "inf", "1e-1", "0,5", " 0.5", "٠.٥", ""]
)
def test_text_that_is_not_a_price_is_refused(text: str) -> None:
    with pytest.raises(InvalidTerms):
        YesPrice.from_text(text)


@pytest.mark.parametrize("text", ["0", "-1", "0.001", "1e3", "nan", "10000000000.01", "1 000", ""])
def test_text_that_is_not_a_count_is_refused(text: str) -> None:
    with pytest.raises(InvalidTerms):
        Contracts.from_text(text)


@example(9_999, 10**8)
@given(st.integers(1, 9_999), st.integers(1, 10**8))
def test_prices_and_counts_read_from_their_own_text_are_equal(price: int, count: int) -> None:
    assert YesPrice.from_text(str(YesPrice(price))) == YesPrice(price)
    assert Contracts.from_text(str(Contracts(count))) == Contracts(count)


def test_price_or_count_of_another_number_type_is_refused() -> None:
    with pytest.raises(InvalidTerms):
        YesPrice(True)
    with pytest.raises(InvalidTerms):
        Contracts(100.0)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["", " ", "/", "../x", "a", "abc?x=12345", "abcdefgh/", "abcdefgh\n", "é" * 10])
def test_F47_order_id_that_could_change_a_request_path_is_refused(text: str) -> None:
    with pytest.raises(InvalidTerms):
        OrderId(text)


@pytest.mark.parametrize("text", ["", "short", "a" * 65, "has space", "semi;colon", "new\nline"])
def test_client_order_id_with_other_characters_is_refused(text: str) -> None:
    with pytest.raises(InvalidTerms):
        ClientOrderId(text)


@pytest.mark.parametrize("text", ["", "kxlower", "KX/..", "KX X", "-KX", "KX-", "K" * 121, "KX\n", "KX'; DROP"])
def test_text_that_is_not_a_ticker_is_refused(text: str) -> None:
    with pytest.raises(InvalidTerms):
        MarketTicker(text)


def test_F29_price_finer_than_the_exchange_s_is_refused_not_rounded() -> None:
    assert YesPrice.from_text("0.5601").centicents == 5_601
    with pytest.raises(InvalidTerms, match="finer"):
        YesPrice.from_text("0.56005")
    with pytest.raises(InvalidTerms, match=r"not 1\.2$"):
        YesPrice(12_000)
    with pytest.raises(InvalidTerms, match=r"not 0$"):
        Contracts(0)
    with pytest.raises(InvalidTerms, match="not '1'"):
        Contracts("1")  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [MarketTicker, ClientOrderId, OrderId])
def test_id_is_accepted_only_with_characters_of_the_exchange(kind: type[MarketTicker]) -> None:
    assert str(kind("ABCD-1234")) == "ABCD-1234"
    for other in ("", "A B", "abcd/1234?", "A" * 200):
        with pytest.raises(InvalidTerms):
            kind(other)


def test_denial_reason_has_the_code_of_journal_and_checks() -> None:
    assert BY_CODE["not_armed"] is DenialReason.NOT_ARMED
    assert DenialReason.NOT_ARMED.code == "not_armed"


@pytest.mark.parametrize(
    ("micro", "text"),
    [
        (4_100_000, "$4.10"),
        (17_500, "$0.0175"),
        (-3_000_000, "-$3.00"),
        (0, "$0.00"),
        (1, "$0.000001"),
        (1_234_500_000, "$1,234.50"),
    ],
)
def test_money_is_formatted_in_dollars_with_all_digits(micro: int, text: str) -> None:
    assert amounts.money(micro) == text
    assert amounts.price(5_625) == "$0.5625"
