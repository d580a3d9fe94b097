"""The registration of this process's sessions, by which ``kill`` finds them from any folder and terminal."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from kalshi_pipelines.execution.journal.engine import journal_url
from kalshi_pipelines.execution.journal.records import Mode
from kalshi_pipelines.execution.kill.registry import (
    JournalEntry,
    NotRegistered,
    SessionEntry,
    read_registry,
    record_session_id,
    register_journal,
    register_session,
    registry_folders,
    remove_entry,
)
from kalshi_pipelines.execution.service.stopping.stop_settings import absolute_url, without_password
from kalshi_pipelines.settings import Settings


@dataclass(frozen=True, slots=True)
class Registration:
    """The registry's entry of a session; None for a dry run that could not be registered."""

    folders: tuple[Path, ...]
    entry: SessionEntry | None

    def record_id(self, session_id: str) -> None:
        """Add the id of the session, which is known once the session is open."""
        if self.entry is not None:
            record_session_id(self.folders, self.entry, session_id)


@contextmanager
def registered_session(
    settings: Settings, subaccount: int, mode: Mode, say: Callable[[str], None]
) -> Iterator[Registration]:
    """Register a session before it opens, and remove its entry when it has ended. Its journal stays registered.

    Raises:
        NotRegistered: A live session cannot be registered. A dry run goes on without an entry.
    """
    folders = _folders(settings)
    entry = None
    try:
        entry = register_session(folders, _entry(settings), subaccount, mode.value)
    except NotRegistered as error:
        if mode is Mode.LIVE:
            raise
        say(f"`kill` does not find this dry run from other folders. {error}")
    try:
        yield Registration(folders, entry)
    finally:
        if entry is not None:
            remove_entry(folders, entry.name)


def register_released_journal(settings: Settings) -> str:
    """Register a journal in which sessions may trade from now on.

    Returns:
        Why the journal could not be registered; empty if it is registered.
    """
    try:
        register_journal(_folders(settings), _entry(settings))
    except NotRegistered as error:
        return str(error)
    return ""


def registered_journals(settings: Settings) -> list[str]:
    """Return the existing SQLite journals of this environment in which sessions of this user traded."""
    entries = read_registry(_folders(settings)).journals
    files = [_sqlite_file(each.journal) for each in entries if each.environment == settings.environment.value]
    return sorted({str(file) for file in files if file is not None and file.is_file()})


def _sqlite_file(url: str) -> Path | None:
    begin = "sqlite:///"
    return Path(unquote(url.removeprefix(begin).partition("?")[0])) if url.startswith(begin) else None


def _folders(settings: Settings) -> tuple[Path, ...]:
    override = None if settings.sessions_dir is None else settings.sessions_dir.absolute()
    return registry_folders(settings.environment.value, override, os.environ)


def _entry(settings: Settings) -> JournalEntry:
    cwd = Path()
    with suppress(OSError):
        cwd = Path.cwd()
    return JournalEntry(
        settings.environment.value,
        without_password(absolute_url(journal_url(settings), cwd)),
        str(cwd / settings.environment_dir),
        str(cwd / settings.resolved_journal_anchors),
        str(cwd),
    )
