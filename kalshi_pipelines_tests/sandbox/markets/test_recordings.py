import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kalshi_pipelines.sandbox.markets.json_spans import elements, members
from kalshi_pipelines.sandbox.markets.recordings import UnusableRecordings
from kalshi_pipelines.sandbox.options import SandboxOptions, exchange_of
from kalshi_pipelines_tests.support.sandbox.local_sandbox import LocalSandbox, local_sandbox

FOLDERS = ("prod_2026_08", "derived_3_34_0", "demo_2026_06", "old_shape_2026_01")


@pytest.fixture(params=FOLDERS)
def folder(recordings: Path, request: pytest.FixtureRequest) -> Path:
    return recordings / str(request.param)


def _served(folder: Path) -> LocalSandbox:
    return local_sandbox(SandboxOptions(recordings=folder, tier="unlimited"))


def _objects(value: Any, key: str) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        if key in value:
            yield value
        for child in value.values():
            yield from _objects(child, key)
    elif isinstance(value, list):
        for child in value:
            yield from _objects(child, key)


def _recorded(folder: Path) -> tuple[set[str], set[str]]:
    """Find the tickers of all markets and events in a folder of recordings.

    This function does not use the code under test.
    """
    markets: set[str] = set()
    events: set[str] = set()
    for path in folder.glob("*.json"):
        if path.name.endswith(".meta.json"):
            continue
        body = json.loads(path.read_text("utf-8"))
        markets |= {row["ticker"] for row in _objects(body, "price_level_structure") if "event_ticker" in row}
        events |= {row["event_ticker"] for row in _objects(body, "mutually_exclusive") if "series_ticker" in row}
    return markets, events


@pytest.mark.parametrize("query", [{}, {"limit": 2}, {"limit": 1000}])
def test_reading_all_pages_shows_every_market_and_event_of_a_folder(folder: Path, query: dict[str, int]) -> None:
    sandbox = _served(folder)
    markets, events = _recorded(folder)
    walked = {row["ticker"] for row in sandbox.read_all("/markets", "markets", **query)}
    assert walked == markets
    combos = {row["ticker"] for row in sandbox.read_all("/markets", "markets", mve_filter="only", **query)}
    others = {row["ticker"] for row in sandbox.read_all("/markets", "markets", mve_filter="exclude", **query)}
    assert combos | others == markets
    assert not combos & others
    by_status = [
        {row["ticker"] for row in sandbox.read_all("/markets", "markets", status=status, **query)}
        for status in ("unopened", "open", "paused", "closed", "settled")
    ]
    assert set().union(*by_status) == markets
    small = {"limit": min(200, query["limit"])} if query else {}
    seen = sandbox.read_all("/events", "events", **small) + sandbox.read_all("/events/multivariate", "events", **small)
    assert {row["event_ticker"] for row in seen} == events


def test_recorded_markets_are_served_with_every_character(recordings: Path) -> None:
    folder = recordings / "prod_2026_08"
    sandbox = _served(folder)
    text = (folder / "markets_mve_combos.json").read_text("utf-8")
    for span in elements(text, members(text)["markets"].start):
        answer = sandbox.get(f"/markets/{span.value['ticker']}").text
        assert answer == '{"market":' + text[span.start : span.end] + "}"


@pytest.mark.parametrize(
    ("folder_name", "file", "path", "query"),
    [
        ("prod_2026_08", "series_KXMLBGAME.json", "/series/KXMLBGAME", {}),
        ("prod_2026_08", "market_single.json", "/markets/KXNCAAFGAME-26SEP19MSUND-ND", {}),
        ("prod_2026_08", "events_sports_nested.json", "/events", {"with_nested_markets": "true"}),
        (
            "prod_2026_08",
            "candlesticks_KXMLBGAME-26AUG071840TORPHI-TOR.json",
            "/series/KXMLBGAME/markets/KXMLBGAME-26AUG071840TORPHI-TOR/candlesticks",
            {"period_interval": 1, "start_ts": 1786137900, "end_ts": 1786138800},
        ),
        ("derived_3_34_0", "markets_list.json", "/markets", {}),
        ("derived_3_34_0", "exchange_status.json", "/exchange/status", {}),
        ("derived_3_34_0", "milestones.json", "/milestones", {}),
        ("demo_2026_06", "markets__page1.json", "/markets", {"limit": 5}),
        ("demo_2026_06", "markets__garbage_cursor.json", "/markets", {"limit": 5, "cursor": "garbage-cursor-fixture"}),
        ("demo_2026_06", "markets__limit_over_max.json", "/markets", {"limit": 1001}),
    ],
)
def test_a_recorded_request_is_answered_byte_for_byte(
    recordings: Path, folder_name: str, file: str, path: str, query: dict[str, Any]
) -> None:
    folder = recordings / folder_name
    assert _served(folder).get(path, **query).content == (folder / file).read_bytes()


def test_a_recorded_chain_of_pages_ends(recordings: Path) -> None:
    sandbox = _served(recordings / "demo_2026_06")
    rows = sandbox.read_all("/markets", "markets", limit=5)
    assert {row["ticker"] for row in rows} == {row["ticker"] for row in sandbox.markets()}
    multivariate = _served(recordings / "derived_3_34_0")
    first = multivariate.read("/events/multivariate")
    assert multivariate.read("/events/multivariate", cursor=first["cursor"]) == {"events": [], "cursor": ""}


def test_recorded_books_are_served_singly_and_in_batches(recordings: Path) -> None:
    folder = recordings / "prod_2026_08"
    sandbox = _served(folder)
    recorded = json.loads((folder / "orderbook_single.json").read_text("utf-8"))
    ticker = "KXNCAAFGAME-26SEP19MSUND-ND"
    assert sandbox.read(f"/markets/{ticker}/orderbook") == recorded
    tickers = [row["ticker"] for row in sandbox.markets(status="open")][:100]
    books = sandbox.read("/markets/orderbooks", tickers=tickers)["orderbooks"]
    assert [book["ticker"] for book in books] == tickers
    for market in sandbox.markets(tickers=",".join(one for one in tickers if one != ticker)):
        best = next(book for book in books if book["ticker"] == market["ticker"])["orderbook_fp"]["yes_dollars"][-1:]
        has_bid = market["yes_bid_size_fp"] != "0.00"
        assert best == ([[market["yes_bid_dollars"], market["yes_bid_size_fp"]]] if has_bid else [])


def test_an_event_that_was_not_recorded_is_absent(recordings: Path) -> None:
    sandbox = _served(recordings / "prod_2026_08")
    combo = sandbox.markets(mve_filter="only")[0]
    assert sandbox.get(f"/events/{combo['event_ticker']}").status_code == 404


def test_recorded_markets_do_not_move(recordings: Path) -> None:
    sandbox = _served(recordings / "prod_2026_08")
    assert sandbox.client.post("/sandbox/prices", json={"fraction": 1}).status_code == 400


def test_the_record_updated_last_is_kept(tmp_path: Path) -> None:
    def market(ticker: str, updated: str, title: str) -> dict[str, str]:
        return {"ticker": ticker, "event_ticker": "E", "status": "active", "updated_time": updated, "title": title}

    old, new = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00.5Z"
    (tmp_path / "b.json").write_text(json.dumps({"markets": [market("M", new, "b"), market("N", old, "b")]}))
    (tmp_path / "a.json").write_text(json.dumps({"market": market("M", old, "a"), "event": {"odd": 1}}))
    (tmp_path / "c.json").write_text(json.dumps({"markets": [market("M", new, "c"), market("N", old, "c")]}))
    sandbox = _served(tmp_path)
    assert {row["ticker"]: row["title"] for row in sandbox.markets()} == {"M": "b", "N": "b"}


def test_a_folder_without_recordings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnusableRecordings):
        exchange_of(SandboxOptions(recordings=tmp_path))
    (tmp_path / "a.json").write_text('{"markets": [')
    with pytest.raises(UnusableRecordings):
        exchange_of(SandboxOptions(recordings=tmp_path))
