"""A sandbox exchange inside the test process, and an HTTP client that calls it. Tests move its clock by hand."""

import asyncio
from dataclasses import dataclass
from typing import Any

import httpx
from starlette.applications import Starlette

from kalshi_pipelines.sandbox.app import sandbox_app
from kalshi_pipelines.sandbox.clock import ExchangeClock, ManualClock
from kalshi_pipelines.sandbox.exchange import Exchange
from kalshi_pipelines.sandbox.options import SandboxOptions, exchange_of

NOON_US = 1_795_348_800_000_000  # 2026-11-22T12:00:00Z
API = "/trade-api/v2"
SMALL = SandboxOptions(markets=400, combos=30, tier="unlimited")

Row = dict[str, Any]
EVENT_LOOP = asyncio.Runner()
"""The event loop of all local sandboxes. A session fixture of the sandbox tests closes it."""


class _InThisThread(httpx.BaseTransport):
    """Transport that calls an ASGI application without a server or a second thread."""

    def __init__(self, transport: httpx.ASGITransport) -> None:
        self._transport = transport

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        async def answered() -> httpx.Response:
            response = await self._transport.handle_async_request(request)
            await response.aread()
            return response

        response = EVENT_LOOP.run(answered())
        return httpx.Response(response.status_code, headers=response.headers, content=response.content)


@dataclass
class LocalSandbox:
    """A sandbox exchange and an HTTP client for it. Only ``time`` moves the exchange's clock."""

    exchange: Exchange
    time: ManualClock
    client: httpx.Client

    def get(self, path: str, **query: Any) -> httpx.Response:
        return self.client.get(API + path, params=query)

    def read(self, path: str, **query: Any) -> Any:
        response = self.get(path, **query)
        assert response.status_code == 200, response.text
        return response.json()

    def read_all(self, path: str, rows: str, **query: Any) -> list[Row]:
        found: list[Row] = []
        cursor = ""
        while True:
            page = self.read(path, cursor=cursor, **query)
            found += page[rows]
            if not page["cursor"]:
                return found
            assert page["cursor"] != cursor
            cursor = page["cursor"]

    def markets(self, **query: Any) -> list[Row]:
        return self.read_all("/markets", "markets", limit=1000, **query)

    def pass_seconds(self, seconds: int) -> None:
        self.time.microseconds += seconds * 1_000_000

    def steer(self, method: str, path: str, **body: Any) -> Any:
        response = self.client.request(method, "/sandbox" + path, json=body)
        assert response.is_success, response.text
        return response.json() if response.content else None


def in_this_thread(app: Starlette) -> httpx.Client:
    """Return a client that calls an application inside the test process."""
    transport = _InThisThread(httpx.ASGITransport(app))
    return httpx.Client(transport=transport, base_url="http://sandbox")


def local_sandbox(options: SandboxOptions) -> LocalSandbox:
    time = ManualClock(NOON_US)
    exchange = exchange_of(options, ExchangeClock(time))
    exchange.limits.monotonic_ns = lambda: time.microseconds * 1_000
    return LocalSandbox(exchange, time, in_this_thread(sandbox_app(exchange)))
