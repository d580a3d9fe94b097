import datetime as dt
import json
from decimal import Decimal
from typing import Any

import msgspec
import msgspec.structs
import msgspec.yaml
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw, Struct

from kalshi_pipelines.kalshi.decoding import decode_record, decode_records, member, record_key, split_page
from kalshi_pipelines.kalshi.errors import UnreadableBody
from kalshi_pipelines.kalshi.records import (
    AccountLimits,
    BookSides,
    BucketLimits,
    DailyHours,
    EndpointCost,
    EndpointCostList,
    Event,
    ExchangeStatus,
    HistoricalCutoff,
    MaintenanceWindow,
    Market,
    Orderbook,
    Schedule,
    Series,
    ShardStatus,
    WeeklyHours,
)
from kalshi_pipelines_tests.support.checkout import RECORDINGS
from kalshi_pipelines_tests.support.kalshi.recordings import recorded_rows, recording

RECORDED: list[tuple[type[Struct], str, str]] = [
    (Market, "markets", "demo_2026_06"),
    (Market, "markets", "prod_2026_08"),
    (Market, "markets", "derived_3_34_0"),
    (Event, "events", "prod_2026_08"),
    (Event, "events", "derived_3_34_0"),
    (Series, "series", "prod_2026_08"),
    (Series, "series", "derived_3_34_0"),
    (Orderbook, "orderbooks", "derived_3_34_0"),
]
# Fields that the exchange sent until August 2026 and that its specification no longer lists.
RETIRED = {"liquidity_dollars", "response_price_units", "fractional_trading_enabled", "available_on_brokers"}

MARKET: dict[str, Any] = {
    "ticker": "KXTEST-26-A",
    "event_ticker": "KXTEST-26",
    "market_type": "binary",
    "yes_sub_title": "A",
    "no_sub_title": "not A",
    **dict.fromkeys(
        ["created_time", "updated_time", "open_time", "close_time", "latest_expiration_time"],
        "2026-10-01T12:00:00.7931Z",
    ),
    "settlement_timer_seconds": 60,
    "status": "active",
    "notional_value_dollars": "1.0000",
    "yes_bid_dollars": "0.1230",
    "yes_bid_size_fp": "10.00",
    "yes_ask_dollars": "0.1250",
    "yes_ask_size_fp": "11.50",
    "no_bid_dollars": "0.8750",
    "no_ask_dollars": "0.8770",
    "last_price_dollars": "0.1240",
    "previous_yes_bid_dollars": "0.1200",
    "previous_yes_ask_dollars": "0.1300",
    "previous_price_dollars": "0.1220",
    "volume_fp": "343.49",
    "volume_24h_fp": "3.00",
    "open_interest_fp": "9.01",
    "result": "",
    "can_close_early": True,
    "expiration_value": "",
    "rules_primary": "If A.",
    "rules_secondary": "",
    "price_level_structure": "deci_cent",
    "price_ranges": [{"start": "0.0000", "end": "1.0000", "step": "0.0010"}],
}


def raw(**changes: Any) -> Raw:
    return Raw(json.dumps(MARKET | changes).encode())


def wire_strings(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name.endswith(("_dollars", "_fp"))}


SPECIFICATION = RECORDINGS.parent / "facts" / "kalshi_openapi_3.34.0.yaml"
SPECIFIED: list[tuple[type[Struct], str, set[str]]] = [
    # The last column names fields that the specification requires, but that are missing in recordings or unused here.
    (Market, "Market", {"settlement_bounds_type"}),
    (Event, "EventData", {"settlement_sources"}),
    (Series, "Series", {"categories"}),
    (Orderbook, "MarketOrderbookFp", set()),
    (BookSides, "OrderbookCountFp", set()),
    (ExchangeStatus, "ExchangeStatus", set()),
    (ShardStatus, "ExchangeIndexStatus", set()),
    (Schedule, "Schedule", set()),
    (WeeklyHours, "WeeklySchedule", set()),
    (DailyHours, "DailySchedule", set()),
    (MaintenanceWindow, "MaintenanceWindow", set()),
    (HistoricalCutoff, "GetHistoricalCutoffResponse", set()),
    (AccountLimits, "GetAccountApiLimitsResponse", {"grants"}),
    (BucketLimits, "BucketLimit", set()),
    (EndpointCostList, "GetAccountEndpointCostsResponse", set()),
    (EndpointCost, "EndpointTokenCost", set()),
]


@pytest.fixture(scope="module")
def schemas() -> dict[str, Any]:
    if not SPECIFICATION.is_file():
        pytest.skip("the exchange's OpenAPI document is not on this machine")
    document = msgspec.yaml.decode(SPECIFICATION.read_bytes())
    found: dict[str, Any] = document["components"]["schemas"]
    return found


@pytest.mark.parametrize(("kind", "schema", "lenient"), SPECIFIED)
def test_a_record_has_the_fields_of_the_published_specification(
    schemas: dict[str, Any], kind: type[Struct], schema: str, lenient: set[str]
) -> None:
    fields = {field.name: field.required for field in msgspec.structs.fields(kind)}
    assert fields.keys() == schemas[schema]["properties"].keys()
    assert {name for name, required in fields.items() if required} == set(schemas[schema]["required"]) - lenient


@pytest.mark.parametrize(("kind", "list_key", "shape"), RECORDED)
def test_every_recorded_row_is_decoded_with_exact_amounts(kind: type[Struct], list_key: str, shape: str) -> None:
    rows = recorded_rows(list_key, shape)
    assert rows
    decoded = decode_records(kind, [Raw(body) for _, body in rows])
    assert decoded.rejected == []
    assert decoded.unknown_fields.keys() <= RETIRED
    for (file, body), (record, _, unknown) in zip(rows, decoded.records, strict=True):
        sent = json.loads(body)
        for name, value in wire_strings(sent).items():
            kept = json.loads(unknown[name]) if name in unknown else msgspec.to_builtins(getattr(record, name))
            assert json.loads(json.dumps(kept)) == value, (file, name)
        for name in record.__struct_fields__:
            assert name in sent or getattr(record, name) in (None, Raw()), (file, name)


def test_record_format_of_january_2026_is_rejected_with_the_field_named() -> None:
    rows = json.loads(recording("old_shape_2026_01/markets_list_response.json"))["response"]["markets"]
    decoded = decode_records(Market, [Raw(json.dumps(row).encode()) for row in rows])
    assert not decoded.records
    assert {rejected.key for rejected in decoded.rejected} == {row["ticker"] for row in rows}
    assert all("missing required field" in rejected.reason for rejected in decoded.rejected)


@pytest.mark.parametrize(
    ("kind", "file", "key"),
    [
        (ExchangeStatus, "demo_2026_06/exchange__status.json", None),
        (ExchangeStatus, "derived_3_34_0/exchange_status.json", None),
        (Schedule, "derived_3_34_0/exchange_schedule.json", "schedule"),
        (HistoricalCutoff, "derived_3_34_0/historical_cutoff.json", None),
        (AccountLimits, "demo_2026_06/account__limits.json", None),
        (EndpointCostList, "demo_2026_06/account__endpoint_costs.json", None),
    ],
)
def test_single_recorded_objects_are_decoded(kind: type[Struct], file: str, key: str | None) -> None:
    body = recording(file)
    _, unknown = decode_record(kind, json.dumps(json.loads(body)[key]).encode() if key else body)
    assert not unknown


def test_an_unknown_field_inside_a_record_is_kept_with_its_path() -> None:
    raw = b'{"ticker":"A","orderbook_fp":{"yes_dollars":[["0.1000","1.00"]],"no_dollars":[],"depth":3}}'
    book, unknown = decode_record(Orderbook, raw)
    assert book.orderbook_fp.yes_dollars == [("0.1000", "1.00")]
    assert dict(unknown) == {"orderbook_fp.depth": b"3"}


def test_an_unknown_field_is_kept_with_its_bytes() -> None:
    decoded = decode_records(Market, [raw(), raw(margin={"tiers": [1, 2]}), raw(margin=None)])
    assert decoded.rejected == []
    assert [dict(row.unknown_fields) for row in decoded.records] == [
        {},
        {"margin": b'{"tiers": [1, 2]}'},
        {"margin": b"null"},
    ]
    assert decoded.unknown_fields == {"margin": b'{"tiers": [1, 2]}'}


def test_a_number_in_place_of_a_money_string_rejects_that_record_only() -> None:
    bad = raw(yes_bid_dollars=0.123, surprise=1)
    decoded = decode_records(Market, [raw(), bad, raw()])
    assert len(decoded.records) == 2
    (rejected,) = decoded.rejected
    assert rejected.raw == bytes(bad)
    assert rejected.key == "KXTEST-26-A"
    assert rejected.reason == "Expected `str`, got `float` - at `$.yes_bid_dollars`"


@pytest.mark.parametrize(
    "changes",
    [
        {"close_time": "2026-10-01T12:00:00"},
        {"close_time": None},
        {"volume_fp": 5},
        {"settlement_timer_seconds": 1.5},
        {"settlement_timer_seconds": 2**63},
        {"can_close_early": "yes"},
        {"floor_strike": "NaN"},
        {"ticker": 7},
    ],
)
def test_a_value_of_the_wrong_type_is_rejected_with_the_field_named(changes: dict[str, Any]) -> None:
    (rejected,) = decode_records(Market, [raw(**changes)]).rejected
    assert rejected.reason
    assert rejected.key == (None if "ticker" in changes else "KXTEST-26-A")


def test_row_that_is_not_an_object_is_rejected() -> None:
    decoded = decode_records(Market, [Raw(b"null"), Raw(b"[]"), raw()])
    assert [rejected.key for rejected in decoded.rejected] == [None, None]
    assert len(decoded.records) == 1


def test_times_keep_their_microseconds_and_zone() -> None:
    record, _ = decode_record(Market, raw())
    assert record.close_time == dt.datetime(2026, 10, 1, 12, 0, 0, 793100, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    "text", ["1.10", "0.1000000000000000055511151231257827", "1E-7", "12345678901234567890.5", "3"]
)
def test_strikes_keep_every_digit(text: str) -> None:
    body = bytes(raw(floor_strike="here")).replace(b'"here"', text.encode())
    assert decode_record(Market, body)[0].floor_strike == Decimal(text)


def test_open_objects_are_kept_as_received_and_absent_differs_from_null() -> None:
    record, _ = decode_record(Market, raw(custom_strike={"B": 1, "A": 1.10}))
    assert bytes(record.custom_strike) == b'{"B": 1, "A": 1.1}'
    assert bytes(record.mve_selected_legs) == b""
    assert bytes(decode_record(Market, raw(custom_strike=None))[0].custom_strike) == b"null"


def test_the_ticker_can_be_read_without_decoding_the_rest() -> None:
    assert record_key(Market, raw(yes_bid_dollars=5)) == "KXTEST-26-A"
    assert record_key(Event, Raw(b'{"event_ticker":"E"}')) == "E"
    assert record_key(Market, Raw(b"{}")) is None


@given(st.lists(st.dictionaries(st.text(), st.integers() | st.text() | st.none() | st.lists(st.booleans()))), st.text())
def test_page_is_cut_into_rows_without_loss(rows: list[dict[str, Any]], cursor: str) -> None:
    body = json.dumps({"markets": rows, "cursor": cursor, "more": {}}).encode()
    found, raws = split_page(body, "markets")
    assert found == cursor
    assert [json.loads(bytes(row)) for row in raws] == rows


@pytest.mark.parametrize("body", [b'{"markets":null,"cursor":null}', b'{"markets":[],"cursor":""}'])
def test_page_without_rows_is_the_last_page(body: bytes) -> None:
    assert split_page(body, "markets") == ("", [])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b'{"cursor":""}',
        b'{"markets":[{}],"cursor":""',
        b'{"markets":[{]}],"cursor":""}',
        b'{"markets":{},"cursor":""}',
        b'{"markets":[],"cursor":5}',
        b'{"markets":[],"next_cursor":"abc"}',
        b'{"markets":[],"cursor":"\xff"}',
        b"[" * 100_000,
    ],
)
def test_a_body_that_is_not_the_promised_page_is_unreadable(body: bytes) -> None:
    with pytest.raises(UnreadableBody):
        split_page(body, "markets")


def test_an_unpaginated_list_needs_no_cursor() -> None:
    assert split_page(b'{"series":[]}', "series", paginated=False) == ("", [])


@pytest.mark.parametrize("shape", ["demo_2026_06/orderbook__base", "prod_2026_08/orderbook_single"])
def test_recorded_orderbooks_of_one_market_are_decoded(shape: str) -> None:
    body = recording(f"{shape}.json")
    sides, unknown = decode_record(BookSides, bytes(member(body, "orderbook_fp")))
    assert not unknown
    assert json.loads(msgspec.json.encode(sides)) == json.loads(body)["orderbook_fp"]


def test_an_orderbook_level_has_a_price_and_a_count() -> None:
    book = b'{"ticker":"A","orderbook_fp":{"yes_dollars":[["0.10","5.00"]],"no_dollars":null}}'
    record, _ = decode_record(Orderbook, book)
    assert record.orderbook_fp.yes_dollars == [("0.10", "5.00")]
    assert record.orderbook_fp.no_dollars is None
    with pytest.raises(UnreadableBody, match="length 2"):
        decode_record(Orderbook, book.replace(b'"5.00"', b'"5.00","x"'))
