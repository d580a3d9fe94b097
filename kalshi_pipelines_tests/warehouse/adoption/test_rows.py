"""Converted rows of the older tool keep their meaning: money, direction, and references to other rows."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalshi_pipelines.warehouse.adoption.conversions import CONVERSIONS, Conversion
from kalshi_pipelines.warehouse.adoption.state import AdoptionState
from kalshi_pipelines.warehouse.adoption.values import RefusedLegacyRow, Remarks

BY_TABLE = {conversion.table.name: conversion for conversion in CONVERSIONS}
MOMENT = "2026-01-20 12:00:00.000000"
CENTS = st.integers(0, 100)


def state_with(*tickers: str) -> AdoptionState:
    state = AdoptionState(run_id=1, now_us=2**60)
    for ticker in tickers:
        state.markets.mark_stored(ticker)
    return state


def convert(table: str, row: Sequence[Any], state: AdoptionState, remarks: Remarks | None = None) -> dict[str, Any]:
    conversion: Conversion = BY_TABLE[table]
    new = conversion.convert(tuple(row), state, Remarks() if remarks is None else remarks)
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
def test_every_conversion_covers_its_required_columns(conversion: Conversion) -> None:
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
def test_fill_keeps_its_direction(side: str, action: str, outcome_side: str, book_side: str) -> None:
    new = convert("trades", trade(side, action), state_with("T"))
    assert (new["side"], new["action"]) == (side, action)
    assert (new["outcome_side"], new["book_side"]) == (outcome_side, book_side)


@given(
    side=st.sampled_from(["yes", "no"]),
    action=st.sampled_from(["buy", "sell"]),
    cents=CENTS,
    quantity=st.integers(1, 10**9),
)
def test_cost_of_a_fill_is_kept_to_the_microdollar(side: str, action: str, cents: int, quantity: int) -> None:
    new = convert("trades", trade(side, action, cents, quantity), state_with("T"))
    own_price = new[f"{side}_price_microdollars"]
    assert own_price * new["quantity_centicontracts"] == cents * quantity * 10_000 * 100
    assert new["yes_price_microdollars"] + new["no_price_microdollars"] == 1_000_000


@given(bid=CENTS, ask=CENTS, last=st.none() | CENTS, volume=st.integers(0, 10**12))
def test_quote_in_cents_equals_the_quote_in_microdollars(bid: int, ask: int, last: int | None, volume: int) -> None:
    row = (1, "T", MOMENT, bid, ask, 100 - ask, 100 - bid, last, volume, volume, volume)
    new = convert("price_snapshots", row, state_with("T"))
    assert (new["yes_bid_microdollars"], new["yes_ask_microdollars"]) == (bid * 10_000, ask * 10_000)
    assert new["yes_bid_microdollars"] + new["no_ask_microdollars"] == 1_000_000
    assert new["last_price_microdollars"] == (None if last is None else last * 10_000)
    assert new["open_interest_centicontracts"] == volume * 100


def test_fill_of_a_quarantined_position_is_kept_without_the_position() -> None:
    state, remarks = state_with("T"), Remarks()
    state.positions.mark_quarantined(7)
    assert convert("trades", trade("yes", "buy", position_id=7), state, remarks)["position_id"] is None
    assert "position_id=7" in remarks.odd[0]


def test_row_with_a_reference_to_a_missing_row_is_refused() -> None:
    with pytest.raises(RefusedLegacyRow, match="position_id=7 is not in positions"):
        convert("trades", trade("yes", "buy", position_id=7), state_with("T"))
    with pytest.raises(RefusedLegacyRow, match="ticker=T is not in markets"):
        convert("price_snapshots", (1, "T", MOMENT, 1, 2, 98, 99, 1, 1, 1, 1), state_with())


def test_orphan_is_refused_although_an_earlier_row_named_its_market() -> None:
    state = state_with()
    convert("trades", trade("yes", "buy"), state)  # the legacy schema does not promise that the market of a fill exists
    with pytest.raises(RefusedLegacyRow, match="ticker=T is not in markets"):
        convert("price_snapshots", (1, "T", MOMENT, 1, 2, 98, 99, 1, 1, 1, 1), state)


def test_quote_of_a_quarantined_market_is_kept() -> None:
    state = state_with()
    state.markets.mark_quarantined("T")
    assert convert("price_snapshots", (1, "T", MOMENT, 1, 2, 98, 99, 1, 1, 1, 1), state)["ticker"] == "T"


def test_refusal_of_a_duplicate_fill_id_names_the_first_row() -> None:
    state = state_with("T")
    convert("trades", trade("yes", "buy", fill_id="abc"), state)
    with pytest.raises(RefusedLegacyRow, match="same fill id as row 1"):
        convert("trades", trade("no", "buy", fill_id="ABC ", id=2), state)


def test_refused_row_does_not_reserve_its_key() -> None:
    state = state_with("T")
    with pytest.raises(RefusedLegacyRow):
        convert("trades", trade("hold", "buy", fill_id="abc"), state)
    assert convert("trades", trade("yes", "buy", fill_id="abc", id=2), state)["fill_id"] == "abc"
