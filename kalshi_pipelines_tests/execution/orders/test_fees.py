"""The fee bound, compared with the fees of the sandbox, which implements the vendor's fee page independently."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalshi_pipelines.execution.orders.fees import FeeNotBounded, FeeTerms, fee_bound, is_plausible
from kalshi_pipelines.execution.orders.terms import Contracts, Side, YesPrice
from kalshi_pipelines.sandbox.trading.fees import fill_fee, trade_fee

_RATES = {"quadratic": 7_000_000, "maker": 1_750_000, "combo maker": 3_500_000, "free": 0}


@given(st.data())
def test_F50_fees_of_any_fills_at_allowed_prices_stay_within_the_bound(data: st.DataObject) -> None:
    side = data.draw(st.sampled_from(Side))
    limit = data.draw(st.integers(1, 9_999))
    count = data.draw(st.integers(1, 2_000))
    step = data.draw(st.sampled_from([100, 10_000]))
    multiplier = data.draw(st.sampled_from([Decimal("0.5"), Decimal(1), Decimal("1.25"), Decimal(3)]))
    terms = FeeTerms("quadratic_with_maker_fees", multiplier, step)
    bound = fee_bound(terms, side, YesPrice(limit), Contracts(count))
    left, paid, overpaid = count, 0, 0
    while left:
        filled = data.draw(st.integers(1, left))
        price = data.draw(st.integers(1, limit) if side is Side.BID else st.integers(limit, 9_999))
        rate = int(_RATES[data.draw(st.sampled_from(sorted(_RATES)))] * multiplier)
        change = -price * filled if side is Side.BID else -(10_000 - price) * filled
        cost = fill_fee(trade_fee(rate, price, filled), change, step, overpaid)
        paid, overpaid, left = paid + cost.fee, overpaid + cost.rounding, left - filled
    assert paid <= bound


def test_F50_fee_type_without_a_published_bound_is_refused() -> None:
    for terms in (
        FeeTerms("flat", Decimal(1), 100),
        FeeTerms("quadratic_v2", Decimal(1), 100),
        FeeTerms("quadratic", Decimal("NaN"), 100),
        FeeTerms("quadratic", Decimal(-1), 100),
        FeeTerms("quadratic", Decimal(14), 100),
    ):
        with pytest.raises(FeeNotBounded):
            fee_bound(terms, Side.BID, YesPrice(5_000), Contracts(100))


@pytest.mark.parametrize(
    ("side", "limit", "bound"),
    [
        (Side.BID, 1_000, 6_300 * 10 + 1 + 1_000 * 101),
        # A bid at $0.90 may fill at $0.50, where the fee is highest. A better price can have a higher fee.
        (Side.BID, 9_000, 17_500 * 10 + 1 + 1_000 * 101),
        (Side.ASK, 9_000, 6_300 * 10 + 1 + 1_000 * 101),
        (Side.ASK, 1_000, 17_500 * 10 + 1 + 1_000 * 101),
    ],
)
def test_fee_bound_uses_the_most_expensive_price_the_order_may_fill_at(side: Side, limit: int, bound: int) -> None:
    terms = FeeTerms("quadratic", Decimal(1), 100)
    assert fee_bound(terms, side, YesPrice(limit), Contracts(1_000)) == bound


def test_F50_fee_bound_grows_up_to_the_highest_plausible_multiplier() -> None:
    def bound(multiplier: int) -> int:
        return fee_bound(FeeTerms("quadratic", Decimal(multiplier), 100), Side.BID, YesPrice(5_000), Contracts(100))

    assert [bound(multiplier) for multiplier in (0, 1, 2, 10)] == [10_101 + 17_500 * each for each in (0, 1, 2, 10)]


@pytest.mark.parametrize("multiplier", ["1E-12", "0E+12", "0", "1.5"])
def test_fee_multiplier_with_few_digits_is_plausible(multiplier: str) -> None:
    assert is_plausible(Decimal(multiplier))


@pytest.mark.parametrize("multiplier", ["1E-13", "0E+13", "0E-13", "-0.1", "NaN", "Infinity"])
def test_impossible_fee_multiplier_is_not_plausible(multiplier: str) -> None:
    assert not is_plausible(Decimal(multiplier))
