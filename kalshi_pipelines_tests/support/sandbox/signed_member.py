"""A member that sends signed requests to a sandbox in the test process.

Helpers that build orders and read recordings belong here as well.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from kalshi_pipelines.sandbox.options import SandboxOptions
from kalshi_pipelines_tests.support.checkout import RECORDINGS
from kalshi_pipelines_tests.support.sandbox.local_sandbox import API, LocalSandbox, Row
from kalshi_pipelines_tests.support.sandbox.signing import RequestSigner

ORDERS = "/portfolio/events/orders"
BATCH = ORDERS + "/batched"
QUIET = SandboxOptions(markets=200, combos=20, tier="unlimited", warm=False, crowd=False, tick_seconds=0)


@dataclass
class SignedMember:
    """A member of the sandbox with one API key. ``deposit`` is its starting money in dollars on each shard."""

    sandbox: LocalSandbox
    member: str = "me"
    deposit: int = 1_000
    terms: Mapping[str, Any] = field(default_factory=dict)
    signer: RequestSigner = field(init=False)

    def __post_init__(self) -> None:
        key_id = f"key-of-{self.member}-{len(self.sandbox.exchange.venue.state.keys)}"
        self.signer = RequestSigner(key_id, now_ms=lambda: self.sandbox.time.microseconds // 1_000)
        self.sandbox.steer(
            "POST",
            "/keys",
            key_id=key_id,
            public_key_pem=self.signer.public_pem,
            member=self.member,
            deposit=self.deposit,
            **self.terms,
        )

    def send(self, method: str, path: str, body: object = None, **query: Any) -> httpx.Response:
        """Send a signed request, with a JSON body if ``body`` is given."""
        more: dict[str, Any] = {} if body is None else {"json": body}
        return self.sandbox.client.request(method, API + path, params=query, auth=self.signer, **more)

    def read(self, path: str, **query: Any) -> Any:
        """Send a signed GET, which must succeed, and return the response's body."""
        response = self.send("GET", path, **query)
        assert response.status_code == 200, response.text
        return response.json()

    def rows(self, path: str, name: str, **query: Any) -> list[Row]:
        """Read all pages of a list endpoint and return the rows."""
        found: list[Row] = []
        cursor = ""
        while True:
            page = self.read(path, cursor=cursor, **query)
            found += page[name]
            cursor = page.get("cursor", "")
            if not cursor:
                return found

    def place(self, ticker: str, side: str, price: str, count: str = "1.00", **terms: Any) -> Row:
        """Place an order, which the exchange must accept, and return the response."""
        response = self.send("POST", ORDERS, order(ticker, side, price, count, **terms))
        assert response.status_code == 201, response.text
        placed: Row = response.json()
        return placed

    def order(self, order_id: str) -> Row:
        """Return an order as the API shows it."""
        told: Row = self.read(f"/portfolio/orders/{order_id}")["order"]
        return told

    def balance(self, **query: Any) -> Row:
        """Return the member's balance as the API shows it."""
        told: Row = self.read("/portfolio/balance", **query)
        return told


def order(ticker: str, side: str, price: str, count: str = "1.00", **terms: Any) -> Row:
    """Return the body of an order request. Terms that are None are left out."""
    body = {
        "ticker": ticker, "side": side, "price": price, "count": count, "time_in_force": "good_till_canceled",
        "self_trade_prevention_type": "taker_at_cross", **terms,
    }  # fmt: skip
    return {name: value for name, value in body.items() if value is not None}


def error_of(response: httpx.Response) -> tuple[int, str]:
    """Return the HTTP status and the code of an error that is nested under ``error``."""
    return response.status_code, response.json()["error"]["code"]


def tickers(sandbox: LocalSandbox, shard: int = 0) -> list[str]:
    """Return the tickers of a shard's markets that have a whole-cent grid and stay open for a day."""
    later = sandbox.time.microseconds // 1_000_000 + 86_400
    return [
        row["ticker"]
        for row in sandbox.markets(status="open")
        if row["exchange_index"] == shard
        and row["price_level_structure"] == "linear_cent"
        and sandbox.exchange.catalogue.markets[row["ticker"]].close_us > later * 1_000_000
    ]


def recorded(name: str) -> tuple[Row, Any]:
    """Return a recorded request of the demo exchange and its response. If the recording is missing, skip the test."""
    folder = RECORDINGS / "demo_2026_06"
    if not (folder / f"{name}.json").is_file():
        pytest.skip(f"the recorded response {name} is not on this machine")
    asked = json.loads((folder / f"{name}.meta.json").read_text("utf-8"))
    return asked, json.loads((folder / f"{name}.json").read_text("utf-8"))


def without_service(body: Row) -> Row:
    """Return a recorded error without ``service``, which the exchange dropped from errors in August 2026."""
    return {"error": {name: text for name, text in body["error"].items() if name != "service"}}


def buy(me: SignedMember, other: SignedMember, ticker: str, price: str = "0.5000", count: str = "1.00") -> Row:
    """Buy contracts as the taker from another member, whose order is placed first."""
    other.place(ticker, "ask", price, count)
    return me.place(ticker, "bid", price, count)


def by_event(sandbox: LocalSandbox) -> list[str]:
    """Return the ticker of one market for each event."""
    return list({sandbox.exchange.catalogue.markets[name].event_ticker: name for name in tickers(sandbox)}.values())


def settle(sandbox: LocalSandbox, ticker: str, result: str = "yes", **terms: object) -> None:
    """Close, determine and finalize a market at once."""
    for status, more in (("closed", {}), ("determined", {"result": result, **terms}), ("finalized", {})):
        sandbox.steer("POST", f"/markets/{ticker}/status", status=status, **more)


def open_for_a_year(sandbox: LocalSandbox, ticker: str) -> None:
    """Move the close time of a market to a year from now."""
    for status, more in (("inactive", {}), ("active", {"close_time": "2027-11-22T12:00:00Z"})):
        sandbox.steer("POST", f"/markets/{ticker}/status", status=status, **more)
