import json
import subprocess
import sys

import pytest

from kalshi_pipelines.contracts.comparison.body_decoding import AbsurdBody, decode
from kalshi_pipelines.contracts.comparison.checking import CheckOutcome, check
from kalshi_pipelines.contracts.language.differences import Kind, Severity
from kalshi_pipelines.contracts.language.responses import Response, VendorRequest
from kalshi_pipelines_tests.support.contracts.hostile_bodies import AT, HOSTILE, hostile_response


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_body_gives_one_difference_of_bounded_length(name: str) -> None:
    checked = check(hostile_response(HOSTILE[name]))
    assert [each.kind for each in checked.differences] == [Kind.ABSURD]
    assert checked.differences[0].severity is Severity.BREAKING
    assert checked.inventory is None
    assert len(checked.differences[0].after) <= 300


def test_a_body_with_too_many_different_keys_is_absurd() -> None:
    rows = [{f"key{number}_{name}": 1 for name in range(100)} for number in range(100)]
    checked = check(hostile_response(json.dumps({"markets": rows, "cursor": ""}).encode()))
    assert [each.kind for each in checked.differences] == [Kind.ABSURD]


def test_a_quote_before_a_colon_inside_a_text_is_no_key() -> None:
    assert decode(rb'{"a":"he said \":\" and \": ","b":":"}') == {"a": 'he said ":" and ": ', "b": ":"}


def test_a_refusal_with_a_hostile_body_gives_a_difference() -> None:
    response = Response(
        VendorRequest("GET /markets", expects=(400,)), 400, {}, b"[" * 100_000, AT, "http://127.0.0.1/", "sandbox"
    )
    checked = check(response)
    assert checked.outcome is CheckOutcome.REFUSED
    assert [each.kind for each in checked.differences] == [Kind.ABSURD]


def test_texts_of_a_vendor_are_shown_without_secrets() -> None:
    key = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEI\n-----END PRIVATE KEY-----"
    row = {"new": f"{key} somebody@example.com 6f48d837-2d8e-426d-a807-ab1d99c0b605\x1b[31m" + "x" * 5_000}
    found = check(hostile_response(json.dumps({"markets": [row], "cursor": ""}).encode())).differences
    shown = "".join(f"{each.before}{each.after}{each.example}{each.place}" for each in found)
    assert "PRIVATE" not in shown
    assert "example.com" not in shown
    assert "2d8e-426d" not in shown
    assert "\x1b" not in shown


def test_hostile_bodies_need_bounded_memory() -> None:
    program = """
import resource
from kalshi_pipelines_tests.support.contracts.hostile_bodies import HOSTILE, hostile_response
from kalshi_pipelines.contracts.comparison.checking import check
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for body in HOSTILE.values():
    check(hostile_response(body))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, timeout=120)
    assert int(done.stdout) < 400 * 1024


def test_an_absurd_body_is_explained() -> None:
    with pytest.raises(AbsurdBody, match="nested deeper"):
        decode(HOSTILE["deep objects"])
    with pytest.raises(AbsurdBody, match="a key twice"):
        decode(HOSTILE["a key twice"])
    with pytest.raises(AbsurdBody, match="not finite"):
        decode(HOSTILE["not a number"])
    with pytest.raises(AbsurdBody, match="HTML"):
        decode(HOSTILE["a page of a gateway"])


def test_a_search_result_with_a_malformed_address_is_still_checked() -> None:
    results = [{"id": "1", "url": "https://[::1/broken", "title": "x"}, {"id": "2", "url": "https://b.example/"}]
    body = json.dumps({"requestId": "1", "results": results, "costDollars": {"total": 0.005}}).encode()
    request = VendorRequest(
        "POST api.exa.ai/search", is_signed=True, sent={"query": "x", "includeDomains": ["a.example"]}
    )
    found = check(Response(request, 200, {}, body, AT, "https://api.exa.ai/search", "prod")).differences
    assert [each.place for each in found if "includeDomains" in f"{each.before}{each.after}{each.example}"]
