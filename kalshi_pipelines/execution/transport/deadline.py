"""A time limit for a whole request.

httpx's own timeouts limit only each single read, and the reads of a slow answer can go on without end.

The deadline learns the connection of its request from httpx's ``trace`` extension (python-httpx.org, "Extensions").
"""

import contextlib
import socket
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final, Self

_CONNECTED: Final = frozenset({"connection.connect_tcp.complete", "connection.start_tls.complete"})


class Deadline:
    """Closes the connection of a request when its time limit is over.

    Make the request inside a ``with`` block of the deadline, and pass the deadline as the request's ``trace``
    extension. After the time limit the request fails as if the server had closed the connection.
    """

    def __init__(self, seconds: float) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._is_over = False
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._timer.cancel()

    def __call__(self, event: str, info: Mapping[str, Any]) -> None:
        """Remember the connection of the request, which httpx passes when the connection is made."""
        if event in _CONNECTED:
            with self._lock:
                self._socket = info["return_value"].get_extra_info("socket")
                self._break_off()

    @property
    def is_over(self) -> bool:
        """Whether the time limit was reached before the ``with`` block ended."""
        return self._is_over

    def _end(self) -> None:
        with self._lock:
            self._is_over = True
            self._break_off()

    def _break_off(self) -> None:
        if self._is_over and self._socket is not None:
            with contextlib.suppress(OSError):  # the connection may be closed already
                self._socket.shutdown(socket.SHUT_RDWR)
