"""Settings choose the providers, each skipped provider has a reason, and the sandbox never gets a real key."""

import pytest
import respx

from kalshi_pipelines.news.providers.configured import DEFAULT_FEEDS, configured_providers
from kalshi_pipelines.news.providers.protocol import NewsQuery, ProviderFailed
from kalshi_pipelines.settings import InvalidSettings, Settings

SANDBOX = "http://127.0.0.1:8123/trade-api/v2"
REAL_KEY = "4f1c2d3e-0000-4a5b-8c6d-7e8f90a1b2c3"


def configured(
    monkeypatch: pytest.MonkeyPatch, sandbox_url: str | None = None, **variables: str
) -> tuple[list[str], str]:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with configured_providers(Settings.from_environment(), sandbox_url) as found:
        return [repr(each) for each in found.providers], " ".join(found.skip_reasons)


def test_sandbox_has_its_own_providers_and_never_the_real_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    providers, skip_reasons = configured(monkeypatch, SANDBOX, EXA_API_KEY=REAL_KEY)
    assert providers == [
        "ExaProvider(http://127.0.0.1:8123/exa)",
        "FeedProvider(feed 127.0.0.1/rss/top.xml)",
        "FeedProvider(feed 127.0.0.1/rss/search)",
    ]
    assert skip_reasons == ""
    (exa, *_) = configured_providers(Settings.from_environment(), SANDBOX).providers
    assert REAL_KEY not in str(vars(exa))


def test_exa_without_key_or_budget_is_skipped_with_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    providers, skip_reasons = configured(monkeypatch, KALSHI_ENVIRONMENT="prod", EXA_API_KEY=REAL_KEY)
    assert len(providers) == len(DEFAULT_FEEDS)
    assert "Set KALSHI_NEWS_DAILY_DOLLARS" in skip_reasons
    providers, skip_reasons = configured(monkeypatch, KALSHI_NEWS_DAILY_DOLLARS="1", KALSHI_NEWS_FEEDS="none")
    assert providers == ["ExaProvider(https://api.exa.ai)"]
    assert "Feeds are skipped" in skip_reasons
    monkeypatch.delenv("EXA_API_KEY")
    assert configured(monkeypatch) == (
        [],
        "Exa is skipped because it has no key. Set EXA_API_KEY. Feeds are skipped because KALSHI_NEWS_FEEDS is none.",
    )
    assert "KALSHI_NEWS_SEARCHES is 0" in configured(monkeypatch, KALSHI_NEWS_SEARCHES="0")[1]


def test_feeds_at_the_same_path_have_different_names_without_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    feeds = "https://e.com/rss?key=one, https://e.com/rss?key=two https://e.com/other https://e.com/other"
    providers, _ = configured(monkeypatch, KALSHI_NEWS_FEEDS=feeds)
    assert len(set(providers)) == 3
    assert "FeedProvider(feed e.com/other)" in providers
    assert not any("key" in each for each in providers)
    assert "key=one" not in repr(Settings.from_environment())


@pytest.mark.parametrize(
    "feeds", ["file:///etc/passwd", "example.com/rss", "https://user:secret@e.com/rss", "https://[x/"]
)
def test_invalid_feed_address_is_refused_without_being_quoted(monkeypatch: pytest.MonkeyPatch, feeds: str) -> None:
    with pytest.raises(InvalidSettings, match="KALSHI_NEWS_FEEDS") as refused:
        configured(monkeypatch, KALSHI_NEWS_FEEDS=feeds)
    assert feeds not in str(refused.value)


@respx.mock
def test_only_a_configured_feed_may_be_private(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KALSHI_ENVIRONMENT", "prod")
    monkeypatch.setattr(
        "kalshi_pipelines.news.fetching.socket.getaddrinfo", lambda *_, **__: [(0, 0, 0, "", ("10.0.0.1", 1))]
    )
    route = respx.get(host="10.0.0.1").respond(404)

    def read() -> None:
        with configured_providers(Settings.from_environment(), None) as found:
            found.providers[0].find(NewsQuery("", 0, 1, 5))

    with pytest.raises(ProviderFailed, match="private"):
        read()
    assert not route.called
    monkeypatch.setenv("KALSHI_NEWS_FEEDS", "https://feeds.intranet.example/rss")
    with pytest.raises(ProviderFailed, match="404"):
        read()
    assert route.called
