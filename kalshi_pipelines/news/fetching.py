"""Bounded HTTP GET requests from news to the public web. All pages and feeds are fetched here.

A host name is resolved once, its addresses are checked, and the connection goes to a checked address. The fetch is not
affected if the host name points to a private network after the check. Each redirect is checked like the first address.
Proxies are not used, because a proxy would resolve names itself.
"""

import ipaddress
import logging
import socket
import ssl
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urljoin, urlsplit

import httpx

from kalshi_pipelines.alerts.scrubbing import neutral
from kalshi_pipelines.errors import ExpectedError

logging.getLogger("httpx").setLevel(logging.WARNING)
logging.getLogger("httpcore").setLevel(logging.WARNING)

_MOST_HEADERS: Final = {"User-Agent": "kalshi-pipelines", "Accept-Encoding": "gzip, deflate"}
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_TIMEOUT: Final = httpx.Timeout(connect=10, read=20, write=10, pool=10)

#: A function that returns all IP addresses of a host and port.
Resolver = Callable[[str, int], list[str]]


class NotFetched(ExpectedError):
    """A page could not be fetched or must not be fetched. The message gives the reason without credentials."""

    is_retryable = True


@dataclass(frozen=True)
class FetchLimits:
    """Limits of one page: bytes after unpacking, total seconds, and number of redirects."""

    most_bytes: int = 4 * 1024 * 1024
    seconds: float = 30.0
    redirects: int = 5


@dataclass(frozen=True)
class FetchedPage:
    """A fetched page: its bytes, its final address, and its headers by lower-case name."""

    body: bytes
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)


def resolve_host(host: str, port: int) -> list[str]:
    """Return the IP addresses of a host name from the operating system's resolver.

    Raises:
        NotFetched: The host name is unknown.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise NotFetched(f"The host {neutral(host, 100)} is unknown.") from None
    return list(dict.fromkeys(str(each[4][0]) for each in found))


class Fetcher:
    """A client that fetches pages of the public web.

    Args:
        trusted: Configured origins such as ``http://127.0.0.1:8000`` that may be private. A redirect to any other
            private address is refused.
        limits: The limits of one page.
        resolver: Resolves host names.
        network: A transport that replaces the network in tests.
    """

    def __init__(
        self,
        trusted: frozenset[str] = frozenset(),
        limits: FetchLimits = FetchLimits(),
        *,
        resolver: Resolver = resolve_host,
        network: httpx.BaseTransport | None = None,
    ) -> None:
        self._trusted = trusted
        self._limits = limits
        self._resolver = resolver
        self._http = httpx.Client(
            headers=_MOST_HEADERS, timeout=_TIMEOUT, follow_redirects=False, trust_env=False, transport=network
        )

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def fetch(self, url: str, headers: Mapping[str, str] | None = None) -> FetchedPage:
        """Fetch the page at an address, following redirects.

        Raises:
            NotFetched: The address is not allowed, or the page is missing, too long or too slow.
        """
        give_up = time.monotonic() + self._limits.seconds
        for _ in range(self._limits.redirects + 1):
            status, fetched = self._once(url, dict(headers or {}), give_up)
            if status not in _REDIRECTS:
                if status != httpx.codes.OK:
                    raise NotFetched(f"The server answered {status}.")
                return fetched
            try:
                following = urljoin(url, fetched.headers.get("location", ""))
                same_origin = origin(following) == origin(url)
            except ValueError:
                raise NotFetched("The server redirects to a malformed address.") from None
            if not fetched.headers.get("location"):
                raise NotFetched("The server redirects without an address.")
            if not same_origin:
                headers = None
            url = following
        raise NotFetched(f"The server redirects more than {self._limits.redirects} times.")

    def _once(self, url: str, headers: dict[str, str], give_up: float) -> tuple[int, FetchedPage]:
        request = self._request(url, headers)
        try:
            response = self._http.send(request, stream=True)
            try:
                body = self._body(response, give_up) if response.status_code == httpx.codes.OK else b""
            finally:
                response.close()
        except httpx.HTTPError as error:
            raise NotFetched(f"The server gave no complete answer ({type(error).__name__}).") from None
        except (ssl.SSLError, OSError) as error:
            raise NotFetched(f"The connection failed ({type(error).__name__}).") from None
        return response.status_code, FetchedPage(
            body, url, {name.lower(): value for name, value in response.headers.items()}
        )

    def _request(self, url: str, headers: dict[str, str]) -> httpx.Request:
        """Return a request to a resolved and checked IP address."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            raise NotFetched("The address is malformed.") from None
        if parts.scheme not in ("http", "https") or not host:
            raise NotFetched("The address is not http or https.")
        if parts.username is not None or parts.password is not None:
            raise NotFetched("The address has a user or password.")
        port = port or (443 if parts.scheme == "https" else 80)
        addresses = self._resolver(host, port)
        if origin(url) not in self._trusted:
            for address in addresses:
                refuse_private(address)
        if not addresses:
            raise NotFetched(f"The host {neutral(host, 100)} is unknown.")
        pinned = httpx.URL(url).copy_with(host=addresses[0], fragment=None)
        shown_host = f"[{host}]" if ":" in host else host
        headers = {**headers, "Host": shown_host if parts.port is None else f"{shown_host}:{parts.port}"}
        request = self._http.build_request("GET", pinned, headers=headers)
        request.extensions["sni_hostname"] = host
        return request

    def _body(self, response: httpx.Response, give_up: float) -> bytes:
        """Read and unpack the answer up to the limit of bytes."""
        packing = response.headers.get("content-encoding", "")
        chunks = unpack(packing, response.iter_raw(65_536), self._limits.most_bytes)
        return read_bounded(chunks, self._limits.most_bytes, give_up, self._limits.seconds)


def unpack(packing: str, chunks: Iterable[bytes], most: int) -> Iterator[bytes]:
    """Yield the bytes of an answer in chunks, unpacked if the answer is packed.

    Each unpacked chunk has at most ``most`` + 1 bytes, so that a small packed answer cannot fill the memory.

    Raises:
        NotFetched: The content encoding is unsupported or the packed data is damaged.
    """
    packing = packing.strip().lower()
    if packing in ("", "identity"):
        yield from chunks
        return
    if packing not in ("gzip", "x-gzip", "deflate"):
        raise NotFetched("The answer has an unsupported content encoding.")
    decoder = zlib.decompressobj(zlib.MAX_WBITS | 32)
    for chunk in chunks:
        waiting = chunk
        while waiting:
            try:
                plain = decoder.decompress(waiting, most + 1)
            except zlib.error:
                raise NotFetched("The answer cannot be unpacked.") from None
            yield plain
            waiting = decoder.unconsumed_tail


def read_bounded(chunks: Iterable[bytes], most: int, give_up: float, seconds: float) -> bytes:
    """Join the chunks of an answer within a limit of bytes and time.

    Raises:
        NotFetched: The answer is too long or too slow.
    """
    body = bytearray()
    for chunk in chunks:
        body += chunk
        if len(body) > most:
            raise NotFetched(f"The answer is longer than {most:,} bytes.")
        if time.monotonic() > give_up:
            raise NotFetched(f"The answer was not complete after {seconds:.0f} s.")
    return bytes(body)


def refuse_private(address: str) -> None:
    """Refuse an IP address outside the public internet.

    Raises:
        NotFetched: The IP address is private, local to this computer or network, or reserved for a special purpose.
    """
    found = ipaddress.ip_address(address.partition("%")[0])
    inside = getattr(found, "ipv4_mapped", None) or getattr(found, "sixtofour", None)
    teredo = getattr(found, "teredo", None)
    for each in (found, inside, *(teredo or ())):
        if each is not None and (not each.is_global or each.is_multicast or each.is_reserved):
            raise NotFetched("The address leads to a private or special network.")
    if found.version == 6 and found in _TRANSLATED:
        refuse_private(str(ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)))


_TRANSLATED: Final = ipaddress.ip_network("64:ff9b::/96")


def origin(url: str) -> str:
    """Return scheme, host and port of an address.

    Raises:
        ValueError: The address is malformed.
    """
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return f"{parts.scheme}://{(parts.hostname or '').lower()}:{port}"
