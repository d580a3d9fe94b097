"""What an answer to a new order proves: a total function, and what it can not prove it calls unknown.

Vendor facts (docs.kalshi.com "Order errors", OpenAPI 3.34.0, recordings of the demo exchange): 201 means accepted, not
resting and not filled; 400, 401, 403, 404 and 410 mean the order was not taken; after 408, 5xx and a lost connection
nobody knows. 409 says that an order of this id exists, so it is looked for. 429 is published as a refusal, too, but
whatever limits rates in front of the exchange may answer it for an order that got through: it is looked for as well.
"""

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from kalshi_pipelines.execution.orders import amounts
from kalshi_pipelines.execution.orders.canonical_json import LARGEST_INTEGER
from kalshi_pipelines.execution.orders.request import OrderRequest
from kalshi_pipelines.execution.orders.states import OrderState
from kalshi_pipelines.execution.orders.terms import InvalidTerms, OrderId, TimeInForce
from kalshi_pipelines.units import InexactValue, centicontracts

_ACCEPTED: Final = range(200, 300)
#: Answers that prove the order was not taken.
REFUSING_STATUSES: Final = frozenset({400, 401, 403, 404, 410})
_MOST_TEXT: Final = 300


class SendFailure(StrEnum):
    """Why there is no answer."""

    NOT_SENT = "not_sent"
    """It failed before any byte of the request could leave: name, connection, TLS, signature."""
    LOST = "lost"
    """Anything after that."""


@dataclass(frozen=True, slots=True)
class OrderAnswer:
    """What came back from the one attempt to place an order."""

    status: int | None
    """HTTP status; None without an answer."""
    body: bytes = b""
    failure: SendFailure | None = None
    detail: str = ""
    """For people: what failed. Never a header, a signature or a key."""
    server_us: int | None = None
    """The end of the second the exchange's own clock showed."""


@dataclass(frozen=True, slots=True)
class AnswerVerdict:
    """The state an answer proves.

    ``order_id``, ``filled`` and ``remaining`` (centi-contracts) are set for an accepted order, ``ts_ms`` is the
    exchange's own time of it.
    """

    state: OrderState
    detail: str
    order_id: OrderId | None = None
    filled: int = 0
    remaining: int = 0
    ts_ms: int | None = None


def judge_answer(answer: OrderAnswer, request: OrderRequest) -> AnswerVerdict:
    """The state of an order after an answer to it. Never raises; in doubt ``UNKNOWN``."""
    if answer.failure is SendFailure.NOT_SENT:
        return AnswerVerdict(OrderState.REJECTED, f"not sent: {answer.detail}"[:_MOST_TEXT])
    if answer.status is None or answer.failure is not None:
        return AnswerVerdict(OrderState.UNKNOWN, f"no answer: {answer.detail}"[:_MOST_TEXT])
    if answer.status in _ACCEPTED:
        return _judge_acceptance(answer, request)
    if answer.status in REFUSING_STATUSES:
        return AnswerVerdict(OrderState.REJECTED, f"{answer.status} {error_text(answer.body)}"[:_MOST_TEXT])
    return AnswerVerdict(OrderState.UNKNOWN, f"{answer.status} {error_text(answer.body)}"[:_MOST_TEXT])


def _judge_acceptance(answer: OrderAnswer, request: OrderRequest) -> AnswerVerdict:
    try:
        document = json.loads(answer.body, parse_float=str, parse_constant=str)
        order_id = OrderId(document["order_id"])
        if document["client_order_id"] != str(request.client_order_id):
            return _unknown(answer, "it is about another client order id")
        filled, remaining = centicontracts(document["fill_count"]), centicontracts(document["remaining_count"])
        ts_ms = document["ts_ms"]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, InvalidTerms, InexactValue):
        return _unknown(answer, "it does not tell of an order")
    if filled < 0 or remaining < 0 or filled + remaining > request.count.centi:
        return _unknown(answer, "it tells of more contracts than were ordered")
    if type(ts_ms) is not int or not 0 <= ts_ms <= LARGEST_INTEGER:
        return _unknown(answer, "it has no time that can be recorded")
    state = _state_of(request, filled, remaining)
    if state is None:
        return _unknown(answer, "an order of its kind can not be left like this")
    detail = f"{answer.status}, {amounts.count(filled)} filled, {amounts.count(remaining)} left"
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
    """The code and message of an error body in any of the exchange's forms, else its beginning."""
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
    """The beginning of a body as one bounded line without control characters."""
    text = body[: 4 * _MOST_TEXT].decode("utf-8", "replace")
    return "".join(sign if sign.isprintable() else " " for sign in text)[:_MOST_TEXT]
