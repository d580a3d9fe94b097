"""Facts, quotes and settlements of markets are written only when they change, and a record is stored whole or not."""

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from kalshi_pipelines.bookkeeping.quarantine import unresolved_keys
from kalshi_pipelines.bookkeeping.runs import IngestRun
from kalshi_pipelines.ingest.kinds import MARKETS
from kalshi_pipelines.ingest.market_parts import QUOTE_FIELDS, split_market
from kalshi_pipelines.ingest.pages import store_page
from kalshi_pipelines.kalshi.pagination import Page
from kalshi_pipelines.kalshi.records import Market
from kalshi_pipelines.settings import Environment
from kalshi_pipelines.units import now_us
from kalshi_pipelines.warehouse.tables import (
    events,
    markets,
    price_snapshots,
    quarantine,
    quotes,
    rule_texts,
    settlements,
)
from kalshi_pipelines_tests.support.ingest.wire import MARKET, raw

SETTLED = {
    "status": "finalized",
    "result": "yes",
    "settlement_value_dollars": "1.0000",
    "settlement_ts": "2026-11-23T05:00:00Z",
}


@pytest.fixture
def run(engine: sa.Engine) -> Iterator[IngestRun]:
    with IngestRun(engine, "markets", Environment.SANDBOX) as run:
        yield run


def store(run: IngestRun, *records: msgspec.Raw) -> None:
    store_page(run, MARKETS, Page("GET /markets", 1, "", list(records), now_us()))


def rows(engine: sa.Engine, table: sa.Table) -> list[dict[str, Any]]:
    with engine.connect() as connection:
        return [dict(row) for row in connection.execute(sa.select(table).order_by(*table.primary_key)).mappings()]


def without_times(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in {"recorded_us", "first_seen_us"}}


# Facts and quotes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", QUOTE_FIELDS)
def test_market_row_stays_unwritten_when_only_its_quote_changed(engine: sa.Engine, run: IngestRun, field: str) -> None:
    store(run, raw(MARKET, liquidity_dollars="1.0000"))
    before = rows(engine, markets)
    store(run, raw(MARKET, liquidity_dollars="1.0000", **{field: "0.6600"}))
    assert rows(engine, markets) == before
    (quote,) = rows(engine, quotes)
    value = quote[field.replace("_dollars", "_microdollars").replace("_fp", "_centicontracts")]
    assert value == (660_000 if field.endswith("_dollars") else 66)
    assert run.counts.written == 2


@pytest.mark.parametrize(
    "change",
    [
        {"title": "Another title"},
        {"status": "closed"},
        {"close_time": "2026-11-23T05:00:00Z"},
        {"rules_secondary": "Another rule"},
        {"early_close_condition": "Once the result is known."},
        {"custom_strike": {"yes_bid_dollars": "0.1000"}},
        {"brand_new": 1},
    ],
    ids=lambda change: next(iter(change)),
)
def test_market_row_is_written_when_a_fact_changed(engine: sa.Engine, run: IngestRun, change: dict[str, Any]) -> None:
    store(run, raw(MARKET))
    (before,) = rows(engine, markets)
    store(run, raw(MARKET, **change))
    (after,) = rows(engine, markets)
    assert without_times(after) != without_times(before)
    assert (after["first_seen_us"], len(rows(engine, price_snapshots))) == (before["first_seen_us"], 1)


def test_quote_of_a_changed_market_with_an_unknown_field_is_stored(engine: sa.Engine, run: IngestRun) -> None:
    store(run, raw(MARKET, brand_new=1))
    store(run, raw(MARKET, brand_new=2, yes_bid_dollars="0.1000"))
    assert json.loads(rows(engine, markets)[0]["unknown_fields"]) == {"brand_new": 2}
    assert rows(engine, quotes)[0]["yes_bid_microdollars"] == 100_000


def test_placeholder_market_is_filled_by_its_record(engine: sa.Engine, run: IngestRun) -> None:
    with engine.begin() as connection:
        connection.execute(
            sa.insert(markets),
            {
                "ticker": MARKET["ticker"],
                "is_placeholder": True,
                "first_seen_us": 1,
                "recorded_us": 1,
                "ingest_run_id": run.run_id,
            },
        )
    store(run, raw(MARKET))
    (market,) = rows(engine, markets)
    assert (market["is_placeholder"], market["first_seen_us"], market["title"]) == (False, 1, MARKET["title"])
    assert len(rows(engine, quotes)) == len(rows(engine, price_snapshots)) == 1


def test_shared_texts_are_stored_once(engine: sa.Engine, run: IngestRun) -> None:
    long = "The outcome verified by the source. " * 20
    store(run, *[raw(MARKET, ticker=f"KX-{number}", rules_secondary=long) for number in range(5)])
    assert sorted(row["text"] for row in rows(engine, rule_texts)) == sorted(
        [long, '[{"start":"0.0000","end":"1.0000","step":"0.0010"}]']
    )
    assert len({row["rules_secondary_digest"] for row in rows(engine, markets)}) == 1


@pytest.mark.parametrize("field", ["rules_secondary", "early_close_condition"])
def test_shared_text_postgres_cannot_store_quarantines_only_its_market(postgres_engine: sa.Engine, field: str) -> None:
    with IngestRun(postgres_engine, "markets", Environment.SANDBOX) as run:
        store(run, raw(MARKET), raw(MARKET, ticker="KXBAD", **{field: "KX\x00BAD"}))
    assert [row["ticker"] for row in rows(postgres_engine, markets)] == [MARKET["ticker"]]
    (aside,) = rows(postgres_engine, quarantine)
    assert (aside["record_key"], "NUL" in aside["reason"]) == ("KXBAD", True)


def test_market_whose_quote_is_refused_is_not_stored_in_part(engine: sa.Engine, run: IngestRun) -> None:
    bad = raw(MARKET, ticker="KXBAD", event_ticker="KXBAD", title="New", previous_price_dollars="1.5000")
    store(run, raw(MARKET), bad)
    assert [row["ticker"] for row in rows(engine, markets)] == [MARKET["ticker"]]
    assert [row["event_ticker"] for row in rows(engine, events)] == [MARKET["event_ticker"]]
    assert (run.counts.written, run.counts.rejected, run.counts.placeholders) == (1, 1, 1)

    before = rows(engine, markets), rows(engine, quotes)
    store(run, raw(MARKET, title="Another title", yes_bid_dollars="1.5000"))
    assert (rows(engine, markets), rows(engine, quotes)) == before
    assert unresolved_keys(engine, "markets") == sorted(["KXBAD", MARKET["ticker"]])
    store(run, raw(MARKET, title="Another title"))
    assert rows(engine, markets)[0]["title"] == "Another title"
    assert unresolved_keys(engine, "markets") == ["KXBAD"]


def test_refused_quote_of_a_market_whose_facts_are_stored_is_quarantined(engine: sa.Engine, run: IngestRun) -> None:
    store(run, raw(MARKET))
    before = rows(engine, quotes)
    for wrong in ("1.5000", "0.57000001", "-0.1000"):
        store(run, raw(MARKET, yes_bid_dollars=wrong))
    assert rows(engine, quotes) == before
    assert unresolved_keys(engine, "markets") == [MARKET["ticker"]]
    store(run, raw(MARKET))
    assert unresolved_keys(engine, "markets") == []


# Settlements --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ("yes", 1_000_000, 0)),
        ({"result": "no", "settlement_value_dollars": "0.0000"}, ("no", 0, 1_000_000)),
        ({"result": "scalar", "settlement_value_dollars": "0.3725"}, ("scalar", 372_500, 627_500)),
        # The payout is the settlement value, also where the result says something else.
        ({"result": "no", "settlement_value_dollars": "0.5000"}, ("no", 500_000, 500_000)),
        ({"result": "", "settlement_value_dollars": "0.2500"}, ("scalar", 250_000, 750_000)),
    ],
)
def test_finalized_market_gets_a_settlement_with_its_payouts(
    engine: sa.Engine, run: IngestRun, changes: dict[str, Any], expected: tuple[str, int, int]
) -> None:
    store(run, raw(MARKET))
    assert rows(engine, settlements) == []
    store(run, raw(MARKET, **(SETTLED | changes)))
    (settled,) = rows(engine, settlements)
    assert (settled["result"], settled["yes_payout_microdollars"], settled["no_payout_microdollars"]) == expected
    assert (settled["event_ticker"], settled["settled_us"]) == (MARKET["event_ticker"], 1_795_410_000_000_000)
    assert settled["final_yes_price_microdollars"] + settled["final_no_price_microdollars"] == 1_000_000


@pytest.mark.parametrize("status", ["closed", "determined", "disputed", "amended"])
def test_market_that_is_not_finalized_gets_no_settlement(engine: sa.Engine, run: IngestRun, status: str) -> None:
    store(run, raw(MARKET, **(SETTLED | {"status": status})))
    store(run, raw(MARKET, **(SETTLED | {"settlement_value_dollars": None})))
    assert rows(engine, settlements) == []


def test_settlement_that_changes_later_is_updated(engine: sa.Engine, run: IngestRun) -> None:
    store(run, raw(MARKET, **SETTLED))
    store(run, raw(MARKET, **(SETTLED | {"result": "no", "settlement_value_dollars": "0.0000"})))
    (settled,) = rows(engine, settlements)
    assert (settled["result"], settled["yes_payout_microdollars"]) == ("no", 0)


def test_untraded_market_has_no_final_price(engine: sa.Engine, run: IngestRun) -> None:
    store(run, raw(MARKET, **SETTLED, volume_fp="0.00", last_price_dollars="0.0000"))
    (settled,) = rows(engine, settlements)
    assert settled["final_yes_price_microdollars"] is settled["final_no_price_microdollars"] is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"settlement_value_dollars": "1.5000"}, "payout"),
        ({"settlement_ts": None}, "settled_us"),
        ({"event_ticker": ""}, "event_ticker"),
    ],
)
def test_market_whose_settlement_is_refused_is_quarantined_whole(
    engine: sa.Engine, run: IngestRun, changes: dict[str, Any], reason: str
) -> None:
    store(run, raw(MARKET), raw(MARKET, ticker="KXOTHER", **SETTLED))
    before = rows(engine, markets), rows(engine, quotes)
    store(run, raw(MARKET, **(SETTLED | changes)))
    assert (rows(engine, markets), rows(engine, quotes)) == before
    assert [row["ticker"] for row in rows(engine, settlements)] == ["KXOTHER"]
    (aside,) = rows(engine, quarantine)
    assert (aside["record_key"], reason in aside["reason"]) == (MARKET["ticker"], True)
    store(run, raw(MARKET, **SETTLED))
    assert len(rows(engine, settlements)) == 2
    assert unresolved_keys(engine, "markets") == []


# The digest of the facts --------------------------------------------------------------------------------------------

SIMPLE = st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5)
ANY_JSON = st.recursive(
    SIMPLE,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(QUOTE_FIELDS), inner, max_size=3),
    max_leaves=6,
)
FACT_FIELDS = [name for name in Market.__struct_fields__ if name not in {"ticker", *QUOTE_FIELDS}]
NAMES = st.sampled_from(FACT_FIELDS) | st.text(max_size=8).filter(lambda name: name not in {"ticker", *QUOTE_FIELDS})
QUOTE = st.fixed_dictionaries({name: st.sampled_from(["0.0000", "0.5700", "1.0000"]) for name in QUOTE_FIELDS})


def as_raw(record: dict[str, Any]) -> msgspec.Raw:
    return msgspec.Raw(json.dumps(record).encode())


@given(facts=st.dictionaries(NAMES, ANY_JSON, max_size=6), before=QUOTE, after=QUOTE)
def test_digest_of_facts_stays_when_only_the_quote_changes(
    facts: dict[str, Any], before: dict[str, Any], after: dict[str, Any]
) -> None:
    one, other = (split_market(as_raw({"ticker": "KX-1"} | facts | quote)) for quote in (before, after))
    assert one.facts_digest == other.facts_digest
    assert [getattr(other.quote, name) for name in QUOTE_FIELDS] == [after[name] for name in QUOTE_FIELDS]


@given(
    facts=st.dictionaries(NAMES, ANY_JSON, max_size=6),
    quote=QUOTE,
    changed=st.dictionaries(NAMES, ANY_JSON, min_size=1, max_size=2),
    forgotten=st.lists(NAMES, max_size=2),
)
def test_digest_of_facts_changes_with_every_other_field(
    facts: dict[str, Any], quote: dict[str, Any], changed: dict[str, Any], forgotten: list[str]
) -> None:
    others = {name: value for name, value in (facts | changed).items() if name not in forgotten}
    one, other = (split_market(as_raw({"ticker": "KX-1"} | each | quote)) for each in (facts, others))
    texts, other_texts = ({name: json.dumps(value) for name, value in each.items()} for each in (facts, others))
    same = texts == other_texts
    assert (one.facts_digest == other.facts_digest) is same


def test_quote_field_inside_another_field_is_a_fact() -> None:
    inside = [raw(MARKET, custom_strike={"yes_bid_dollars": price}) for price in ("0.1000", "0.2000")]
    one, other = (split_market(each) for each in inside)
    assert one.facts_digest != other.facts_digest
    assert one.quote.yes_bid_dollars == other.quote.yes_bid_dollars == MARKET["yes_bid_dollars"]
