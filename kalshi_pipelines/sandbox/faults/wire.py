"""Effects below HTTP: connections that end without a response, or that carry two responses.

Belongs here: access to the connection of a request, and the responses that need a raw connection. Does not belong here:
deciding which request gets such a response (``effects``). A request made inside the process has no connection, so these
effects raise an error.
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
"""Status in the record of requests for a request that got no response."""
_STATE_KEY: Final = "connection"
_LINGER_NOT: Final = struct.pack("ii", 1, 0)


class NoConnection(RuntimeError):
    """A fault needs the connection of a request, but the request was made inside the process."""


class Connection:
    """The network connection that a request arrived on."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport

    def drop(self, *, reset: bool = False) -> None:
        """Close the connection at once without sending another byte. With ``reset``, send an RST instead of a FIN."""
        if reset:
            connected: socket.socket = self._transport.get_extra_info("socket")
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
        self._transport.abort()

    def write(self, content: bytes) -> None:
        """Send raw bytes on the connection."""
        self._transport.write(content)


def tapped_protocol() -> type[asyncio.Protocol]:
    """Return uvicorn's HTTP protocol, extended so that each request knows its connection.

    Pass the protocol to uvicorn as ``http``.
    """

    def connection_made(self: Any, transport: asyncio.Transport) -> None:  # noqa: ANN401  (the class is chosen by uvicorn)
        # uvicorn copies ``app_state`` into the scope of each request, so a request can find its connection there.
        self.app_state = {**self.app_state, _STATE_KEY: Connection(transport)}
        AutoHTTPProtocol.connection_made(self, transport)

    return type("TappedProtocol", (AutoHTTPProtocol,), {"connection_made": connection_made})


def connection_of(scope: Scope) -> Connection:
    """Return the network connection of a request.

    Raises:
        NoConnection: The request was made inside the process, without a connection.
    """
    connection = scope.get("state", {}).get(_STATE_KEY)
    if not isinstance(connection, Connection):
        raise NoConnection(
            "This fault acts on the connection of a request, but the request was made inside the process. "
            "The fault's effect on the exchange has happened. Run a server to see its effect on a client."
        )
    return connection


class DroppedResponse(Response):
    """A response that is never sent.

    If ``hold`` is True, the connection stays open until the client gives up. Otherwise the connection is closed at
    once.
    """

    def __init__(self, *, hold: bool = False, reset: bool = False) -> None:
        super().__init__(status_code=UNANSWERED)
        self._hold, self._reset = hold, reset

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Close or hold the connection, and return once the client is disconnected.

        If this method returned earlier, the server would answer 500.
        """
        connection = connection_of(scope)
        if not self._hold:
            connection.drop(reset=self._reset)
        while not await _is_gone(receive, connection):
            pass


async def _is_gone(receive: Receive, connection: Connection) -> bool:
    """Wait for the client's next action and return whether the client disconnected."""
    try:
        return bool((await receive())["type"] == "http.disconnect")
    except asyncio.CancelledError:
        # The server is shutting down. It would answer 500 for a response that is still open, so close the connection.
        connection.drop()
        return False


class DuplicatedResponse(Response):
    """A response that the client receives twice in a row on one connection."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Write the response directly to the connection.

        Then send it again through the web server, which may close the connection.
        """
        connection = connection_of(scope)
        head = [f"HTTP/1.1 {self.status_code} {HTTPStatus(self.status_code).phrase}".encode()]
        head += [b"%b: %b" % header for header in self.raw_headers]
        connection.write(b"\r\n".join(head) + b"\r\n\r\n" + bytes(self.body))
        await super().__call__(scope, receive, send)
