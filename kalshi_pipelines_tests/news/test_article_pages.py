"""Article pages are fetched only if configured, only from public hosts, and only for articles without text."""

import httpx
import pytest
import sqlalchemy as sa

from kalshi_pipelines.news.article_pages import text_of
from kalshi_pipelines.news.collecting import collect_news
from kalshi_pipelines.news.fetching import FetchedPage, Fetcher, NotFetched
from kalshi_pipelines.news.options import NewsOptions
from kalshi_pipelines.settings import Environment
from kalshi_pipelines.warehouse import tables
from kalshi_pipelines_tests.support.news.collecting import NOW, STORM_QUERY, rows
from kalshi_pipelines_tests.support.news.providers import ScriptedProvider, article, reply

PAGE = b"<html><head><title>x</title><script>evil()</script></head><body><p>Zelda is <b>near</b>.</p></body></html>"


def answer(request: httpx.Request) -> httpx.Response:
    assert request.url.host == "93.184.215.14"
    if request.url.path == "/trap":
        return httpx.Response(302, headers={"Location": "http://127.0.0.1/"})
    kind = {"Content-Type": "image/png" if request.url.path == "/picture" else "text/html; charset=utf-8"}
    return httpx.Response(200, stream=httpx.ByteStream(PAGE), headers=kind)


def public() -> Fetcher:
    network = httpx.MockTransport(answer)
    return Fetcher(resolver=lambda host, _: ["93.184.215.14" if host == "news.example" else host], network=network)


def test_missing_texts_are_fetched_only_if_configured(stocked: sa.Engine) -> None:
    articles = [article(path, f"Title of {path}") for path in ("page", "trap", "picture")]
    exa = ScriptedProvider({STORM_QUERY: reply(*articles, article("known", "Title of known", None, "Known."))})

    def collect_pages(options: NewsOptions) -> tuple[int, int]:
        done = collect_news(stocked, [exa], options, Environment.SANDBOX, clock=lambda: NOW, pages=public())
        return done.pages_read, done.pages_failed

    def texts() -> dict[str, str | None]:
        return {row["url"]: row["full_text"] for row in rows(stocked, tables.news_articles)}

    assert collect_pages(NewsOptions()) == (0, 0)
    assert texts()["https://news.example/page"] is None
    exa.answers[STORM_QUERY] = reply(
        article("page?v=2", "Title"), article("trap?v=2", "Trap"), article("picture?v=2", "P")
    )
    assert collect_pages(NewsOptions(fetches_articles=True)) == (1, 2)
    assert texts()["https://news.example/page?v=2"] == "Zelda is near."
    assert texts()["https://news.example/trap?v=2"] is None
    assert texts()["https://news.example/known"] == "Known."


@pytest.mark.parametrize(
    ("kind", "body"), [("application/pdf", b"%PDF"), ("", b"text"), ("text/html", b"<script>only()</script>")]
)
def test_page_without_text_fails(kind: str, body: bytes) -> None:
    with pytest.raises(NotFetched):
        text_of(FetchedPage(body, "https://news.example/", {"content-type": kind}), 500)
