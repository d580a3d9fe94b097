"""Judgement of the exchange's answer to a new order. An answer that proves nothing makes the order unknown.

Vendor facts (docs.kalshi.com "Order errors", OpenAPI 3.34.0, recordings of the demo exchange):

- 201 means that the order was accepted. It does not mean that the order rests or was filled.
- 400, 401, 403, 404 and 410 with a documented JSON error body mean that the order was not taken. With any other body,
  the answer may be from a proxy, and the outcome is unknown.
- After 408, 5xx or a lost connection the outcome is unknown.
- 409 means that an order with this client order id exists, so the reconciliation looks for it. The one exception is a
  fill-or-kill order that found too few contracts: its error code proves that the order ended without a fill.
- 429 is documented as a refusal. A rate limiter in front of the exchange may also send it for an order that was taken,
  so the reconciliation looks for the order.
"""

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from kalshi_pipelines.execution.orders import amounts
from kalshi_pipelines.execution.orders.canonical_json import LARGEST_INTEGER
from kalshi_pipelines.execution.orders.error_bodies import is_error_body, json_object
from kalshi_pipelines.execution.orders.ordinary_ends import is_missed_fill_or_kill, is_ordinary_refusal
from kalshi_pipelines.execution.orders.request import OrderRequest
from kalshi_pipelines.execution.orders.states import OrderState
from kalshi_pipelines.execution.orders.terms import InvalidTerms, OrderId, TimeInForce
from kalshi_pipelines.units import InexactValue, centicontracts

_ACCEPTED: Final = range(200, 300)
_OK: Final = 200
_NO_CONTENT: Final = 204
#: HTTP statuses that prove that the exchange did not accept the order, if the body is a documented JSON error.
REFUSING_STATUSES: Final = frozenset({400, 401, 403, 404, 410})
_MOST_TEXT: Final = 300


class SendFailure(StrEnum):
    """The reason why a request got no answer from the exchange."""

    NOT_SENT = "not_sent"
    """The request failed before any byte was sent: at name resolution, connection, TLS or signature."""
    LOST = "lost"
    """The request failed after bytes may have been sent."""


@dataclass(frozen=True, slots=True)
class OrderAnswer:
    """The exchange's answer to one write, or the reason why there is no answer."""

    status: int | None
    """The answer's HTTP status, or None if there is no answer."""
    body: bytes = b""
    failure: SendFailure | None = None
    detail: str = ""
    """A description of the failure for people. It never contains a header, a signature or a key."""
    server_us: int | None = None
    """The time of the answer on the exchange's clock: the end of the second named in its ``Date`` header."""
    content_type: str = ""
    """The answer's ``Content-Type`` header; empty if the header is missing."""

    @property
    def is_refusal(self) -> bool:
        """Whether this is a documented error answer of the exchange, which is no answer of a proxy or a CDN."""
        return self.status is not None and self.failure is None and is_error_body(self.body, self.content_type)

    @property
    def is_confirmation(self) -> bool:
        """Whether the exchange itself confirmed the write: a JSON object with status 200, or status 204."""
        if self.failure is not None:
            return False
        return self.status == _NO_CONTENT or (
            self.status == _OK and json_object(self.body, self.content_type) is not None
        )


@dataclass(frozen=True, slots=True)
class AnswerVerdict:
    """The state that the exchange's answer proves for an order.

    ``order_id``, ``filled`` and ``remaining`` (centi-contracts) are set for an accepted order. ``ts_ms`` is the time of
    the order on the exchange's clock.
    """

    state: OrderState
    detail: str
    order_id: OrderId | None = None
    filled: int = 0
    remaining: int = 0
    ts_ms: int | None = None
    is_ordinary: bool = False
    """Whether the order was refused or ended only because of the present book or position."""


def judge_answer(answer: OrderAnswer, request: OrderRequest) -> AnswerVerdict:
    """Return the state that an answer proves for an order, or ``UNKNOWN`` if the answer proves nothing.

    This function never raises an error.
    """
    if answer.failure is SendFailure.NOT_SENT:
        return AnswerVerdict(OrderState.REJECTED, f"not sent: {answer.detail}"[:_MOST_TEXT])
    if answer.status is None or answer.failure is not None:
        return AnswerVerdict(OrderState.UNKNOWN, f"no answer: {answer.detail}"[:_MOST_TEXT])
    if answer.status in _ACCEPTED:
        return _judge_acceptance(answer, request)
    return _judge_refusal(answer, request)


def _judge_refusal(answer: OrderAnswer, request: OrderRequest) -> AnswerVerdict:
    said = f"{answer.status} {error_text(answer.body)}"[:_MOST_TEXT]
    if is_missed_fill_or_kill(answer.body, answer.content_type, request):
        return AnswerVerdict(OrderState.CANCELED, said, is_ordinary=True)
    if answer.status in REFUSING_STATUSES and answer.is_refusal:
        is_ordinary = is_ordinary_refusal(answer.body, answer.content_type, request)
        return AnswerVerdict(OrderState.REJECTED, said, is_ordinary=is_ordinary)
    if answer.status in REFUSING_STATUSES:
        return _unknown(answer, "the body is no documented error of the exchange")
    return AnswerVerdict(OrderState.UNKNOWN, said)


def _judge_acceptance(answer: OrderAnswer, request: OrderRequest) -> AnswerVerdict:
    try:
        document = json.loads(answer.body, parse_float=str, parse_constant=str)
        order_id = OrderId(document["order_id"])
        if document["client_order_id"] != str(request.client_order_id):
            return _unknown(answer, "the answer has another client order id")
        filled, remaining = centicontracts(document["fill_count"]), centicontracts(document["remaining_count"])
        ts_ms = document["ts_ms"]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, InvalidTerms, InexactValue):
        return _unknown(answer, "the answer does not describe an order")
    if filled < 0 or remaining < 0 or filled + remaining > request.count.centi:
        return _unknown(answer, "the answer has more contracts than were ordered")
    if type(ts_ms) is not int or not 0 <= ts_ms <= LARGEST_INTEGER:
        return _unknown(answer, "the answer has no time that can be recorded")
    state = _state_of(request, filled, remaining)
    if state is None:
        return _unknown(answer, "the time in force does not allow these counts")
    detail = f"{answer.status}, {amounts.count(filled)} filled, {amounts.count(remaining)} remaining"
    return AnswerVerdict(state, detail, order_id, filled, remaining, ts_ms)


def _state_of(request: OrderRequest, filled: int, remaining: int) -> OrderState | None:
    if filled == request.count.centi:
        return OrderState.EXECUTED
    if filled and request.time_in_force is TimeInForce.FILL_OR_KILL:
        return None
    if remaining == 0:
        return OrderState.CANCELED
    return OrderState.RESTING if request.time_in_force is TimeInForce.GOOD_TILL_CANCELED else None


def _unknown(answer: OrderAnswer, why: str) -> AnswerVerdict:
    return AnswerVerdict(OrderState.UNKNOWN, f"{answer.status}, but {why}: {printable(answer.body)}"[:_MOST_TEXT])


def error_text(body: bytes) -> str:
    """Return the code and message of an error answer in any of the exchange's formats, or the beginning of the body."""
    try:
        document = json.loads(body)
        error = document.get("error", document) if isinstance(document, dict) else document
        if isinstance(error, dict):
            said = [str(error[name]) for name in ("code", "message", "msg", "details") if error.get(name)]
            if said:
                return printable(": ".join(said).encode())
        if isinstance(error, str):
            return printable(error.encode())
    except (ValueError, RecursionError):
        pass
    return printable(body)


def printable(body: bytes) -> str:
    """Return the beginning of an answer's body as one short line without control characters."""
    text = body[: 4 * _MOST_TEXT].decode("utf-8", "replace")
    return "".join(sign if sign.isprintable() else " " for sign in text)[:_MOST_TEXT]
