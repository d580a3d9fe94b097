"""Canonical addresses of articles, and refusal of addresses outside the public web."""

import pytest

from kalshi_pipelines.news.addresses import InvalidAddress, canonical_address


@pytest.mark.parametrize(
    "address",
    [
        "https://example.com/a/story",
        "http://example.com/a/story",
        "HTTPS://WWW.EXAMPLE.COM:443/a/story/",
        "http://example.com:80/a/story#comments",
        "https://m.example.com/a/story?utm_source=x&utm_medium=y&fbclid=1",
        "https://amp.example.com/a/story",
        "https://example.com/amp/a/story",
        "https://example.com/a/story/amp/?outputType=amp",
        "https://www.google.com/amp/s/example.com/a/story",
        "https://example-com.cdn.ampproject.org/c/s/example.com/a/story",
        "https://example.com/a/st%6fry/index.html",
        "  https://example.com./a/story  ",
    ],
)
def test_address_variants_have_one_canonical_address(address: str) -> None:
    assert canonical_address(address) == ("https://example.com/a/story", "example.com")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://example.com/a?id=1", "https://example.com/a?id=2"),
        ("https://example.com/a", "https://example.com/A"),
        ("https://example.com/a", "https://news.example.com/a"),
        ("https://example.com/a", "https://example.com:8443/a"),
        ("https://example.com/a%2Fb", "https://example.com/a/b"),
    ],
)
def test_addresses_of_different_pages_stay_apart(one: str, other: str) -> None:
    assert canonical_address(one) != canonical_address(other)


def test_query_parameters_are_sorted_and_tracking_is_dropped() -> None:
    assert (
        canonical_address("https://example.com/a?b=2&utm_campaign=x&a=1&gclid=3")[0] == "https://example.com/a?a=1&b=2"
    )


def test_canonical_address_is_already_canonical() -> None:
    for address in ("https://b\u00fccher.example/%7Euser/x.amp.html?z=1&a=%20b", "https://example.co.uk/"):
        form, _ = canonical_address(address)
        assert canonical_address(form)[0] == form


@pytest.mark.parametrize(
    "address",
    [
        "",
        "javascript:alert(1)",
        "data:text/html,<script>alert(1)</script>",
        "file:///etc/passwd",
        "ftp://example.com/a",
        "//example.com/a",
        "https://user:secret@example.com/a",
        "http://localhost/a",
        "http://127.0.0.1:3000/graphql",
        "http://[::1]/a",
        "http://10.0.0.1/a",
        "http://169.254.169.254/latest/meta-data",
        "http://0/a",
        "http://2130706433/a",
        "http://0x7f.1/a",
        "http://intranet/a",
        "http://printer.local/a",
        "https://exa mple.com/a",
        "https://example.com/\x00a",
        "https://example.com/\u202ea\n",
        "https://" + "a" * 3_000 + ".com/",
        "https://example.com:99999/a",
        "https://[not-an-address]/",
    ],
)
def test_address_of_no_public_page_is_refused_without_being_quoted(address: str) -> None:
    with pytest.raises(InvalidAddress) as refused:
        canonical_address(address)
    assert not address or address not in str(refused.value)
