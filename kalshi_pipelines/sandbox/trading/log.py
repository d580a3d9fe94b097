"""The truth log: everything that really happened on the trading side, in order.

Belongs here: keeping events, their numbers, and their form as JSON lines. Does not belong here: what an event changes
(``state``), or which file the lines go to and what else it holds (``state_file`` of the sandbox).
"""

from collections.abc import Sequence
from typing import Final, Protocol

import msgspec

from kalshi_pipelines.sandbox.trading.events import AnyEvent

_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(AnyEvent)


class Sink(Protocol):
    """Where the lines of a log go."""

    def write(self, lines: bytes, /) -> object:
        """Take whole lines, all or none; they are with the operating system when it returns."""


def line_of(sequence: int, event: AnyEvent) -> bytes:
    """An event as one line of JSON, its number first."""
    return b'{"sequence":%d,%b\n' % (sequence, _ENCODER.encode(event)[1:])


def event_of(line: bytes, sequence: int) -> AnyEvent:
    """The event of a line that must carry that number.

    Raises:
        ValueError: The line is no event, or carries another number.
    """
    if not line.startswith(b'{"sequence":%d,' % sequence):
        raise ValueError(f"event {sequence} is expected here")
    # msgspec's own errors are ValueErrors.
    event: AnyEvent = _DECODER.decode(line)
    return event


class TruthLog:
    """Events numbered from 1. With a sink, ``flush`` hands over the lines of all events since the last flush.

    ``events`` are those that happened before, already written.
    """

    def __init__(self, events: Sequence[AnyEvent] = (), sink: Sink | None = None) -> None:
        self.events: list[AnyEvent] = list(events)
        self._sink = sink
        self._written = len(self.events)

    def append(self, event: AnyEvent) -> None:
        """Add what just happened."""
        self.events.append(event)

    def since(self, sequence: int) -> Sequence[AnyEvent]:
        """The events after a number; the first of them has ``sequence + 1``."""
        return self.events[max(sequence, 0) :]

    def flush(self) -> None:
        """Hand new lines to the sink, if there is one."""
        if self._sink is None or self._written == len(self.events):
            return
        numbered = enumerate(self.events[self._written :], self._written + 1)
        self._sink.write(b"".join(line_of(sequence, event) for sequence, event in numbered))
        self._written = len(self.events)
