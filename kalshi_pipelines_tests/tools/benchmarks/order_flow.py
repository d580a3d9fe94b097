"""Benchmark of order round trips through the sandbox in one process, with signatures and JSON but without sockets.

The orderbook starts with a given number of resting orders. The ratio of two sizes shows whether a full book is slower.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.applications import Starlette

from kalshi_pipelines.sandbox.app import sandbox_app
from kalshi_pipelines.sandbox.exchange import Exchange
from kalshi_pipelines.sandbox.markets.recordings import API_ROOT
from kalshi_pipelines.sandbox.options import SandboxOptions, exchange_of
from kalshi_pipelines.sandbox.trading.commands import NewOrder
from kalshi_pipelines.sandbox.trading.events import KeyRegistered
from kalshi_pipelines_tests.support.sandbox.signing import RequestSigner

ORDERS = f"{API_ROOT}/portfolio/events/orders"
MEMBER, DOLLARS = "bench", 10_000_000
REQUESTS = 4_000
Message = dict[str, Any]


@dataclass
class Request:
    """A request that is ready to be sent."""

    scope: Message
    body: bytes


def order_round_trips(resting: int) -> tuple[int, float]:
    """Place and cancel orders in a book with ``resting`` orders; return the number of requests and their seconds."""
    exchange = exchange_of(SandboxOptions(markets=200, combos=0, tick_seconds=0, tier="unlimited", crowd=False))
    signer = RequestSigner("bench-key")
    ticker = _furnish(exchange, signer, resting)
    app = sandbox_app(exchange)
    creates = [_request(signer, "POST", ORDERS, orjson.dumps(_terms(ticker, number))) for number in range(REQUESTS)]
    with asyncio.Runner() as runner:
        started = time.perf_counter()
        answers = runner.run(_send(app, creates))
        seconds = time.perf_counter() - started
        placed = [orjson.loads(answer)["order_id"] for answer in answers]
        cancels = [_request(signer, "DELETE", f"{ORDERS}/{order_id}", b"") for order_id in placed]
        started = time.perf_counter()
        runner.run(_send(app, cancels))
        seconds += time.perf_counter() - started
    return 2 * REQUESTS, seconds


def _furnish(exchange: Exchange, signer: RequestSigner, resting: int) -> str:
    """Create a member with money and a key, and a market with resting orders; return the market's ticker."""
    venue = exchange.venue
    now_us = venue.advance()
    venue.engine.accounts.join(MEMBER, at_us=now_us)
    venue.engine.accounts.deposit(MEMBER, 0, 0, DOLLARS * 1_000_000, at_us=now_us)
    venue.engine.recorder.emit(
        KeyRegistered(
            at_us=now_us, key_id=signer.key_id, member=MEMBER, name="bench", public_key=signer.public_pem,
            scopes=("read", "write"),
        )
    )  # fmt: skip
    for ticker, row in exchange.catalogue.markets.items():
        if row.status == "active":
            venue.ensure_open(ticker)
            facts = venue.state.markets[ticker].facts
            if facts.shard == 0 and facts.price_ranges == ((0, 10_000, 100),):
                break
    for number in range(resting):
        venue.engine.place(NewOrder(MEMBER, 0, ticker, "bid", 100 + number % 40 * 100, 100), at_us=now_us)
    return ticker


def _terms(ticker: str, number: int) -> Message:
    return {
        "ticker": ticker, "client_order_id": f"order-{number}", "side": "bid", "count": "1.00",
        "price": f"0.{1 + number % 40:02d}00", "time_in_force": "good_till_canceled",
        "self_trade_prevention_type": "taker_at_cross",
    }  # fmt: skip


def _request(signer: RequestSigner, method: str, path: str, body: bytes) -> Request:
    headers = {**signer.headers(method, path), "content-type": "application/json", "host": "sandbox"}
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "path": path,
        "raw_path": path.encode(), "query_string": b"", "root_path": "", "scheme": "http",
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80),
    }  # fmt: skip
    return Request(scope, body)


async def _send(app: Starlette, requests: Sequence[Request]) -> list[bytes]:
    """Send requests one after the other, and return the bodies of the responses."""
    answers = []
    for request in requests:
        parts: list[Message] = []

        async def receive(request: Request = request) -> Message:
            return {"type": "http.request", "body": request.body, "more_body": False}

        async def send(message: Any, parts: list[Message] = parts) -> None:
            parts.append(message)

        await app(request.scope, receive, send)
        assert parts[0]["status"] in {200, 201}, parts
        answers.append(b"".join(part.get("body", b"") for part in parts[1:]))
    return answers
