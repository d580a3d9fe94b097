"""Candlesticks of both sides are read within the exchange's limits, and become one record."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from kalshi_pipelines.kalshi.candlestick_records import decode_batch, decode_historical, decode_live
from kalshi_pipelines.kalshi.client import KalshiClient
from kalshi_pipelines.kalshi.decoding import decode_records
from kalshi_pipelines.kalshi.errors import InvalidRequest, MalformedResponse, UnreadableBody
from kalshi_pipelines.kalshi.fee_change_records import EventFeeChange, SeriesFeeChange
from kalshi_pipelines_tests.support.kalshi.recordings import recording
from kalshi_pipelines_tests.support.kalshi.transports import Answer

ClientOf = Callable[[Answer], KalshiClient]
START = 1_782_439_200


class Recorder:
    """An exchange that answers every request with the same body and records the requests."""

    def __init__(self, body: dict[str, Any]) -> None:
        self.body = body
        self.asked: list[tuple[str, dict[str, str]]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append((request.url.path.removeprefix("/trade-api/v2"), dict(request.url.params)))
        return httpx.Response(200, json=self.body)


def test_historical_candlestick_without_trades_has_only_the_previous_price() -> None:
    first, second, *_ = decode_historical(recording("derived_3_34_0/historical_candlesticks.json"))
    assert (first.price.open, first.price.close, first.volume, first.open_interest) == (
        "0.3600",
        "0.3600",
        "13.29",
        "97899.40",
    )
    assert (second.price.open, second.price.mean, second.price.previous) == (None, None, "0.3600")
    assert (second.yes_bid.high, second.yes_ask.low) == ("0.3500", "0.3600")


def test_live_candlestick_with_an_empty_price_has_no_trade_prices() -> None:
    first, _, third, fourth, *_ = decode_live(recording("derived_3_34_0/candlesticks.json"))
    assert (first.price.open, first.price.previous, first.yes_ask.high) == (None, None, "1.0000")
    assert (third.price.open, third.price.previous, third.volume) == ("0.6900", None, "1.00")
    assert (fourth.price.open, fourth.price.previous) == (None, "0.6900")


def test_recorded_batch_and_match_candlesticks_are_decoded() -> None:
    batch = decode_batch(recording("derived_3_34_0/candlesticks_batch.json"))
    assert batch
    assert all(candles for candles in batch.values())
    match = json.loads(recording("prod_2026_07/cockpit_candlesticks_mlb.json"))["markets"]
    for market in match.values():
        candles = decode_live(json.dumps(market).encode())
        assert [each.end_period_ts for each in candles] == [row["end_period_ts"] for row in market["candlesticks"]]
        assert [each.volume for each in candles] == [row["volume_fp"] for row in market["candlesticks"]]


def test_keys_of_the_other_side_are_refused_instead_of_read_as_no_prices() -> None:
    with pytest.raises(UnreadableBody, match="open_dollars"):
        decode_live(recording("derived_3_34_0/historical_candlesticks.json"))
    with pytest.raises(UnreadableBody):
        decode_historical(recording("derived_3_34_0/candlesticks.json"))


def test_end_of_a_period_in_milliseconds_is_refused() -> None:
    body = json.loads(recording("derived_3_34_0/candlesticks.json"))
    body["candlesticks"][0]["end_period_ts"] *= 1_000
    with pytest.raises(UnreadableBody, match="end_period_ts"):
        decode_live(json.dumps(body).encode())


def test_each_read_of_candlesticks_sends_the_documented_request(client_of: ClientOf) -> None:
    exchange = Recorder({"candlesticks": [], "markets": [{"market_ticker": "A", "candlesticks": []}]})
    reader = client_of(exchange).candlesticks
    assert reader.of_markets(["A", "B"], 1, start_ts=START, end_ts=START + 60) == {"A": []}
    assert reader.of_market("S", "A-B", 60, start_ts=START, end_ts=START + 3600) == []
    assert reader.of_historical_market("A-B", 1440, start_ts=START, end_ts=START) == []
    window = {"start_ts": str(START), "end_ts": str(START + 60), "period_interval": "1"}
    hours = {"start_ts": str(START), "end_ts": str(START + 3600), "period_interval": "60"}
    day = {"start_ts": str(START), "end_ts": str(START), "period_interval": "1440"}
    assert exchange.asked == [
        ("/markets/candlesticks", {"market_tickers": "A,B", **window}),
        ("/series/S/markets/A-B/candlesticks", hours),
        ("/historical/markets/A-B/candlesticks", day),
    ]


@pytest.mark.parametrize(("tickers", "minutes_long"), [(101, 1), (0, 1), (100, 100), (10, 1_000), (1, 10_000)])
def test_batch_above_a_limit_of_the_exchange_is_not_sent(client_of: ClientOf, tickers: int, minutes_long: int) -> None:
    exchange = Recorder({"markets": []})
    with pytest.raises(InvalidRequest):
        client_of(exchange).candlesticks.of_markets(
            [f"T{number}" for number in range(tickers)], 1, start_ts=START, end_ts=START + 60 * minutes_long
        )
    assert exchange.asked == []


def test_one_market_is_read_up_to_five_thousand_periods(client_of: ClientOf) -> None:
    exchange = Recorder({"candlesticks": []})
    reader = client_of(exchange).candlesticks
    reader.of_historical_market("A", 1, start_ts=START, end_ts=START + 4_999 * 60)
    with pytest.raises(InvalidRequest, match="5001 periods"):
        reader.of_historical_market("A", 1, start_ts=START, end_ts=START + 5_000 * 60)
    with pytest.raises(InvalidRequest, match="earlier"):
        reader.of_market("S", "A", 1, start_ts=START, end_ts=START - 1)
    assert len(exchange.asked) == 1


def test_batch_that_names_a_market_twice_is_malformed(client_of: ClientOf) -> None:
    row = {"market_ticker": "A", "candlesticks": []}
    with pytest.raises(MalformedResponse, match="twice"):
        client_of(Recorder({"markets": [row, row]})).candlesticks.of_markets(["A"], 1, start_ts=START, end_ts=START)


def test_fee_change_of_an_undocumented_type_is_decoded(client_of: ClientOf) -> None:
    row = {
        "id": "c1",
        "series_ticker": "S",
        "fee_type": "margin_market_maker_program_fees",
        "fee_multiplier": 0.5,
        "scheduled_ts": "2026-07-03T17:00:00Z",
    }
    exchange = Recorder({"series_fee_change_arr": [row]})
    (page,) = client_of(exchange).fee_changes.of_series()
    (change,) = decode_records(SeriesFeeChange, page.raw_records).records
    assert (change.record.fee_type, str(change.record.fee_multiplier)) == ("margin_market_maker_program_fees", "0.5")
    assert exchange.asked == [("/series/fee_changes", {"show_historical": "true"})]


def test_cleared_override_of_an_event_is_decoded_as_null(client_of: ClientOf) -> None:
    row = {
        "id": "c1",
        "event_ticker": "E",
        "series_ticker": "S",
        "fee_type_override": None,
        "fee_multiplier_override": None,
        "scheduled_ts": "2026-07-03T17:00:00Z",
    }
    exchange = Recorder({"event_fee_changes": [row], "cursor": ""})
    (page,) = client_of(exchange).fee_changes.of_events(event_ticker="E")
    (change,) = decode_records(EventFeeChange, page.raw_records).records
    assert (change.record.fee_type_override, change.record.fee_multiplier_override) == (None, None)
    assert exchange.asked == [("/events/fee_changes", {"limit": "1000", "event_ticker": "E"})]


def test_archived_markets_are_read_by_one_criterion_at_most(client_of: ClientOf) -> None:
    exchange = Recorder({"markets": [], "cursor": ""})
    list(client_of(exchange).historical_market_pages(series_ticker="S"))
    assert exchange.asked == [("/historical/markets", {"limit": "1000", "series_ticker": "S"})]
    with pytest.raises(InvalidRequest):
        client_of(exchange).historical_market_pages(series_ticker="S", mve_filter="exclude")
