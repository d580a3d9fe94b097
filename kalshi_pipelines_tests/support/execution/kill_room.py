"""A room to provoke failures of ``kill`` in: a released journal, a shell, and a real process of ``kill``."""

import contextlib
import ctypes
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from kalshi_pipelines.execution.configuration import TradeSettings
from kalshi_pipelines.execution.journal.engine import journal_url, open_journal
from kalshi_pipelines.execution.journal.journal import Journal
from kalshi_pipelines.execution.kill.registry import JournalEntry, SessionEntry, register_journal, register_session
from kalshi_pipelines.execution.service.account.kill_switch import kill_switch
from kalshi_pipelines.settings import Environment, Settings

_PR_CAPBSET_DROP: Final = 24
#: CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH, with which root ignores the permissions of files.
_IGNORE_PERMISSIONS: Final = (1, 2)


@dataclass
class KillRoom:
    """One provoked environment.

    Attributes:
        folder: The folder of everything.
        variables: The variables of the shell that ``kill`` is started from.
        cwd: The folder that ``kill`` is started in.
        arguments: The arguments of ``kill``.
        prepare: A function that the process of ``kill`` calls before it starts.
        shell: Shell code around the command, in which ``"$@"`` is the command.
        stack: Clean-up after the case.
    """

    folder: Path
    variables: dict[str, str] = field(default_factory=dict)
    cwd: Path = field(default_factory=Path)
    arguments: list[str] = field(default_factory=lambda: ["--by", "bob", "--why", "panic"])
    prepare: Callable[[], None] | None = None
    shell: str = ""
    stack: ExitStack = field(default_factory=ExitStack)

    @property
    def data(self) -> Path:
        """The data folder of the session's shell."""
        return self.folder / "data"

    @property
    def environment_dir(self) -> Path:
        """The sandbox's folder in the data folder."""
        return self.data / "sandbox"

    @property
    def journal(self) -> Path:
        """The file of the journal."""
        return self.environment_dir / "journal.db"

    @property
    def registry(self) -> Path:
        """The folder of the registry of sessions."""
        return self.folder / "registry"

    @property
    def elsewhere(self) -> Path:
        """An empty folder, in which no journal is."""
        made = self.folder / "elsewhere"
        made.mkdir(exist_ok=True)
        return made

    @classmethod
    def build(cls, folder: Path, journal: bytes) -> "KillRoom":
        """Return a room with a released journal and a shell that names it."""
        room = cls(folder, cwd=folder)
        room.environment_dir.mkdir(parents=True)
        room.journal.write_bytes(journal)
        kept = {name: value for name, value in os.environ.items() if not name.upper().startswith("KALSHI")}
        room.variables = {
            **kept,
            "HOME": str(folder),
            "PYTHONDONTWRITEBYTECODE": "1",
            "KALSHI_DATA_DIR": str(room.data),
            "KALSHI_SESSIONS_DIR": str(room.registry),
        }
        return room

    def set(self, **variables: str) -> None:
        """Set variables of the shell, whose names begin with ``KALSHI_``."""
        self.variables |= {f"KALSHI_{name}": value for name, value in variables.items()}

    def forget_variables(self) -> None:
        """Remove all variables of the shell except the registry, as in a new terminal."""
        for name in [name for name in self.variables if name.startswith("KALSHI_") and name != "KALSHI_SESSIONS_DIR"]:
            del self.variables[name]

    def register(self, **changes: str) -> JournalEntry:
        """Register the journal of this room."""
        values = {
            "environment": "sandbox",
            "journal": f"sqlite:///{self.journal}",
            "folder": str(self.environment_dir),
            "anchors": str(self.environment_dir / "journal.anchors"),
        }
        entry = JournalEntry(**{**values, **changes})
        register_journal((self.registry,), entry)
        return entry

    def register_session(self, **changes: str) -> SessionEntry:
        """Register this process as a running session of the room's journal."""
        return register_session((self.registry,), self.register(**changes), 0, "live")

    def break_modules(self, *names: str) -> None:
        """Make the import of packages fail."""
        broken = self.folder / "broken"
        broken.mkdir(exist_ok=True)
        for name in names:
            (broken / f"{name}.py").write_text("raise RuntimeError('this package is broken')\n")
        self.variables["PYTHONPATH"] = str(broken)

    def run_at_start(self, code: str) -> None:
        """Run code at the start of each Python process."""
        self.break_modules()
        (self.folder / "broken" / "sitecustomize.py").write_text(code)

    def lock_journal(self) -> None:
        """Hold the write lock of the journal until the case ends."""
        other = self.stack.enter_context(contextlib.closing(sqlite3.connect(self.journal, isolation_level=None)))
        other.execute("BEGIN IMMEDIATE")

    def hanging_server(self) -> int:
        """Return the port of a server that accepts connections and never answers."""
        server = self.stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=50))
        return int(server.getsockname()[1])

    def run(self) -> subprocess.CompletedProcess[str]:
        """Run ``kill`` in a process of its own."""
        command = [sys.executable, "-m", "kalshi_pipelines.execution", "kill", *self.arguments]
        if self.shell:
            command = ["/bin/sh", "-c", self.shell, "sh", *command]
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            env=self.variables,
            cwd=self.cwd,
            timeout=120,
            preexec_fn=self.prepare,
            check=False,
        )

    def why_stopped(self) -> str | None:
        """Return why a session of the room's own shell sends no order, or None if it sends orders."""
        settings = Settings.model_construct(environment=Environment.SANDBOX, data_dir=self.data)
        with opened(settings) as journal:
            return kill_switch(settings, TradeSettings.model_construct(), journal).why_engaged()


@contextlib.contextmanager
def opened(settings: Settings) -> Iterator[Callable[[], Journal]]:
    """Yield a function that opens the journal of the settings, and close the journal afterwards."""
    engines: list[Any] = []

    def journal() -> Journal:
        engines.append(open_journal(journal_url(settings), 0.1))
        return Journal(engines[-1], settings.environment)

    try:
        yield journal
    finally:
        for engine in engines:
            engine.dispose()


def obey_permissions() -> None:
    """Let the permissions of files apply to this process after its next exec, even if its user is root."""
    if os.geteuid() == 0:
        library = ctypes.CDLL(None, use_errno=True)
        for capability in _IGNORE_PERMISSIONS:
            if library.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0):
                raise OSError(ctypes.get_errno(), "the capability cannot be dropped")


def remove_folder(folder: Path) -> str:
    """Return shell code that starts the command in a folder that is then deleted."""
    folder.mkdir()
    return f'cd {folder} && rmdir {folder} && exec "$@"'


def copy_of(file: Path) -> bytes:
    """Return the content of a SQLite database whose write-ahead log was written back."""
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return file.read_bytes()


def make_unreadable(path: Path) -> None:
    """Take all permissions from a file or folder."""
    path.chmod(0)


def remove_tree(folder: Path) -> None:
    """Delete a folder, also if a case has made parts of it read-only."""
    for each in (folder, *folder.rglob("*")):
        if each.is_dir() and not each.is_symlink():
            each.chmod(0o700)
    shutil.rmtree(folder)
