"""The channels alerts leave by. Apprise knows how to speak to each service; nothing outside this file knows Apprise."""

import hashlib
import logging
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol, Self
from urllib.parse import unquote

from kalshi_pipelines.alerts.messages import Message
from kalshi_pipelines.alerts.scrubbing import neutral
from kalshi_pipelines.errors import ExpectedError
from kalshi_pipelines.settings import InvalidSettings, Settings

if TYPE_CHECKING:
    import apprise

#: A channel that has not answered after so long has failed.
MOST_SECONDS: Final = 30
_BETWEEN_ADDRESSES: Final = re.compile(r"[\s,]+(?=[A-Za-z][A-Za-z0-9+.-]*://)")
_BETWEEN_PARTS: Final = re.compile(r"[/@?&=:,\s]+")
_SHORTEST_SECRET: Final = 4
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,30})://")
#: These write the addresses they send to, which are secrets, when they are asked to say much.
_TALKATIVE: Final = ("urllib3", "requests_oauthlib", "oauthlib")


class DeliveryFailed(ExpectedError):
    """A channel did not take a message; the text says why, without secrets."""

    is_retryable = True


class Channel(Protocol):
    """Somewhere a message can be sent to."""

    @property
    def name(self) -> str:
        """What tells it from other channels, without a secret."""

    def send(self, message: Message) -> None:
        """Send a message now.

        Raises:
            DeliveryFailed: It was not taken.
        """


@dataclass(frozen=True)
class AppriseChannel:
    """One Apprise URL.

    Attributes:
        name: Its scheme and a digest of the URL, ``slack-1f2e3d4c``.
    """

    name: str
    _service: "apprise.Apprise" = field(repr=False, compare=False)
    _parts: tuple[str, ...] = field(repr=False, compare=False)

    def send(self, message: Message) -> None:
        """Send a message now.

        Raises:
            DeliveryFailed: The service refused it or did not answer.
        """
        with _captured_warnings() as warnings_given:
            try:
                taken = self._service.notify(title=message.title, body=message.body, body_format="text")
            except Exception as error:  # noqa: BLE001  # whatever a plugin raises, the other channels go on
                raise DeliveryFailed(self._without_address(f"{type(error).__name__}: {error}")) from None
        if not taken:
            why = "; ".join(warnings_given) or "the service did not take it and gave no reason"
            raise DeliveryFailed(self._without_address(why))

    def _without_address(self, text: str) -> str:
        for part in self._parts:
            text = text.replace(part, "[hidden]")
        return neutral(text)


@dataclass(frozen=True)
class AlertChannels:
    """Every configured channel."""

    channels: tuple[Channel, ...] = ()

    def __iter__(self) -> Iterator[Channel]:
        return iter(self.channels)

    def __len__(self) -> int:
        return len(self.channels)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the channels."""
        return tuple(channel.name for channel in self.channels)

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """The channels of KALSHI_ALERT_URLS; none if it is not set.

        Raises:
            InvalidSettings: A URL can not be used; the message says which by its position and scheme.
        """
        if settings.alert_urls is None:
            return cls()
        return cls.from_urls(_BETWEEN_ADDRESSES.split(settings.alert_urls.get_secret_value().strip(" \t\r\n,")))

    @classmethod
    def from_urls(cls, urls: Sequence[str]) -> Self:
        """The channels of some Apprise URLs; one that is given twice is one channel.

        Raises:
            InvalidSettings: A URL can not be used.
        """
        channels = {url: _channel(url, position) for position, url in enumerate(urls, start=1) if url}
        return cls(tuple(channels.values()))


def _channel(url: str, position: int) -> AppriseChannel:
    scheme = _SCHEME.match(url)
    service, usable = _service(url)
    if scheme is None or not usable:
        raise InvalidSettings(
            f"KALSHI_ALERT_URLS: address {position} ({scheme[1] + '://...' if scheme else 'without a scheme'}) is "
            "none that Apprise can use: write it as the page of the service in Apprise's documentation says."
        )
    name = f"{scheme[1].lower()}-{hashlib.sha256(url.encode()).hexdigest()[:8]}"
    return AppriseChannel(name, service, _parts(url[scheme.end() :]))


def _service(url: str) -> "tuple[apprise.Apprise, bool]":
    """The service of a URL, and whether Apprise can use it."""
    with _captured_warnings(), warnings.catch_warnings():
        # It loads all its plugins, some of which use what Python has deprecated.
        warnings.simplefilter("ignore", DeprecationWarning)
        import apprise  # noqa: PLC0415  # a second that only those who send alerts pay

        asset = apprise.AppriseAsset(
            app_id="kalshi_pipelines",
            app_desc="Kalshi pipelines",
            app_url="",
            image_url_mask="",
            image_url_logo="",
            async_mode=False,
            http_redirects=False,
            allow_templates=False,
            service_timeout=MOST_SECONDS,
            storage_mode="memory",
        )
        service = apprise.Apprise(asset=asset)
        return service, service.add(url)


def _parts(address: str) -> tuple[str, ...]:
    """What an address is made of, the longest first: users, passwords, hosts, tokens; very short words are left out."""
    parts = {part for text in (address, unquote(address)) for part in _BETWEEN_PARTS.split(text)}
    hosts = {part for text in (address, unquote(address)) for part in re.split(r"[/@?&=,\s]+", text)}
    return tuple(sorted((part for part in parts | hosts if len(part) >= _SHORTEST_SECRET), key=len, reverse=True))


class _Listener(logging.Filter):
    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno >= logging.WARNING:
            self.messages.append(record.getMessage())
        return False


@contextmanager
def _captured_warnings() -> Iterator[list[str]]:
    """What Apprise complains of meanwhile; none of it gets into the log, because it may name addresses."""
    log, listener = logging.getLogger("apprise"), _Listener()
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.INFO)
    log.addFilter(listener)
    try:
        yield listener.messages
    finally:
        log.removeFilter(listener)
