"""Notes of the chain's head in a place of its own: what shows that the journal was cut, rewritten or restored.

One JSON line an anchor, appended and flushed to the disk; nothing but half a line is ever taken back. Put it on another
disk than the journal, or better on another computer.
"""

import errno
import fcntl
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kalshi_pipelines.errors import ExpectedError
from kalshi_pipelines.execution.orders.canonical_json import canonical_json

#: Somebody who has the file for longer is stopped or hangs; what waits is perhaps a halt.
MOST_LOCK_SECONDS: Final = 2.0
_SECONDS_BETWEEN_TRIES: Final = 0.01


class AnchorsUnreadable(ExpectedError):
    """The anchor file can not be read or holds a line that is none; the message says which and what to do."""


@dataclass(frozen=True, slots=True)
class Anchor:
    """The head of the chain of one database as it was at some time."""

    database_id: str
    seq: int
    hash: str
    at_us: int


@dataclass(frozen=True, slots=True)
class AnchorFile:
    """The file anchors are appended to; it may hold those of several journals."""

    path: Path

    def append(self, anchor: Anchor) -> None:
        """Add an anchor and wait until it is on the disk.

        Raises:
            OSError: The file can not be written, or somebody else keeps it locked.
        """
        line = {"at_us": anchor.at_us, "database_id": anchor.database_id, "hash": anchor.hash, "seq": anchor.seq}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        text = f"{canonical_json(line)}\n".encode()
        try:
            _lock(descriptor, self.path)
            os.ftruncate(descriptor, _whole_lines(descriptor))
            if os.write(descriptor, text) < len(text):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def anchors(self, database_id: str) -> list[Anchor]:
        """The anchors of a journal, in the order they were made.

        Raises:
            AnchorsUnreadable: As of ``all_anchors``.
        """
        return [anchor for anchor in self.all_anchors() if anchor.database_id == database_id]

    def all_anchors(self) -> list[Anchor]:
        """Every anchor, in the order they were made; none if there is no file yet.

        A last line without its end is what a crash left of it, and is no anchor.

        Raises:
            AnchorsUnreadable: The file can not be read, or a line in it is no anchor.
        """
        try:
            text = self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return []
        except (OSError, UnicodeDecodeError) as error:
            raise AnchorsUnreadable(
                f"The anchor file {self.path} cannot be read ({error}); nothing was armed.",
                "Repair the file or its permissions, then run again.",
            ) from error
        whole, _, _rest = text.rpartition("\n")
        lines = whole.split("\n") if whole else []
        return [self._anchor(number, line) for number, line in enumerate(lines, start=1)]

    def _anchor(self, number: int, line: str) -> Anchor:
        try:
            told = json.loads(line)
            anchor = Anchor(told["database_id"], told["seq"], told["hash"], told["at_us"])
        except (ValueError, KeyError, TypeError) as error:
            raise self._unreadable(number, "is not an anchor") from error
        if not (type(anchor.seq) is int and type(anchor.hash) is str):
            raise self._unreadable(number, "has a number or a hash of the wrong type")
        return anchor

    def _unreadable(self, number: int, defect: str) -> AnchorsUnreadable:
        return AnchorsUnreadable(
            f"Line {number} of the anchor file {self.path} {defect}; nothing was armed.",
            "Find out who changed the file, and restore the line.",
        )


def _lock(descriptor: int, path: Path) -> None:
    give_up = time.monotonic() + MOST_LOCK_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= give_up:
                raise TimeoutError(
                    errno.ETIMEDOUT,
                    f"another process has kept the file locked for {MOST_LOCK_SECONDS:g} seconds",
                    str(path),
                ) from None
            time.sleep(_SECONDS_BETWEEN_TRIES)
        else:
            return


def _whole_lines(descriptor: int) -> int:
    """Bytes up to the end of the last whole line; half a one is what a crash or a full disk left."""
    size = os.fstat(descriptor).st_size
    return os.pread(descriptor, size, 0).rfind(b"\n") + 1
