"""Effects of faults: on a request before the exchange reads it, on its handling, and on its response.

Belongs here: the effects that HTTP can express. Does not belong here: choosing the affected requests (``plan``), and
responses below HTTP (``wire``).
"""

import asyncio
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final
from uuid import NAMESPACE_OID, uuid5

import orjson
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from kalshi_pipelines.sandbox.errors import nested, too_many_requests
from kalshi_pipelines.sandbox.faults.lists import as_empty_page, as_last_page, with_cursor, without_hidden_rows
from kalshi_pipelines.sandbox.faults.plan import Fault
from kalshi_pipelines.sandbox.faults.wire import DroppedResponse, DuplicatedResponse
from kalshi_pipelines.sandbox.markets.json_spans import elements, members
from kalshi_pipelines.sandbox.pagination import BEFORE_ALL, cursor_after
from kalshi_pipelines.units import SECOND_US

_BROKEN_MEMBERS: Final[dict[str, tuple[str, object]]] = {
    "markets": ("yes_bid_dollars", 0.57),
    "events": ("event_ticker", 57),
    "series": ("ticker", 57),
    "trades": ("yes_price_dollars", 0.57),
    "orderbooks": ("orderbook_fp", "57"),
    "candlesticks": ("volume_fp", 0.57),
}
_GATEWAY_PAGE: Final = "<html><head><title>{0}</title></head><body><h1>{0}</h1></body></html>"
NO_CONTENT: Final = 204
_GARBAGE: Final = b"\x1f\x8b\x08\x00 upstream said: {order_id:"
_STAMPS: Final = re.compile(rb'("ts_ms":)(\d+)')
_ORDER_NAMES: Final = ("order_id", "client_order_id", "order_group_id")
_BEFORE_LATE: Final = ("drop_after_apply", "status_after_apply", "garbage_after_apply", "empty_after_apply")
_COUNTS: Final = ("_count", "_count_fp", "reduced_by", "reduced_by_fp")


@dataclass(frozen=True)
class SandboxAnswer:
    """Response that the exchange would send without faults."""

    status: int
    content: bytes

    @property
    def is_good(self) -> bool:
        """Whether the response's status is a success."""
        return self.status < 400

    def response(self) -> Response:
        """Convert the exchange's answer to an HTTP response."""
        if self.status == NO_CONTENT:
            return Response(status_code=NO_CONTENT)
        return Response(self.content, self.status, media_type="application/json")


def find_fault(faults: Sequence[Fault], kind: str) -> Fault | None:
    """Return the first of the faults that has the given kind, or None."""
    return next((fault for fault in faults if fault.kind == kind), None)


def skew_us(faults: Sequence[Fault]) -> int:
    """Return how far the faults make the exchange's clock wrong for a request, in microseconds."""
    return sum(int(fault.seconds * SECOND_US) for fault in faults if fault.kind == "clock_skew")


class CutResponse(Response):
    """A response that breaks off: its headers announce the full length, but only half of the body is sent."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the headers and half of the body. The server then closes the connection."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": bytes(self.body[: len(self.body) // 2]), "more_body": True})


async def before_answer(faults: Sequence[Fault]) -> Response | None:
    """Apply the faults that act before the exchange reads a request.

    These faults are latency, a refused connection, and a gateway error.
    """
    for fault in faults:
        if fault.kind == "latency":
            await asyncio.sleep(fault.seconds)
        elif fault.kind == "rate_limit":
            raise too_many_requests()
        elif fault.kind == "server_error":
            raise nested(500, "internal_server_error", "internal server error")
        elif fault.kind == "html_error":
            return _gateway(502, "502 Bad Gateway")
        elif fault.kind == "refuse":
            return DroppedResponse(reset=fault.reset)
    return None


def after_answer(faults: Sequence[Fault], answer: SandboxAnswer, sent_cursor: str) -> Response:
    """Return the response to a handled request, changed or replaced by the request's faults."""
    content = answer.content
    if answer.is_good:
        content = _spoiled(faults, content, sent_cursor)
    if skew := skew_us(faults):
        content = _STAMPS.sub(lambda stamp: b"%b%d" % (stamp[1], int(stamp[2]) + skew // 1_000), content)
    given = SandboxAnswer(answer.status, content)
    for fault in faults:
        replaced = _replaced(fault, given)
        if replaced is not None:
            return replaced
    return given.response()


def answer_before_late(faults: Sequence[Fault], delay: Fault, success: int) -> Response:
    """Return the immediate response to a request that the fault ``delay`` postpones.

    This response is never sent (see ``DroppedResponse``), unless another fault of the request supplies a response.
    """
    for fault in faults:
        if fault.kind in _BEFORE_LATE and (replaced := _replaced(fault, SandboxAnswer(success, b""))) is not None:
            return replaced
    return DroppedResponse(hold=delay.hold, reset=delay.reset)


def _replaced(fault: Fault, answer: SandboxAnswer) -> Response | None:
    """Return the response that a fault sends instead of the exchange's own, or None if the fault sends no other
    response.
    """
    success = 200 if answer.status == NO_CONTENT or not answer.is_good else answer.status
    response: Response | None = None
    if fault.kind == "drop_after_apply":
        response = DroppedResponse(reset=fault.reset)
    elif fault.kind == "status_after_apply":
        response = _failed(fault.status)
    elif fault.kind == "garbage_after_apply":
        response = Response(_GARBAGE, success, media_type="application/json")
    elif fault.kind == "empty_after_apply":
        response = Response(b"{}", success, media_type="application/json")
    elif fault.kind == "answered_twice":
        response = DuplicatedResponse(answer.content, answer.status, media_type="application/json")
    elif fault.kind == "cut_connection" and answer.is_good:
        # A response without a body cannot be cut in the middle.
        has_body = answer.content and answer.status != NO_CONTENT
        response = (
            CutResponse(answer.content, answer.status, media_type="application/json") if has_body else DroppedResponse()
        )
    return response


def _failed(status: int) -> Response:
    """Return an error response that does not tell whether the request took effect.

    For the statuses 429, 500 and 503, the response looks like the exchange's own. For any other status, it looks like
    the response of a gateway in front of the exchange.
    """
    if status == 429:
        refusal = too_many_requests()
    elif status == 500:
        refusal = nested(500, "internal_server_error", "internal server error")
    elif status == 503:
        refusal = nested(503, "service_unavailable", "service unavailable")
    else:
        return _gateway(status, f"{status} Error")
    return Response(refusal.content, status, media_type="application/json")


def _gateway(status: int, title: str) -> Response:
    return Response(_GATEWAY_PAGE.format(title), status, media_type="text/html")


def _spoiled(faults: Sequence[Fault], content: bytes, sent_cursor: str) -> bytes:
    kinds = {fault.kind: fault for fault in faults}
    if "repeated_cursor" in kinds:
        content = with_cursor(content, sent_cursor or cursor_after(BEFORE_ALL))
    if "last_page" in kinds:
        content = as_last_page(content, kinds["last_page"])
    if "empty_page" in kinds:
        content = as_empty_page(content)
    if "hidden_rows" in kinds:
        content = without_hidden_rows(content, kinds["hidden_rows"])
    if "malformed_record" in kinds:
        content = _with_broken_record(content, kinds["malformed_record"])
    if "wrong_echo" in kinds:
        content = _of_another_order(content, kinds["wrong_echo"])
    if "truncated_json" in kinds:
        content = content[: max(1, len(content) * 2 // 3)]
    return content


def _of_another_order(content: bytes, fault: Fault) -> bytes:
    """Rewrite a response so that it describes another order or group: new ids, and one contract more in each count."""
    body = orjson.loads(content or b"{}")
    for order in _orders_in(body):
        if fault.field is not None:
            order[fault.field] = fault.value
            continue
        for name, value in order.items():
            if name in _ORDER_NAMES:
                order[name] = str(uuid5(NAMESPACE_OID, str(value)))
            elif name.endswith(_COUNTS) and isinstance(value, str):
                order[name] = str(Decimal(value) + 1)
    return orjson.dumps(body)


def _orders_in(value: object) -> Iterator[dict[str, Any]]:
    if isinstance(value, list):
        for item in value:
            yield from _orders_in(item)
    elif isinstance(value, dict):
        if "order_id" in value or "order_group_id" in value:
            yield value
        for item in value.values():
            yield from _orders_in(item)


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
