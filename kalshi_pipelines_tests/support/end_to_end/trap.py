"""A listener on the loopback address to which no program may connect; it records every connection."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Trap:
    """The URL of a listener, and the first bytes of each connection to it."""

    url: str
    heard: list[bytes] = field(default_factory=list)


@contextmanager
def listening_trap() -> Iterator[Trap]:
    """Open a listener on the loopback address, and close it at the end of the block."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        trap = Trap(f"http://127.0.0.1:{listener.getsockname()[1]}")

        def listen() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.settimeout(1)
                    try:
                        trap.heard.append(connection.recv(200))
                    except OSError:
                        trap.heard.append(b"(silence)")

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        try:
            yield trap
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
