"""The file a sandbox goes on from: one line of what its catalogue was generated from, then the truth log.

Belongs here: reading, checking, locking and writing that file. Does not belong here: the form of an event
(``trading.log``), or what the events make (``trading.state``).

A process that is killed may leave its last line torn: it is cut off, as no answer that depended on it was sent. Any
other damage is refused. Lines are handed to the operating system before an answer leaves, which survives a kill of the
process but not a loss of power.
"""

import fcntl
import logging
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec

from kalshi_pipelines.sandbox.trading.events import AnyEvent
from kalshi_pipelines.sandbox.trading.log import event_of
from kalshi_pipelines.sandbox.trading.state import TradingState

FORMAT: Final = 1
_LOG: Final = logging.getLogger(__name__)
_OWN_PERMISSIONS: Final = 0o600
_HEADER_START: Final = b'{"format":'


class UnusableStateFile(ValueError):
    """A state file that is in use, damaged, or of another exchange; the message says which and what to do."""


@dataclass(frozen=True)
class Origin:
    """What a catalogue was generated from: the same numbers give the same markets. ``anchor_us`` in microseconds."""

    seed: int
    markets: int
    combos: int
    anchor_us: int
    tick_seconds: int


class _Header(msgspec.Struct, frozen=True):
    format: int
    origin: Origin


class StateFile:
    """An open state file, locked for this process. ``events`` are those it held; ``origin`` None if it was new."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor
        self._size = 0
        self.origin: Origin | None = None
        self.events: list[AnyEvent] = []

    @classmethod
    def opened(cls, path: Path) -> Self:
        """Open or create a state file, and read it.

        Raises:
            UnusableStateFile: It can not be opened, another sandbox has it, or it is damaged.
        """
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _OWN_PERMISSIONS)
        except OSError as error:
            raise UnusableStateFile(f"The state file {path} can not be opened: {error.strerror}.") from None
        file = cls(path, descriptor)
        try:
            file._lock()
            file._read()
        except BaseException:
            file.close()
            raise
        return file

    def begin(self, origin: Origin) -> None:
        """Write down what the catalogue is generated from, or check that the file is of the same.

        Raises:
            UnusableStateFile: The file is of another catalogue.
        """
        if self.origin is None:
            self.write(msgspec.json.encode(_Header(FORMAT, origin)) + b"\n")
            self.origin = origin
            return
        held, asked = asdict(self.origin), asdict(origin)
        differences = [
            f"{part.name} is {held[part.name]} in the file and {asked[part.name]} in the options"
            for part in fields(Origin)
            if held[part.name] != asked[part.name]
        ]
        if differences:
            raise UnusableStateFile(
                f"The state file {self._path} is of another catalogue: {'; '.join(differences)}. Start with the "
                "options of the file, or with another file."
            )

    def replayed(self) -> TradingState:
        """The state its events make.

        Raises:
            UnusableStateFile: An event does not fit what went before it.
        """
        state = TradingState()
        for line, event in enumerate(self.events, 2):
            try:
                state.apply(event)
            except (LookupError, ValueError, TypeError, AttributeError) as error:
                what = f"{type(event).__name__} does not fit what went before ({error!r})"
                raise _damaged(self._path, line, what) from error
        return state

    def write(self, lines: bytes, /) -> None:
        """Append whole lines. If they do not go in whole, none of them stay.

        Raises:
            OSError: The file can not be written.
        """
        try:
            view = memoryview(lines)
            written = 0
            while written < len(view):
                written += os.pwrite(self._descriptor, view[written:], self._size + written)
        except OSError:
            os.ftruncate(self._descriptor, self._size)
            raise
        self._size += len(lines)

    def close(self) -> None:
        """Give the file back."""
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
                f"The state file {self._path} is in use by another sandbox: stop that one, or use another file."
            ) from None

    def _read(self) -> None:
        content = self._path.read_bytes()
        whole = content.rfind(b"\n") + 1
        self.origin, self.events = _parsed(self._path, content[:whole])
        if whole < len(content):
            if not whole and not _is_part_of_header(content):
                raise _damaged(self._path, 1, "this is no state file of a sandbox")
            _LOG.warning("%s: the last line is torn and was cut off (%d bytes)", self._path, len(content) - whole)
            os.ftruncate(self._descriptor, whole)
        self._size = whole


def read_truth(path: Path) -> list[AnyEvent]:
    """The events of a state file, also of one that a running sandbox writes; a torn last line is left out.

    Raises:
        UnusableStateFile: The file is damaged.
    """
    content = path.read_bytes()
    return _parsed(path, content[: content.rfind(b"\n") + 1])[1]


def _parsed(path: Path, content: bytes) -> tuple[Origin | None, list[AnyEvent]]:
    lines = content.split(b"\n")[:-1]
    if not lines:
        return None, []
    origin = _origin_of(path, lines[0])
    events = []
    for number, line in enumerate(lines[1:], 1):
        try:
            events.append(event_of(line, number))
        except ValueError as error:
            raise _damaged(path, number + 1, str(error)) from error
    return origin, events


def _origin_of(path: Path, line: bytes) -> Origin:
    try:
        header = msgspec.json.decode(line, type=_Header)
    except ValueError as error:
        raise _damaged(path, 1, f"this is no state file of a sandbox ({error})") from error
    if header.format != FORMAT:
        raise UnusableStateFile(
            f"The state file {path} has format {header.format}; this version reads format {FORMAT}."
        )
    return header.origin


def _is_part_of_header(content: bytes) -> bool:
    return content.startswith(_HEADER_START) or _HEADER_START.startswith(content)


def _damaged(path: Path, line: int, what: str) -> UnusableStateFile:
    return UnusableStateFile(
        f"The state file {path} is damaged in line {line}: {what}. Restore it from a copy, or start with another file."
    )
