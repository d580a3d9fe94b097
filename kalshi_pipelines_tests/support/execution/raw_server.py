"""A server on plain sockets that misbehaves on purpose and keeps every byte it receives."""

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

Reply = Callable[[socket.socket], None]


@dataclass
class RawServer:
    """A server that reads one request of each connection into ``requests`` and then calls ``reply``.

    ``left`` counts the connections whose client was gone before the reply was complete.
    """

    port: int
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0
    left: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def answering(text: str) -> Reply:
    """Return a reply that sends these bytes and closes the connection."""
    return lambda connection: connection.sendall(text.encode("latin-1"))


def http(status: str, body: str = "", *headers: str) -> Reply:
    """Return the bytes of a complete HTTP answer."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Date: Sun, 22 Nov 2026 12:00:00 GMT", *headers]
    return answering("\r\n".join(lines) + "\r\n\r\n" + body)


def dribbling(text: str) -> Reply:
    """Return a reply that sends these bytes, and then one byte at a time until the client leaves or time is over."""

    def reply(connection: socket.socket) -> None:
        connection.sendall(text.encode("latin-1"))
        for _ in range(200):
            connection.sendall(b"1")
            time.sleep(0.02)

    return reply


def reset(connection: socket.socket) -> None:
    """Reset the connection, so that the client gets an error."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def reset_unread(connection: socket.socket) -> None:
    """Reset the connection as soon as a request begins to arrive, without reading the request."""
    connection.recv(1, socket.MSG_PEEK)
    reset(connection)


def silence(_connection: socket.socket) -> None:
    """Close the connection without an answer."""


@contextmanager
def raw_server(reply: Reply, *, read: bool = True) -> Iterator[RawServer]:
    """Run a server on a free port of this computer until the block ends."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(20)
    server = RawServer(listener.getsockname()[1])
    ended = threading.Event()

    def serve() -> None:
        while not ended.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(5)
                server.connections += 1
                try:
                    if read:
                        server.requests.append(_request(connection))
                    reply(connection)
                except OSError:
                    server.left += 1

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        ended.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(10)


def _request(connection: socket.socket) -> bytes:
    received = b""
    while b"\r\n\r\n" not in received:
        if not (part := connection.recv(65_536)):
            return received
        received += part
    head, _, body = received.partition(b"\r\n\r\n")
    length = next(
        (int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-le")), 0
    )
    while len(body) < length:
        if not (part := connection.recv(65_536)):
            break
        body += part
    return head + b"\r\n\r\n" + body
