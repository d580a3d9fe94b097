"""The time of a request ends as a whole, also while it is still being connected, and does not outlive its block."""

import socket
import threading
from typing import Any

from kalshi_pipelines.execution.transport.deadline import Deadline


class _Stream:
    """What a request tells of its connection."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection

    def get_extra_info(self, name: str) -> Any:
        return {"socket": self.connection}[name]


def _timers() -> list[threading.Timer]:
    return [each for each in threading.enumerate() if isinstance(each, threading.Timer)]


def test_a_connection_that_is_made_after_the_end_is_broken_off_at_once() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, Deadline(0.01) as deadline:
        for timer in _timers():
            timer.join(10)
        assert deadline.is_over
        deadline("connection.connect_tcp.started", {"return_value": _Stream(ours)})
        ours.send(b"1")
        deadline("connection.connect_tcp.complete", {"return_value": _Stream(ours)})
        assert theirs.recv(10) == b"1"
        assert theirs.recv(10) == b""
        ours.close()
        deadline("connection.start_tls.complete", {"return_value": _Stream(ours)})


def test_the_end_is_forgotten_with_the_block_and_keeps_no_process_alive() -> None:
    with Deadline(0.1) as deadline:
        [timer] = _timers()
        assert timer.daemon
    timer.join(10)
    assert not deadline.is_over
