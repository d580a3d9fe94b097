"""What happens on the wire below HTTP: connections that end without an answer, or that carry two.

Belongs here: reaching the connection a request came over, and the answers only a raw connection can give. Does not
belong here: when that happens (``effects``). A call inside the process has no connection, and is told so.
"""

import asyncio
import socket
import struct
from http import HTTPStatus
from typing import Any, Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.auto import AutoHTTPProtocol

UNANSWERED: Final = 0
"""The status that stands for no answer in the record of requests."""
_STATE_KEY: Final = "connection"
_LINGER_NOT: Final = struct.pack("ii", 1, 0)


class NoConnection(RuntimeError):
    """A fault needs the connection of the request, and the request was called inside the process."""


class Connection:
    """The connection a request came over."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport

    def drop(self, *, reset: bool = False) -> None:
        """Close it at once, without another byte; with ``reset`` by an RST in place of a FIN."""
        if reset:
            connected: socket.socket = self._transport.get_extra_info("socket")
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
        self._transport.abort()

    def write(self, content: bytes) -> None:
        """Send bytes as they are."""
        self._transport.write(content)


def tapped_protocol() -> type[asyncio.Protocol]:
    """The server's own HTTP protocol, which lets each request know its connection. Pass it to uvicorn as ``http``."""

    def connection_made(self: Any, transport: asyncio.Transport) -> None:  # noqa: ANN401  (the class is chosen by uvicorn)
        # The server copies this state into the scope of each request of the connection.
        self.app_state = {**self.app_state, _STATE_KEY: Connection(transport)}
        AutoHTTPProtocol.connection_made(self, transport)

    return type("TappedProtocol", (AutoHTTPProtocol,), {"connection_made": connection_made})


def connection_of(scope: Scope) -> Connection:
    """The connection of a request.

    Raises:
        NoConnection: It came over none.
    """
    connection = scope.get("state", {}).get(_STATE_KEY)
    if not isinstance(connection, Connection):
        raise NoConnection(
            "This fault acts on the connection of a request, and this request has none: it was called inside the "
            "process. What the fault does to the exchange is done. Run a server to see what it does to a client."
        )
    return connection


class DroppedResponse(Response):
    """Not a byte: the connection is closed at once, or with ``hold`` kept until the client gives up."""

    def __init__(self, *, hold: bool = False, reset: bool = False) -> None:
        super().__init__(status_code=UNANSWERED)
        self._hold, self._reset = hold, reset

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """End or hold the connection, and return when it is gone: a server answers 500 for whoever returns before."""
        connection = connection_of(scope)
        if not self._hold:
            connection.drop(reset=self._reset)
        while not await _is_gone(receive, connection):
            pass


async def _is_gone(receive: Receive, connection: Connection) -> bool:
    """Wait for what the client does next; whether it left."""
    try:
        return bool((await receive())["type"] == "http.disconnect")
    except asyncio.CancelledError:
        # The server shuts down, and would answer 500 for whoever does not end by itself.
        connection.drop()
        return False


class DuplicatedResponse(Response):
    """The same answer twice in a row; the connection stays open."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send one answer past the server, and then the other through it, which may close the connection."""
        connection = connection_of(scope)
        head = [f"HTTP/1.1 {self.status_code} {HTTPStatus(self.status_code).phrase}".encode()]
        head += [b"%b: %b" % header for header in self.raw_headers]
        connection.write(b"\r\n".join(head) + b"\r\n\r\n" + bytes(self.body))
        await super().__call__(scope, receive, send)
