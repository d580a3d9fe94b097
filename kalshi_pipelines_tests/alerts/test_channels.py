"""Tests of real alert channels: they send messages, and a failing channel shows neither its URL nor a secret."""

import logging

import pytest

from kalshi_pipelines.alerts.channels import AlertChannels, DeliveryFailed
from kalshi_pipelines.alerts.messages import Message
from kalshi_pipelines.settings import InvalidSettings, Settings
from kalshi_pipelines_tests.support.alerts.receivers import Mailbox, Webhook

MESSAGE = Message("Breaking drift on prod: GET /markets", "What: markets[].yes_bid_dollars\nBreaks: markets\n*a* & <b>")


def channels_of(monkeypatch: pytest.MonkeyPatch, urls: str) -> AlertChannels:
    monkeypatch.setenv("KALSHI_ALERT_URLS", urls)
    return AlertChannels.from_settings(Settings.from_environment())


def test_without_a_setting_there_is_no_channel() -> None:
    assert len(AlertChannels.from_settings(Settings.from_environment())) == 0


@pytest.mark.parametrize("separator", [",", " ", ", ", "\n"])
def test_each_address_is_a_channel(
    monkeypatch: pytest.MonkeyPatch, webhook: Webhook, mailbox: Mailbox, separator: str
) -> None:
    # White space at the ends of a setting is refused, so a list may end with a comma only.
    listed = f"{webhook.url}{separator}{mailbox.url},other@example.org{separator}".rstrip()
    channels = channels_of(monkeypatch, listed)
    for channel in channels:
        channel.send(MESSAGE)
    assert [(body["title"], body["message"]) for body in webhook.received] == [(MESSAGE.title, MESSAGE.body)]
    assert {mail["Subject"] for mail in mailbox.mails} == {MESSAGE.title}
    assert {address for mail in mailbox.mails for address in mail["To"].split(", ")} == {
        "operator@example.org",
        "other@example.org",
    }
    assert [name.split("-")[0] for name in channels.names] == ["json", "mailto"]


def test_mail_holds_title_and_body_of_the_message(monkeypatch: pytest.MonkeyPatch, mailbox: Mailbox) -> None:
    (channel,) = channels_of(monkeypatch, mailbox.url)
    channel.send(MESSAGE)
    (mail,) = mailbox.mails
    text = mail.get_body(("plain",))
    assert text is not None
    assert text.get_content().replace("\r\n", "\n").strip() == MESSAGE.body


def test_the_same_address_twice_is_one_channel(monkeypatch: pytest.MonkeyPatch, webhook: Webhook) -> None:
    assert len(channels_of(monkeypatch, f"{webhook.url} {webhook.url}")) == 1


@pytest.mark.parametrize("status", [302, 404, 500, 503])
def test_refusal_of_a_channel_gives_the_reason_without_its_address(
    monkeypatch: pytest.MonkeyPatch, webhook: Webhook, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    webhook.status = status
    url = f"json://operator:correct-horse@localhost:{webhook.port}/T0123/B4567/secretpath?+X-Token=hidden-header"
    (channel,) = channels_of(monkeypatch, url)
    with caplog.at_level(logging.DEBUG), pytest.raises(DeliveryFailed, match=str(status)) as caught:
        channel.send(MESSAGE)
    assert "localhost" not in f"{caught.value} {channel!r} {channel.name}"
    for part in ("correct-horse", "secretpath", "hidden-header", "T0123"):
        assert part not in f"{caught.value} {channel!r} {channel.name} {caplog.text}"


def test_channel_without_a_listener_fails(monkeypatch: pytest.MonkeyPatch, webhook: Webhook) -> None:
    (channel,) = channels_of(monkeypatch, "json://127.0.0.1:1/hook")
    with pytest.raises(DeliveryFailed, match="onnection"):
        channel.send(MESSAGE)


@pytest.mark.parametrize(
    "url",
    [
        "nonsense",
        "gopher://secret-host/secret",
        "slack://",
        "json://",
        "hooks.slack.com/services/secret",
        "tgram://secret",
    ],
)
def test_address_that_cannot_be_used_is_named_by_position_and_scheme(
    monkeypatch: pytest.MonkeyPatch, webhook: Webhook, caplog: pytest.LogCaptureFixture, url: str
) -> None:
    with caplog.at_level(logging.DEBUG), pytest.raises(InvalidSettings, match="address 2") as caught:
        AlertChannels.from_urls([webhook.url, url])
    assert "KALSHI_ALERT_URLS" in str(caught.value)
    assert "secret" not in str(caught.value) + caplog.text
    assert "\n" not in str(caught.value)


def test_settings_do_not_show_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KALSHI_ALERT_URLS", "slack://secret/secret/secret")
    settings = Settings.from_environment()
    assert "secret/" not in f"{settings!r} {settings} {settings.model_dump_json()}"
