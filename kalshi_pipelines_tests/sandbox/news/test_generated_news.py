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
def news_sandbox() -> LocalSandbox:
    return local_sandbox(PRESS)


def _search(news_sandbox: LocalSandbox, status: int = 200, key: str = "any", **asked: Any) -> dict[str, Any]:
    body = {"query": QUERY, "type": "auto", "category": "news"} | asked
    response = news_sandbox.client.post("/exa/search", json=body, headers={"x-api-key": key} if key else {})
    assert response.status_code == status, response.text
    answered: dict[str, Any] = response.json()
    return answered


def _document(content: bytes) -> ET.Element:
    return ET.fromstring(content)  # noqa: S314  # written by the sandbox of this test


def _charges(news_sandbox: LocalSandbox) -> list[dict[str, Any]]:
    charges: list[dict[str, Any]] = news_sandbox.steer("GET", "/news/charges")["charges"]
    return charges


def test_a_search_finds_articles_within_its_limits_and_charges_its_price(
    news_sandbox: LocalSandbox,
) -> None:
    found = _search(news_sandbox, numResults=25, contents={"text": {"maxCharacters": 40}, "highlights": True})
    results = found["results"]
    about = [each for each in results if "Inflation in Albany" in each["title"]]
    assert len(about) >= len(results) - 2 > 5
    assert all(each["id"] == each["url"] and len(each["text"]) <= 40 and each["highlights"] for each in results)
    assert found["resolvedSearchType"] == "neural"

    since, until = "2026-11-16T00:00:00.000Z", "2026-11-19T00:00:00Z"
    windowed = _search(news_sandbox, startPublishedDate=since, endPublishedDate=until, includeDomains=["example"])[
        "results"
    ]
    assert windowed
    assert all(since <= each["publishedDate"] <= until for each in windowed)
    assert all("text" not in each for each in windowed)
    domain = "civicobserver.example"
    assert {domain in each["url"].lower() for each in _search(news_sandbox, includeDomains=[domain])["results"]} == {
        True
    }
    assert {domain in each["url"].lower() for each in _search(news_sandbox, excludeDomains=[domain])["results"]} == {
        False
    }

    first, *others = _charges(news_sandbox)
    further = max(len(results) - 10, 0) * 1_000
    assert first["microdollars"] == first["told_microdollars"] == 7_000 + further
    assert round(found["costDollars"]["total"] * 1_000_000) == 7_000 + further
    assert [each["microdollars"] for each in others] == [7_000] * 3
    assert first["request_id"] == found["requestId"] != others[0]["request_id"]


def test_published_articles_stay_and_time_adds_more(news_sandbox: LocalSandbox) -> None:
    def titles(sandbox: LocalSandbox, until: str) -> list[str]:
        asked: dict[str, Any] = {
            "startPublishedDate": "2026-11-10T00:00:00Z",
            "endPublishedDate": until,
            "numResults": 100,
        }
        return [each["title"] for each in _search(sandbox, **asked)["results"]]

    before, end = titles(news_sandbox, "2026-11-22T12:00:00Z"), "2026-11-27T12:00:00Z"
    assert titles(news_sandbox, end) == before == titles(local_sandbox(PRESS), end)
    news_sandbox.pass_seconds(5 * DAY)
    assert titles(news_sandbox, "2026-11-22T12:00:00Z") == before
    assert len(titles(news_sandbox, end)) > len(before)


def test_stories_come_as_copies_at_several_addresses_whose_truth_is_known(news_sandbox: LocalSandbox) -> None:
    asked = [
        _search(news_sandbox, query=f"Inflation in Albany {word}", numResults=100)["results"] for word in "abcdefgh"
    ]
    truth = {each["url"]: each for each in news_sandbox.steer("GET", "/news/truth")["articles"]}
    assert {each["url"] for results in asked for each in results} == truth.keys()
    assert {each["variant"] for each in truth.values()} == {"original", "syndicated", "edited"}
    assert len(truth) > 3 * len({each["story"] for each in truth.values()})
    marks = ("utm_source", "http://", "/amp/", "https://m.", "#comments", "gclid", "fbclid")
    assert all(any(mark in url for url in truth) for mark in marks)


def test_refusals_have_the_vendors_shape_and_cost_nothing(news_sandbox: LocalSandbox) -> None:
    news_sandbox.steer("POST", "/news", keys=["known"])
    refused = [
        (_search(news_sandbox, 401, key=""), "INVALID_API_KEY"),
        (_search(news_sandbox, 401, key="other"), "INVALID_API_KEY"),
        (_search(news_sandbox, 400, key="known", query=" "), "INVALID_REQUEST_BODY"),
        (_search(news_sandbox, 400, key="known", query=5), "INVALID_REQUEST_BODY"),
        (_search(news_sandbox, 400, key="known", startPublishedDate="soon"), "INVALID_REQUEST_BODY"),
        (_search(news_sandbox, 400, key="known", includeDomains="a"), "INVALID_REQUEST_BODY"),
        (_search(news_sandbox, 400, key="known", numResults=101), "INVALID_NUM_RESULTS"),
        (news_sandbox.client.post("/exa/answer", json={}).json(), "NOT_SERVED"),
        (news_sandbox.client.post("/exa/research/v1", json={}).json(), "RESEARCH_RETIRED"),
    ]
    assert all(body.keys() == {"requestId", "error", "tag"} for body, _ in refused)
    assert [body["tag"] for body, _ in refused] == [tag for _, tag in refused]
    assert news_sandbox.client.post("/exa/search", content=b"{", headers={"x-api-key": "known"}).status_code == 400
    assert _charges(news_sandbox) == []
    news_sandbox.steer("POST", "/news", credit_dollars="0.010", keys=None)
    _search(news_sandbox), _search(news_sandbox)
    assert _search(news_sandbox, 402)["tag"] == "NO_MORE_CREDITS"
    assert len(_charges(news_sandbox)) == 2
    for wrong in ({"corpus": "odd"}, {"cost_dollars": ["2", "1"]}, {"credit_dollars": "x"}, {"odd": 1}):
        assert news_sandbox.client.post("/sandbox/news", json=wrong).status_code == 400


def test_faults_change_the_reported_cost_and_the_truth_is_kept(news_sandbox: LocalSandbox) -> None:
    def strike(kind: str, **more: Any) -> None:
        news_sandbox.steer("POST", "/faults", endpoint="POST /search", kind=kind, **more)

    strike("rate_limit")
    strike("server_error", at=2)
    assert "rate limit" in _search(news_sandbox, 429)["error"]
    assert _search(news_sandbox, 500)["tag"] == "INTERNAL_ERROR"
    assert _charges(news_sandbox) == []
    strike("no_cost")
    assert "costDollars" not in _search(news_sandbox)
    strike("other_cost", value="0.0295")
    assert _search(news_sandbox)["costDollars"]["total"] == 0.0295
    strike("truncated_json")
    cut = news_sandbox.client.post("/exa/search", json={"query": QUERY}, headers={"x-api-key": "any"})
    assert cut.content
    assert not cut.content.endswith(b"}")
    assert [(each["microdollars"], each["told_microdollars"]) for each in _charges(news_sandbox)] == [
        (7_000, None),
        (29_500, 29_500),
        (7_000, 7_000),
    ]

    news_sandbox.steer("POST", "/news", cost_dollars=["0.005", "0.03"])
    told = [round(_search(news_sandbox)["costDollars"]["total"] * 1_000_000) for _ in range(30)]
    assert 5_000 <= min(told) < 10_000
    assert 25_000 < max(told) <= 30_000
    news_sandbox.steer("DELETE", "/news/charges")
    news_sandbox.steer(
        "POST", "/drift", endpoint="POST /search", operations=[{"op": "remove", "path": "resolvedSearchType"}]
    )
    assert "resolvedSearchType" not in _search(news_sandbox)
    assert len(_charges(news_sandbox)) == 1


def test_feeds_tell_what_searches_find(news_sandbox: LocalSandbox) -> None:
    rss = news_sandbox.client.get("/rss/search", params={"q": QUERY})
    assert rss.headers["content-type"].startswith("application/rss+xml")
    items = _document(rss.content).findall("channel/item")
    assert items[0].findtext("title") in {each["title"] for each in _search(news_sandbox, numResults=50)["results"]}
    atom = _document(news_sandbox.client.get("/atom/search", params={"q": QUERY}).content)
    titles = [entry.findtext(f"{ATOM}title") for entry in atom.findall(f"{ATOM}entry")]
    assert titles == [item.findtext("title") for item in items]
    front = _document(news_sandbox.client.get("/rss/top.xml").content).findall("channel/item")
    assert 5 < len(front) <= 25
    news_sandbox.steer("POST", "/faults", endpoint="GET /rss/search", kind="server_error")
    assert news_sandbox.client.get("/rss/search").status_code == 500
    assert len(news_sandbox.steer("GET", "/requests")["endpoints"]["GET /rss/search"]["statuses"]) == 2


def test_the_hostile_corpus_appears_beside_good_articles(news_sandbox: LocalSandbox) -> None:
    trap = "http://127.0.0.1:9999"
    news_sandbox.steer("POST", "/news", corpus="hostile", trap=trap)
    every = hostile_results(trap)
    shown: list[Any] = []
    for _ in range(len(every) // 5 + 1):
        results = _search(news_sandbox, contents={"text": True})["results"]
        assert len(results) == 10
        assert "Inflation in Albany" in results[-1]["title"]
        shown += results[:5]
    assert all(each in shown for each in every)
    feed = news_sandbox.client.get("/rss/search", params={"q": QUERY})
    assert len(_document(feed.content).findall("channel/item")) > 40
    for kind in HOSTILE_FEEDS.keys() - {"gzip_bomb"}:
        response = news_sandbox.client.get(f"/rss/hostile/{kind}")
        assert response.status_code == 200
        assert response.content
    led = news_sandbox.client.get("/rss/hostile/redirect")
    assert led.status_code == 302
    assert led.headers["location"].startswith(trap)
    assert news_sandbox.client.get("/rss/hostile/odd").status_code == 404
