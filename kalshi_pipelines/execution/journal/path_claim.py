"""The claim of a live session on the path of its SQLite journal.

SQLite keeps a journal's newest commits in a file beside it. The name of that file is made from the journal's path. Two
hard links or a bind mount of the file give one journal two paths. Each path then has its own file of commits. The
processes do not see each other's commits, and they damage the journal. A claim is a lock on the journal's own file. It
is seen through every path, also from other containers of this computer.

The locks are those of Linux that belong to an open file ("open file description locks"), at a place far behind the
bytes that SQLite locks. Every path locks a byte of its own, computed from its folder and its name. Processes that use
the same path therefore share the journal, and a lock on any other byte belongs to another path.
"""

import fcntl
import hashlib
import os
import struct
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kalshi_pipelines.execution.journal.errors import JournalHasTwoPaths

_FIRST_BYTE: Final = 1 << 60
_BYTES: Final = 1 << 32
#: ``struct flock`` of 64-bit Linux: type, whence, start, length and process.
_FLOCK: Final = struct.Struct("hhqqi4x")

_guard: Final = threading.Lock()
#: Descriptors of journals without a claim, by device and inode. They cannot be closed while SQLite uses the same file
#: in this process: closing any descriptor of a file would remove SQLite's own locks.
_idle: Final[dict[tuple[int, int], list[int]]] = {}


@dataclass(frozen=True, slots=True)
class PathClaim:
    """A claim of this process on a journal's path. It ends with ``release`` or with the process."""

    descriptor: int
    file: tuple[int, int]

    def release(self) -> None:
        """End the claim."""
        with _guard:
            _lock(self.descriptor, fcntl.F_UNLCK, 0, _BYTES)
            _idle.setdefault(self.file, []).append(self.descriptor)
            _close_unused()


def claim_path(path: Path) -> PathClaim:
    """Claim the path of a SQLite journal for this process.

    Raises:
        JournalHasTwoPaths: The file has another hard link, or another process uses it by another path.
        OSError: The file cannot be read.
    """
    real = path.resolve()
    require_one_name(real)
    status = real.stat()
    file, own = (status.st_dev, status.st_ino), _byte_of(real)
    with _guard:
        descriptors = _idle.get(file, [])
        descriptor = descriptors.pop() if descriptors else os.open(real, os.O_RDONLY | os.O_CLOEXEC)
        _lock(descriptor, fcntl.F_RDLCK, own, 1)
        # The own lock is set before the others are looked for. If two paths are claimed at once, at least one of the
        # processes finds the other's lock.
        if _is_locked(descriptor, 0, own) or _is_locked(descriptor, own + 1, _BYTES - own - 1):
            _lock(descriptor, fcntl.F_UNLCK, 0, _BYTES)
            _idle.setdefault(file, []).append(descriptor)
            others = ", ".join(_other_paths(file, real)) or "a process of another user or container"
            raise JournalHasTwoPaths(
                f"The journal {real} is also used by another path: {others}.",
                "Use one path for every process that trades with this journal.",
            )
    return PathClaim(descriptor, file)


def require_one_name(path: Path) -> None:
    """Check that a journal's file has only one hard link.

    Raises:
        JournalHasTwoPaths: The file has another name.
        OSError: The file cannot be read.
    """
    real = path.resolve()
    status = real.stat()
    if status.st_nlink <= 1:
        return
    with os.scandir(real.parent) as entries:
        names = [each.path for each in entries if each.name != real.name and each.inode() == status.st_ino]
    found = ", ".join(sorted(names)) or f"a name in another folder, which `find -samefile {real}` finds"
    raise JournalHasTwoPaths(
        f"The journal {real} has {status.st_nlink} names (hard links): {found}.",
        "Remove the other names. SQLite would keep separate logs of commits for each name.",
    )


def _byte_of(real: Path) -> int:
    """Return the number of the byte that stands for a path.

    It depends on the folder's identity and the file's name, because these decide where SQLite keeps new commits. Two
    mounts of one folder therefore count as the same path.
    """
    folder = real.parent.stat()
    digest = hashlib.sha256(f"{folder.st_dev}:{folder.st_ino}:{real.name}".encode()).digest()
    return int.from_bytes(digest[:4], "big")


def _lock(descriptor: int, kind: int, first: int, length: int) -> None:
    fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _FLOCK.pack(kind, os.SEEK_SET, _FIRST_BYTE + first, length, 0))


def _is_locked(descriptor: int, first: int, length: int) -> bool:
    """Return whether any other open file holds a lock in a range of bytes."""
    if length == 0:
        return False
    asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, _FIRST_BYTE + first, length, 0)
    return bool(_FLOCK.unpack(fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, asked))[0] != fcntl.F_UNLCK)


def _close_unused() -> None:
    """Close the descriptors of journals that nothing else in this process has open."""
    try:
        numbers = [int(each.name) for each in Path("/proc/self/fd").iterdir()]
    except OSError:
        return
    used: dict[tuple[int, int], set[int]] = {}
    for number in numbers:
        with suppress(OSError):
            status = os.fstat(number)
            used.setdefault((status.st_dev, status.st_ino), set()).add(number)
    for file, descriptors in list(_idle.items()):
        if not used.get(file, set()) - set(descriptors):
            for descriptor in _idle.pop(file):
                os.close(descriptor)


def _other_paths(file: tuple[int, int], own: Path) -> Iterator[str]:
    """Yield the processes that have a file open by another path than our own, each with its path."""
    with suppress(OSError):
        for process in (each for each in Path("/proc").iterdir() if each.name.isdigit()):
            seen = set()
            with suppress(OSError):
                for link in (process / "fd").iterdir():
                    with suppress(OSError):
                        status, target = link.stat(), str(link.readlink())
                        if (status.st_dev, status.st_ino) == file and target != str(own):
                            seen.add(target)
            yield from (f"process {process.name} uses it as {target}" for target in sorted(seen))
