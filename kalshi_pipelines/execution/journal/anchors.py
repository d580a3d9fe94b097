"""Anchors: copies of the audit chain's newest hash, kept outside the database.

An anchor shows whether the journal was truncated, rewritten or restored from a backup. The anchor file has one JSON
line per anchor; each line is flushed to the disk. Nothing is removed from the file except an incomplete last line. Keep
the file on another disk than the journal, or better on another computer.
"""

import errno
import fcntl
import json
import os
import stat
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kalshi_pipelines.errors import ExpectedError
from kalshi_pipelines.execution.orders.canonical_json import canonical_json

#: The longest wait for the lock of the anchor file, in seconds. Another process that keeps the lock longer is hanging,
#: and a halt must not wait for it.
MOST_LOCK_SECONDS: Final = 2.0
_SECONDS_BETWEEN_TRIES: Final = 0.01


class AnchorsUnreadable(ExpectedError):
    """The anchor file cannot be read, or one of its lines is not an anchor."""


@dataclass(frozen=True, slots=True)
class Anchor:
    """The number and hash of the audit record that was a journal's newest when the anchor was made."""

    database_id: str
    seq: int
    hash: str
    at_us: int


@dataclass(frozen=True, slots=True)
class AnchorFile:
    """The file that anchors are appended to. It may hold anchors of several journals."""

    path: Path

    def append(self, anchor: Anchor, *, create: bool = True) -> None:
        """Append an anchor to the file, and check that the disk keeps it.

        The file is read back through its path. A file of another kind, a mount point without its disk and a file that
        was exchanged meanwhile are therefore noticed. An incomplete last line is removed first, so a file that can only
        be appended to is refused.

        Args:
            anchor: The anchor to append.
            create: Whether a missing file and its missing folders are created. This is right only for a journal that
                was never anchored. Otherwise the file's disk is probably not mounted.

        Raises:
            OSError: The file cannot be written, is no regular file, does not keep the anchor, or another process keeps
                it locked.
        """
        line = {"at_us": anchor.at_us, "database_id": anchor.database_id, "hash": anchor.hash, "seq": anchor.seq}
        text = f"{canonical_json(line)}\n".encode()
        if create:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        # Without O_NONBLOCK, opening a named pipe could wait for ever.
        flags = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY | (os.O_CREAT if create else 0)
        descriptor = os.open(self.path, flags, 0o600)
        try:
            _require_regular(descriptor, self.path)
            _lock(descriptor, self.path)
            kept = _whole_lines(descriptor)
            os.ftruncate(descriptor, kept)
            if os.write(descriptor, text) < len(text):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
            os.fsync(descriptor)
            self._require_kept(os.fstat(descriptor), kept, text)
        finally:
            os.close(descriptor)

    def anchors(self, database_id: str) -> list[Anchor]:
        """Return the anchors of one journal, in the order in which they were made.

        Raises:
            AnchorsUnreadable: The file cannot be read, or one of its lines is not an anchor.
        """
        return [anchor for anchor in self.all_anchors() if anchor.database_id == database_id]

    def all_anchors(self) -> list[Anchor]:
        """Return every anchor in the order in which they were made. If there is no file yet, return an empty list.

        An incomplete last line was left by a crashed write and is ignored.

        Raises:
            AnchorsUnreadable: The file cannot be read, or one of its lines is not an anchor.
        """
        try:
            text = self._read().decode()
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

    def _read(self) -> bytes:
        descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
        try:
            _require_regular(descriptor, self.path)
            return os.pread(descriptor, os.fstat(descriptor).st_size, 0)
        finally:
            os.close(descriptor)

    def _require_kept(self, written: os.stat_result, before: int, text: bytes) -> None:
        """Check through a new descriptor that the path still leads to the written file, which ends with the text."""
        descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
        try:
            found = os.fstat(descriptor)
            end = os.pread(descriptor, len(text) + 1, before)
        finally:
            os.close(descriptor)
        if (found.st_dev, found.st_ino, found.st_size) != (written.st_dev, written.st_ino, before + len(text)) or (
            end != text
        ):
            raise OSError(errno.EIO, "the file does not keep what is written to it", str(self.path))

    def _anchor(self, number: int, line: str) -> Anchor:
        try:
            fields = json.loads(line)
            anchor = Anchor(fields["database_id"], fields["seq"], fields["hash"], fields["at_us"])
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


def _require_regular(descriptor: int, path: Path) -> None:
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise OSError(errno.EINVAL, "is not a regular file, so it does not keep what is written to it", str(path))


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
    """Return the size of the anchor file without an incomplete last line.

    A crash or a full disk can leave an incomplete last line.
    """
    size = os.fstat(descriptor).st_size
    return os.pread(descriptor, size, 0).rfind(b"\n") + 1
