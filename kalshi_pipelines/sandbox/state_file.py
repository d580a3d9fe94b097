"""State file of a sandbox: one line with the parameters of the catalogue, then the truth log.

Belongs here: reading, checking, locking and writing the file. Does not belong here: the format of an event
(``trading.log``), and the effect of events (``trading.state``).

After lines that were written together, a closing line holds the checksum of all earlier lines except closing lines. A
killed process may leave its last lines incomplete or without a closing line. The next start cuts such lines off, so
that no request takes effect in part. No client has received a response that depends on such lines. A file with any
other damage is refused.

The operating system receives the lines of a request before the client receives a response. The lines survive a kill of
the process, but not a loss of power.
"""

import fcntl
import logging
import os
import zlib
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec

from kalshi_pipelines.errors import ExpectedError
from kalshi_pipelines.sandbox.trading.events import AnyEvent
from kalshi_pipelines.sandbox.trading.log import event_of
from kalshi_pipelines.sandbox.trading.state import TradingState

FORMAT: Final = 2
_LOG: Final = logging.getLogger(__name__)
_OWN_PERMISSIONS: Final = 0o600
_HEADER_START: Final = b'{"format":'
_CLOSING_START: Final = b'{"crc32":'


class UnusableStateFile(ExpectedError, ValueError):
    """A state file is in use, damaged, or belongs to another exchange."""


@dataclass(frozen=True)
class CatalogueOrigin:
    """Parameters that a catalogue was generated from.

    Equal parameters give equal markets. ``anchor_us`` is in microseconds since 1970. Files without ``archived`` are
    from a time when every catalogue had 24 archived markets.
    """

    seed: int
    markets: int
    combos: int
    anchor_us: int
    tick_seconds: int
    archived: int = 24


class _Header(msgspec.Struct, frozen=True):
    format: int
    origin: CatalogueOrigin


@dataclass
class _Content:
    """Contents of a state file up to its last closing line (the checksum line after lines that were written together).

    ``size`` is the length of these contents in bytes. ``checksum`` covers all lines except the closing lines.
    """

    origin: CatalogueOrigin | None = None
    events: list[AnyEvent] = field(default_factory=list)
    size: int = 0
    checksum: int = 0


class StateFile:
    """An open state file, locked for this process.

    ``events`` are the events that the file held when it was opened. ``origin`` holds the parameters of the catalogue,
    or None for a new file.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor
        self._size = 0
        self._checksum = 0
        self.origin: CatalogueOrigin | None = None
        self.events: list[AnyEvent] = []

    @classmethod
    def open_path(cls, path: Path) -> Self:
        """Open or create a state file, lock it, and read it.

        Raises:
            UnusableStateFile: The file cannot be opened, another sandbox uses it, or it is damaged.
        """
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _OWN_PERMISSIONS)
        except OSError as error:
            raise UnusableStateFile(
                f"The state file {path} cannot be opened: {error.strerror}.", "Name a file that you may read and write."
            ) from None
        file = cls(path, descriptor)
        try:
            file._lock()
            file._read()
        except BaseException:
            file.close()
            raise
        return file

    def begin(self, origin: CatalogueOrigin) -> None:
        """Write the parameters of the catalogue to a new state file.

        In an existing file, check that it holds the same parameters.

        Raises:
            UnusableStateFile: The file holds the parameters of another catalogue.
        """
        if self.origin is None:
            self.write(msgspec.json.encode(_Header(FORMAT, origin)) + b"\n")
            self.origin = origin
            return
        held, asked = asdict(self.origin), asdict(origin)
        differences = [
            f"{part.name} is {held[part.name]} in the file and {asked[part.name]} in the options"
            for part in fields(CatalogueOrigin)
            if held[part.name] != asked[part.name]
        ]
        if differences:
            raise UnusableStateFile(
                f"The state file {self._path} belongs to another catalogue: {'; '.join(differences)}.",
                "Start with the options of the file, or with another file.",
            )

    def replay_events(self) -> TradingState:
        """Apply the events of the state file to a new trading state, and return that state.

        Raises:
            UnusableStateFile: An event does not fit the events before it.
        """
        state = TradingState()
        for number, event in enumerate(self.events, 1):
            try:
                state.apply(event)
            except (LookupError, ValueError, TypeError, AttributeError) as error:
                what = f"{type(event).__name__} does not fit the events before it ({error!r})"
                raise _damaged(self._path, f"event {number}", what) from error
        return state

    def write(self, lines: bytes, /) -> None:
        """Append lines to the state file, followed by a closing line with a checksum.

        If the lines cannot be written completely, the file keeps none of them.

        Raises:
            OSError: The file cannot be written.
        """
        checksum = zlib.crc32(lines, self._checksum)
        try:
            view = memoryview(lines + _closing(checksum))
            written = 0
            while written < len(view):
                written += os.pwrite(self._descriptor, view[written:], self._size + written)
        except OSError:
            os.ftruncate(self._descriptor, self._size)
            raise
        self._size += len(view)
        self._checksum = checksum

    def close(self) -> None:
        """Close the state file, which releases its lock."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _lock(self) -> None:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UnusableStateFile(
                f"The state file {self._path} is in use by another sandbox.",
                "Stop the other sandbox, or use another file.",
            ) from None

    def _read(self) -> None:
        content = self._path.read_bytes()
        closed = _parse(self._path, content)
        if closed.size < len(content):
            if not closed.size and not _is_part_of_header(content):
                raise _damaged(self._path, "line 1", "this is not a state file of a sandbox")
            torn = len(content) - closed.size
            _LOG.warning(
                "The last lines of the state file %s were torn and have been cut off (%d bytes).", self._path, torn
            )
            os.ftruncate(self._descriptor, closed.size)
        self.origin, self.events = closed.origin, closed.events
        self._size, self._checksum = closed.size, closed.checksum


def read_truth(path: Path) -> list[AnyEvent]:
    """Return the events of a state file up to its last closing line (the checksum line after lines written together).

    The file may be in use by a running sandbox.

    Raises:
        UnusableStateFile: The file is damaged.
    """
    return _parse(path, path.read_bytes()).events


def _parse(path: Path, content: bytes) -> _Content:
    """Parse the content of a state file, which may end in the middle of a line.

    Parsing covers the content up to the last closing line (the checksum line after lines that were written together).
    """
    closed = _Content()
    origin, events, end = None, list[AnyEvent](), 0
    for number, line in enumerate(content.split(b"\n")[:-1], 1):
        start, end = end, end + len(line) + 1
        if number == 1:
            origin = _origin_of(path, line)
        elif line.startswith(_CLOSING_START):
            closed.checksum = zlib.crc32(content[closed.size : start], closed.checksum)
            if line + b"\n" != _closing(closed.checksum):
                raise _damaged(path, f"line {number}", "its checksum does not match the lines before it")
            closed.origin, closed.size = origin, end
            closed.events += events
            events = []
        else:
            try:
                events.append(event_of(line, len(closed.events) + len(events) + 1))
            except ValueError as error:
                raise _damaged(path, f"line {number}", str(error)) from error
    return closed


def _closing(checksum: int) -> bytes:
    return b"%b%d}\n" % (_CLOSING_START, checksum)


def _origin_of(path: Path, line: bytes) -> CatalogueOrigin:
    try:
        header = msgspec.json.decode(line, type=_Header)
    except ValueError as error:
        raise _damaged(path, "line 1", f"this is not a state file of a sandbox ({error})") from error
    if header.format != FORMAT:
        raise UnusableStateFile(
            f"The state file {path} has format {header.format}, but this version reads format {FORMAT}.",
            "Use the version that wrote the file, or start with another file.",
        )
    return header.origin


def _is_part_of_header(content: bytes) -> bool:
    return content.startswith(_HEADER_START) or _HEADER_START.startswith(content)


def _damaged(path: Path, place: str, what: str) -> UnusableStateFile:
    return UnusableStateFile(
        f"The state file {path} is damaged in {place}: {what}.",
        "Restore it from a copy, or start with another file.",
    )
