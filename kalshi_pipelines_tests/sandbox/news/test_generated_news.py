"""Tests of the generated news: search results, costs and refusals."""

import xml.etree.ElementTree as ET
from typing import Any

import pytest

from kalshi_pipelines.sandbox.news.hostile import HOSTILE_FEEDS, hostile_results
from kalshi_pipelines.sandbox.options import SandboxOptions
from kalshi_pipelines_tests.support.sandbox.local_sandbox import LocalSandbox, local_sandbox

PRESS = SandboxOptions(markets=300, combos=5, tick_seconds=0, tier="unlimited", warm=False)
QUERY = "Inflation in Albany: Above 10 %?"
DAY = 86_400
ATOM = "{http://www.w3.org/2005/Atom}"


@pytest.fixture
def press() -> LocalSandbox:
    return local_sandbox(PRESS)


def _search(press: LocalSandbox, status: int = 200, key: str = "any", **asked: Any) -> dict[str, Any]:
    body = {"query": QUERY, "type": "auto", "category": "news"} | asked
    response = press.client.post("/exa/search", json=body, headers={"x-api-key": key} if key else {})
    assert response.status_code == status, response.text
    answered: dict[str, Any] = response.json()
    return answered


def _document(content: bytes) -> ET.Element:
    return ET.fromstring(content)  # noqa: S314  # written by the sandbox of this test


def _charges(press: LocalSandbox) -> list[dict[str, Any]]:
    charges: list[dict[str, Any]] = press.steer("GET", "/news/charges")["charges"]
    return charges


def test_a_search_finds_articles_about_its_query_within_its_limits_and_is_charged_what_it_says(
    press: LocalSandbox,
) -> None:
    found = _search(press, numResults=25, contents={"text": {"maxCharacters": 40}, "highlights": True})
    results = found["results"]
    about = [each for each in results if "Inflation in Albany" in each["title"]]
    assert len(about) >= len(results) - 2 > 5
    assert all(each["id"] == each["url"] and len(each["text"]) <= 40 and each["highlights"] for each in results)
    assert found["resolvedSearchType"] == "neural"

    since, until = "2026-11-16T00:00:00.000Z", "2026-11-19T00:00:00Z"
    windowed = _search(press, startPublishedDate=since, endPublishedDate=until, includeDomains=["example"])["results"]
    assert windowed
    assert all(since <= each["publishedDate"] <= until for each in windowed)
    assert all("text" not in each for each in windowed)
    domain = "civicobserver.example"
    assert {domain in each["url"].lower() for each in _search(press, includeDomains=[domain])["results"]} == {True}
    assert {domain in each["url"].lower() for each in _search(press, excludeDomains=[domain])["results"]} == {False}

    first, *others = _charges(press)
    further = max(len(results) - 10, 0) * 1_000
    assert first["microdollars"] == first["told_microdollars"] == 7_000 + further
    assert round(found["costDollars"]["total"] * 1_000_000) == 7_000 + further
    assert [each["microdollars"] for each in others] == [7_000] * 3
    assert first["request_id"] == found["requestId"] != others[0]["request_id"]


def test_what_was_written_stays_written_and_time_brings_more(press: LocalSandbox) -> None:
    def titles(sandbox: LocalSandbox, until: str) -> list[str]:
        asked: dict[str, Any] = {
            "startPublishedDate": "2026-11-10T00:00:00Z",
            "endPublishedDate": until,
            "numResults": 100,
        }
        return [each["title"] for each in _search(sandbox, **asked)["results"]]

    before, end = titles(press, "2026-11-22T12:00:00Z"), "2026-11-27T12:00:00Z"
    assert titles(press, end) == before == titles(local_sandbox(PRESS), end)
    press.pass_seconds(5 * DAY)
    assert titles(press, "2026-11-22T12:00:00Z") == before
    assert len(titles(press, end)) > len(before)


def test_stories_come_as_copies_at_several_addresses_whose_truth_is_known(press: LocalSandbox) -> None:
    asked = [_search(press, query=f"Inflation in Albany {word}", numResults=100)["results"] for word in "abcdefgh"]
    truth = {each["url"]: each for each in press.steer("GET", "/news/truth")["articles"]}
    assert {each["url"] for results in asked for each in results} == truth.keys()
    assert {each["variant"] for each in truth.values()} == {"original", "syndicated", "edited"}
    assert len(truth) > 3 * len({each["story"] for each in truth.values()})
    marks = ("utm_source", "http://", "/amp/", "https://m.", "#comments", "gclid", "fbclid")
    assert all(any(mark in url for url in truth) for mark in marks)


def test_refusals_have_the_vendors_shape_and_cost_nothing(press: LocalSandbox) -> None:
    press.steer("POST", "/news", keys=["known"])
    refused = [
        (_search(press, 401, key=""), "INVALID_API_KEY"),
        (_search(press, 401, key="other"), "INVALID_API_KEY"),
        (_search(press, 400, key="known", query=" "), "INVALID_REQUEST_BODY"),
        (_search(press, 400, key="known", query=5), "INVALID_REQUEST_BODY"),
        (_search(press, 400, key="known", startPublishedDate="soon"), "INVALID_REQUEST_BODY"),
        (_search(press, 400, key="known", includeDomains="a"), "INVALID_REQUEST_BODY"),
        (_search(press, 400, key="known", numResults=101), "INVALID_NUM_RESULTS"),
        (press.client.post("/exa/answer", json={}).json(), "NOT_SERVED"),
        (press.client.post("/exa/research/v1", json={}).json(), "RESEARCH_RETIRED"),
    ]
    assert all(body.keys() == {"requestId", "error", "tag"} for body, _ in refused)
    assert [body["tag"] for body, _ in refused] == [tag for _, tag in refused]
    assert press.client.post("/exa/search", content=b"{", headers={"x-api-key": "known"}).status_code == 400
    assert _charges(press) == []
    press.steer("POST", "/news", credit_dollars="0.010", keys=None)
    _search(press), _search(press)
    assert _search(press, 402)["tag"] == "NO_MORE_CREDITS"
    assert len(_charges(press)) == 2
    for wrong in ({"corpus": "odd"}, {"cost_dollars": ["2", "1"]}, {"credit_dollars": "x"}, {"odd": 1}):
        assert press.client.post("/sandbox/news", json=wrong).status_code == 400


def test_faults_change_what_is_told_and_charged_but_the_truth_is_kept(press: LocalSandbox) -> None:
    def strike(kind: str, **more: Any) -> None:
        press.steer("POST", "/faults", endpoint="POST /search", kind=kind, **more)

    strike("rate_limit")
    strike("server_error", at=2)
    assert "rate limit" in _search(press, 429)["error"]
    assert _search(press, 500)["tag"] == "INTERNAL_ERROR"
    assert _charges(press) == []
    strike("no_cost")
    assert "costDollars" not in _search(press)
    strike("other_cost", value="0.0295")
    assert _search(press)["costDollars"]["total"] == 0.0295
    strike("truncated_json")
    cut = press.client.post("/exa/search", json={"query": QUERY}, headers={"x-api-key": "any"})
    assert cut.content
    assert not cut.content.endswith(b"}")
    assert [(each["microdollars"], each["told_microdollars"]) for each in _charges(press)] == [
        (7_000, None),
        (29_500, 29_500),
        (7_000, 7_000),
    ]

    press.steer("POST", "/news", cost_dollars=["0.005", "0.03"])
    told = [round(_search(press)["costDollars"]["total"] * 1_000_000) for _ in range(30)]
    assert 5_000 <= min(told) < 10_000
    assert 25_000 < max(told) <= 30_000
    press.steer("DELETE", "/news/charges")
    press.steer("POST", "/drift", endpoint="POST /search", operations=[{"op": "remove", "path": "resolvedSearchType"}])
    assert "resolvedSearchType" not in _search(press)
    assert len(_charges(press)) == 1


def test_feeds_tell_what_searches_find(press: LocalSandbox) -> None:
    rss = press.client.get("/rss/search", params={"q": QUERY})
    assert rss.headers["content-type"].startswith("application/rss+xml")
    items = _document(rss.content).findall("channel/item")
    assert items[0].findtext("title") in {each["title"] for each in _search(press, numResults=50)["results"]}
    atom = _document(press.client.get("/atom/search", params={"q": QUERY}).content)
    titles = [entry.findtext(f"{ATOM}title") for entry in atom.findall(f"{ATOM}entry")]
    assert titles == [item.findtext("title") for item in items]
    front = _document(press.client.get("/rss/top.xml").content).findall("channel/item")
    assert 5 < len(front) <= 25
    press.steer("POST", "/faults", endpoint="GET /rss/search", kind="server_error")
    assert press.client.get("/rss/search").status_code == 500
    assert len(press.steer("GET", "/requests")["endpoints"]["GET /rss/search"]["statuses"]) == 2


def test_the_hostile_corpus_shows_all_of_itself_beside_good_articles_and_leads_to_the_trap(press: LocalSandbox) -> None:
    trap = "http://127.0.0.1:9999"
    press.steer("POST", "/news", corpus="hostile", trap=trap)
    every = hostile_results(trap)
    shown: list[Any] = []
    for _ in range(len(every) // 5 + 1):
        results = _search(press, contents={"text": True})["results"]
        assert len(results) == 10
        assert "Inflation in Albany" in results[-1]["title"]
        shown += results[:5]
    assert all(each in shown for each in every)
    feed = press.client.get("/rss/search", params={"q": QUERY})
    assert len(_document(feed.content).findall("channel/item")) > 40
    for kind in HOSTILE_FEEDS.keys() - {"gzip_bomb"}:
        response = press.client.get(f"/rss/hostile/{kind}")
        assert response.status_code == 200
        assert response.content
    led = press.client.get("/rss/hostile/redirect")
    assert led.status_code == 302
    assert led.headers["location"].startswith(trap)
    assert press.client.get("/rss/hostile/odd").status_code == 404
