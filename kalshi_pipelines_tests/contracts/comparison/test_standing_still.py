"""Tests of frozen values: a field that stopped changing is reported, but new markets without trades are not."""

import random
from typing import Any

import pytest

from kalshi_pipelines.contracts.comparison.baseline import Baseline, compare, learn
from kalshi_pipelines.contracts.comparison.checking import check
from kalshi_pipelines.contracts.declared import CONTRACTS
from kalshi_pipelines.contracts.language.differences import Kind
from kalshi_pipelines.contracts.language.responses import Response
from kalshi_pipelines_tests.support.contracts.responses import AT, answer

ENDPOINT = "GET /markets"
ROWS = 40
NUMBERS = (
    "yes_bid_dollars",
    "yes_ask_dollars",
    "no_bid_dollars",
    "no_ask_dollars",
    "last_price_dollars",
    "volume_fp",
    "volume_24h_fp",
    "open_interest_fp",
)


def market(draw: random.Random, number: int, idle: float = 0.0) -> dict[str, Any]:
    """Return a random market. With the probability ``idle``, it is new and has no quotes or trades yet."""
    is_new = draw.random() < idle
    bid = draw.randint(1, 60)
    prices = (0, 100, 0, 100, 0) if is_new else (bid, bid + 2, 98 - bid, 100 - bid, bid)
    counts = [f"{0 if is_new else draw.randint(1, 9_000) / 100:.2f}" for _ in range(3)]
    counts[0] = f"{float(counts[0]) + float(counts[1]):.2f}"
    values = dict(zip(NUMBERS, [*(f"{price / 100:.4f}" for price in prices), *counts], strict=True))
    return {"ticker": f"KXA-{number}", "event_ticker": "KXA", "status": "active", **values}


def lists(draw: random.Random, idle: float = 0.0, always: dict[str, str] | None = None) -> dict[str, Any]:
    return {"markets": [market(draw, number, idle) | (always or {}) for number in range(ROWS)], "cursor": ""}


def frozen_keys(known: Baseline, body: dict[str, Any]) -> set[str]:
    """Return the keys that the checks report as frozen in a list of markets."""
    inventory = check(_response(body)).inventory
    assert inventory is not None
    return {
        each.place.rpartition(".")[2]
        for each in compare(known, inventory, CONTRACTS[ENDPOINT])
        if each.kind is Kind.VALUE_FROZEN
    }


def baseline_of(draw: random.Random, *idle: float) -> Baseline:
    baseline = None
    for share in idle:
        inventory = check(_response(lists(draw, share))).inventory
        assert inventory is not None
        baseline = learn(baseline, inventory, AT)
    assert baseline is not None
    return baseline


def _response(body: dict[str, Any]) -> Response:
    return answer(body, ENDPOINT, request={"query": {"status": ("open",), "limit": ("100",)}})


@pytest.fixture
def draw() -> random.Random:
    return random.Random(3)


@pytest.mark.parametrize("dead", [{"volume_fp": "0.00"}, {"yes_bid_dollars": "0.0000", "no_ask_dollars": "1.0000"}])
def test_a_number_that_suddenly_never_varies_is_frozen(draw: random.Random, dead: dict[str, str]) -> None:
    assert frozen_keys(baseline_of(draw, *[0.1] * 12), lists(draw, 0.1, dead)) == dead.keys()


def test_rows_of_new_markets_are_not_frozen(draw: random.Random) -> None:
    assert frozen_keys(baseline_of(draw, *[0.1] * 12), lists(draw, 1.0)) == set()


def test_rows_that_are_traded_less_and_less_are_not_frozen(draw: random.Random) -> None:
    growing = [step / 12 for step in range(12)]
    assert frozen_keys(baseline_of(draw, *growing), lists(draw, 0.9, {"volume_fp": "0.00"})) == set()


def test_a_place_seen_in_few_answers_is_not_judged(draw: random.Random) -> None:
    assert frozen_keys(baseline_of(draw, *[0.1] * 5), lists(draw, 0.1, {"volume_fp": "0.00"})) == set()


def test_missing_quotes_of_all_markets_traded_today_break_a_rule(draw: random.Random) -> None:
    gone = {
        "yes_bid_dollars": "0.0000",
        "yes_ask_dollars": "1.0000",
        "no_bid_dollars": "0.0000",
        "no_ask_dollars": "1.0000",
    }
    rule = "no market that was traded today has a quote"

    def is_reported(body: dict[str, Any]) -> bool:
        return any(rule in each.after for each in check(_response(body)).differences)

    assert is_reported(lists(draw, always=gone))
    assert not is_reported(lists(draw))
    assert not is_reported(lists(draw, idle=1.0))
