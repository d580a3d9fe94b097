"""The formulas of the worst case, compared with all possible fills and outcomes."""

from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from kalshi_pipelines.execution.orders.terms import Side
from kalshi_pipelines.execution.orders.worst_case import Exposure
from kalshi_pipelines.units import DOLLAR_CENTICENTS

Order = tuple[Side, int, int, int]

orders = st.lists(
    st.tuples(st.sampled_from(Side), st.integers(1, 9_999), st.integers(1, 500), st.integers(0, 50_000)), max_size=5
)


def _loss(position: int, spent: int, fills: list[tuple[Side, int, int, int]], payoff: int) -> int:
    for side, price, count, fee in fills:
        sign = 1 if side is Side.BID else -1
        position += sign * count
        spent += sign * count * price + fee
    return spent - position * payoff


@given(st.integers(-500, 500), st.integers(-5_000_000, 5_000_000), orders)
def test_worst_case_equals_the_worst_of_all_fills_and_outcomes(position: int, spent: int, resting: list[Order]) -> None:
    exposure = Exposure.of_position(position, spent)
    for order in resting:
        exposure += Exposure.of_resting(*order)
    # The largest loss comes from no fill, a complete fill, or a fill of almost nothing that is charged the whole fee.
    ends = [
        ((side, price, 0, 0), (side, price, count, fee), (side, price, 0, fee)) for side, price, count, fee in resting
    ]
    counted_out = max(
        _loss(position, spent, list(fills), payoff) for fills in product(*ends) for payoff in (0, DOLLAR_CENTICENTS)
    )
    assert exposure.worst == max(0, counted_out)


@given(orders, st.data())
def test_no_partial_fill_fee_or_payout_exceeds_the_worst_case(resting: list[Order], data: st.DataObject) -> None:
    exposure = Exposure()
    for order in resting:
        exposure += Exposure.of_resting(*order)
    fills = [
        (side, price, data.draw(st.integers(0, count)), data.draw(st.integers(0, fee)))
        for side, price, count, fee in resting
    ]
    assert _loss(0, 0, fills, data.draw(st.integers(0, DOLLAR_CENTICENTS))) <= exposure.worst


@given(st.sampled_from(Side), st.integers(1, 9_999), st.integers(1, 10_000), st.data())
def test_fill_at_the_limit_or_better_raises_neither_loss(
    side: Side, price: int, count: int, data: st.DataObject
) -> None:
    filled = data.draw(st.integers(1, count))
    better = data.draw(st.integers(1, price) if side is Side.BID else st.integers(price, 9_999))
    fee_bound = data.draw(st.integers(0, 100_000))
    fee = data.draw(st.integers(0, fee_bound))
    before = Exposure.of_resting(side, price, count, fee_bound)
    after = Exposure.of_fill(side, better, filled, fee)
    if filled < count:
        after += Exposure.of_resting(side, price, count - filled, fee_bound - fee)
    assert after.if_no <= before.if_no
    assert after.if_yes <= before.if_yes


def test_sale_of_held_contracts_adds_only_its_fee() -> None:
    held = Exposure.of_position(1_000, 4_000 * 1_000)
    closing = Exposure.of_resting(Side.ASK, 6_000, 1_000, 20_000)
    assert (held.worst, (held + closing).worst) == (4_000_000, 4_020_000)
    assert (Exposure.of_position(0, 0) + closing).worst == 4_000 * 1_000 + 20_000


def test_sale_of_more_than_is_held_adds_the_loss_of_the_new_position() -> None:
    held = Exposure.of_position(1_000, 4_000 * 1_000)
    flip = Exposure.of_resting(Side.ASK, 6_000, 3_000, 0)
    # The account holds 10 contracts that cost $4.00. A complete fill sells 30 contracts at $0.60 for $18.00. Then the
    # account is short 20 contracts, and owes $20.00 if YES wins.
    assert (held + flip).if_yes == 4_000_000 - 18_000_000 + 20_000_000


def test_fill_changes_losses_by_its_cost_and_its_payout() -> None:
    assert Exposure.of_fill(Side.BID, 5_600, 300, 7) == Exposure(5_600 * 300 + 7, 7 - 4_400 * 300)
    assert Exposure.of_fill(Side.ASK, 5_600, 300, 7) == Exposure(7 - 5_600 * 300, 4_400 * 300 + 7)
    assert Exposure(10, 20) - Exposure(3, 5) == Exposure(7, 15)
    assert Exposure(10, 20) + Exposure(3, 5) == Exposure(13, 25)
