"""Judgements of the exchange's answers: an order that may have reached the exchange is never called rejected."""

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalshi_pipelines.execution.orders.answers import (
    REFUSING_STATUSES,
    OrderAnswer,
    SendFailure,
    error_text,
    judge_answer,
)
from kalshi_pipelines.execution.orders.states import OrderState
from kalshi_pipelines.execution.orders.terms import OrderId, TimeInForce
from kalshi_pipelines_tests.support.execution.exchange_answers import JSON, refusal
from kalshi_pipelines_tests.support.execution.requests import REQUEST

ACCEPTED = {
    "order_id": "09cb3de3-aacb-4446-b98b-3fe3b8355d59",
    "client_order_id": "kx1-abcdefgh",
    "fill_count": "0.00",
    "remaining_count": "10.50",
    "ts_ms": 1_795_385_703_834,
}


def _accepted(**changes: Any) -> OrderAnswer:
    return OrderAnswer(201, json.dumps({**ACCEPTED, **changes}).encode())


@pytest.mark.parametrize(
    ("filled", "remaining", "state"),
    [
        ("0.00", "10.50", OrderState.RESTING),
        ("4.00", "6.50", OrderState.RESTING),
        ("10.50", "0.00", OrderState.EXECUTED),
        ("4.00", "0.00", OrderState.CANCELED),
        ("0.00", "0.00", OrderState.CANCELED),
    ],
)
def test_accepted_order_state_follows_its_filled_and_remaining_counts(
    filled: str, remaining: str, state: OrderState
) -> None:
    verdict = judge_answer(_accepted(fill_count=filled, remaining_count=remaining), REQUEST)
    assert (verdict.state, verdict.order_id) == (state, OrderId(ACCEPTED["order_id"]))  # type: ignore[arg-type]
    assert verdict.ts_ms == 1_795_385_703_834
    assert (verdict.filled, verdict.remaining) == tuple(int(Decimal(text) * 100) for text in (filled, remaining))
    assert verdict.detail == f"201, {filled} contracts filled, {remaining} contracts remaining"


@pytest.mark.parametrize("changes", [{"ts_ms": 0}, {"ts_ms": 2**53 - 1}, {"fill_count": 4.5, "remaining_count": 6}])
def test_accepted_order_with_recordable_numbers_is_accepted(changes: dict[str, Any]) -> None:
    body = json.dumps({**ACCEPTED, **changes}).replace(" 6,", ' "6.00",')
    assert judge_answer(OrderAnswer(201, body.encode()), REQUEST).state is OrderState.RESTING


@pytest.mark.parametrize(
    "changes",
    [
        {"order_id": None},
        {"order_id": ""},
        {"order_id": "../orders"},
        {"client_order_id": "kx1-somebody"},
        {"client_order_id": None},
        {"fill_count": 0},
        {"fill_count": "nan"},
        {"fill_count": "-1.00"},
        {"fill_count": "10.00", "remaining_count": "10.00"},
        {"remaining_count": "10.51"},
        {"fill_count": "10.50", "remaining_count": "-1.00"},
        {"ts_ms": "soon"},
        {"ts_ms": True},
        {"ts_ms": -1},
        {"ts_ms": 2**53},
    ],
)
def test_F09_2xx_answer_that_does_not_describe_our_order_is_unknown(changes: dict[str, Any]) -> None:
    assert judge_answer(_accepted(**changes), REQUEST).state is OrderState.UNKNOWN


def test_F09_order_that_may_not_rest_but_is_reported_resting_is_unknown() -> None:
    at_once = replace(REQUEST, time_in_force=TimeInForce.IMMEDIATE_OR_CANCEL, expires_us=None, post_only=False)
    assert judge_answer(_accepted(), at_once).state is OrderState.UNKNOWN


def test_F09_fill_or_kill_order_that_is_partly_filled_is_unknown() -> None:
    whole = replace(REQUEST, time_in_force=TimeInForce.FILL_OR_KILL, expires_us=None, post_only=False)
    states = [
        judge_answer(_accepted(fill_count=filled, remaining_count="0.00"), whole).state
        for filled in ("0.00", "4.00", "10.50")
    ]
    assert states == [OrderState.CANCELED, OrderState.UNKNOWN, OrderState.EXECUTED]


@given(st.binary(max_size=200) | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps))
def test_F09_any_2xx_body_is_judged_and_never_rejected(body: bytes | str) -> None:
    answer = OrderAnswer(201, body if isinstance(body, bytes) else body.encode())
    assert judge_answer(answer, REQUEST).state is OrderState.UNKNOWN


#: Errors in the exchange's documented formats, as recorded.
DOCUMENTED = (
    b'{"error":{"code":"invalid_price","message":"invalid price"}}',
    b'{"error":{"code":"invalid_order","message":"invalid order","details":"post only cross"}}',
    b'{"error":{"code":"insufficient_balance","message":"insufficient balance","service":"exchange"}}',
    b'{"code":"bad_request","message":"bad request","details":"json: cannot unmarshal number"}',
    b' {"error": {"message": "user not found", "code": "user_not_found:_7d1f", "details": null}}\n',
    b'{"msg":"Parameter validation failed for CreateOrder: Key: \'Params.Count\'"}',
    b'{"error":{"code":"MARKET_INACTIVE","message":"le march\xc3\xa9 est ferm\xc3\xa9"}}',
)
#: Bodies that the exchange does not document. A proxy, a CDN or a broken connection may have made them.
UNDOCUMENTED = (
    b"",
    b"<html><head><title>403 Forbidden</title></head></html>",
    b"Forbidden",
    b"null",
    b"[]",
    b"{}",
    b'"forbidden"',
    b'[{"error":{"code":"a","message":"b"}}]',
    b'{"error":{"code":"invalid_price","message":"invalid pri',
    b'{"error":{"code":"invalid_price","message":"invalid price"}}{}',
    b'{"error":{"code":"invalid_price"}}',
    b'{"error":{"message":"invalid price"}}',
    b'{"error":{"code":"","message":"invalid price"}}',
    b'{"error":{"code":"invalid_price","message":" "}}',
    b'{"error":{"code":1020,"message":"Access denied"}}',
    b'{"error":{"code":"a","message":"b","status":"PERMISSION_DENIED"}}',
    b'{"error":{"code":"a","message":"b","details":[]}}',
    b'{"error":{"code":"a","message":"b"},"request_id":"1"}',
    b'{"error":{"code":"a","code":"a","message":"b"}}',
    b'{"error":{"error":{"code":"a","message":"b"}}}',
    b'{"error":"too many requests"}',
    b'{"error":null}',
    b'{"message":"Forbidden"}',
    b'{"code":"a","message":"b","type":"proxy"}',
    b'{"msg":"Access denied"}',
    b'{"msg":["Parameter validation failed for CreateOrder"]}',
    '{"error":{"code":"a","message":"b"}}'.encode("utf-16"),
    b'\xff{"error":{"code":"a","message":"b"}}',
    b'{"error":{"code":"a","message":"' + b"b" * 10_000 + b'"}}',
    b"[" * 100_000,
)


@pytest.mark.parametrize("status", range(100, 600))
def test_F11_F65_only_documented_refusals_of_the_exchange_are_rejections(status: int) -> None:
    for body in DOCUMENTED:
        state = judge_answer(OrderAnswer(status, body, content_type=JSON), REQUEST).state
        assert state is (OrderState.REJECTED if status in (400, 401, 403, 404, 410) else OrderState.UNKNOWN)
    for body in UNDOCUMENTED:
        assert judge_answer(OrderAnswer(status, body, content_type=JSON), REQUEST).state is OrderState.UNKNOWN


@pytest.mark.parametrize(
    ("content_type", "state"),
    [
        ("application/json", OrderState.REJECTED),
        ("application/json; charset=utf-8", OrderState.REJECTED),
        ("Application/JSON", OrderState.REJECTED),
        ("", OrderState.UNKNOWN),
        ("text/html", OrderState.UNKNOWN),
        ("text/plain", OrderState.UNKNOWN),
        ("application/problem+json", OrderState.UNKNOWN),
    ],
)
def test_F11_F65_refusal_of_another_content_type_is_unknown(content_type: str, state: OrderState) -> None:
    for body in DOCUMENTED:
        assert judge_answer(OrderAnswer(403, body, content_type=content_type), REQUEST).state is state


def test_F11_every_recorded_error_of_the_exchange_is_recognised(recordings: Path) -> None:
    found = 0
    for meta in sorted(recordings.glob("**/*.meta.json")):
        status = json.loads(meta.read_bytes()).get("status")
        if isinstance(status, int) and status >= 400:
            body = meta.with_name(meta.name.replace(".meta.json", ".json")).read_bytes()
            state = judge_answer(OrderAnswer(status, body, content_type=JSON), REQUEST).state
            assert state is (OrderState.UNKNOWN if status == 409 else OrderState.REJECTED), meta
            found += 1
    assert found >= 19


@given(
    st.binary(max_size=300) | st.recursive(st.none() | st.text(), st.lists).map(lambda made: json.dumps(made).encode())
)
def test_F11_F65_any_other_error_body_never_rejects_an_order(body: bytes) -> None:
    for status in REFUSING_STATUSES:
        assert judge_answer(OrderAnswer(status, body, content_type=JSON), REQUEST).state is OrderState.UNKNOWN


def test_F10_conflicting_client_order_id_is_unknown() -> None:
    assert 409 not in REFUSING_STATUSES
    verdict = judge_answer(refusal(409, "order_already_exists"), REQUEST)
    assert verdict.state is OrderState.UNKNOWN
    assert "order_already_exists" in verdict.detail


def test_F06_missing_answer_is_unknown_unless_no_byte_could_have_left() -> None:
    lost = OrderAnswer(None, failure=SendFailure.LOST, detail="read timeout")
    unsent = OrderAnswer(None, failure=SendFailure.NOT_SENT, detail="connection refused")
    assert judge_answer(lost, REQUEST).state is OrderState.UNKNOWN
    assert judge_answer(unsent, REQUEST).state is OrderState.REJECTED
    assert judge_answer(OrderAnswer(None), REQUEST).state is OrderState.UNKNOWN
    assert judge_answer(OrderAnswer(400, failure=SendFailure.LOST), REQUEST).state is OrderState.UNKNOWN


@given(
    st.none() | st.integers(), st.binary(max_size=300), st.none() | st.sampled_from(SendFailure), st.text(max_size=400)
)
def test_F11_any_answer_gets_a_verdict_with_a_short_detail(
    status: int | None, body: bytes, failure: SendFailure | None, detail: str
) -> None:
    verdict = judge_answer(OrderAnswer(status, body, failure, detail, content_type=JSON), REQUEST)
    assert len(verdict.detail) <= 300
    if verdict.state is OrderState.REJECTED:
        assert failure is SendFailure.NOT_SENT or (failure is None and status in REFUSING_STATUSES)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"error":{"code":"invalid_price","message":"off the grid"}}', "invalid_price: off the grid"),
        (b'{"code":"bad_request","message":"cannot unmarshal"}', "bad_request: cannot unmarshal"),
        (b'{"msg":"Parameter validation failed"}', "Parameter validation failed"),
        (b'{"error":"too many requests"}', "too many requests"),
        (b'{"code":"c","details":"d"}', "c: d"),
        (b'{"other":1}', '{"other":1}'),
        (b"<html>502\x00\n</html>", "<html>502  </html>"),
        (b"[" * 100_000, "[["),
    ],
)
def test_error_bodies_of_every_format_are_read(body: bytes, said: str) -> None:
    assert said in error_text(body)
    assert said in judge_answer(OrderAnswer(429, body), REQUEST).detail


def test_answer_without_a_status_is_unknown() -> None:
    assert judge_answer(OrderAnswer(None, b""), REQUEST).state is OrderState.UNKNOWN


@pytest.mark.parametrize("body", [b"[1]", b"7", b"null"])
def test_error_body_that_is_not_an_object_is_shown_unchanged(body: bytes) -> None:
    assert error_text(body) == body.decode()
