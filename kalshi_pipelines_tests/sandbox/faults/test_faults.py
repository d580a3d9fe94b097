import json
import time
from typing import Any

import orjson
import pytest

from kalshi_pipelines.sandbox.options import SandboxOptions
from kalshi_pipelines_tests.support.sandbox.local_sandbox import LocalSandbox, local_sandbox

QUIET = SandboxOptions(markets=40, combos=0, tick_seconds=0, tier="unlimited")


@pytest.fixture
def quiet() -> LocalSandbox:
    return local_sandbox(QUIET)


def _inject(sandbox: LocalSandbox, kind: str, endpoint: str = "GET /markets", **fields: Any) -> None:
    sandbox.steer("POST", "/faults", endpoint=endpoint, kind=kind, **fields)


def test_a_fault_strikes_at_its_request_for_its_number_of_times(quiet: LocalSandbox) -> None:
    quiet.get("/markets")
    _inject(quiet, "server_error", at=3, times=2)
    assert [quiet.get("/markets").status_code for _ in range(6)] == [200, 200, 500, 500, 200, 200]


def test_a_fault_leaves_other_endpoints_alone_and_can_be_taken_back(quiet: LocalSandbox) -> None:
    _inject(quiet, "server_error", endpoint="GET /markets/orderbooks", times=9)
    assert quiet.get("/markets").status_code == 200
    assert quiet.get("/markets/orderbooks", tickers="A").status_code == 500
    quiet.steer("DELETE", "/faults")
    assert quiet.get("/markets/orderbooks", tickers="A").status_code == 200


def test_an_injected_rate_limit_looks_like_a_real_one(quiet: LocalSandbox) -> None:
    _inject(quiet, "rate_limit")
    response = quiet.get("/markets")
    assert (response.status_code, response.content) == (429, b'{"error":"too many requests"}')


def test_an_html_error_is_no_json(quiet: LocalSandbox) -> None:
    _inject(quiet, "html_error")
    response = quiet.get("/markets")
    assert response.status_code == 502
    assert response.headers["content-type"].startswith("text/html")


def test_truncated_json_is_a_complete_response_of_a_cut_text(quiet: LocalSandbox) -> None:
    whole = quiet.get("/markets").content
    _inject(quiet, "truncated_json")
    response = quiet.get("/markets")
    assert response.status_code == 200
    assert int(response.headers["content-length"]) == len(response.content) < len(whole)
    assert whole.startswith(response.content)
    with pytest.raises(json.JSONDecodeError):
        response.json()


def test_a_repeated_cursor_leads_to_the_same_page_again(quiet: LocalSandbox) -> None:
    first = quiet.read("/markets", limit=10)
    _inject(quiet, "repeated_cursor", times=2)
    again = quiet.read("/markets", limit=10)
    assert again["markets"] == first["markets"]
    sent = first["cursor"]
    assert quiet.read("/markets", limit=10, cursor=sent)["cursor"] == sent
    assert quiet.read("/markets", limit=10, cursor=again["cursor"])["markets"] == first["markets"]


@pytest.mark.parametrize(
    ("path", "endpoint", "rows", "field"),
    [
        ("/markets", "GET /markets", "markets", "yes_bid_dollars"),
        ("/events", "GET /events", "events", "event_ticker"),
        ("/series", "GET /series", "series", "ticker"),
        ("/markets/trades", "GET /markets/trades", "trades", "yes_price_dollars"),
    ],
)
def test_one_malformed_record_leaves_all_others_intact(
    quiet: LocalSandbox, path: str, endpoint: str, rows: str, field: str
) -> None:
    good = quiet.read(path)[rows]
    _inject(quiet, "malformed_record", endpoint=endpoint)
    bad = quiet.read(path)[rows]
    changed = [number for number, (one, other) in enumerate(zip(good, bad, strict=True)) if one != other]
    assert len(changed) == 1
    assert isinstance(bad[changed[0]][field], int | float)


def test_a_malformed_record_takes_any_field_and_value(quiet: LocalSandbox) -> None:
    _inject(quiet, "malformed_record", field="status", value="asleep", record=0)
    assert quiet.read("/markets")["markets"][0]["status"] == "asleep"
    _inject(quiet, "malformed_record", field="new_key", value=[1], record=1)
    assert quiet.read("/markets")["markets"][1]["new_key"] == [1]


def test_latency_waits_and_then_answers(quiet: LocalSandbox) -> None:
    _inject(quiet, "latency", seconds=0.01)
    asked = time.monotonic_ns()
    assert quiet.get("/markets", limit=1).status_code == 200
    assert time.monotonic_ns() - asked >= 10_000_000


def test_an_unknown_fault_is_refused_with_the_kinds_there_are(quiet: LocalSandbox) -> None:
    for body in (
        {"endpoint": "GET /markets", "kind": "earthquake"},
        {"kind": "latency"},
        {"endpoint": "A", "kind": "latency", "at": 0},
        {"endpoint": "GET /markets", "kind": "latency", "seconds": 1e308},
        {"endpoint": "GET /markets", "kind": "clock_skew", "seconds": -1e15},
        {"endpoint": "GET /markets", "kind": "latency", "at": 1.5},
        {"endpoint": "GET /markets", "kind": "refuse", "reset": "no"},
        {"endpoint": "GET /markets", "kind": "malformed_record", "record": "x"},
        {"endpoint": "GET /markets", "kind": "status_after_apply", "status": 500.5},
        {"endpoint": "GET /markets", "kind": "latency", "hours": 1},
    ):
        response = quiet.client.post("/sandbox/faults", json=body)
        assert response.status_code == 400
        assert response.json()["error"]
    assert quiet.client.post("/sandbox/faults", content=b"[").status_code == 400


def test_requests_are_counted_by_endpoint_until_forgotten(quiet: LocalSandbox) -> None:
    quiet.get("/markets", limit=1)
    quiet.get("/markets", limit=1001)
    ticker = quiet.read("/markets", limit=1)["markets"][0]["ticker"]
    quiet.get(f"/markets/{ticker}")
    quiet.get("/markets/NOSUCH")
    endpoints = quiet.steer("GET", "/requests")["endpoints"]
    assert endpoints["GET /markets"]["statuses"] == {"200": 2, "400": 1}
    assert endpoints["GET /markets/{ticker}"]["statuses"] == {"200": 1, "404": 1}
    quiet.steer("DELETE", "/requests")
    assert quiet.steer("GET", "/requests") == {"endpoints": {}}


def test_admin_routes_refuse_impossible_requests(quiet: LocalSandbox) -> None:
    for path, body in (
        ("/prices", {}),
        ("/prices", {"fraction": 2}),
        ("/prices", {"fraction": "much"}),
        ("/markets", {"count": 0}),
        ("/keys", {"key_id": "a"}),
        ("/keys", {"key_id": "a", "public_key_pem": "b"}),
        ("/prices", {"fraction": "NaN"}),
        ("/deposits", {"dollars": "1e999999999"}),
        ("/deposits", {"dollars": "NaN"}),
        ("/shards/" + "9" * 5_000, {"exchange_active": True}),
        ("/clock", {"time": "noon"}),
        ("/clock", {"time": "2026-11-22T12:00:00"}),
        ("/clock", {"time": "9999-12-31T23:59:59Z"}),
        ("/clock", {"seconds": 1.5}),
        ("/clock", {"seconds": 10**15}),
        ("/clock", {"seconds": -(10**15)}),
    ):
        assert quiet.client.post("/sandbox" + path, content=orjson.dumps(body)).status_code == 400
    assert quiet.client.get("/sandbox/truth?after=" + "9" * 5_000).status_code == 400
    assert quiet.get("/markets").status_code == 200


def test_health_reports_the_size_of_the_catalogue(quiet: LocalSandbox) -> None:
    health = quiet.steer("GET", "/health")
    assert (health["status"], health["markets"], health["combos"]) == ("ok", 40, 0)
