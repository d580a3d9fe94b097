"""The fee bound and the sandbox's fees, compared with the vendor's fee page and with real fills."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalshi_pipelines.execution.orders.fees import (
    MOST_SMALL_FILLS,
    FeeNotBounded,
    FeeTerms,
    fee_bound,
    is_plausible,
)
from kalshi_pipelines.execution.orders.terms import Contracts, Side, YesPrice
from kalshi_pipelines.sandbox.trading.fees import fill_fee, trade_fee
from kalshi_pipelines_tests.support.execution.fee_page import FeePage, model_fee

_RATES = {"quadratic": 7_000_000, "maker": 1_750_000, "combo maker": 3_500_000, "free": 0}
_CENT, _FINE = Decimal("0.01"), Decimal("0.0001")
#: Precision of the trade fee and step of the rebates, by the edition of the page. The dates of the changes are unknown.
EDITIONS = {
    "June 2026": (Decimal("0.0001"), _CENT),
    "between": (Decimal("0.0001"), None),
    "October 2026": (Decimal("0.000001"), None),
}
#: Real fills: contracts, price, maker rate or taker rate, balance step, and the fee that the exchange reported.
REAL_FILLS = [
    ("1.00", "0.7100", "0.07", "0.0001", "0.014500"),
    ("1.00", "0.9290", "0.07", "0.0001", "0.004700"),
    ("1.00", "0.2700", "0.07", "0.0001", "0.013800"),
    ("1.00", "0.0700", "0.07", "0.0001", "0.004600"),
    ("1.00", "0.3900", "0", "0.0001", "0.000000"),
    ("1.00", "0.9800", "0", "0.0001", "0.000000"),
    ("132.00", "0.36", "0.07", "0.0001", "2.128900"),
    ("132.00", "0.92", "0.07", "0.0001", "0.680100"),
    ("77.00", "0.52", "0.07", "0.0001", "1.345400"),
    ("52.00", "0.74", "0.07", "0.0001", "0.700400"),
    ("84.00", "0.49", "0.07", "0.01", "1.470000"),
    ("19.00", "0.53", "0.07", "0.0001", "0.331400"),
    ("2.00", "0.28", "0.07", "0.0001", "0.028300"),
    ("1.00", "0.52", "0.07", "0.0001", "0.017500"),
    ("227.27", "0.0010", "0.07", "0.0001", "0.015930"),
    ("10.00", "0.27", "0.035", "0.0001", "0.069000"),
    ("1.00", "0.27", "0.035", "0.0001", "0.006900"),
    ("0.27", "0.27", "0.035", "0.0001", "0.001900"),
]


def micro(amount: Decimal) -> int:
    assert amount * 1_000_000 == int(amount * 1_000_000)
    return int(amount * 1_000_000)


def bound_of(step: Decimal, limit: str, count: str, side: Side = Side.BID, multiplier: str = "1") -> Decimal:
    terms = FeeTerms("quadratic", Decimal(multiplier), micro(step))
    asked = YesPrice.from_text(limit), Contracts.from_text(count)
    return Decimal(fee_bound(terms, side, *asked)) / 1_000_000


@dataclass(frozen=True)
class Run:
    """Equal fills in a row: how many, the centi-contracts and the centi-cents of each, and the rate in 1e-8."""

    times: int
    size: int
    price: int
    rate: int


def runs(data: st.DataObject, count: int, prices: st.SearchStrategy[int]) -> list[Run]:
    """Return the fills of a whole order: often thousands of the smallest possible fill."""
    found, left = [], count
    while left:
        size = min(left, data.draw(st.one_of(st.just(1), st.integers(1, 130), st.integers(1, left))))
        times = min(left // size, data.draw(st.sampled_from([1, 2, 7, 99, 3_000])))
        found.append(Run(times, size, data.draw(prices), data.draw(st.sampled_from(sorted(_RATES.values())))))
        left -= size * times
    return found


@given(st.data())
def test_F50_fees_of_any_fills_at_allowed_prices_stay_within_the_bound(data: st.DataObject) -> None:
    side = data.draw(st.sampled_from(Side))
    limit = data.draw(st.one_of(st.sampled_from([1_000, 5_000, 9_900]), st.integers(1, 9_999)))
    count = data.draw(st.one_of(st.integers(1, 300), st.integers(1, 10_000)))
    grid = data.draw(st.sampled_from([_FINE, _CENT]))
    multiplier = data.draw(st.sampled_from([Decimal("0.5"), Decimal(1), Decimal("1.25"), Decimal(3)]))
    page = FeePage(grid, *EDITIONS[data.draw(st.sampled_from(sorted(EDITIONS)))])
    closes = data.draw(st.booleans())
    prices = st.integers(1, limit) if side is Side.BID else st.integers(limit, 9_999)
    for run in runs(data, count, st.one_of(st.just(limit), prices)):
        price, contracts = Decimal(run.price) / 10_000, Decimal(run.size) / 100
        # A bid pays its price, or gives up a NO position and receives the rest of the dollar. An ask is the reverse.
        pays = price if side is Side.BID else 1 - price
        revenue = contracts * (1 - pays) if closes else -contracts * pays
        model = model_fee(price, contracts, Decimal(run.rate) / 100_000_000 * multiplier)
        for _ in range(run.times):
            page.fill(revenue, model)
    terms = FeeTerms("quadratic_with_maker_fees", multiplier, micro(grid))
    bound = fee_bound(terms, side, YesPrice(limit), Contracts(count))
    uncovered = max(0, page.small_fills - MOST_SMALL_FILLS) if grid == _CENT else 0
    assert micro(page.paid) <= bound + uncovered * (micro(grid) - 1)


@given(st.data())
def test_sandbox_charges_the_fees_of_the_page(data: st.DataObject) -> None:
    step = data.draw(st.sampled_from([100, 10_000]))
    page, overpaid = FeePage(Decimal(step) / 1_000_000), 0
    for _ in range(data.draw(st.integers(1, 12))):
        rate = _RATES[data.draw(st.sampled_from(sorted(_RATES)))]
        price, count, sign = data.draw(st.integers(1, 9_999)), data.draw(st.integers(1, 500)), data.draw(st.booleans())
        change = price * count if sign else -price * count
        charged = fill_fee(trade_fee(rate, price, count), change, step, overpaid)
        overpaid += charged.rounding
        model = model_fee(Decimal(price) / 10_000, Decimal(count) / 100, Decimal(rate) / 100_000_000)
        assert charged.fee == micro(page.fill(Decimal(change) / 1_000_000, model))
        assert overpaid == micro(page.accumulator)


def test_sandbox_and_page_agree_with_the_worked_examples_of_the_page() -> None:
    october = FeePage(_CENT)
    assert october.fill(Decimal("-0.055"), Decimal("0.00363825")) == Decimal("0.005000")
    assert (october.accumulator, fill_fee(3_639, -55_000, 10_000, 0).fee) == (Decimal("0.001361"), 5_000)
    assert FeePage(_FINE).fill(Decimal("-0.055"), Decimal("0.00363825")) == Decimal("0.003700")
    # The trade fees of the June edition are given there. They are not computed from a rate.
    for revenue, fee, nets in (
        ("-0.055", "0.0085", ["0.0150", "0.0050", "0.0150"]),
        ("-0.150", "0.0041", ["0.0100", "0.0000", "0.0100"]),
        ("-0.009903", "0.0005", ["0.010097", "0.000097", "0.000097"]),
    ):
        june, overpaid = FeePage(_CENT, Decimal("0.0001")), 0
        for net in nets:
            assert june.fill(Decimal(revenue), Decimal(fee)) == Decimal(net)
            charged = fill_fee(micro(Decimal(fee)), micro(Decimal(revenue)), 10_000, overpaid)
            overpaid += charged.rounding
            assert charged.fee == micro(Decimal(net))


@pytest.mark.parametrize(("count", "price", "rate", "step", "fee"), REAL_FILLS)
def test_page_and_sandbox_agree_with_real_fills(count: str, price: str, rate: str, step: str, fee: str) -> None:
    cost, model = Decimal(price) * Decimal(count), model_fee(Decimal(price), Decimal(count), Decimal(rate))
    assert FeePage(Decimal(step), Decimal("0.0001")).fill(-cost, model) == Decimal(fee)
    multiplier = "0.5" if rate == "0.035" else "1"
    assert Decimal(fee) <= bound_of(Decimal(step), price, count, multiplier=multiplier)
    units = int(Decimal(price) * 10_000), int(Decimal(count) * 100)
    charged = fill_fee(trade_fee(int(Decimal(rate) * 100_000_000), *units), -micro(cost), micro(Decimal(step)), 0)
    # Since the October edition the trade fee is rounded up more finely.
    assert 0 <= micro(Decimal(fee)) - charged.fee <= 100


def paid_by(grid: Decimal, edition: str, fills: Sequence[tuple[int, str, str]]) -> Decimal:
    page = FeePage(grid, *EDITIONS[edition])
    for times, price, count in fills:
        for _ in range(times):
            page.fill(-Decimal(price) * Decimal(count), model_fee(Decimal(price), Decimal(count)))
    return page.paid


def test_F50_bound_of_an_order_at_a_step_of_a_cent_is_near_its_worst_case() -> None:
    bound = bound_of(_CENT, "0.10", "100")
    assert bound == Decimal("2.009900")
    assert paid_by(_CENT, "October 2026", [(1, "0.10", "100")]) == Decimal("0.63")
    assert paid_by(_CENT, "October 2026", [(100, "0.10", "1")]) == Decimal("0.63")
    # The worst known fills with a hundred small ones among them, in the earlier edition.
    worst = paid_by(_CENT, "June 2026", [(990, "0.10", "0.10"), (100, "0.0001", "0.01")])
    assert bound * Decimal("0.83") < worst <= bound
    # The page sets no limit to small fills, which get no rebate. Each of these fills costs a cent, price included.
    assert paid_by(_CENT, "October 2026", [(10_000, "0.10", "0.01")]) == 90


def test_F50_bound_of_a_direct_member_is_reached_by_the_smallest_fills() -> None:
    bound = bound_of(_FINE, "0.10", "100")
    assert bound == Decimal("1.990000")
    assert paid_by(_FINE, "October 2026", [(1, "0.10", "100")]) == Decimal("0.63")
    assert paid_by(_FINE, "June 2026", [(10_000, "0.0901", "0.01")]) == bound


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
        (Side.BID, 1_000, 1_000 * (100 + 99)),
        # A bid at $0.90 may fill at $0.50, where the fee is highest. A better price can have a higher fee.
        (Side.BID, 9_000, 1_000 * (200 + 99)),
        (Side.ASK, 9_000, 1_000 * (100 + 99)),
        (Side.ASK, 1_000, 1_000 * (200 + 99)),
    ],
)
def test_fee_bound_uses_the_most_expensive_price_the_order_may_fill_at(side: Side, limit: int, bound: int) -> None:
    terms = FeeTerms("quadratic", Decimal(1), 100)
    assert fee_bound(terms, side, YesPrice(limit), Contracts(1_000)) == bound


def test_F50_fee_bound_grows_up_to_the_highest_plausible_multiplier() -> None:
    def bound(multiplier: int) -> int:
        return fee_bound(FeeTerms("quadratic", Decimal(multiplier), 100), Side.BID, YesPrice(5_000), Contracts(100))

    assert [bound(multiplier) for multiplier in (0, 1, 2, 10)] == [
        9_900 + each for each in (0, 20_000, 40_000, 180_000)
    ]


@pytest.mark.parametrize(("count", "rounding"), [(1, 9_999), (100, 999_900), (101, 1_009_899), (10**8, 1_009_900)])
def test_F50_rounding_fees_are_bounded_per_order_at_a_step_of_a_cent(count: int, rounding: int) -> None:
    assert fee_bound(FeeTerms("quadratic", Decimal(0), 10_000), Side.BID, YesPrice(1), Contracts(count)) == rounding


@pytest.mark.parametrize("multiplier", ["1E-12", "0E+12", "0", "1.5"])
def test_fee_multiplier_with_few_digits_is_plausible(multiplier: str) -> None:
    assert is_plausible(Decimal(multiplier))


@pytest.mark.parametrize("multiplier", ["1E-13", "0E+13", "0E-13", "-0.1", "NaN", "Infinity"])
def test_impossible_fee_multiplier_is_not_plausible(multiplier: str) -> None:
    assert not is_plausible(Decimal(multiplier))
