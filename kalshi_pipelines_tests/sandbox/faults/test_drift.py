"""Tests of drift in the sandbox: an endpoint's responses stay changed until the drift is removed."""

import resource
import sys
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from kalshi_pipelines.sandbox.faults.drift import Operation, changed_body
from kalshi_pipelines.sandbox.faults.hostile import HOSTILE_BODIES
from kalshi_pipelines.sandbox.options import SandboxOptions
from kalshi_pipelines.sandbox.process import running_sandbox
from kalshi_pipelines_tests.support.sandbox.local_sandbox import LocalSandbox, local_sandbox

QUIET = SandboxOptions(markets=40, combos=0, tick_seconds=0, tier="unlimited")
BODY = {"events": [{"markets": [{"a": "0.50", "b": None}, {"a": "0.25"}]}, {"markets": []}], "cursor": "x"}


@pytest.fixture
def quiet() -> LocalSandbox:
    return local_sandbox(QUIET)


def _drift(sandbox: LocalSandbox, *operations: dict[str, Any], endpoint: str = "GET /markets") -> None:
    sandbox.steer("POST", "/drift", endpoint=endpoint, operations=list(operations))


@pytest.mark.parametrize(
    ("operation", "markets"),
    [
        ({"op": "remove", "path": "events[].markets[].a"}, [{"b": None}, {}]),
        ({"op": "remove", "path": "events[0].markets[-1]"}, [{"a": "0.50", "b": None}]),
        ({"op": "rename", "path": "events[].markets[].a", "to": "c"}, [{"c": "0.50", "b": None}, {"c": "0.25"}]),
        ({"op": "set", "path": "events[].markets[].b", "value": 1}, [{"a": "0.50", "b": 1}, {"a": "0.25", "b": 1}]),
        (
            {"op": "map", "path": "events[].markets[].a", "fn": "dollars_to_cents_int"},
            [{"a": 50, "b": None}, {"a": 25}],
        ),
        ({"op": "map", "path": "events[].markets[].b", "fn": "str_to_int"}, [{"a": "0.50", "b": None}, {"a": "0.25"}]),
        ({"op": "map", "path": "events[].markets", "fn": "reverse"}, [{"a": "0.25"}, {"a": "0.50", "b": None}]),
        ({"op": "truncate", "path": "events[].markets", "n": 1}, [{"a": "0.50", "b": None}]),
        ({"op": "append", "path": "events[].markets", "value": 7}, [{"a": "0.50", "b": None}, {"a": "0.25"}, 7]),
        ({"op": "append", "path": "events[].markets[].a", "value": 7}, [{"a": "0.50", "b": None}, {"a": "0.25"}]),
        ({"op": "drop_where", "path": "events[].markets", "key": "a", "prefix": "0.5"}, [{"a": "0.25"}]),
    ],
)
def test_operations_change_what_their_path_leads_to(operation: dict[str, Any], markets: list[Any]) -> None:
    body = changed_body(orjson.loads(orjson.dumps(BODY)), Operation(**operation))
    assert body["events"][0]["markets"] == markets
    assert body["cursor"] == "x"


def test_a_shared_member_is_hoisted_and_a_body_wrapped_and_unwrapped() -> None:
    body = orjson.loads(orjson.dumps(BODY))
    hoisted = changed_body(body, Operation("hoist", path="events[].markets[].a", to="events[].a"))
    assert hoisted["events"] == [{"markets": [{"b": None}, {}], "a": "0.50"}, {"markets": []}]
    wrapped = changed_body(hoisted, Operation("wrap", key="data"))
    assert set(wrapped) == {"data"}
    assert changed_body(wrapped, Operation("unwrap", key="data")) == hoisted


def test_an_endpoint_answers_differently_until_it_is_taken_back(quiet: LocalSandbox) -> None:
    before = quiet.read("/markets")
    _drift(quiet, {"op": "rename", "path": "markets[].status", "to": "state"})
    assert all("state" in market and "status" not in market for market in quiet.read("/markets")["markets"])
    assert all("state" in market for market in quiet.read("/markets")["markets"])
    assert "event_ticker" in quiet.read("/events")["events"][0]
    assert quiet.steer("GET", "/drift")["drift"][0]["answers"] == 2
    quiet.steer("DELETE", "/drift")
    assert quiet.read("/markets") == before


def test_a_change_may_concern_only_those_without_a_key(quiet: LocalSandbox) -> None:
    _drift(quiet, {"op": "http", "status": 401, "body": {"error": {"code": "token"}}, "when": "anonymous"})
    assert quiet.get("/markets").status_code == 401
    quiet.steer("DELETE", "/drift")
    _drift(quiet, {"op": "http", "status": 401, "when": "signed"})
    assert quiet.get("/markets").status_code == 200


def test_an_endpoint_may_move(quiet: LocalSandbox) -> None:
    _drift(quiet, {"op": "redirect", "to": "https://elsewhere.example/markets", "status": 308}, endpoint="*")
    response = quiet.get("/events")
    assert (response.status_code, response.headers["location"]) == (308, "https://elsewhere.example/markets")


def test_drift_of_a_place_nobody_has_is_shown_to_change_nothing(quiet: LocalSandbox) -> None:
    _drift(quiet, {"op": "remove", "path": "markets[].state"})
    quiet.get("/markets")
    (shown,) = quiet.steer("GET", "/drift")["drift"]
    assert (shown["answers"], shown["unchanged"]) == (0, 1)


def test_refusals_keep_their_bodies(quiet: LocalSandbox) -> None:
    before = quiet.get("/markets", limit=5000)
    _drift(quiet, {"op": "wrap", "key": "data"})
    assert quiet.get("/markets", limit=5000).content == before.content


@pytest.mark.parametrize(
    "asked",
    [
        {"endpoint": "GET /nothing", "operations": [{"op": "wrap", "key": "a"}]},
        {"endpoint": "GET /markets", "operations": []},
        {"endpoint": "GET /markets", "operations": ["remove"]},
        {"endpoint": "GET /markets", "operations": [{"op": "melt"}]},
        {"endpoint": "GET /markets", "operations": [{"op": "map", "path": "a", "fn": "melt"}]},
        {"endpoint": "GET /markets", "operations": [{"op": "remove", "path": 7}]},
        {"endpoint": "GET /markets", "operations": [{"op": "remove", "path": "a", "pfad": "b"}]},
        {"endpoint": "GET /markets", "operations": [{"op": "rename", "path": "a"}]},
        {"endpoint": "GET /markets", "operations": [{"op": "hostile", "kind": "rude"}]},
        {"endpoint": "GET /markets", "operations": [{"op": "remove"}]},
        {"endpoint": "GET /markets", "operations": [{"op": "hoist", "path": "a[].b", "to": "a[*]"}]},
        *(
            {"endpoint": "GET /markets", "operations": [{"op": "remove", "path": path}]}
            for path in (
                "",
                "markets[*].status",
                "markets[",
                "markets[].",
                "markets..status",
                "markets[x]",
                "a b",
                '"a',
            )
        ),
    ],
)
def test_malformed_drift_is_refused(quiet: LocalSandbox, asked: dict[str, Any]) -> None:
    response = quiet.client.post("/sandbox/drift", json=asked)
    assert response.status_code == 400
    assert response.json()["error"]
    assert quiet.steer("GET", "/drift") == {"drift": []}


def test_hostile_bodies_cost_the_sandbox_no_memory_and_no_attention() -> None:
    with running_sandbox(QUIET) as sandbox, httpx.Client(base_url=sandbox.url, timeout=30) as client:
        client.get("/markets")
        before = _resident_kb(sandbox.pid)
        for kind in HOSTILE_BODIES:
            asked = {"endpoint": "GET /markets", "operations": [{"op": "hostile", "kind": kind}]}
            assert httpx.post(f"{sandbox.admin_url}/sandbox/drift", json=asked).status_code == 201
            with client.stream("GET", "/markets") as response:
                read = 0
                for piece in response.iter_raw():
                    read += len(piece)
                    if read > 20_000_000:
                        break
            assert read
            assert client.get("/events").status_code == 200
            httpx.delete(f"{sandbox.admin_url}/sandbox/drift")
        assert client.get("/markets").json()["markets"]
        assert _resident_kb(sandbox.pid) - before < 30_000


def _resident_kb(pid: int) -> int:
    if sys.platform != "linux":
        pytest.skip("how much memory another process has is read from /proc")
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize() // 1024
