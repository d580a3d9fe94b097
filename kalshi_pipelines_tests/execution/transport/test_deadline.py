"""Deadlines: a request ends at its time limit, also while it connects, and the timer ends with the ``with`` block."""

import socket
import threading
from typing import Any

from kalshi_pipelines.execution.transport.deadline import Deadline


class _Stream:
    """A stand-in for the connection that a request reports to its deadline."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection

    def get_extra_info(self, name: str) -> Any:
        return {"socket": self.connection}[name]


def _timers() -> list[threading.Timer]:
    return [each for each in threading.enumerate() if isinstance(each, threading.Timer)]


def test_connection_made_after_the_deadline_is_closed_at_once() -> None:
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


def test_deadline_ends_with_its_block_and_keeps_no_process_alive() -> None:
    with Deadline(0.1) as deadline:
        [timer] = _timers()
        assert timer.daemon
    timer.join(10)
    assert not deadline.is_over
