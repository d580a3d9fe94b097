"""Faults on demand: what an exchange does on a bad day, at the request it is told to do it.

Belongs here: counting requests towards a fault, and what a fault does to an answer. Does not belong here: limits and
refusals of the healthy exchange.
"""

import asyncio
from collections import Counter
from dataclasses import dataclass
from typing import Final

import orjson
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from kalshi_pipelines.sandbox.errors import nested, too_many_requests
from kalshi_pipelines.sandbox.json_spans import elements, members
from kalshi_pipelines.sandbox.pagination import BEFORE_ALL, cursor_after

KINDS: Final = (
    "latency", "rate_limit", "server_error", "html_error", "cut_connection", "truncated_json", "repeated_cursor",
    "malformed_record",
)  # fmt: skip
_BROKEN_MEMBERS: Final[dict[str, tuple[str, object]]] = {
    "markets": ("yes_bid_dollars", 0.57),
    "events": ("event_ticker", 57),
    "series": ("ticker", 57),
    "trades": ("yes_price_dollars", 0.57),
    "orderbooks": ("orderbook_fp", "57"),
    "candlesticks": ("volume_fp", 0.57),
}
_HTML: Final = b"<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"


class UnknownFault(ValueError):
    """A fault that is not described well enough to be injected."""


@dataclass(frozen=True)
class Fault:
    """A fault of one endpoint: from its ``at``-th request after injection on, for ``times`` requests.

    ``seconds`` belongs to ``latency``. ``malformed_record`` puts ``value`` into the member ``field`` of record number
    ``record`` of a page (default: the middle one, with a member and a value that fit the endpoint).
    """

    endpoint: str
    kind: str
    at: int = 1
    times: int = 1
    seconds: float = 0.5
    field: str | None = None
    value: object = None
    record: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UnknownFault(f"kind {self.kind!r} is none of {', '.join(KINDS)}")
        if self.at < 1 or self.times < 1 or self.seconds < 0:
            raise UnknownFault("at and times start at 1, seconds at 0")


class FaultPlan:
    """The faults that are due, counted by endpoint from the moment each was injected."""

    def __init__(self) -> None:
        self._seen: Counter[str] = Counter()
        self._faults: list[tuple[Fault, int]] = []

    def inject(self, fault: Fault) -> None:
        """Plan a fault; its first request is the next one of its endpoint."""
        self._faults.append((fault, self._seen[fault.endpoint]))

    def clear(self) -> None:
        """Forget all faults."""
        self._faults.clear()

    def due(self, endpoint: str) -> list[Fault]:
        """Count a request to an endpoint; the faults that hit it."""
        self._seen[endpoint] += 1
        seen = self._seen[endpoint]
        due = [
            fault
            for fault, before in self._faults
            if fault.endpoint == endpoint and fault.at <= seen - before < fault.at + fault.times
        ]
        self._faults = [
            (fault, before)
            for fault, before in self._faults
            if self._seen[fault.endpoint] - before < fault.at + fault.times - 1
        ]
        return due


class CutResponse(Response):
    """A response that promises its whole length and ends the connection half-way."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the head and half of the body, and return: the server closes the connection."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": bytes(self.body[: len(self.body) // 2]), "more_body": True})


async def before_answer(faults: list[Fault]) -> Response | None:
    """Faults that strike before the exchange looks at a request: waiting, refusing, a broken gateway."""
    for fault in faults:
        if fault.kind == "latency":
            await asyncio.sleep(fault.seconds)
        elif fault.kind == "rate_limit":
            raise too_many_requests()
        elif fault.kind == "server_error":
            raise nested(500, "internal_server_error", "internal server error")
        elif fault.kind == "html_error":
            return Response(_HTML, 502, media_type="text/html")
    return None


def after_answer(faults: list[Fault], content: bytes, sent_cursor: str) -> Response | None:
    """Faults that spoil a good answer; None if none is due."""
    kinds = {fault.kind: fault for fault in faults}
    spoiled = content
    if "repeated_cursor" in kinds:
        spoiled = _with_cursor(spoiled, sent_cursor or cursor_after(BEFORE_ALL))
    if "malformed_record" in kinds:
        spoiled = _with_broken_record(spoiled, kinds["malformed_record"])
    if "truncated_json" in kinds:
        spoiled = spoiled[: max(1, len(spoiled) * 2 // 3)]
    if "cut_connection" in kinds:
        return CutResponse(spoiled, media_type="application/json")
    return None if spoiled is content else Response(spoiled, media_type="application/json")


def _with_cursor(content: bytes, cursor: str) -> bytes:
    text = content.decode()
    span = members(text).get("cursor")
    if span is None:
        return content
    return (text[: span.start] + orjson.dumps(cursor).decode() + text[span.end :]).encode()


def _with_broken_record(content: bytes, fault: Fault) -> bytes:
    text = content.decode()
    name, start = next(
        ((key, span.start) for key, span in members(text).items() if isinstance(span.value, list)), ("", -1)
    )
    records = list(elements(text, start)) if start >= 0 else []
    if not records:
        return content
    record = records[len(records) // 2 if fault.record is None else min(fault.record, len(records) - 1)]
    field, value = _BROKEN_MEMBERS.get(name, ("ticker", 57))
    if fault.field is not None:
        field, value = fault.field, fault.value
    return _with_member(text, record.start, field, value).encode()


def _with_member(text: str, record_start: int, field: str, value: object) -> str:
    written = orjson.dumps(value).decode()
    span = members(text, record_start).get(field)
    if span is None:
        return f"{text[: record_start + 1]}{orjson.dumps(field).decode()}:{written},{text[record_start + 1 :]}"
    return text[: span.start] + written + text[span.end :]
