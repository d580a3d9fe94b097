"""Serving of API requests.

The steps are: record the request, apply faults, check signature, scope and token budgets, build the response, write the
truth log.

Belongs here: the order of the steps. Does not belong here: the steps themselves, and the table of endpoints (``app``).
"""

from collections.abc import Sequence
from dataclasses import replace
from email.utils import formatdate
from functools import partial

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from kalshi_pipelines.sandbox.access.memberships import allows
from kalshi_pipelines.sandbox.access.signatures import KEY_HEADER, SignedText, unsigned
from kalshi_pipelines.sandbox.api.endpoints import Call, Endpoint
from kalshi_pipelines.sandbox.api.validation import Query
from kalshi_pipelines.sandbox.errors import ErrorResponse, forbidden, refusal
from kalshi_pipelines.sandbox.exchange import EndpointRecord, Exchange
from kalshi_pipelines.sandbox.faults.effects import (
    SandboxAnswer,
    after_answer,
    answer_before_late,
    before_answer,
    find_fault,
    skew_us,
)
from kalshi_pipelines.sandbox.faults.past_venue import PastVenue
from kalshi_pipelines.sandbox.faults.plan import Fault, ObservedRequest
from kalshi_pipelines.sandbox.faults.wire import UNANSWERED
from kalshi_pipelines.sandbox.markets.recordings import API_ROOT
from kalshi_pipelines.sandbox.trading.commands import RequestRefused
from kalshi_pipelines.sandbox.trading.records import ApiKey
from kalshi_pipelines.units import SECOND_US


class Service:
    """Handler of all requests to one endpoint of an exchange."""

    def __init__(self, exchange: Exchange, endpoint: Endpoint) -> None:
        self._exchange = exchange
        self._endpoint = endpoint

    async def serve(self, request: Request) -> Response:
        """Answer a request, or let it fail as the injected faults demand."""
        exchange = self._exchange
        record = exchange.journal.record_arrival(self._endpoint.name, exchange.clock.now_us())
        try:
            body = await request.body()
        except ClientDisconnect:
            # The client disconnected before its request was complete. The request has no effect and gets no response.
            record.statuses[UNANSWERED] += 1
            return Response()
        faults = exchange.faults.count_request(
            ObservedRequest(self._endpoint.name, request.path_params, request.query_params, body)
        )
        response = await self._answer_early(faults) if faults else None
        if response is None:
            try:
                response = self._answer(request, body, faults, record)
            finally:
                # Write the truth log before answering. Otherwise a crash could lose an event that a client already
                # knows of.
                exchange.log.flush()
        is_signed = KEY_HEADER in request.headers
        response = exchange.drift.apply(self._endpoint.name, response, is_signed=is_signed)
        record.statuses[response.status_code] += 1
        return dated(exchange, response, skew_us(faults))

    async def _answer_early(self, faults: Sequence[Fault]) -> Response | None:
        try:
            return await before_answer(faults)
        except ErrorResponse as error:
            return _refused(error).response()

    def _answer(self, request: Request, body: bytes, faults: Sequence[Fault], record: EndpointRecord) -> Response:
        exchange = self._exchange
        now_us = exchange.venue.advance()
        try:
            call = self._admit(request, body, now_us, skew_us(faults), record)
        except ErrorResponse as error:
            return after_answer(faults, _refused(error), "")
        if faults:
            call = replace(call, faults=faults)
        if (delay := find_fault(faults, "delay")) is not None:
            due_us = now_us + int(delay.seconds * SECOND_US)
            times = 1 if find_fault(faults, "applied_twice") is None else 2
            exchange.venue.schedule(due_us, partial(self._apply_late, request, call, record, times))
            return answer_before_late(faults, delay, self._endpoint.success)
        if (stale := find_fault(faults, "stale_read")) is not None:
            # A fault makes reads show an earlier state. That state must not be later than the state that all portfolio
            # reads show.
            as_of_us = min(now_us - int(stale.seconds * SECOND_US), exchange.venue.as_of_us())
            past = PastVenue(exchange.venue, as_of_us)
            exchange = replace(exchange, venue=past)
        if find_fault(faults, "applied_twice") is not None:
            self._handle(exchange, request, call)
        answer = self._handle(exchange, request, call)
        return after_answer(faults, answer, call.query.cursor) if faults else answer.response()

    def _admit(self, request: Request, body: bytes, now_us: int, skew: int, record: EndpointRecord) -> Call:
        """Check a request's signature, scope and token budgets, charge its cost, and return the admitted request.

        Raises ``ErrorResponse`` if a check fails.
        """
        exchange, endpoint = self._exchange, self._endpoint
        text = SignedText(request.method, request.scope["raw_path"].decode())
        key = exchange.keys.caller(request.headers, text, skew)
        if endpoint.needs_key:
            self._check_key(key)
        caller = None if key is None else key.key_id
        query = Query(endpoint.operation, request.query_params)
        content_type = request.headers.get("content-type", "")
        call = Call(request.path_params, query, caller, body, key, now_us, content_type)
        charges = endpoint.price(exchange.limits.cost(endpoint.name), call)
        exchange.limits.charge(caller, charges)
        record.tokens += sum(charge.tokens for charge in charges)
        return call

    def _check_key(self, key: ApiKey | None) -> None:
        endpoint = self._endpoint
        if key is None:
            raise unsigned()
        if endpoint.scope is not None and not allows(key.scopes, endpoint.scope):
            raise forbidden(f"api key lacks the scope {endpoint.scope}")
        if key.subaccount is not None and not endpoint.for_locked_keys:
            raise forbidden("api key is restricted to a subaccount")

    def _handle(self, exchange: Exchange, request: Request, call: Call) -> SandboxAnswer:
        recorded = self._find_recorded(exchange, request)
        if recorded is not None:
            return recorded
        try:
            return SandboxAnswer(self._endpoint.success, self._endpoint.answer(exchange, call))
        except ErrorResponse as error:
            return _refused(error)
        except RequestRefused as error:
            return _refused(refusal(error))

    def _find_recorded(self, exchange: Exchange, request: Request) -> SandboxAnswer | None:
        """Return the recorded response to a request, or None if there is none.

        Requests for account data, or for a market traded in the sandbox, never get a recording.
        """
        if exchange.replay is None or request.method != "GET" or self._endpoint.needs_key:
            return None
        if request.path_params.get("ticker") in exchange.venue.state.markets:
            return None
        recorded = exchange.replay.answer(request.url.path.removeprefix(API_ROOT), request.url.query)
        return None if recorded is None else SandboxAnswer(recorded.status, recorded.text.encode())

    def _apply_late(self, request: Request, call: Call, record: EndpointRecord, times: int, at_us: int) -> None:
        for _ in range(times):
            answer = self._handle(self._exchange, request, replace(call, now_us=at_us))
            record.late[answer.status] += 1


def dated(exchange: Exchange, response: Response, skew: int = 0) -> Response:
    """Set the Date header to the exchange's time, so that a client with a wrong clock can correct it."""
    response.headers["Date"] = formatdate((exchange.clock.now_us() + skew) / SECOND_US, usegmt=True)
    return response


def _refused(error: ErrorResponse) -> SandboxAnswer:
    return SandboxAnswer(error.status, error.content)
