"""Pages are fetched only from the public internet, within limits of bytes, time and redirects."""

import gzip
import zlib
from collections.abc import Callable

import httpx
import pytest

from kalshi_pipelines.news.fetching import Fetcher, FetchLimits, NotFetched, refuse_private

PUBLIC = "93.184.215.14"
LIMITS = FetchLimits()
HOSTS = {"example.com": [PUBLIC], "evil.example": ["127.0.0.1"], "mixed.example": [PUBLIC, "10.0.0.1"]}


def resolver(host: str, _port: int) -> list[str]:
    return HOSTS.get(host, [host])


def fetcher(
    answer: Callable[[httpx.Request], httpx.Response],
    limits: FetchLimits = LIMITS,
    trusted: frozenset[str] = frozenset(),
) -> Fetcher:
    return Fetcher(trusted, limits, resolver=resolver, network=httpx.MockTransport(answer))


def never(request: httpx.Request) -> httpx.Response:
    raise AssertionError(f"asked {request.url}")


def test_the_connection_goes_to_the_address_that_was_checked() -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, stream=httpx.ByteStream(b"hello"), headers={"Content-Type": "text/html"})

    page = fetcher(answer).fetch("https://example.com/a?b=1#c")
    assert (page.body, page.headers["content-type"]) == (b"hello", "text/html")
    (request,) = asked
    assert str(request.url) == f"https://{PUBLIC}/a?b=1"
    assert request.headers["Host"] == "example.com"
    assert request.extensions["sni_hostname"] == "example.com"
    assert "Cookie" not in request.headers


@pytest.mark.parametrize(
    "url",
    [
        "http://evil.example/",
        "http://mixed.example/",
        "http://127.0.0.1/",
        "http://[::1]/",
        "http://[::ffff:10.0.0.1]/",
        "http://[64:ff9b::7f00:1]/",
        "http://169.254.169.254/latest/meta-data",
        "http://0.0.0.0/",
        "http://224.0.0.1/",
        "http://100.64.0.1/",
        "http://[fe80::1%25eth0]/",
        "file:///etc/passwd",
        "gopher://example.com/",
        "https://user:secret@example.com/",
        "http:///nothing",
    ],
)
def test_address_outside_the_public_internet_is_never_fetched(url: str) -> None:
    with pytest.raises(NotFetched) as refused:
        fetcher(never).fetch(url)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "target", ["http://127.0.0.1:3000/graphql", "//evil.example/", "file:///etc/passwd", "http://[::1]/", "http://["]
)
def test_redirect_outside_the_public_internet_is_not_followed(target: str) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert request.url.host == PUBLIC
        return httpx.Response(302, headers={"Location": target})

    with pytest.raises(NotFetched):
        fetcher(answer).fetch("https://example.com/")


def test_trusted_private_feed_is_read_but_not_redirected_elsewhere() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/moved":
            return httpx.Response(301, headers={"Location": "/feed"})
        if request.url.path == "/trap":
            return httpx.Response(301, headers={"Location": "http://127.0.0.1:9999/"})
        return httpx.Response(200, stream=httpx.ByteStream(b"feed"))

    mine = fetcher(answer, trusted=frozenset({"http://127.0.0.1:8000"}))
    assert mine.fetch("http://127.0.0.1:8000/moved").body == b"feed"
    with pytest.raises(NotFetched, match="private"):
        mine.fetch("http://127.0.0.1:8000/trap")


def test_endless_redirects_fail_after_five() -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        return httpx.Response(302, headers={"Location": f"/{len(asked)}"})

    with pytest.raises(NotFetched, match="more than 5 times"):
        fetcher(answer).fetch("https://example.com/")
    assert len(asked) == 6


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress])
def test_compressed_page_is_unpacked_only_up_to_the_limit(pack: Callable[[bytes], bytes]) -> None:
    def answer_with(plain: bytes) -> Callable[[httpx.Request], httpx.Response]:
        packing = "gzip" if pack is gzip.compress else "deflate"

        def answer(_: httpx.Request) -> httpx.Response:
            return httpx.Response(200, stream=httpx.ByteStream(pack(plain)), headers={"Content-Encoding": packing})

        return answer

    limits = FetchLimits(most_bytes=100_000)
    assert fetcher(answer_with(b"x" * 100_000), limits).fetch("https://example.com/").body == b"x" * 100_000
    with pytest.raises(NotFetched, match="longer than 100,000 bytes"):
        fetcher(answer_with(b"x" * 200_000_000), limits).fetch("https://example.com/")


@pytest.mark.parametrize(
    ("response", "why"),
    [
        (httpx.Response(200, stream=httpx.ByteStream(b"junk"), headers={"Content-Encoding": "gzip"}), "unpacked"),
        (httpx.Response(200, stream=httpx.ByteStream(b"junk"), headers={"Content-Encoding": "br"}), "unsupported"),
        (httpx.Response(404), "answered 404"),
        (httpx.Response(302), "redirects without an address"),
    ],
)
def test_unusable_response_fails_with_its_reason(response: httpx.Response, why: str) -> None:
    with pytest.raises(NotFetched, match=why):
        fetcher(lambda _: response).fetch("https://example.com/")


def test_a_public_address_is_not_refused() -> None:
    for address in (PUBLIC, "2606:2800:21f:cb07:6820:80da:af6b:8b2c"):
        refuse_private(address)
