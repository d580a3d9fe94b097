"""The truth log: every event of the trading side, in order.

Belongs here: keeping and numbering events, and their format as lines of JSON. Does not belong here: the effect of an
event (``state``), and the file that stores the lines (``sandbox.state_file``).
"""

from collections.abc import Sequence
from typing import Final, Protocol

import msgspec

from kalshi_pipelines.sandbox.trading.events import AnyEvent

_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(AnyEvent)


class Sink(Protocol):
    """Destination of a truth log's lines, such as a file."""

    def write(self, lines: bytes, /) -> object:
        """Write either all of the lines or none.

        When this method returns, the operating system has received the lines.
        """


def line_of(sequence: int, event: AnyEvent) -> bytes:
    """Return an event as one line of JSON that begins with the event's number."""
    return b'{"sequence":%d,%b\n' % (sequence, _ENCODER.encode(event)[1:])


def event_of(line: bytes, sequence: int) -> AnyEvent:
    """Decode a line of a truth log and check that its number is ``sequence``.

    Raises:
        ValueError: The line is not an event, or has another number.
    """
    if not line.startswith(b'{"sequence":%d,' % sequence):
        raise ValueError(f"event {sequence} was expected here")
    # The decoder's errors are subclasses of ValueError.
    event: AnyEvent = _DECODER.decode(line)
    return event


class TruthLog:
    """The truth log: events numbered from 1.

    If there is a sink, ``flush`` writes the events since the last flush to the sink.

    ``events`` are earlier events that the sink already holds.
    """

    def __init__(self, events: Sequence[AnyEvent] = (), sink: Sink | None = None) -> None:
        self.events: list[AnyEvent] = list(events)
        self._sink = sink
        self._written = len(self.events)

    def append(self, event: AnyEvent) -> None:
        """Add an event to the end of the log."""
        self.events.append(event)

    def since(self, sequence: int) -> Sequence[AnyEvent]:
        """Return the events after the event with the number ``sequence``."""
        return self.events[max(sequence, 0) :]

    def flush(self) -> None:
        """Write the events since the last flush to the sink, if there is one."""
        if self._sink is None or self._written == len(self.events):
            return
        numbered = enumerate(self.events[self._written :], self._written + 1)
        self._sink.write(b"".join(line_of(sequence, event) for sequence, event in numbered))
        self._written = len(self.events)
