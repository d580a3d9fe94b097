"""The end of a request's time as a whole: httpx's own timeouts are of single reads, which can be strung out.

A request tells of its connection through the ``trace`` extension (python-httpx.org, "Extensions").
"""

import contextlib
import socket
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final, Self

_CONNECTED: Final = frozenset({"connection.connect_tcp.complete", "connection.start_tls.complete"})


class Deadline:
    """Breaks the connection of one request off when its time is over, in a ``with`` block around it.

    The request then fails as if the other side had closed. Give it as the request's ``trace`` extension.
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
        """Take a note of the connection."""
        if event in _CONNECTED:
            with self._lock:
                self._socket = info["return_value"].get_extra_info("socket")
                self._break_off()

    @property
    def is_over(self) -> bool:
        """Whether the time was over before the block was left."""
        return self._is_over

    def _end(self) -> None:
        with self._lock:
            self._is_over = True
            self._break_off()

    def _break_off(self) -> None:
        if self._is_over and self._socket is not None:
            with contextlib.suppress(OSError):  # it is closed already
                self._socket.shutdown(socket.SHUT_RDWR)
