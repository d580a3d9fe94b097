"""Permissions of a key file: whether anybody except its owner can read or change it.

Belongs here: looking at the file's owner and mode. Does not belong here: what follows from an exposed file. Reads of
the exchange only warn (``signing``), and live trading refuses it (``execution.service.account.live_account``).
"""

import os
import shlex
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_ROOT: Final = 0
_WRITABLE_BY_ALL: Final = stat.S_IWOTH


@dataclass(frozen=True)
class KeyFileExposure:
    """How others can read or change a key file, and the command that ends it."""

    how: str
    remedy: str


def exposure_of(path: Path) -> KeyFileExposure | None:
    """Return how others can read or change a key file, or None if only its owner can.

    One kind of shared file is accepted: a file that root owns and that a group may only read. Kubernetes, Docker Swarm
    and systemd hand a secret to a process in this way. A process of root needs no group to read a file, so for root the
    group must be root's own. Access control lists count, because they show in the permissions of the group.

    On Windows the permissions cannot be read in this way, and None is returned.

    Raises:
        OSError: The file or one of its folders cannot be looked at.
    """
    if os.name == "nt":
        return None
    real = path.resolve()
    return _exposure_of_file(real) or _exposure_of_folders(real)


def _exposure_of_file(real: Path) -> KeyFileExposure | None:
    status, user, name = real.stat(), os.geteuid(), shlex.quote(str(real))
    mode = stat.S_IMODE(status.st_mode)
    if status.st_uid not in (user, _ROOT):
        return KeyFileExposure(
            f"belongs to another user (number {status.st_uid})", f"Run: chown {user} {name} && chmod 600 {name}"
        )
    is_handed_over = status.st_uid == _ROOT and (user != _ROOT or status.st_gid == _ROOT)
    if mode & stat.S_IRWXO:
        who, bits = "every user", mode
    elif mode & stat.S_IRWXG and not (is_handed_over and mode & stat.S_IRWXG == stat.S_IRGRP):
        who, bits = f"group {status.st_gid}", mode >> 3
    else:
        return None
    can = [word for bit, word in ((stat.S_IROTH, "read"), (stat.S_IWOTH, "changed")) if bits & bit] or ["run"]
    return KeyFileExposure(f"can be {' and '.join(can)} by {who} (mode {mode:04o})", f"Run: chmod 600 {name}")


def _exposure_of_folders(real: Path) -> KeyFileExposure | None:
    for folder in real.parents:
        mode = folder.stat().st_mode
        if mode & _WRITABLE_BY_ALL and not mode & stat.S_ISVTX:
            return KeyFileExposure(
                f"can be replaced by every user, because every user can write to the folder {folder}",
                f"Run: chmod o-w {shlex.quote(str(folder))} && chmod 600 {shlex.quote(str(real))}",
            )
    return None
