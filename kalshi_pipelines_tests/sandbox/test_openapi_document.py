"""Tests that no response of a running sandbox violates the vendor's OpenAPI document.

The document is not part of the project. If it is missing, the tests are skipped.
"""

import base64
import datetime as dt
import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import pytest
import requests
import schemathesis
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from requests.auth import AuthBase
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from kalshi_pipelines.sandbox.access.signatures import public_pem
from kalshi_pipelines.sandbox.app import ENDPOINTS
from kalshi_pipelines.sandbox.process import SandboxOptions, running_sandbox
from kalshi_pipelines_tests.support.checkout import RECORDINGS

DOCUMENT = RECORDINGS.parent / "facts" / "kalshi_openapi_3.34.0.yaml"
SHAPE_CHECKS = (
    not_a_server_error,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
)
NOT_IN_THE_DOCUMENT = {
    # These operations left the vendor's OpenAPI document in June 2026. The exchange still answers them with a refusal
    # of their own.
    "POST /portfolio/orders", "DELETE /portfolio/orders/{order_id}", "POST /portfolio/orders/batched",
    "DELETE /portfolio/orders/batched", "POST /portfolio/orders/{order_id}/amend",
    "POST /portfolio/orders/{order_id}/decrease",
}  # fmt: skip
SIDES = {"live": "/markets?status=open&mve_filter=exclude&limit=8", "archived": "/historical/markets?limit=8"}
SERVED = sorted({endpoint.name for endpoint in ENDPOINTS} - NOT_IN_THE_DOCUMENT)


class Signed(AuthBase):
    """Authentication that signs each request with an Ed25519 key."""

    def __init__(self, key_id: str, key: Ed25519PrivateKey) -> None:
        self._key_id, self._key = key_id, key

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        timestamp = str(time.time_ns() // 1_000_000)
        text = f"{timestamp}{request.method}{urlsplit(request.url or '').path}"
        request.headers["KALSHI-ACCESS-KEY"] = self._key_id
        request.headers["KALSHI-ACCESS-TIMESTAMP"] = timestamp
        request.headers["KALSHI-ACCESS-SIGNATURE"] = base64.b64encode(self._key.sign(text.encode())).decode()
        return request


@dataclass
class DrivenSandbox:
    """A running sandbox, the OpenAPI document, and the names of objects that exist in the sandbox."""

    url: str
    document: Any
    session: requests.Session
    names: dict[str, list[str]] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def send(self, method: str, path: str, **body: Any) -> Any:
        answer = self.session.request(method, self.url + path, json=body or None, timeout=10)
        assert answer.status_code < 300, answer.text
        return answer.json() if answer.content else None

    def known(self, name: str) -> str | None:
        """Return an existing value for a parameter or body field, or None if nothing by that name exists."""
        values = self.names.get(name)
        return values[next(self.numbers) % len(values)] if values else None

    def order(self) -> dict[str, Any]:
        """Return the terms of an order that will rest in the book."""
        return {
            "ticker": self.names["ticker"][0],
            "side": "bid",
            "count": "1.00",
            "price": "0.0100",
            "client_order_id": str(uuid4()),
            "time_in_force": "good_till_canceled",
            "self_trade_prevention_type": "taker_at_cross",
        }


@pytest.fixture(scope="module")
def exchange() -> Iterator[DrivenSandbox]:
    if not DOCUMENT.is_file():
        pytest.skip("the published OpenAPI document is not on this machine")
    with running_sandbox(SandboxOptions(markets=60, combos=4, tier="unlimited")) as sandbox:
        document = schemathesis.openapi.from_path(DOCUMENT)
        document.config.update(base_url=sandbox.url)
        with requests.Session() as session:
            session.auth = _registered(sandbox.admin_url)
            yield _fill_exchange(DrivenSandbox(sandbox.url, document, session))


def _registered(admin_url: str) -> Signed:
    key = Ed25519PrivateKey.generate()
    body = {"key_id": str(uuid4()), "public_key_pem": public_pem(key.public_key())}
    httpx.post(f"{admin_url}/sandbox/keys", json=body, timeout=10).raise_for_status()
    return Signed(body["key_id"], key)


def _fill_exchange(exchange: DrivenSandbox) -> DrivenSandbox:
    """Create orders, fills, a position and an order group in the sandbox, and store their names."""
    markets = exchange.send("GET", "/markets?status=open&limit=50&mve_filter=exclude")["markets"]
    liquid = [row for row in markets if row["exchange_index"] == 0 and row["yes_ask_size_fp"] != "0.00"]
    exchange.names = {
        "ticker": [row["ticker"] for row in liquid],
        "event_ticker": [row["event_ticker"] for row in liquid],
        "series_ticker": [row["event_ticker"].partition("-")[0] for row in liquid],
    }
    exchange.names["market_ticker"] = exchange.names["ticker"]
    bought = {**exchange.order(), "price": "0.9900", "time_in_force": "immediate_or_cancel"}
    exchange.send("POST", "/portfolio/events/orders", **bought)
    group = exchange.send("POST", "/portfolio/order_groups/create", contracts_limit=100)["order_group_id"]
    resting = [exchange.send("POST", "/portfolio/events/orders", **exchange.order()) for _ in range(40)]
    exchange.names["order_id"] = [row["order_id"] for row in resting]
    exchange.names["order_group_id"] = [group]
    return exchange


def test_every_endpoint_of_the_sandbox_is_in_the_document(exchange: DrivenSandbox) -> None:
    documented = {
        f"{method.upper()} {path}" for path, item in exchange.document.raw_schema["paths"].items() for method in item
    }
    assert set(SERVED) <= documented


@pytest.mark.parametrize("name", SERVED)
def test_no_answer_breaks_the_document(exchange: DrivenSandbox, name: str) -> None:
    method, path = name.split(" ")
    operation = exchange.document[path][method]
    _drive(exchange, operation, GenerationMode.POSITIVE, [*SHAPE_CHECKS, status_code_conformance])
    if operation.query or operation.body:
        # The OpenAPI document defines no response to a request that violates it, so the test accepts any refusal.
        _drive(exchange, operation, GenerationMode.NEGATIVE, SHAPE_CHECKS)


def _drive(exchange: DrivenSandbox, operation: Any, mode: GenerationMode, checks: Sequence[Any]) -> None:
    @settings(max_examples=40, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(case=operation.as_strategy(generation_mode=mode), is_real=st.sampled_from((True, True, False)))
    def answers_as_documented(case: Any, is_real: bool) -> None:
        if is_real:
            _fill_in(exchange, case)
        case.validate_response(case.call(session=exchange.session), checks=list(checks))

    answers_as_documented()


def _fill_in(exchange: DrivenSandbox, case: Any) -> None:
    """Replace arbitrary values in a generated request by the names of existing objects."""
    for part in (case.path_parameters, case.query, case.body):
        if not isinstance(part, dict):
            continue
        for name in part:
            part[name] = exchange.known(name) or part[name]
        if {"time_in_force", "price"} <= set(part):
            part.update(exchange.order() if next(exchange.numbers) % 2 else {"ticker": exchange.names["ticker"][0]})


HISTORY = [
    ("/historical/markets/{ticker}/candlesticks", "archived"),
    ("/series/{series_ticker}/markets/{ticker}/candlesticks", "live"),
    ("/markets/candlesticks", "live"),
    ("/historical/trades", "archived"),
    ("/historical/markets", "archived"),
    ("/series/fee_changes", "live"),
    ("/events/fee_changes", "live"),
]


@pytest.mark.parametrize(("path", "side"), HISTORY)
@pytest.mark.parametrize("minutes", [1, 60, 1_440])
def test_history_of_real_markets_keeps_to_the_document(
    exchange: DrivenSandbox, path: str, side: str, minutes: int
) -> None:
    operation = exchange.document[path]["GET"]
    for row in exchange.send("GET", SIDES[side])["markets"][:8]:
        begin_s = int(dt.datetime.fromisoformat(row["close_time"]).timestamp()) - 5 * 86_400
        known = {
            "ticker": row["ticker"],
            "market_tickers": row["ticker"],
            "series_ticker": row["event_ticker"].partition("-")[0],
            "start_ts": begin_s,
            "end_ts": begin_s + min(5_000 * minutes * 60, 6 * 86_400),
            "period_interval": minutes,
            "show_historical": "true",
            "limit": 50,
        }
        if path == "/historical/markets":
            del known["ticker"]
        case = operation.Case(
            path_parameters={parameter.name: known[parameter.name] for parameter in operation.path_parameters},
            query={p.name: known[p.name] for p in operation.query if p.name in known and p.name != "tickers"},
        )
        response = case.call(session=exchange.session)
        case.validate_response(response, checks=[*SHAPE_CHECKS, status_code_conformance])
        assert response.status_code == 200
