"""Tests that every endpoint sends the JSON keys that the vendor's OpenAPI document 3.34.0 requires."""

from typing import Any

import pytest

from kalshi_pipelines_tests.support.sandbox.local_sandbox import NOON_US, LocalSandbox

MARKET_KEYS = {
    "ticker",
    "event_ticker",
    "market_type",
    "yes_sub_title",
    "no_sub_title",
    "created_time",
    "updated_time",
    "open_time",
    "close_time",
    "latest_expiration_time",
    "settlement_timer_seconds",
    "status",
    "yes_bid_dollars",
    "yes_bid_size_fp",
    "yes_ask_dollars",
    "yes_ask_size_fp",
    "no_bid_dollars",
    "no_ask_dollars",
    "last_price_dollars",
    "volume_fp",
    "volume_24h_fp",
    "result",
    "can_close_early",
    "open_interest_fp",
    "notional_value_dollars",
    "previous_yes_bid_dollars",
    "previous_yes_ask_dollars",
    "previous_price_dollars",
    "settlement_bounds_type",
    "expiration_value",
    "rules_primary",
    "rules_secondary",
    "price_level_structure",
    "price_ranges",
}
OPTIONAL_MARKET_KEYS = {
    "title",
    "subtitle",
    "expected_expiration_time",
    "expiration_time",
    "settlement_value_dollars",
    "settlement_ts",
    "occurrence_datetime",
    "early_close_condition",
    "strike_type",
    "floor_strike",
    "cap_strike",
    "functional_strike",
    "custom_strike",
    "mve_collection_ticker",
    "mve_selected_legs",
    "primary_participant_key",
    "is_provisional",
    "exchange_index",
}
EVENT_KEYS = {
    "event_ticker",
    "series_ticker",
    "sub_title",
    "title",
    "collateral_return_type",
    "mutually_exclusive",
    "settlement_sources",
}
OPTIONAL_EVENT_KEYS = {
    "category",
    "strike_date",
    "strike_period",
    "markets",
    "product_metadata",
    "last_updated_ts",
    "fee_type_override",
    "fee_multiplier_override",
    "exchange_index",
}
SERIES_KEYS = {
    "ticker",
    "frequency",
    "title",
    "category",
    "categories",
    "tags",
    "settlement_sources",
    "contract_url",
    "contract_terms_url",
    "fee_type",
    "fee_multiplier",
    "additional_prohibitions",
}
TRADE_KEYS = {
    "trade_id",
    "ticker",
    "count_fp",
    "yes_price_dollars",
    "no_price_dollars",
    "taker_side",
    "taker_outcome_side",
    "taker_book_side",
    "created_time",
    "is_block_trade",
}
CANDLE_KEYS = {"end_period_ts", "yes_bid", "yes_ask", "price", "volume_fp", "open_interest_fp"}
OHLC = {"open_dollars", "low_dollars", "high_dollars", "close_dollars"}


def _check_market(market: dict[str, Any]) -> None:
    assert set(market) >= MARKET_KEYS
    assert set(market) <= MARKET_KEYS | OPTIONAL_MARKET_KEYS


def _check_candle(candle: dict[str, Any]) -> None:
    assert set(candle) == CANDLE_KEYS
    assert set(candle["yes_bid"]) == set(candle["yes_ask"]) == OHLC
    assert set(candle["price"]) <= OHLC | {"mean_dollars", "previous_dollars"}


@pytest.mark.parametrize(
    ("path", "keys"),
    [
        (
            "/exchange/status",
            {"exchange_active", "trading_active", "intra_exchange_transfers_active", "exchange_index_statuses"},
        ),
        ("/exchange/schedule", {"schedule"}),
        ("/exchange/user_data_timestamp", {"as_of_time"}),
        (
            "/historical/cutoff",
            {"market_settled_ts", "trades_created_ts", "orders_updated_ts", "market_positions_last_updated_ts"},
        ),
        ("/account/endpoint_costs", {"default_cost", "endpoint_costs"}),
        ("/series", {"series"}),
        ("/events", {"events", "cursor"}),
        ("/events/multivariate", {"events", "cursor"}),
        ("/markets", {"markets", "cursor"}),
        ("/markets/trades", {"trades", "cursor"}),
        ("/historical/markets", {"markets", "cursor"}),
    ],
)
def test_an_answer_has_exactly_the_top_level_keys_of_its_schema(
    sandbox: LocalSandbox, path: str, keys: set[str]
) -> None:
    assert set(sandbox.read(path)) == keys


def test_the_schedule_pauses_on_thursday_morning(sandbox: LocalSandbox) -> None:
    schedule = sandbox.read("/exchange/schedule")["schedule"]
    assert set(schedule) == {"standard_hours", "maintenance_windows"}
    assert [hours["close_time"] for hours in schedule["standard_hours"][0]["thursday"]] == ["03:00", "00:00"]


def test_every_market_has_the_required_keys_in_lists_alone_and_archived(sandbox: LocalSandbox) -> None:
    listed = sandbox.markets()
    for market in listed:
        _check_market(market)
    assert sandbox.read(f"/markets/{listed[0]['ticker']}") == {"market": listed[0]}
    archived = sandbox.read_all("/historical/markets", "markets")
    assert archived
    for market in archived:
        _check_market(market)
        assert market["settlement_ts"] < sandbox.read("/historical/cutoff")["market_settled_ts"]
    assert sandbox.read(f"/historical/markets/{archived[0]['ticker']}") == {"market": archived[0]}
    assert sandbox.get(f"/markets/{archived[0]['ticker']}").status_code == 404


def test_every_event_and_series_has_the_required_keys(sandbox: LocalSandbox) -> None:
    for path in ("/events", "/events/multivariate"):
        for event in sandbox.read_all(path, "events", with_nested_markets="true"):
            assert EVENT_KEYS | {"markets"} <= set(event) <= EVENT_KEYS | OPTIONAL_EVENT_KEYS
            assert event["mutually_exclusive"] == (event["collateral_return_type"] == "MECNET")
    for series in sandbox.read("/series")["series"]:
        assert set(series) == SERIES_KEYS | {"last_updated_ts", "exchange_index"}
    single = sandbox.read(f"/series/{series['ticker']}", include_volume="true")["series"]
    assert set(single) >= SERIES_KEYS | {"volume_fp"}


def test_orderbooks_have_ascending_bids_of_known_tickers_only(sandbox: LocalSandbox) -> None:
    tickers = [market["ticker"] for market in sandbox.markets(status="open")[:99]]
    books = sandbox.read("/markets/orderbooks", tickers=[*tickers, "NOSUCH"])["orderbooks"]
    assert [book["ticker"] for book in books] == tickers
    for book in books:
        for levels in book["orderbook_fp"].values():
            prices = [price for price, _ in levels]
            assert prices == sorted(set(prices))
    deepest = max(books, key=lambda book: len(book["orderbook_fp"]["yes_dollars"]))
    whole = sandbox.read(f"/markets/{deepest['ticker']}/orderbook")["orderbook_fp"]
    assert whole == deepest["orderbook_fp"]
    shallow = sandbox.read(f"/markets/{deepest['ticker']}/orderbook", depth=2)["orderbook_fp"]
    assert shallow["yes_dollars"] == whole["yes_dollars"][-2:]


def test_trades_have_their_keys_and_two_prices_that_make_a_dollar(sandbox: LocalSandbox) -> None:
    trades = sandbox.read("/markets/trades", limit=500)["trades"]
    assert len(trades) == 500
    for trade in trades:
        assert set(trade) == TRADE_KEYS
        yes, no = (int(trade[f"{side}_price_dollars"].replace(".", "")) for side in ("yes", "no"))
        assert yes + no == 10_000
        assert (trade["taker_book_side"] == "bid") == (trade["taker_outcome_side"] == "yes")


def test_candlesticks_have_their_keys_alone_in_batches_and_by_event(sandbox: LocalSandbox) -> None:
    event = next(event for event in sandbox.read("/events", status="open", with_nested_markets="true")["events"])
    markets = event["markets"]
    end = NOON_US // 1_000_000
    query = {"start_ts": end - 86_400, "end_ts": end, "period_interval": 60}
    series, ticker = event["series_ticker"], markets[0]["ticker"]
    single = sandbox.read(f"/series/{series}/markets/{ticker}/candlesticks", **query)
    assert single["ticker"] == ticker
    for candle in single["candlesticks"]:
        _check_candle(candle)
    batch = sandbox.read("/markets/candlesticks", market_tickers=ticker, **query)
    assert batch == {"markets": [{"market_ticker": ticker, "candlesticks": single["candlesticks"]}]}
    together = sandbox.read(f"/series/{series}/events/{event['event_ticker']}/candlesticks", **query)
    assert set(together) == {"market_tickers", "market_candlesticks", "adjusted_end_ts"}
    assert together["market_tickers"] == [market["ticker"] for market in markets]
    assert together["market_candlesticks"][0] == single["candlesticks"]


def test_nested_markets_move_from_beside_the_event_into_it(sandbox: LocalSandbox) -> None:
    ticker = sandbox.read("/events", limit=1)["events"][0]["event_ticker"]
    beside = sandbox.read(f"/events/{ticker}")
    inside = sandbox.read(f"/events/{ticker}", with_nested_markets="true")
    without = sandbox.read(f"/events/{ticker}", exclude_markets="true")
    assert beside["markets"] == inside["event"]["markets"] != []
    assert "markets" not in beside["event"]
    assert inside["markets"] == without["markets"] == []
    assert beside["event"]["last_updated_ts"] == "0001-01-01T00:00:00Z"
    assert sandbox.get(f"/events/{ticker}", exclude_markets="true", with_nested_markets="true").status_code == 400


def test_every_answer_is_dated_by_the_exchange(sandbox: LocalSandbox) -> None:
    assert sandbox.get("/markets", limit=1).headers["Date"] == "Sun, 22 Nov 2026 12:00:00 GMT"
    sandbox.steer("POST", "/clock", seconds=90)
    assert sandbox.get("/nothing").headers["Date"] == "Sun, 22 Nov 2026 12:01:30 GMT"
