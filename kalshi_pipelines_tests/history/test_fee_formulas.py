"""Fees of single fills and of many trades equal the exchange's published formulas and real fills."""

import datetime as dt
import json
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalshi_pipelines.history.fees.formulas import Fees, Role, fill_fee, trade_fee
from kalshi_pipelines.history.fees.pricing import Family, price_trades
from kalshi_pipelines.history.fees.steps import FeeSchedule, FeeStep
from kalshi_pipelines.lake.datasets import CONTRACTS, DOLLARS, INSTANT
from kalshi_pipelines.units import instant, microseconds
from kalshi_pipelines_tests.support.checkout import SHARED

QUADRATIC = Fees("quadratic", Decimal(1))


def us(text: str) -> int:
    return microseconds(dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC))


def real_fills() -> list[dict[str, Any]]:
    file = SHARED / "facts" / "fee_cases.json"
    return [] if not file.is_file() else [case for case in json.loads(file.read_text())["cases"] if case["matches_1e4"]]


def test_real_fills_have_the_fees_of_the_formula() -> None:
    cases = real_fills()
    if not cases:
        pytest.skip("the recorded fills are not on this machine")
    assert len(cases) == 20
    for case in cases:
        price, count = Decimal(case["yes_price"]), Decimal(case["count"])
        bought = price if case["side_acquired"] == "yes" else 1 - price
        day = case["date"] if len(case["date"]) > 7 else f"{case['date']}-01"
        fees = Fees("quadratic", Decimal(case["multiplier"]))
        fee = trade_fee(fees, Role(case["role"]), price=price, contracts=count, time_us=us(day))
        assert fee is not None
        assert fill_fee(fee, price=bought, contracts=count, step=Decimal(case["balance_grid"])) == Decimal(
            case["fee_cost"]
        )


@pytest.mark.parametrize(
    ("contracts", "price", "fee"),
    [("227.27", "0.0010", "0.015930"), ("71.94", "0.0130", "0.064780")],
)
def test_combo_fill_below_a_cent_pays_the_rounding_fee(contracts: str, price: str, fee: str) -> None:
    count, bought = Decimal(contracts), Decimal(price)
    paid = trade_fee(QUADRATIC, Role.TAKER, price=bought, contracts=count, time_us=us("2026-08-18"))
    assert paid is not None
    assert fill_fee(paid, price=bought, contracts=count, step=Decimal("0.0001")) == Decimal(fee)


def test_published_example_of_october_is_reproduced() -> None:
    fee = trade_fee(QUADRATIC, Role.TAKER, price=Decimal("0.055"), contracts=Decimal(1), time_us=us("2026-10-08"))
    assert fee == Decimal("0.003639")
    assert fill_fee(fee, price=Decimal("0.055"), contracts=Decimal(1), step=Decimal("0.01")) == Decimal("0.005000")
    assert fill_fee(fee, price=Decimal("0.055"), contracts=Decimal(1), step=Decimal("0.0001")) == Decimal("0.003700")


@pytest.mark.parametrize(("day", "fee"), [("2026-02-01", "0.02"), ("2026-05-01", "0.0175"), ("2026-10-01", "0.017472")])
def test_trade_fee_is_rounded_up_as_at_its_time(day: str, fee: str) -> None:
    paid = trade_fee(QUADRATIC, Role.TAKER, price=Decimal("0.52"), contracts=Decimal(1), time_us=us(day))
    assert paid == Decimal(fee)


@pytest.mark.parametrize(
    ("fee_type", "maker"),
    [("quadratic", "0"), ("quadratic_with_maker_fees", "0.004375"), ("quadratic_with_combo_maker_fees", "0.00875")],
)
def test_maker_pays_the_share_of_the_fee_type(fee_type: str, maker: str) -> None:
    fees = Fees(fee_type, Decimal(1))
    paid = trade_fee(fees, Role.MAKER, price=Decimal("0.5"), contracts=Decimal(1), time_us=us("2026-10-01"))
    assert paid == Decimal(maker)


@pytest.mark.parametrize("fee_type", ["flat", "margin_market_maker_program_fees", "", "Quadratic"])
def test_fee_of_an_unpublished_type_is_unknown_and_never_zero(fee_type: str) -> None:
    fees = Fees(fee_type, Decimal(1))
    assert trade_fee(fees, Role.TAKER, price=Decimal("0.5"), contracts=Decimal(1), time_us=0) is None


def table(rows: list[tuple[str, int, Decimal, Decimal]]) -> pa.Table:
    tickers, times, prices, counts = zip(*rows, strict=True) if rows else ((), (), (), ())
    columns = [pa.array(tickers, pa.string()), pa.array(times, pa.int64()).cast(INSTANT)]
    columns += [pa.array(prices, DOLLARS), pa.array(counts, CONTRACTS)]
    return pa.table(columns, names=["ticker", "created_time", "yes_price", "contracts"])


START = us("2026-09-27T19:10:00")
SCHEDULE = FeeSchedule(
    {"S": [FeeStep(0, "quadratic", Decimal("0.5"))], "F": [FeeStep(START, "flat", Decimal(1))]},
    {"E1": [FeeStep(START, "quadratic_with_maker_fees", Decimal(1)), FeeStep(START + 10_000_000, None, None)]},
)
FAMILIES = {"A": Family("E1", "S"), "B": Family("E2", "S"), "C": Family("E3", "F"), "D": Family(None, None)}


def test_each_trade_is_priced_with_the_multiplier_of_its_own_moment() -> None:
    half, one = Decimal("0.5"), Decimal(1)
    times = [START - 1, START, START + 9_999_999, START + 10_000_000]
    priced = price_trades(table([("A", time, half, one) for time in times]), FAMILIES, SCHEDULE)
    assert priced.column("fee_multiplier").to_pylist() == [half, one, one, half]
    assert priced.column("taker_fee").to_pylist() == [
        Decimal("0.008750"),
        Decimal("0.017500"),
        Decimal("0.017500"),
        Decimal("0.008750"),
    ]
    assert priced.column("maker_fee").to_pylist() == [0, Decimal("0.004375"), Decimal("0.004375"), 0]
    assert instant(START - 1) in priced.column("created_time").to_pylist()


def test_trade_of_an_unknown_market_or_unknown_fees_has_no_fee() -> None:
    rows = [(ticker, START, Decimal("0.5"), Decimal(1)) for ticker in ("C", "D", "not a market")]
    priced = price_trades(table(rows), FAMILIES, SCHEDULE)
    assert priced.column("taker_fee").to_pylist() == [None, None, None]
    assert priced.column("fee_type").to_pylist() == ["flat", None, None]


def test_no_trades_are_priced_as_no_trades() -> None:
    assert price_trades(table([]), FAMILIES, SCHEDULE).num_rows == 0


_ROWS = st.lists(
    st.tuples(
        st.sampled_from("ABC"),
        st.integers(us("2025-12-01"), us("2026-11-01")) | st.integers(START - 2, START + 10_000_002),
        st.decimals("0.0001", "0.9999", places=4),
        st.decimals("0.01", "99999999.99", places=2),
    ),
    max_size=20,
)


@given(_ROWS)
def test_many_trades_cost_exactly_what_each_trade_costs_alone(rows: list[tuple[str, int, Decimal, Decimal]]) -> None:
    priced = price_trades(table(rows), FAMILIES, SCHEDULE)
    for row, taker, maker in zip(
        rows, priced.column("taker_fee").to_pylist(), priced.column("maker_fee").to_pylist(), strict=True
    ):
        ticker, time_us, price, contracts = row
        family = FAMILIES[ticker]
        fees = SCHEDULE.fee_at(family.series_ticker, family.event_ticker, time_us)
        for found, role in ((taker, Role.TAKER), (maker, Role.MAKER)):
            alone = fees and trade_fee(fees, role, price=price, contracts=contracts, time_us=time_us)
            assert found == alone
