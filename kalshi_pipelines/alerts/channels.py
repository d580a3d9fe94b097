"""Channels that send alerts. The Apprise library speaks to each service, and only this module uses Apprise."""

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

#: The number of seconds after which a channel that has not answered counts as failed.
MOST_SECONDS: Final = 30
_BETWEEN_ADDRESSES: Final = re.compile(r"[\s,]+(?=[A-Za-z][A-Za-z0-9+.-]*://)")
_BETWEEN_PARTS: Final = re.compile(r"[/@?&=:,\s]+")
_SHORTEST_SECRET: Final = 4
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,30})://")
#: The loggers of the HTTP libraries write addresses at debug level, and the addresses of channels are secrets.
_TALKATIVE: Final = ("urllib3", "requests_oauthlib", "oauthlib")


class DeliveryFailed(ExpectedError):
    """A message that a channel did not accept. The text gives the reason without secrets."""

    is_retryable = True


class Channel(Protocol):
    """A destination of messages."""

    @property
    def name(self) -> str:
        """The unique name of the channel, without a secret."""

    def send(self, message: Message) -> None:
        """Send a message now.

        Raises:
            DeliveryFailed: The channel did not accept the message.
        """


@dataclass(frozen=True)
class AppriseChannel:
    """The channel of one Apprise URL.

    Attributes:
        name: The scheme and a digest of the URL, such as ``slack-1f2e3d4c``.
    """

    name: str
    _service: "apprise.Apprise" = field(repr=False, compare=False)
    _parts: tuple[str, ...] = field(repr=False, compare=False)

    def send(self, message: Message) -> None:
        """Send a message now.

        Raises:
            DeliveryFailed: The service refused the message or did not answer.
        """
        with _captured_warnings() as warnings_given:
            try:
                taken = self._service.notify(title=message.title, body=message.body, body_format="text")
            except Exception as error:  # noqa: BLE001  # An error of one plugin must not stop the other channels.
                raise DeliveryFailed(self._without_address(f"{type(error).__name__}: {error}")) from None
        if not taken:
            why = "; ".join(warnings_given) or "the service did not accept the message and gave no reason"
            raise DeliveryFailed(self._without_address(why))

    def _without_address(self, text: str) -> str:
        for part in self._parts:
            text = text.replace(part, "[hidden]")
        return neutral(text)


@dataclass(frozen=True)
class AlertChannels:
    """All configured channels."""

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
        """Return the channels of KALSHI_ALERT_URLS; none if the variable is not set.

        Raises:
            InvalidSettings: A URL cannot be used. The message names only the position and scheme of the URL.
        """
        if settings.alert_urls is None:
            return cls()
        return cls.from_urls(_BETWEEN_ADDRESSES.split(settings.alert_urls.get_secret_value().strip(" \t\r\n,")))

    @classmethod
    def from_urls(cls, urls: Sequence[str]) -> Self:
        """Return the channels of Apprise URLs. A URL that is given twice is one channel.

        Raises:
            InvalidSettings: A URL cannot be used.
        """
        channels = {url: _channel(url, position) for position, url in enumerate(urls, start=1) if url}
        return cls(tuple(channels.values()))


def _channel(url: str, position: int) -> AppriseChannel:
    scheme = _SCHEME.match(url)
    service, usable = _service(url)
    if scheme is None or not usable:
        raise InvalidSettings(
            f"Apprise cannot use address {position} of KALSHI_ALERT_URLS "
            f"({scheme[1] + '://...' if scheme else 'without a scheme'}).",
            "Write the address in the form that Apprise's documentation gives for the service.",
        )
    name = f"{scheme[1].lower()}-{hashlib.sha256(url.encode()).hexdigest()[:8]}"
    return AppriseChannel(name, service, _parts(url[scheme.end() :]))


def _service(url: str) -> "tuple[apprise.Apprise, bool]":
    """Return the Apprise service of a URL, and whether Apprise can use the URL."""
    with _captured_warnings(), warnings.catch_warnings():
        # Apprise loads all its plugins, and some of them use deprecated parts of Python.
        warnings.simplefilter("ignore", DeprecationWarning)
        import apprise  # noqa: PLC0415  # The import takes a second, so it happens only if alerts are configured.

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
    """Return the parts of an address that may be secret, the longest first: users, passwords, hosts and tokens.

    Parts with fewer than four characters are omitted.
    """
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
    """Collect Apprise's warnings instead of logging them, because the warnings may contain secret addresses."""
    log, listener = logging.getLogger("apprise"), _Listener()
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.INFO)
    log.addFilter(listener)
    try:
        yield listener.messages
    finally:
        log.removeFilter(listener)
