"""The identity of a process, which tells a running process from a later one with the same number."""

import os
import platform
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self


@dataclass(frozen=True, slots=True)
class Process:
    """A process of this or another computer.

    Attributes:
        pid: The number of the process.
        started: When the process started, in ticks since the computer's start; empty where ``/proc`` is missing.
        host: The name of the computer.
        boot: The computer's start and the container, in which alone the number means this process.
    """

    pid: int
    started: str
    host: str
    boot: str

    @classmethod
    def current(cls) -> Self:
        """Return the identity of this process."""
        return cls(os.getpid(), _state_and_start(os.getpid())[1], platform.node(), _boot())

    def may_run(self) -> bool:
        """Return whether the process may still run. A process of another computer or container may always run."""
        if self.host != platform.node():
            return True
        mine = _boot()
        if self.boot != mine:
            # After a restart of the computer, no earlier process runs. The second half names the container.
            return self.boot.partition(" ")[0] == mine.partition(" ")[0]
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except (OSError, OverflowError):
            return True
        state, started = _state_and_start(self.pid)
        # A zombie has ended, and only its parent has not noticed yet.
        return state != "Z" and (not started or self.started in ("", started))

    def __str__(self) -> str:
        where = "" if (self.host, self.boot) == (platform.node(), _boot()) else f" on {self.host}"
        return f"process {self.pid}{where}"


def _state_and_start(pid: int) -> tuple[str, str]:
    """Return the state letter and the start of a process, in ticks since the computer's start.

    Both are empty text if they cannot be read.
    """
    with suppress(OSError, IndexError, ValueError):
        # The name of the program is in parentheses, and may itself contain spaces and parentheses.
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        return fields[0], fields[19]
    return "", ""


def _boot() -> str:
    """Return the id of the computer's start and the id of the container's process numbers, as far as known."""
    boot = space = "-"
    with suppress(OSError, ValueError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    with suppress(OSError):
        space = str(Path("/proc/self/ns/pid").readlink())
    return f"{boot} {space}"
