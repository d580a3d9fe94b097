"""Rows of the older tool keep their meaning: money, direction, and which row belongs to which."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalshi_pipelines.warehouse.adoption.conversions import CONVERSIONS, Conversion
from kalshi_pipelines.warehouse.adoption.state import Adopted
from kalshi_pipelines.warehouse.adoption.values import RefusedRow, Remarks

BY_TABLE = {conversion.table.name: conversion for conversion in CONVERSIONS}
MOMENT = "2026-01-20 12:00:00.000000"
CENTS = st.integers(0, 100)


def adopted_with(*tickers: str) -> Adopted:
    adopted = Adopted(run_id=1, now_us=2**60)
    for ticker in tickers:
        adopted.markets.store(ticker)
    return adopted


def converted(table: str, row: Sequence[Any], adopted: Adopted, remarks: Remarks | None = None) -> dict[str, Any]:
    conversion: Conversion = BY_TABLE[table]
    new = conversion.convert(tuple(row), adopted, Remarks() if remarks is None else remarks)
    return dict(zip(conversion.write.columns, new, strict=True))


def trade(
    side: str, action: str, cents: int = 40, quantity: int = 3, fill_id: str = "fill", **changes: Any
) -> list[Any]:
    row = {
        "id": 1,
        "kalshi_trade_id": fill_id,
        "ticker": "T",
        "side": side,
        "action": action,
        "quantity": quantity,
        "price_cents": cents,
        "total_cost_cents": cents * quantity,
        "fee_cents": 2,
        "position_id": None,
        "executed_at": MOMENT,
        "synced_at": MOMENT,
    }
    return list((row | changes).values())


@pytest.mark.parametrize("conversion", CONVERSIONS, ids=lambda conversion: conversion.table.name)
def test_every_conversion_gives_a_value_for_each_of_its_columns(conversion: Conversion) -> None:
    assert set(conversion.write.columns) <= set(conversion.write.table.c.keys())
    required = {column.name for column in conversion.write.table.c if not column.nullable}
    assert required <= set(conversion.write.columns)


@pytest.mark.parametrize(
    ("side", "action", "outcome_side", "book_side"),
    [
        ("yes", "buy", "yes", "bid"),
        ("no", "sell", "yes", "bid"),
        ("no", "buy", "no", "ask"),
        ("yes", "sell", "no", "ask"),
    ],
)
def test_a_fill_keeps_its_direction(side: str, action: str, outcome_side: str, book_side: str) -> None:
    new = converted("trades", trade(side, action), adopted_with("T"))
    assert (new["side"], new["action"]) == (side, action)
    assert (new["outcome_side"], new["book_side"]) == (outcome_side, book_side)


@given(
    side=st.sampled_from(["yes", "no"]),
    action=st.sampled_from(["buy", "sell"]),
    cents=CENTS,
    quantity=st.integers(1, 10**9),
)
def test_what_a_fill_cost_is_the_same_to_the_micro_dollar(side: str, action: str, cents: int, quantity: int) -> None:
    new = converted("trades", trade(side, action, cents, quantity), adopted_with("T"))
    own_price = new[f"{side}_price_microdollars"]
    assert own_price * new["quantity_centicontracts"] == cents * quantity * 10_000 * 100
    assert new["yes_price_microdollars"] + new["no_price_microdollars"] == 1_000_000


@given(bid=CENTS, ask=CENTS, last=st.none() | CENTS, volume=st.integers(0, 10**12))
def test_a_quote_in_cents_is_the_same_in_micro_dollars(bid: int, ask: int, last: int | None, volume: int) -> None:
    row = (1, "T", MOMENT, bid, ask, 100 - ask, 100 - bid, last, volume, volume, volume)
    new = converted("price_snapshots", row, adopted_with("T"))
    assert (new["yes_bid_microdollars"], new["yes_ask_microdollars"]) == (bid * 10_000, ask * 10_000)
    assert new["yes_bid_microdollars"] + new["no_ask_microdollars"] == 1_000_000
    assert new["last_price_microdollars"] == (None if last is None else last * 10_000)
    assert new["open_interest_centicontracts"] == volume * 100


def test_a_fill_of_a_quarantined_position_is_kept_without_it() -> None:
    adopted, remarks = adopted_with("T"), Remarks()
    adopted.positions.refuse(7)
    assert converted("trades", trade("yes", "buy", position_id=7), adopted, remarks)["position_id"] is None
    assert "position_id=7" in remarks.odd[0]


def test_a_reference_to_a_row_that_never_was_refuses_the_row() -> None:
    with pytest.raises(RefusedRow, match="position_id=7 is not in positions"):
        converted("trades", trade("yes", "buy", position_id=7), adopted_with("T"))
    with pytest.raises(RefusedRow, match="ticker=T is not in markets"):
        converted("price_snapshots", (1, "T", MOMENT, 1, 2, 98, 99, 1, 1, 1, 1), adopted_with())


def test_an_orphan_stays_one_when_a_row_before_it_named_its_market() -> None:
    adopted = adopted_with()
    converted("trades", trade("yes", "buy"), adopted)  # the old schema promised no market to a fill
    with pytest.raises(RefusedRow, match="ticker=T is not in markets"):
        converted("price_snapshots", (1, "T", MOMENT, 1, 2, 98, 99, 1, 1, 1, 1), adopted)


def test_a_quote_of_a_quarantined_market_is_kept() -> None:
    adopted = adopted_with()
    adopted.markets.refuse("T")
    assert converted("price_snapshots", (1, "T", MOMENT, 1, 2, 98, 99, 1, 1, 1, 1), adopted)["ticker"] == "T"


def test_a_second_fill_with_the_same_id_names_the_first() -> None:
    adopted = adopted_with("T")
    converted("trades", trade("yes", "buy", fill_id="abc"), adopted)
    with pytest.raises(RefusedRow, match="same fill id as row 1"):
        converted("trades", trade("no", "buy", fill_id="ABC ", id=2), adopted)


def test_a_row_that_is_refused_takes_no_key_from_the_next() -> None:
    adopted = adopted_with("T")
    with pytest.raises(RefusedRow):
        converted("trades", trade("hold", "buy", fill_id="abc"), adopted)
    assert converted("trades", trade("yes", "buy", fill_id="abc", id=2), adopted)["fill_id"] == "abc"
