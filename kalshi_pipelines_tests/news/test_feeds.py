"""RSS and Atom feeds are read correctly, and harmful feeds are refused before parsing."""

from pathlib import Path

import httpx
import pytest
import respx

from kalshi_pipelines.news.fetching import Fetcher
from kalshi_pipelines.news.providers.feeds import FeedProvider, MalformedFeed, articles_of
from kalshi_pipelines.news.providers.protocol import NewsQuery, ProviderFailed

RSS = b"""<?xml version="1.0" encoding="utf-8"?>
<rss version="2.0"><channel><title>News</title><language>en-US</language>
<item><title>Fed &amp;amp; rates</title><link>https://example.com/a</link><guid>a-1</guid>
<pubDate>Thu, 24 Sep 2026 10:00:00 +0200</pubDate><description>&lt;p&gt;The Fed held.&lt;/p&gt;</description></item>
<item><title>No time</title><link>https://example.com/b</link><pubDate>soon</pubDate></item>
</channel></rss>"""
ATOM = b"""<?xml version="1.0"?><feed xmlns="http://www.w3.org/2005/Atom"><title>News</title>
<entry><title type="html">Fed holds</title><link rel="alternate" href="https://example.com/a"/><id>tag:a</id>
<updated>2026-09-24T08:00:00Z</updated><content type="html" xml:lang="en">The whole text.</content>
<summary>Short.</summary></entry></feed>"""
LAUGHS = (
    b'<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY a "ha">'
    + b"".join(b'<!ENTITY %c "%s">' % (98 + n, b"&%c;" % (97 + n) * 10) for n in range(9))
    + b"]><rss version='2.0'><channel><item><title>&j;</title></item></channel></rss>"
)
SECRETS = b"""<?xml version="1.0"?><!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]>
<rss version="2.0"><channel><item><title>&x;</title></item></channel></rss>"""
QUERY = NewsQuery("Fed & rates", 0, 1, 5)


def test_rss_is_read_with_titles_times_texts_and_language() -> None:
    first, second = articles_of(RSS)
    assert (first.url, first.title, first.provider_id) == ("https://example.com/a", "Fed &amp; rates", "a-1")
    assert (first.text, first.language) == ("<p>The Fed held.</p>", "en-US")
    assert first.published_us == 1_790_236_800_000_000
    assert second.published_us is None


def test_atom_is_read_with_the_whole_text_where_it_has_one() -> None:
    (article,) = articles_of(ATOM)
    assert (article.url, article.title, article.text) == ("https://example.com/a", "Fed holds", "The whole text.")
    assert article.published_us == 1_790_236_800_000_000


@pytest.mark.parametrize("encoding", ["iso-8859-1", "windows-1252", "utf-16"])
def test_a_feed_is_read_in_its_own_encoding(encoding: str) -> None:
    text = RSS.decode().replace("utf-8", encoding).replace("The Fed", "Die B\u00f6rse")
    assert articles_of(text.encode(encoding))[0].text == "<p>Die B\u00f6rse held.</p>"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html><body>Moved</body></html>",
        b'{"items": []}',
        b"/etc/passwd",
        b"http://127.0.0.1:1/feed",
        LAUGHS,
        SECRETS,
        LAUGHS.decode().replace('<?xml version="1.0"?>', "").encode("utf-16"),
        SECRETS.replace(b'version="1.0"', b'version="1.0" encoding="utf-7"'),
        b"<rss version='2.0'><channel>" + b"<item/>" * 60_000 + b"</channel></rss>" + b"<a>" * 60_000,
        b"<rss version='2.0'><channel>" + b"<a " * 200_000,
    ],
    ids=["empty", "page", "json", "path", "address", "laughs", "file", "utf16", "utf7", "elements", "broken"],
)
def test_malformed_or_harmful_feed_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedFeed):
        articles_of(body)


def provider(address: str) -> FeedProvider:
    return FeedProvider(address, Fetcher(resolver=lambda host, port: ["93.184.215.14"]))


@respx.mock
def test_feed_query_is_escaped_and_results_are_limited() -> None:
    items = b"".join(b"<item><title>t%d</title><link>https://e.com/%d</link></item>" % (n, n) for n in range(9))
    feed = b"<rss version='2.0'><channel>" + items + b"</channel></rss>"
    route = respx.get(host="93.184.215.14").respond(200, stream=httpx.ByteStream(feed))
    searching = provider("https://feeds.example.com/search?q={query}&key=secret")
    answer = searching.find(QUERY)
    assert route.calls.last.request.url.raw_path == b"/search?q=Fed+%26+rates&key=secret"
    assert (len(answer.articles), answer.left_out, answer.cost_microdollars) == (5, 4, 0)
    assert searching.takes_queries
    assert searching.name == "feed feeds.example.com/search"


@respx.mock
def test_missing_feed_is_named_without_its_key() -> None:
    respx.get(host="93.184.215.14").respond(404)
    with pytest.raises(
        ProviderFailed, match=r"feed feeds.example.com/all cannot be read. The server answered 404"
    ) as failure:
        provider("https://feeds.example.com/all?key=secret").find(QUERY)
    assert "secret" not in str(failure.value)
    assert not failure.value.is_charged


@respx.mock
def test_entries_older_than_the_query_are_left_out() -> None:
    respx.get(host="93.184.215.14").respond(200, stream=httpx.ByteStream(RSS))
    late = NewsQuery("", 1_790_236_800_000_001, 1_790_300_000_000_000, 5)
    assert [each.title for each in provider("https://feeds.example.com/all").find(late).articles] == ["No time"]


def test_feedparser_is_never_given_an_address(tmp_path: Path) -> None:
    file = tmp_path / "feed.xml"
    file.write_bytes(RSS)
    with pytest.raises(MalformedFeed):
        articles_of(str(file).encode())
