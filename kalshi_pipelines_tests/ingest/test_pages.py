"""A page of records is stored once, exactly, and completely or not at all. Invalid records go to the quarantine."""

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kalshi_pipelines.bookkeeping.quarantine import unresolved_keys
from kalshi_pipelines.bookkeeping.runs import Counts, IngestRun
from kalshi_pipelines.ingest.kinds import EVENTS, MARKETS, ORDERBOOKS
from kalshi_pipelines.ingest.pages import MOST_RECORD_BYTES, RecordKind, store_page
from kalshi_pipelines.kalshi.pagination import Page
from kalshi_pipelines.settings import Environment
from kalshi_pipelines.units import contracts, dollars, now_us
from kalshi_pipelines.warehouse.tables import (
    QUOTE_COUNTS,
    QUOTE_PRICES,
    events,
    ingest_runs,
    markets,
    orderbook_snapshots,
    price_snapshots,
    quarantine,
    quotes,
    rule_texts,
    series,
)
from kalshi_pipelines_tests.support.ingest.wire import EVENT, MARKET, ORDERBOOK, raw


@pytest.fixture
def run(engine: sa.Engine) -> Iterator[IngestRun]:
    with IngestRun(engine, "markets", Environment.SANDBOX) as run:
        yield run


def store(run: IngestRun, kind: RecordKind[Any], raws: list[msgspec.Raw]) -> dict[str, bytes]:
    return store_page(run, kind, Page("GET /test", 1, "", raws, now_us()))


def rows(engine: sa.Engine, table: sa.Table) -> list[dict[str, Any]]:
    with engine.connect() as connection:
        return [dict(row) for row in connection.execute(sa.select(table)).mappings()]


def test_every_dollar_and_count_of_a_market_is_stored_exactly(engine: sa.Engine, run: IngestRun) -> None:
    store(run, MARKETS, [raw(MARKET)])
    (facts,), (quote,) = rows(engine, markets), rows(engine, quotes)
    stored = facts | quote
    for name, value in MARKET.items():
        if name.endswith("_dollars"):
            assert dollars(stored[name.removesuffix("_dollars") + "_microdollars"]) == Decimal(value)
        if name.endswith("_fp"):
            assert contracts(stored[name.removesuffix("_fp") + "_centicontracts"]) == Decimal(value)
    assert (stored["floor_strike"], stored["cap_strike"]) == ("55.1", "56")
    texts = {row["text_digest"]: row["text"] for row in rows(engine, rule_texts)}
    assert json.loads(texts[stored["price_ranges_digest"]]) == MARKET["price_ranges"]
    assert texts[stored["rules_secondary_digest"]] == MARKET["rules_secondary"]
    assert stored["early_close_condition_digest"] is None
    assert stored["created_time_us"] == 1_795_273_200_793_100


def test_the_same_page_again_changes_nothing(engine: sa.Engine, run: IngestRun) -> None:
    store(run, MARKETS, [raw(MARKET)])
    before = [rows(engine, table) for table in (series, events, markets, price_snapshots)]
    store(run, MARKETS, [raw(MARKET)])
    assert [rows(engine, table) for table in (series, events, markets, price_snapshots)] == before
    assert run.counts == Counts(pages=2, read=2, written=1, unchanged=1, history_rows=1, placeholders=1)


@pytest.mark.parametrize(
    ("field", "value", "snapshots"),
    [
        ("yes_bid_dollars", "0.5710", 2),
        ("yes_ask_size_fp", "0.02", 2),
        ("last_price_dollars", "0.5800", 2),
        ("volume_fp", "2985.51", 2),
        ("open_interest_fp", "2422.49", 2),
        ("volume_24h_fp", "3.15", 1),
        ("title", "Another title", 1),
        ("previous_price_dollars", "0.5000", 1),
    ],
)
def test_price_snapshot_is_added_only_when_the_quote_changed(
    engine: sa.Engine, run: IngestRun, field: str, value: str, snapshots: int
) -> None:
    store(run, MARKETS, [raw(MARKET)])
    store(run, MARKETS, [raw(MARKET, **{field: value})])
    assert len(rows(engine, price_snapshots)) == snapshots
    assert run.counts.written == 2


def test_price_snapshot_holds_the_quote_at_its_time(engine: sa.Engine, run: IngestRun) -> None:
    store(run, MARKETS, [raw(MARKET)])
    store(run, MARKETS, [raw(MARKET, yes_bid_dollars="0.1230")])
    older, newer = sorted(rows(engine, price_snapshots), key=lambda row: row["observed_us"])
    assert (older["yes_bid_microdollars"], newer["yes_bid_microdollars"]) == (570_000, 123_000)
    (stored,), (facts,) = rows(engine, quotes), rows(engine, markets)
    for name in (*QUOTE_PRICES, *QUOTE_COUNTS):
        assert stored[name] == newer[name]
    assert stored["observed_us"] == newer["observed_us"]
    assert facts["first_seen_us"] == facts["recorded_us"] == older["observed_us"]


def test_one_malformed_market_among_a_thousand_is_quarantined_alone(engine: sa.Engine, run: IngestRun) -> None:
    page = [raw(MARKET, ticker=f"KXHIGHNY-26NOV22-{number}") for number in range(999)]
    malformed = raw(MARKET, ticker="KXBROKEN", yes_bid_dollars=0.57)
    store(run, MARKETS, [*page[:500], malformed, *page[500:]])
    assert run.counts == Counts(pages=1, read=1000, written=999, rejected=1, history_rows=999, placeholders=1)
    (aside,) = rows(engine, quarantine)
    assert aside["record_key"] == "KXBROKEN"
    assert "yes_bid_dollars" in aside["reason"]
    assert json.loads(aside["payload"])["yes_bid_dollars"] == 0.57
    assert aside["ingest_run_id"] == run.run_id


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("yes_bid_dollars", "1.0001", "yes_bid_microdollars"),
        ("yes_bid_dollars", "0.57000001", "decimals"),
        ("yes_bid_dollars", "1e-2", "plain decimal"),
        ("volume_fp", "-1.00", "volume_centicontracts"),
        ("volume_fp", "1.005", "decimals"),
        ("status", "open", "status"),
        ("result", "maybe", "result"),
        ("settlement_timer_seconds", 2**63, "settlement_timer_seconds"),
        ("close_time", "tomorrow", "close_time"),
        ("event_ticker", ..., "event_ticker"),
        ("ticker", ..., "ticker"),
    ],
)
def test_value_that_cannot_be_stored_quarantines_its_market_with_the_reason(
    engine: sa.Engine, run: IngestRun, field: str, value: Any, reason: str
) -> None:
    store(run, MARKETS, [raw(MARKET, **{field: value}), raw(MARKET, ticker="KXGOOD")])
    assert [row["ticker"] for row in rows(engine, markets)] == ["KXGOOD"]
    assert len(rows(engine, price_snapshots)) == 1
    (aside,) = rows(engine, quarantine)
    assert reason in aside["reason"]


def test_record_that_stays_malformed_has_one_row_with_its_newest_payload(engine: sa.Engine, run: IngestRun) -> None:
    store(run, MARKETS, [raw(MARKET, status="open")])
    (first,) = rows(engine, quarantine)
    store(run, MARKETS, [raw(MARKET, status="open")])
    assert rows(engine, quarantine) == [first]
    store(run, MARKETS, [raw(MARKET, status="open", volume_fp="7.00")])
    (newest,) = rows(engine, quarantine)
    assert '"volume_fp":"7.00"' in newest["payload"]
    assert newest["first_quarantined_us"] == first["quarantined_us"] < newest["quarantined_us"]
    assert run.counts.rejected == 3


def test_record_that_can_be_stored_again_is_marked_resolved(engine: sa.Engine, run: IngestRun) -> None:
    store(run, MARKETS, [raw(MARKET), raw(MARKET, ticker="KXOTHER", status="open")])
    store(run, MARKETS, [raw(MARKET, status="open")])
    assert unresolved_keys(engine, "markets") == [MARKET["ticker"], "KXOTHER"]
    store(run, MARKETS, [raw(MARKET)])
    assert unresolved_keys(engine, "markets") == ["KXOTHER"]


def test_record_above_the_size_limit_is_quarantined_and_truncated(engine: sa.Engine, run: IngestRun) -> None:
    long = MARKET | {"ticker": "KXLONG-1", "rules_primary": "A" * MOST_RECORD_BYTES}
    store(run, MARKETS, [raw(MARKET), raw(long)])
    assert (run.counts.written, run.counts.rejected) == (1, 1)
    (set_aside,) = rows(engine, quarantine)
    assert set_aside["record_key"] == "KXLONG-1"
    assert "are not stored" in set_aside["reason"]
    assert len(set_aside["payload"]) < 10_000
    store(run, MARKETS, [raw(long | {"rules_primary": "A"})])
    assert unresolved_keys(engine, "markets") == []


def test_bytes_that_are_not_utf_8_quarantine_only_their_record(engine: sa.Engine, run: IngestRun) -> None:
    for field in ("custom_strike", "shiny"):
        broken = bytes(raw(MARKET, ticker="KXBROKEN", **{field: {"city": "?"}})).replace(b"?", b"\xff")
        store(run, MARKETS, [msgspec.Raw(broken), raw(MARKET)])
        assert [row["ticker"] for row in rows(engine, markets)] == [MARKET["ticker"]]
        assert unresolved_keys(engine, "markets") == ["KXBROKEN"]


@pytest.mark.parametrize("neighbours", [1, 300])
@pytest.mark.parametrize("field", ["ticker", "event_ticker", "title"])
def test_character_postgres_cannot_store_quarantines_only_its_market(
    postgres_engine: sa.Engine, field: str, neighbours: int
) -> None:
    good = [raw(MARKET, ticker=f"KXGOOD-{number}") for number in range(neighbours)]
    with IngestRun(postgres_engine, "markets", Environment.SANDBOX) as run:
        for _ in range(2):
            store(run, MARKETS, [*good, raw(MARKET, **{"ticker": "KXBAD", field: "KX\x00BAD"})])
    assert len(rows(postgres_engine, markets)) == len(rows(postgres_engine, price_snapshots)) == neighbours
    (aside,) = rows(postgres_engine, quarantine)
    assert aside["record_key"] == ("KX\\x00BAD" if field == "ticker" else "KXBAD")
    assert "NUL" in aside["reason"]
    assert "KX\\u0000BAD" in aside["payload"]
    assert run.counts == Counts(2, 2 * neighbours + 2, neighbours, neighbours, 2, neighbours, 1)


def test_price_snapshot_has_the_time_its_page_was_received(engine: sa.Engine, run: IngestRun) -> None:
    store_page(run, MARKETS, Page("GET /markets", 1, "", [raw(MARKET)], received_us=1_795_273_200_000_000))
    (snapshot,) = rows(engine, price_snapshots)
    assert snapshot["observed_us"] == 1_795_273_200_000_000


def test_unknown_fields_are_kept_with_their_record_and_reported(engine: sa.Engine, run: IngestRun) -> None:
    unknown = store(run, MARKETS, [raw(MARKET, liquidity_dollars="12.3400", shiny={"new": [1]})])
    assert set(unknown) == {"liquidity_dollars", "shiny"}
    (stored,) = rows(engine, markets)
    assert json.loads(stored["unknown_fields"]) == {"liquidity_dollars": "12.3400", "shiny": {"new": [1]}}


def test_market_of_an_unread_event_gets_a_placeholder_the_event_fills(engine: sa.Engine, run: IngestRun) -> None:
    store(run, MARKETS, [raw(MARKET)])
    (placeholder,) = rows(engine, events)
    assert (placeholder["is_placeholder"], placeholder["title"]) == (1, None)
    store(run, EVENTS, [raw(EVENT)])
    (event,) = rows(engine, events)
    assert (event["is_placeholder"], event["title"]) == (0, EVENT["title"])
    assert event["first_seen_us"] == placeholder["first_seen_us"]
    assert event["last_updated_us"] is None
    assert [row["ticker"] for row in rows(engine, series)] == ["KXHIGHNY"]


def test_market_twice_in_a_page_is_stored_once(engine: sa.Engine, run: IngestRun) -> None:
    store(run, MARKETS, [raw(MARKET), raw(MARKET, yes_bid_dollars="0.1000")])
    assert run.counts == Counts(pages=1, read=2, written=1, unchanged=1, history_rows=1, placeholders=1)
    (stored,) = rows(engine, quotes)
    assert stored["yes_bid_microdollars"] == 100_000


def test_orderbooks_are_stored_exactly_and_only_when_they_change(engine: sa.Engine, run: IngestRun) -> None:
    store(run, MARKETS, [raw(MARKET)])
    for book in (ORDERBOOK, ORDERBOOK, {**ORDERBOOK, "orderbook_fp": {"yes_dollars": [], "no_dollars": None}}):
        store(run, ORDERBOOKS, [raw(book)])
    full, empty = sorted(rows(engine, orderbook_snapshots), key=lambda row: row["observed_us"])
    assert json.loads(full["yes_levels"]) == [[10_000, 500], [570_000, 34_349]]
    assert (full["best_yes_bid_microdollars"], full["best_yes_bid_size_centicontracts"]) == (570_000, 34_349)
    assert full["yes_depth_centicontracts"] == 34_849
    assert (empty["best_no_bid_microdollars"], empty["no_depth_centicontracts"], empty["no_levels"]) == (None, 0, "[]")


def test_unknown_fields_of_an_orderbook_are_kept_with_their_path(engine: sa.Engine, run: IngestRun) -> None:
    store(run, MARKETS, [raw(MARKET)])
    sides = {**ORDERBOOK["orderbook_fp"], "depth": 3}
    assert set(store(run, ORDERBOOKS, [raw(ORDERBOOK, orderbook_fp=sides)])) == {"orderbook_fp.depth"}
    (stored,) = rows(engine, orderbook_snapshots)
    assert json.loads(stored["unknown_fields"]) == {"orderbook_fp.depth": 3}


def test_orderbook_of_a_market_that_is_not_stored_is_quarantined(engine: sa.Engine, run: IngestRun) -> None:
    store(run, ORDERBOOKS, [raw(ORDERBOOK, ticker="KXNOWHERE")])
    (aside,) = rows(engine, quarantine)
    assert aside["record_key"] == "KXNOWHERE"
    assert "foreign key" in aside["reason"].lower()


def test_page_that_cannot_be_committed_leaves_nothing(
    engine: sa.Engine, run: IngestRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError("the disk is gone")

    monkeypatch.setattr(run, "add_page", fail)
    with pytest.raises(OSError, match="disk is gone"):
        store(run, MARKETS, [raw(MARKET)])
    assert [rows(engine, table) for table in (events, markets, price_snapshots)] == [[], [], []]


price_text = st.integers(0, 10_000).map(lambda ticks: f"{Decimal(ticks).scaleb(-4):.4f}")
count_text = st.integers(0, 10**12).map(lambda centi: f"{Decimal(centi).scaleb(-2):.2f}")


@given(price=price_text, count=count_text)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)
def test_any_price_and_count_the_exchange_can_send_is_stored_exactly(
    engine: sa.Engine, run: IngestRun, price: str, count: str
) -> None:
    store(run, MARKETS, [raw(MARKET, yes_bid_dollars=price, volume_fp=count)])
    (stored,) = rows(engine, quotes)
    assert dollars(stored["yes_bid_microdollars"]) == Decimal(price)
    assert contracts(stored["volume_centicontracts"]) == Decimal(count)


def test_bytes_that_are_no_record_are_quarantined_unchanged(engine: sa.Engine, run: IngestRun) -> None:
    store(run, MARKETS, [msgspec.Raw(b'["not", "a market"]'), raw(MARKET)])
    (aside,) = rows(engine, quarantine)
    assert (aside["record_key"][:11], aside["payload"]) == ("unreadable:", '["not", "a market"]')
    assert unresolved_keys(engine, "markets") == []
    assert len(rows(engine, markets)) == 1


def test_failed_run_records_its_counts_and_its_error(engine: sa.Engine) -> None:
    def cut_after_a_page() -> None:
        with IngestRun(engine, "markets", Environment.SANDBOX) as run:
            store(run, MARKETS, [raw(MARKET)])
            raise OSError("cut")

    with pytest.raises(OSError, match="cut"):
        cut_after_a_page()
    (row,) = rows(engine, ingest_runs)
    assert (row["status"], row["error"], row["records_read"], row["history_rows"]) == ("failed", "OSError: cut", 1, 1)
