import json
import uuid
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalshi_pipelines.history.trade_columns import trade_rows
from kalshi_pipelines.kalshi.decoding import split_page
from kalshi_pipelines.lake.datasets import PUBLIC_TRADES
from kalshi_pipelines.units import instant
from kalshi_pipelines_tests.support.history.trades import raw_trades, texts_of, wire_trade
from kalshi_pipelines_tests.support.kalshi.recordings import recording

_MICRODOLLARS = st.integers(0, 1_000_000)
_TIMES = st.integers(1_600_000_000_000_000, 2_000_000_000_000_000)


@st.composite
def wire_trades(draw: st.DrawFn) -> dict[str, Any]:
    price, decimals = draw(_MICRODOLLARS), draw(st.sampled_from([4, 6]))
    price -= price % 10 ** (6 - decimals)
    text = f"{instant(draw(_TIMES)):%Y-%m-%dT%H:%M:%S.%f}".rstrip("0").rstrip(".")
    outcome, book = draw(st.sampled_from([("yes", "bid"), ("no", "ask")]))
    return {
        "trade_id": str(draw(st.uuids())),
        "ticker": draw(st.text("ABCDXKMVE-.0129", min_size=1, max_size=40)),
        "count_fp": f"{Decimal(draw(st.integers(1, 10**12))) / 100:.2f}",
        "yes_price_dollars": f"{Decimal(price) / 1_000_000:.{decimals}f}",
        "no_price_dollars": f"{Decimal(1_000_000 - price) / 1_000_000:.{decimals}f}",
        "taker_outcome_side": outcome,
        "taker_book_side": book,
        "created_time": f"{text}Z",
        "is_block_trade": draw(st.booleans()),
    }


@given(st.lists(wire_trades(), max_size=30))
def test_stored_trades_have_exactly_the_digits_that_were_sent(sent: list[dict[str, Any]]) -> None:
    rows = trade_rows(raw_trades(*sent))
    assert not rows.refused
    assert rows.batch.schema.equals(PUBLIC_TRADES.schema)
    for stored, trade in zip(rows.batch.to_pylist(), sent, strict=True):
        assert str(uuid.UUID(bytes=stored["trade_id"])) == trade["trade_id"]
        assert stored["ticker"] == trade["ticker"]
        assert stored["created_time"].isoformat() == _iso(trade["created_time"])
        assert f"{stored['yes_price']:.{len(trade['yes_price_dollars']) - 2}f}" == trade["yes_price_dollars"]
        assert stored["yes_price"] == Decimal(trade["yes_price_dollars"])
        assert str(stored["contracts"]) == trade["count_fp"]
        assert stored["taker_side"] == trade["taker_outcome_side"]
        assert stored["taker_book_side"] == trade["taker_book_side"]
        assert stored["is_block"] == trade["is_block_trade"]
        assert stored["is_combo"] == trade["ticker"].startswith("KXMVE")


def _iso(text: str) -> str:
    whole, _, fraction = text.removesuffix("Z").partition(".")
    return f"{whole}.{fraction:0<6}+00:00" if fraction else f"{whole}+00:00"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"yes_price_dollars": "0.5700001", "no_price_dollars": "0.4299999"}, "more than 6 decimals"),
        ({"yes_price_dollars": "0.58"}, "not one dollar together"),
        ({"yes_price_dollars": "1.0100", "no_price_dollars": "-0.0100"}, "not between zero and one dollar"),
        ({"yes_price_dollars": "5e-1", "no_price_dollars": "0.5"}, "not a plain decimal number"),
        ({"yes_price_dollars": ""}, "not a plain decimal number"),
        ({"count_fp": "0.00"}, "is no trade"),
        ({"count_fp": "-1.00"}, "is no trade"),
        ({"count_fp": "1.005"}, "more than 2 decimals"),
        ({"count_fp": "100000000000000.00"}, "too large"),
        ({"count_fp": 1}, "Expected `str`, got `int`"),
        ({"ticker": ""}, "ticker is empty"),
        ({"ticker": None}, "missing required field `ticker`"),
        ({"taker_outcome_side": "no"}, "unknown or disagree"),
        ({"taker_side": "no"}, "taker_side 'no' are unknown or disagree"),
        ({"taker_outcome_side": "maybe"}, "unknown or disagree"),
        ({"created_time": "2026-11-22T12:00:00.1234567Z"}, "not a time with at most six decimals"),
        ({"created_time": "2026-11-22T12:00:00"}, "not a time"),
        ({"created_time": ""}, "not a time"),
        ({"trade_id": "1"}, "not a UUID"),
        ({"trade_id": "56932642-f55c-41a6-1cad-35b95c27373g"}, "not a UUID"),
        ({"trade_id": "56932642-f55c-41a6-1cad-35b95c27 373"}, "not a UUID"),
        ({"trade_id": "56932642f55c-41a6-1cad-35b95c27373b-"}, "not a UUID"),
        ({"trade_id": "٦6932642-f55c-41a6-1cad-35b95c27373b"}, "not a UUID"),
        ({"is_block_trade": None}, "missing required field `is_block_trade`"),
    ],
)
def test_bad_trade_is_refused_alone_and_its_neighbours_are_stored(changes: dict[str, Any], reason: str) -> None:
    good, bad = [wire_trade(number) for number in range(4)], wire_trade(4, **changes)
    rows = trade_rows(raw_trades(*good[:2], bad, *good[2:]))
    assert texts_of(rows.batch) == texts_of(trade_rows(raw_trades(*good)).batch)
    (refused,) = rows.refused
    assert reason in refused.reason
    assert json.loads(refused.raw) == bad
    assert refused.key == bad["trade_id"]


def test_trade_ids_of_wrong_lengths_that_make_up_for_each_other_are_refused() -> None:
    whole = wire_trade(1)["trade_id"] + wire_trade(2)["trade_id"]
    rows = trade_rows(raw_trades(wire_trade(trade_id=whole[:35]), wire_trade(trade_id=whole[35:])))
    assert rows.batch.num_rows == 0
    assert len(rows.refused) == 2


def test_trades_with_a_new_field_are_stored_and_are_suspects() -> None:
    rows = trade_rows(raw_trades(wire_trade(1), wire_trade(2, fee_tier="a")))
    assert rows.batch.num_rows == 2
    assert not rows.refused
    assert [dict(each.unknown_fields) for each in rows.suspects] == [{}, {"fee_tier": b'"a"'}]


def test_huge_bad_trade_is_kept_in_part() -> None:
    (refused,) = trade_rows(raw_trades(wire_trade(trade_id="x" * 100_000))).refused
    assert len(refused.raw) == 4_096


def test_page_without_trades_has_the_schema_of_the_dataset() -> None:
    rows = trade_rows([])
    assert rows.batch.equals(pa.RecordBatch.from_pylist([], PUBLIC_TRADES.schema))


@pytest.mark.parametrize(
    "name",
    [
        "demo_2026_06/trades__public_recorded.json",
        "derived_3_34_0/trades.json",
        "derived_3_34_0/historical_trades.json",
    ],
)
def test_recorded_trades_are_stored_with_the_digits_that_were_sent(name: str) -> None:
    body = recording(name)
    rows = trade_rows(split_page(body, "trades")[1])
    sent = json.loads(body)["trades"]
    assert not rows.refused
    assert not rows.suspects
    assert [(each[0], each[1], each[4]) for each in texts_of(rows.batch)] == [
        (each["trade_id"], each["ticker"], each["count_fp"]) for each in sent
    ]
    assert [each["yes_price"] for each in rows.batch.to_pylist()] == [
        Decimal(each["yes_price_dollars"]) for each in sent
    ]
