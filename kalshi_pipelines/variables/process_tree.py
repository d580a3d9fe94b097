"""The environment with which a person started Dagster, read from the process tree.

Every ``dagster`` command copies the ``.env`` file of its folder over the variables of the shell, and starts its code
servers, run workers and daemons with the result. Linux keeps the environment with which each process was started in
``/proc/PID/environ``. The environment of the topmost ``dagster`` process is the environment of the shell.
"""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

_COMMANDS: Final = frozenset({"dagster", "dagster-daemon", "dagster-webserver", "dagster-graphql", "dg"})
_MODULES: Final = frozenset({"dagster", "dagster_webserver", "dagster_graphql", "dagster_dg_cli"})
#: Modules that run another module or script in their own process.
_LAUNCHERS: Final = frozenset({"coverage", "cProfile", "debugpy", "pdb", "profile", "runpy", "trace"})
_OPTIONS_WITH_VALUE: Final = frozenset({"-W", "-X", "--check-hash-based-pycs"})
#: Arguments with which Dagster or ``multiprocessing`` starts a process of its own.
_STARTED_BY_DAGSTER: Final = frozenset(
    {"--instance-ref", "--multiprocessing-fork", "execute_run", "resume_run", "execute_step"}
)
_WORKER_MARK: Final = "from multiprocessing."


@dataclass(frozen=True, slots=True)
class StartedProcess:
    """A process: its command line, its parent, and the environment with which it was started, if it can be read."""

    arguments: tuple[str, ...]
    parent: int
    environment: Mapping[str, str] | None

    @property
    def is_dagster(self) -> bool:
        """Whether this process runs a command of Dagster."""
        return is_dagster_command(self.arguments)

    @property
    def is_worker(self) -> bool:
        """Whether Python's ``multiprocessing`` started this process."""
        return "--multiprocessing-fork" in self.arguments or any(
            argument.startswith(_WORKER_MARK) for argument in self.arguments[:4]
        )

    @property
    def was_started_by_dagster(self) -> bool:
        """Whether the command line shows that another process of Dagster started this one."""
        return self.is_worker or not _STARTED_BY_DAGSTER.isdisjoint(self.arguments)


@dataclass(frozen=True, slots=True)
class ShellEnvironment:
    """The environment with which a person started Dagster. ``is_known`` is False if it cannot be determined."""

    values: Mapping[str, str]
    is_known: bool


@cache
def shell_environment() -> ShellEnvironment | None:
    """Return the environment of the shell that started Dagster, or None if this is no process of Dagster.

    The result of the first call is kept, because the processes above this one may end later.
    """
    own = read_process(os.getpid())
    if own is None:
        own = StartedProcess(tuple(sys.orig_argv), 0, None)
    return trace_shell(own, read_process)


def trace_shell(own: StartedProcess, read: Callable[[int], StartedProcess | None]) -> ShellEnvironment | None:
    """Follow the processes of Dagster upwards from ``own``, and return the environment of the topmost one."""
    top, has_command, is_complete = own, own.is_dagster, True
    if not (own.is_dagster or own.is_worker):
        return None
    while top.parent > 0:
        parent = read(top.parent)
        if parent is None:
            is_complete = False
            break
        if not (parent.is_dagster or parent.is_worker):
            break
        top, has_command = parent, has_command or parent.is_dagster
    if not has_command and not (own.is_worker and _is_orphan()):
        return None
    if top.environment is None or not is_complete or top.was_started_by_dagster:
        return ShellEnvironment({}, is_known=False)
    return ShellEnvironment(top.environment, is_known=True)


def read_process(number: int) -> StartedProcess | None:
    """Return a running process, or None if it cannot be read. Only Linux has the files that describe it."""
    folder = Path("/proc") / str(number)
    try:
        arguments = os.fsdecode((folder / "cmdline").read_bytes()).split("\0")[:-1]
        parent = int((folder / "stat").read_bytes().rpartition(b")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return None
    try:
        pairs = os.fsdecode((folder / "environ").read_bytes()).split("\0")
    except OSError:
        return StartedProcess(tuple(arguments), parent, None)
    return StartedProcess(tuple(arguments), parent, dict(_split(pair) for pair in pairs if "=" in pair))


def is_dagster_command(arguments: Sequence[str]) -> bool:
    """Return whether a command line runs a command of Dagster, directly or by a Python interpreter."""
    if not arguments:
        return False
    command = Path(arguments[0]).name
    if command in _COMMANDS:
        return True
    return command.startswith(("python", "pypy")) and _runs_dagster(list(arguments[1:]))


def _runs_dagster(arguments: list[str]) -> bool:
    """Return whether the arguments of a Python interpreter, or of a launcher, run a command of Dagster."""
    while arguments:
        first = arguments.pop(0)
        if first in _OPTIONS_WITH_VALUE:
            del arguments[:1]
        elif first == "-c":
            return False
        elif first == "-m":
            module = arguments.pop(0).partition(".")[0] if arguments else ""
            if module not in _LAUNCHERS:
                return module in _MODULES
            return any(_runs_dagster(arguments[place:]) for place in range(len(arguments)) if arguments[place] != "-c")
        elif not first.startswith("-"):
            return Path(first).name in _COMMANDS
    return False


def _is_orphan() -> bool:
    """Return whether this process was started by ``multiprocessing`` and its parent has ended."""
    import multiprocessing  # noqa: PLC0415 - few processes need this module

    parent = multiprocessing.parent_process()
    return parent is not None and parent.pid != os.getppid()


def _split(pair: str) -> tuple[str, str]:
    name, _, value = pair.partition("=")
    return name, value
