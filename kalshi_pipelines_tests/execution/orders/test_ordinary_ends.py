"""Answers that only tell how the market stood: a missed fill-or-kill, a post-only cross, reduce-only while flat."""

from dataclasses import replace

import pytest

from kalshi_pipelines.execution.orders.answers import OrderAnswer, judge_answer
from kalshi_pipelines.execution.orders.request import OrderRequest
from kalshi_pipelines.execution.orders.states import OrderState
from kalshi_pipelines.execution.orders.terms import TimeInForce
from kalshi_pipelines_tests.support.execution.requests import REQUEST

MISSED = '{"error":{"code":"fill_or_kill_insufficient_resting_volume","message":"too few"}}'
CROSS = '{"error":{"code":"invalid_order","message":"invalid order","details":"post only cross"}}'
FLAT = (
    '{"error":{"code":"invalid_order","message":"invalid order","details":"reduce only without a position to reduce"}}'
)
AT_ONCE = replace(REQUEST, time_in_force=TimeInForce.IMMEDIATE_OR_CANCEL, expires_us=None, post_only=False)
FILL_OR_KILL = replace(AT_ONCE, time_in_force=TimeInForce.FILL_OR_KILL)


def answer(status: int, body: str, content_type: str = "application/json") -> OrderAnswer:
    return OrderAnswer(status, body.encode(), content_type=content_type)


@pytest.mark.parametrize("status", [400, 409])
def test_missed_fill_or_kill_ends_the_order_without_a_fill(status: int) -> None:
    verdict = judge_answer(answer(status, MISSED), FILL_OR_KILL)
    assert (verdict.state, verdict.filled, verdict.is_ordinary) == (OrderState.CANCELED, 0, True)
    assert "fill_or_kill_insufficient_resting_volume" in verdict.detail


@pytest.mark.parametrize(
    ("request_", "made"),
    [
        (AT_ONCE, answer(409, MISSED)),
        (FILL_OR_KILL, answer(409, MISSED, "text/html")),
        (FILL_OR_KILL, answer(409, '{"error":{"code":"order_already_exists","message":"exists"}}')),
        (FILL_OR_KILL, replace(answer(409, MISSED), status=409, body=MISSED.encode()[:-2])),
    ],
)
def test_other_conflict_leaves_the_order_unknown(request_: OrderRequest, made: OrderAnswer) -> None:
    assert judge_answer(made, request_).state is OrderState.UNKNOWN


def test_refusal_by_book_or_position_is_ordinary_and_others_are_not() -> None:
    post_only, reduce_only = REQUEST, replace(AT_ONCE, reduce_only=True)
    for request, body, is_ordinary in (
        (post_only, CROSS, True),
        (reduce_only, FLAT, True),
        (AT_ONCE, CROSS, False),
        (reduce_only, CROSS, False),
        (post_only, FLAT, False),
        (post_only, '{"error":{"code":"insufficient_balance","message":"post only cross"}}', False),
    ):
        verdict = judge_answer(answer(400, body), request)
        assert (verdict.state, verdict.is_ordinary) == (OrderState.REJECTED, is_ordinary)
