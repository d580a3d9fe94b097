"""Exa through its SDK: requests, answers, prices and failures."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import requests
import responses

from kalshi_pipelines.news.providers.exa import ExaProvider
from kalshi_pipelines.news.providers.protocol import NewsQuery, ProviderAnswer, ProviderFailed

KEY = "4f1c2d3e-0000-4a5b-8c6d-7e8f90a1b2c3"
QUERY = NewsQuery("Fed rates", 1_790_000_000_000_000, 1_790_600_000_000_000, 5)
ANSWER: dict[str, Any] = {
    "requestId": "r1",
    "results": [
        {
            "id": "https://example.com/a",
            "url": "https://example.com/a",
            "title": "Fed holds",
            "publishedDate": "2026-09-24T10:00:00.000Z",
            "author": None,
            "text": "The Fed held.",
        }
    ],
    "searchTime": 1.0,
    "costDollars": {"total": 0.007, "search": {"neural": 0.007}},
}


def find(answer: object = ANSWER, status: int = 200, asked: list[Any] | None = None, **more: Any) -> ProviderAnswer:
    """Search Exa with a prepared answer, and collect the sent requests in a list."""
    body = answer if isinstance(answer, bytes) else json.dumps(answer)
    with responses.RequestsMock() as exa:
        exa.post("https://api.exa.ai/search", body=body, status=status, content_type="application/json", **more)
        try:
            return ExaProvider(KEY, "prod").find(QUERY)
        finally:
            if asked is not None:
                asked += [call.request for call in exa.calls]


def test_search_request_has_time_range_text_and_result_limit() -> None:
    asked: list[Any] = []
    answer = find(asked=asked)
    (request,) = asked
    assert request.headers["x-api-key"] == KEY
    assert json.loads(request.body) == {
        "query": "Fed rates",
        "type": "auto",
        "category": "news",
        "numResults": 5,
        "startPublishedDate": "2026-09-21T14:13:20.000Z",
        "endPublishedDate": "2026-09-28T12:53:20.000Z",
        "contents": {"text": {"maxCharacters": 10_000}},
    }
    (article,) = answer.articles
    assert (article.title, article.text, article.provider_id) == ("Fed holds", "The Fed held.", "https://example.com/a")
    assert article.published_us == 1_790_244_000_000_000
    assert (answer.cost_microdollars, answer.request_id, answer.differences) == (7_000, "r1", ())


def test_surplus_results_are_dropped_and_reported() -> None:
    many = {
        **ANSWER,
        "results": [{**ANSWER["results"][0], "id": f"{n}", "url": f"https://e.com/{n}"} for n in range(9)],
    }
    answer = find(many)
    assert (len(answer.articles), answer.left_out) == (5, 4)
    assert any("more results" in each.before + each.after for each in answer.differences)


@pytest.mark.parametrize("cost", [None, {}, {"total": "free"}, {"total": -1}])
def test_missing_or_invalid_price_is_unknown(cost: object) -> None:
    assert find({**ANSWER, "costDollars": cost}).cost_microdollars is None


@pytest.mark.parametrize("published", [None, "", "yesterday", 7, "0000-00-00"])
def test_unreadable_publication_time_is_unknown(published: object) -> None:
    answer = find({**ANSWER, "results": [{**ANSWER["results"][0], "publishedDate": published}]})
    assert answer.articles[0].published_us is None


@pytest.mark.parametrize(
    ("status", "charged", "fatal"),
    [
        (400, False, False),
        (401, False, True),
        (402, False, True),
        (410, False, True),
        (500, True, False),
        (302, False, False),
    ],
)
def test_error_status_decides_charge_and_whether_the_run_goes_on(status: int, charged: bool, fatal: bool) -> None:
    asked: list[Any] = []
    with pytest.raises(ProviderFailed, match=str(status)) as failure:
        find({"error": f"no, {KEY}"}, status, asked, headers={"Location": "https://evil.example/search"})
    assert (failure.value.is_charged, failure.value.is_fatal) == (charged, fatal)
    assert KEY not in str(failure.value)
    assert len(asked) == 1  # a redirect must not be followed with the key


def test_rate_limited_search_is_retried_after_the_requested_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr("kalshi_pipelines.news.providers.exa.time.sleep", waited.append)
    with responses.RequestsMock() as exa:
        exa.post("https://api.exa.ai/search", status=429, json={"error": "slow"}, headers={"Retry-After": "7"})
        exa.post("https://api.exa.ai/search", json=ANSWER)
        assert len(ExaProvider(KEY, "prod").find(QUERY).articles) == 1
    assert waited == [7.0]


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"[]", b"null", b'{"requestId": "x"}', b'{"results": null}', b'{"results": [7]}', b"[" * 100_000],
)
def test_unreadable_answer_fails_and_stays_charged(body: bytes) -> None:
    with pytest.raises(ProviderFailed) as failure:
        find(body)
    assert failure.value.is_charged


def test_broken_connection_fails_and_stays_charged() -> None:
    with responses.RequestsMock() as exa:
        exa.post("https://api.exa.ai/search", body=requests.ConnectionError(f"broken {KEY}"))
        with pytest.raises(ProviderFailed, match="no complete answer") as failure:
            ExaProvider(KEY, "prod").find(QUERY)
    assert failure.value.is_charged
    assert KEY not in str(failure.value)


def recorded(recordings: Path) -> list[tuple[str, dict[str, Any]]]:
    folder = recordings / "old_shape_2026_01" / "exa"
    files = sorted(folder.glob("search*.json"))
    assert files
    return [(file.name, json.loads(file.read_text())) for file in files]


def test_every_recorded_search_is_read_completely(recordings: Path) -> None:
    for name, recording in recorded(recordings):
        answer = find(recording["response"])
        results = recording["response"]["results"]
        assert [(each.url, each.title, each.text) for each in answer.articles] == [
            (row["url"], row["title"], row.get("text")) for row in results
        ], name
        cost = recording["response"].get("costDollars", {}).get("total")
        assert answer.cost_microdollars == (None if cost is None else round(cost * 1_000_000))


def test_every_search_incident_is_detected_or_harmless(recordings: Path) -> None:
    """Apply the recorded incidents of Exa's search. Tests of contract checks cover the incidents of other vendors."""
    drift = recordings.parent / "drift" / "incidents.json"
    if not drift.is_file():
        pytest.skip("the incidents are not on this machine")
    incidents = json.loads(drift.read_text())
    incidents = incidents if isinstance(incidents, list) else incidents["incidents"]
    seen = 0
    for incident in incidents:
        base = incident.get("base") or ""
        if incident["vendor"] != "exa" or "exa/search" not in base:
            continue
        seen += 1
        response = json.loads((recordings / base).read_text())["response"]
        expected = find(response)
        changed, status = mutated(response, incident["mutation"])
        try:
            answer = find(changed, status)
        except ProviderFailed:
            continue
        assert answer.differences or answer.articles == expected.articles, incident["id"]
    assert seen >= 4


def mutated(response: dict[str, Any], operations: list[dict[str, Any]]) -> tuple[dict[str, Any], int]:
    """Return the answer and status after an incident. An incident in a request leaves the answer unchanged."""
    changed, status = copy.deepcopy(response), 200
    for operation in operations:
        if operation["op"] == "http":
            return operation["body"], operation["status"]
        if operation["op"] not in ("remove", "set"):
            continue
        *path, last = operation["path"].split(".")
        places: list[Any] = [changed]
        for part in path:
            name = part.removesuffix("[]")
            places = [each for place in places for each in (place[name] if part.endswith("[]") else [place[name]])]
        for place in places:
            if operation["op"] == "set":
                place[last] = operation["value"]
            else:
                place.pop(last, None)
    return changed, status
