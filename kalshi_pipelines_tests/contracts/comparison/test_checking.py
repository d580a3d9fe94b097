import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalshi_pipelines.contracts.comparison.baseline import Baseline, learn
from kalshi_pipelines.contracts.comparison.checking import CheckOutcome, check
from kalshi_pipelines.contracts.declared import CONTRACTS, assets_of
from kalshi_pipelines.contracts.language.differences import Difference, Kind, Severity, in_one_line, merge_differences
from kalshi_pipelines.contracts.language.responses import Response
from kalshi_pipelines_tests.support.contracts.responses import AT, answer

THURSDAY = 1_795_077_000_000_000  # Thursday 2026-11-19, 03:30 Eastern Time, during the exchange's maintenance
COSTS = {"default_cost": 10, "endpoint_costs": [{"method": "GET", "path": "/trade-api/v2/x", "cost": 2}]}
NESTED = {"error": {"code": "not_found", "message": "not found"}}


def kinds(response: Response, baseline: Baseline | None = None) -> list[tuple[Kind, Severity]]:
    return [(each.kind, each.severity) for each in check(response, baseline).differences]


def test_an_empty_list_is_no_difference() -> None:
    checked = check(answer({"markets": [], "cursor": ""}, "GET /markets"))
    assert (checked.outcome, checked.differences) == (CheckOutcome.EMPTY, ())


@pytest.mark.parametrize(("at", "outcome"), [(AT, CheckOutcome.UNREACHABLE), (THURSDAY, CheckOutcome.MAINTENANCE)])
def test_an_exchange_that_is_down_is_no_difference(at: int, outcome: CheckOutcome) -> None:
    checked = check(answer(b"<html>", "GET /markets", 503, received_us=at))
    assert (checked.outcome, checked.differences, checked.inventory) == (outcome, (), None)


def test_the_status_answer_of_a_down_exchange_is_still_compared() -> None:
    checked = check(answer({"exchange_active": False, "trading_active": "no"}, "GET /exchange/status", 503))
    assert [(each.kind, each.place) for each in checked.differences] == [(Kind.TYPE_CHANGED, "trading_active")]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"status": 301, "headers": {"location": "/trade-api/v3"}}, (Kind.REDIRECTED, Severity.BREAKING)),
        ({"status": 401, "body": NESTED}, (Kind.AUTHENTICATION_CHANGED, Severity.BREAKING)),
        ({"status": 404, "body": NESTED}, (Kind.STATUS_CHANGED, Severity.BREAKING)),
        ({"status": 410, "body": NESTED}, (Kind.STATUS_CHANGED, Severity.BREAKING)),
        ({"status": 429, "body": {"error": "too many requests"}}, (Kind.STATUS_CHANGED, Severity.RISKY)),
        ({"url": "https://kalshi.example/trade-api/v2"}, (Kind.HOST_CHANGED, Severity.BREAKING)),
        ({"headers": {"content-language": "es"}}, (Kind.TEXT_CHANGED, Severity.RISKY)),
        ({"request": {"expects": (400,)}}, (Kind.STATUS_CHANGED, Severity.RISKY)),
    ],
)
def test_status_address_and_headers_are_judged(options: dict[str, Any], expected: tuple[Kind, Severity]) -> None:
    assert kinds(answer(**({"body": COSTS} | options))) == [expected]


def test_an_endpoint_that_needs_a_key_must_refuse_without_one() -> None:
    limits = {
        "usage_tier": "basic",
        "grants": [],
        "read": {"refill_rate": 1, "bucket_capacity": 1},
        "write": {"refill_rate": 1, "bucket_capacity": 1},
    }
    assert kinds(answer(limits, "GET /account/limits")) == [(Kind.AUTHENTICATION_CHANGED, Severity.RISKY)]
    refused = {"error": {"code": "authentication_error", "message": "authentication_error"}}
    assert kinds(answer(refused, "GET /account/limits", 401)) == []
    assert kinds(answer(limits, "GET /account/limits", request={"is_signed": True})) == []


def test_a_refused_unknown_ticker_is_no_difference() -> None:
    request = {"path": {"ticker": "KXNONE"}}
    checked = check(answer(NESTED, "GET /markets/{ticker}", 404, request=request))
    assert (checked.outcome, checked.differences) == (CheckOutcome.REFUSED, ())


def test_a_flat_refusal_instead_of_a_nested_one_changes_the_shape() -> None:
    request = {"path": {"ticker": "KXNONE"}}
    flat = {"code": "not_found", "message": "not found"}
    assert (Kind.ERROR_SHAPE_CHANGED, Severity.BREAKING) in kinds(
        answer(flat, "GET /markets/{ticker}", 404, request=request)
    )


def test_a_learned_difference_is_not_reported_again() -> None:
    new = answer({**COSTS, "surcharge": 3})
    first = check(new)
    assert [each.kind for each in first.differences] == [Kind.KEY_NEW]
    assert first.inventory is not None
    assert check(new, learn(None, first.inventory, AT)).differences == ()


def test_a_changed_cost_differs_from_the_baseline() -> None:
    inventory = check(answer(COSTS)).inventory
    assert inventory is not None
    dearer = {**COSTS, "endpoint_costs": [{**COSTS["endpoint_costs"][0], "cost": 20}]}  # type: ignore[index]
    found = check(answer(dearer), learn(None, inventory, AT)).differences
    assert [(each.kind, each.before, each.after) for each in found] == [(Kind.VALUE_CHANGED, "2", "20")]


def test_a_baseline_survives_conversion_to_json_and_back() -> None:
    inventory = check(answer(COSTS)).inventory
    assert inventory is not None
    baseline = learn(learn(None, inventory, AT), inventory, AT + 1)
    again = Baseline.from_json(json.loads(json.dumps(baseline.as_json())))
    assert dataclasses.replace(again) == baseline
    assert again.observations == 2


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=20),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
        max_leaves=12,
    )
)
def test_any_json_is_checked_and_never_differs_from_itself(value: Any) -> None:
    for endpoint in ("GET /markets", "GET /portfolio/fills", "GET /account/endpoint_costs"):
        signed = {"is_signed": True}
        checked = check(answer({"markets": value, "fills": value, "endpoint_costs": value}, endpoint, request=signed))
        if checked.inventory is not None:
            known = learn(None, checked.inventory, AT)
            again = check(
                answer({"markets": value, "fills": value, "endpoint_costs": value}, endpoint, request=signed), known
            )
            news = {each.kind for each in again.differences} - {each.kind for each in checked.differences}
            assert not news


def test_every_contract_names_its_endpoint_and_knows_its_assets() -> None:
    assert all(name == contract.endpoint for name, contract in CONTRACTS.items())
    assert assets_of("GET /markets", "markets[].yes_bid_dollars") == ("markets", "price_snapshots", "quotes")
    assert assets_of("GET /markets", "markets[].previous_price_dollars") == ()
    assert "price_snapshots" in assets_of("GET /markets", "markets[]")
    assert assets_of("GET /nowhere", "x") == ()


def test_a_changed_finding_has_a_new_fingerprint_and_the_same_subject() -> None:
    one = Difference(
        "GET /markets", "markets[].status", Kind.VALUE_NEW, Severity.BREAKING, "known", "new: 'a'", "first"
    )
    other = dataclasses.replace(one, example="second", before="known before")
    changed = dataclasses.replace(one, after="new: 'b'")
    assert one.fingerprint("prod") == other.fingerprint("prod")
    assert one.fingerprint("prod") != one.fingerprint("demo")
    assert one.fingerprint("prod") != changed.fingerprint("prod")
    assert one.subject("prod") == changed.subject("prod")
    assert len(merge_differences([one, other, changed])) == 1


@given(st.text(max_size=2_000))
def test_text_of_a_vendor_becomes_one_bounded_line(text: str) -> None:
    shown = in_one_line(text)
    assert len(shown) <= 300
    assert len(shown.splitlines()) <= 1


def test_keys_inside_an_undeclared_object_are_not_compared() -> None:
    first = check(answer({**COSTS, "extra": {"a": 1, "b": [{"c": 1}]}}))
    assert [each.place for each in first.differences] == ["extra"]
    assert first.inventory is not None
    other = answer({**COSTS, "extra": {"a": "x", "b": [{"d": 1}], "e": 2}})
    assert check(other, learn(None, first.inventory, AT)).differences == ()
