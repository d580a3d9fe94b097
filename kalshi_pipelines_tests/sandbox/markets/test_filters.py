import pytest

from kalshi_pipelines_tests.support.sandbox.local_sandbox import LocalSandbox

STATUSES = {
    "unopened": {"initialized"},
    "open": {"active"},
    "paused": {"inactive"},
    "closed": {"closed", "determined", "disputed", "amended"},
    "settled": {"finalized"},
}


def test_a_limit_over_the_maximum_is_refused_in_the_words_of_the_exchange(sandbox: LocalSandbox) -> None:
    response = sandbox.get("/markets", limit=1001)
    assert response.status_code == 400
    assert response.json() == {
        "msg": "Parameter validation failed for GetMarkets: Key: 'GetMarketsParams.Limit' "
        "Error:Field validation for 'Limit' failed on the 'lte' tag"
    }
    assert sandbox.get("/events", limit=201).status_code == 400
    assert sandbox.get("/events", limit=0).status_code == 400


@pytest.mark.parametrize(
    "query",
    [
        {"min_created_ts": 1, "min_close_ts": 1},
        {"min_created_ts": 1, "status": "closed"},
        {"max_close_ts": 1, "status": "open"},
        {"min_settled_ts": 1, "status": "open"},
        {"min_updated_ts": 1, "status": "open"},
        {"min_updated_ts": 1, "event_ticker": "A"},
        {"min_updated_ts": 1, "mve_filter": "only"},
        {"min_updated_ts": 1, "series_ticker": "A"},
        {"status": "active"},
        {"limit": "ten"},
    ],
)
def test_a_forbidden_mix_of_filters_is_refused(sandbox: LocalSandbox, query: dict[str, str]) -> None:
    assert sandbox.get("/markets", **query).status_code == 400


@pytest.mark.parametrize("path", ["/markets/NOSUCH", "/events/NOSUCH", "/markets/NOSUCH/orderbook"])
def test_an_unknown_ticker_is_not_found(sandbox: LocalSandbox, path: str) -> None:
    response = sandbox.get(path)
    assert (response.status_code, response.json()["error"]["code"]) == (404, "not_found")


def test_an_unknown_name_gets_400_where_the_document_lists_no_404(sandbox: LocalSandbox) -> None:
    assert sandbox.get("/series/NOSUCH").status_code == 400
    query = {"start_ts": 0, "end_ts": 60, "period_interval": 1}
    assert sandbox.get("/series/NOSUCH/events/NOSUCH/candlesticks", **query).status_code == 400


def test_a_depth_that_is_not_allowed_is_ignored(sandbox: LocalSandbox) -> None:
    path = f"/markets/{sandbox.markets(status='open')[0]['ticker']}/orderbook"
    whole = sandbox.read(path)
    for depth in ("0", "101", "-1", "deep", "1" * 5_000):
        assert sandbox.read(path, depth=depth) == whole


def test_every_market_matches_exactly_one_status_filter(sandbox: LocalSandbox) -> None:
    everything = {market["ticker"]: market["status"] for market in sandbox.markets()}
    found: dict[str, str] = {}
    for wanted, statuses in STATUSES.items():
        markets = {market["ticker"]: market["status"] for market in sandbox.markets(status=wanted)}
        assert set(markets.values()) <= statuses
        assert not set(markets) & set(found)
        found |= markets
    assert found == everything


def test_combos_show_only_where_the_exchange_shows_them(sandbox: LocalSandbox) -> None:
    assert len(sandbox.markets(mve_filter="exclude")) == 400
    combos = sandbox.markets(mve_filter="only")
    assert len(combos) == 30
    assert all(market["ticker"].startswith("KXMVE") and market["exchange_index"] == 1 for market in combos)
    assert len(sandbox.markets()) == 430
    events = sandbox.read_all("/events", "events")
    assert not any(event["event_ticker"].startswith("KXMVE") for event in events)
    multivariate = {event["event_ticker"] for event in sandbox.read_all("/events/multivariate", "events")}
    assert multivariate == {market["event_ticker"] for market in combos}
    collection = combos[0]["mve_collection_ticker"]
    some = sandbox.read_all("/events/multivariate", "events", collection_ticker=collection)
    assert {event["event_ticker"] for event in some} == {
        market["event_ticker"] for market in combos if market["mve_collection_ticker"] == collection
    }
    refused = sandbox.get("/events/multivariate", collection_ticker=collection, series_ticker="A")
    assert refused.status_code == 400


def test_an_event_matches_a_status_if_any_of_its_markets_does(sandbox: LocalSandbox) -> None:
    for wanted in ("unopened", "open", "closed", "settled"):
        live = {market["event_ticker"] for market in sandbox.markets(status=wanted, mve_filter="exclude")}
        assert {event["event_ticker"] for event in sandbox.read_all("/events", "events", status=wanted)} == live


def test_markets_can_be_asked_for_by_ticker_event_and_series(sandbox: LocalSandbox) -> None:
    markets = sandbox.markets(mve_filter="exclude")
    wanted = [market["ticker"] for market in markets[3:300:7]]
    assert [market["ticker"] for market in sandbox.markets(tickers=",".join([*wanted, "NOSUCH"]))] == wanted
    event = markets[10]["event_ticker"]
    siblings = [market for market in markets if market["event_ticker"] == event]
    assert sandbox.markets(event_ticker=event) == siblings
    series = sandbox.read(f"/events/{event}")["event"]["series_ticker"]
    assert {market["ticker"] for market in siblings} <= {
        market["ticker"] for market in sandbox.markets(series_ticker=series)
    }


def test_timestamp_filters_bound_their_field(sandbox: LocalSandbox) -> None:
    markets = sandbox.markets()
    middle = "2026-11-21T00:00:00Z"
    seconds = 1_795_219_200
    for family, field in (("created", "created_time"), ("close", "close_time"), ("updated", "updated_time")):
        query = {"mve_filter": "exclude"} if family == "updated" else {}
        later = {market["ticker"] for market in sandbox.markets(**{f"min_{family}_ts": seconds}, **query)}
        rows = [market for market in markets if not (query and market["ticker"].startswith("KXMVE"))]
        assert later == {market["ticker"] for market in rows if market[field] >= middle}
    settled = sandbox.markets(status="settled", max_settled_ts=seconds)
    assert all(market["settlement_ts"] <= middle for market in settled)


def test_series_are_filtered_by_any_category_and_tag(sandbox: LocalSandbox) -> None:
    everything = sandbox.read("/series")["series"]
    world = sandbox.read("/series", category="World")["series"]
    assert world == [series for series in everything if "World" in series["categories"]]
    tagged = sandbox.read("/series", tags="Football,Tennis")["series"]
    assert {tag for series in tagged for tag in series["tags"]} == {"Football", "Tennis"}


def test_orderbooks_take_one_to_a_hundred_tickers(sandbox: LocalSandbox) -> None:
    assert sandbox.get("/markets/orderbooks").status_code == 400
    assert sandbox.get("/markets/orderbooks", tickers=["A"] * 101).status_code == 400


def test_a_batch_of_too_many_candlesticks_is_refused_with_the_number_asked_for(sandbox: LocalSandbox) -> None:
    query = {"market_tickers": ",".join("ABCDEF"), "start_ts": 0, "end_ts": 360_000, "period_interval": 1}
    response = sandbox.get("/markets/candlesticks", **query)
    assert response.status_code == 400
    assert "36000, max candlesticks: 10000" in response.json()["error"]["details"]


def test_candlesticks_need_the_series_the_market_is_in(sandbox: LocalSandbox) -> None:
    ticker = sandbox.markets(status="open")[0]["ticker"]
    query = {"start_ts": 0, "end_ts": 60, "period_interval": 1}
    assert sandbox.get(f"/series/OTHER/markets/{ticker}/candlesticks", **query).status_code == 404
    assert sandbox.get(f"/series/OTHER/markets/{ticker}/candlesticks").status_code == 400
