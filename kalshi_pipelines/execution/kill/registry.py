"""The registry of this computer's journals and sessions, by which ``kill`` finds what it must stop.

A session registers before it opens and is removed when it ends. The journal of a session stays registered, so that a
later ``kill`` in another folder, or in a terminal without variables, still finds it. An entry holds no secret: the URL
of the journal is stored without its password.

The registry is stored in several folders, because one of them may be full or missing. Entries are JSON files with mode
0600 in folders with mode 0700. Only files and folders of the same user count, and symbolic links are not followed. This
module uses only the standard library, so that ``kill`` works even if a package is broken.
"""

import json
import os
import pwd
import stat
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from kalshi_pipelines.errors import ExpectedError
from kalshi_pipelines.execution.kill.process import Process

#: The variable that names another folder of the registry, which keeps two sandboxes on one computer apart.
VARIABLE: Final = "KALSHI_SESSIONS_DIR"
_REAL_EXCHANGES: Final = ("demo", "prod")
_MOST_BYTES: Final = 65_536
_SUFFIX: Final = ".json"


class NotRegistered(ExpectedError):
    """A session or journal could not be written to any folder of the registry, so ``kill`` would not find it."""


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """A registered journal: its place, and the files that its sessions read before each order.

    Attributes:
        environment: The exchange that the journal belongs to.
        journal: The URL of the journal without its password.
        folder: The absolute path of the environment's data folder, in which the emergency file is.
        anchors: The absolute path of the journal's anchor file.
        started_in: The folder in which the session was started. Its ``.env`` file may hold the journal's password.
    """

    environment: str
    journal: str
    folder: str
    anchors: str
    started_in: str = ""

    @property
    def name(self) -> str:
        """The name of the entry, which is the same whenever the same journal is registered again."""
        digest = sha256(f"{self.environment}\n{self.journal}\n{self.folder}".encode("utf-8", "surrogatepass"))
        return f"journal-{digest.hexdigest()[:32]}"


@dataclass(frozen=True, slots=True)
class SessionEntry:
    """A registered session: its journal, account and process.

    Attributes:
        name: The name of the entry.
        place: The journal of the session.
        subaccount: The sub-account that the session trades.
        mode: ``live`` or ``dry_run``.
        process: The process of the session.
        session_id: The id of the session; empty until the session is open.
    """

    name: str
    place: JournalEntry
    subaccount: int
    mode: str
    process: Process
    session_id: str = ""

    @property
    def is_running(self) -> bool:
        """Whether the process of the session may still run."""
        return self.process.may_run()

    def __str__(self) -> str:
        opened = f"session {self.session_id}" if self.session_id else "a session that is being opened"
        return f"{opened} ({self.mode}) of {self.process}, {self.place.environment}, sub-account {self.subaccount}"


@dataclass(frozen=True, slots=True)
class RegistryReading:
    """All entries of the registry, and the reasons why some entries could not be read."""

    journals: tuple[JournalEntry, ...] = ()
    sessions: tuple[SessionEntry, ...] = ()
    problems: tuple[str, ...] = ()


def registry_folders(environment: str | None, override: Path | None, environ: Mapping[str, str]) -> tuple[Path, ...]:
    """Return the folders of the registry. Every entry is written to all of them.

    The folders are in the user's home and in ``/tmp``. The home is looked up in two ways, because a terminal or service
    may lack ``HOME`` or have another one. In the sandbox, ``override`` replaces these folders. Sessions on a real
    exchange are always registered where ``kill`` looks without any variable.
    """
    well_known = tuple(dict.fromkeys((*_state_folders(environ), Path(f"/tmp/kalshi-pipelines-{os.geteuid()}"))))  # noqa: S108  # `_folder` refuses a folder of another user
    if override is None:
        return well_known
    return (override, *well_known) if environment in _REAL_EXCHANGES else (override,)


def _state_folders(environ: Mapping[str, str]) -> Iterator[Path]:
    homes = [environ.get("HOME", "")]
    with suppress(KeyError, OSError):
        homes.append(pwd.getpwuid(os.geteuid()).pw_dir)
    states = [environ.get("XDG_STATE_HOME", ""), *(f"{home}/.local/state" for home in homes if home)]
    yield from (Path(state) / "kalshi-pipelines" / "active" for state in states if state.startswith("/"))


def read_registry(folders: Sequence[Path]) -> RegistryReading:
    """Return all entries of the folders. An entry that one of the folders lacks is read from another folder."""
    found: dict[str, JournalEntry | SessionEntry] = {}
    unread: dict[str, str] = {}
    problems: list[str] = []
    for folder in folders:
        try:
            with _folder(folder) as descriptor:
                names = sorted(each.name for each in os.scandir(descriptor) if each.name.endswith(_SUFFIX))
                for name in names:
                    try:
                        found.setdefault(name, _read(descriptor, name))
                    except FileNotFoundError:
                        continue
                    except (OSError, ValueError, KeyError, TypeError) as error:
                        unread[name] = f"the entry {folder / name} cannot be read ({_describe(error)})"
        except (FileNotFoundError, _Foreign):
            continue
        except OSError as error:
            problems.append(f"the registry {folder} cannot be read ({_describe(error)})")
    problems += [text for name, text in unread.items() if name not in found]
    return RegistryReading(
        tuple(each for each in found.values() if isinstance(each, JournalEntry)),
        tuple(each for each in found.values() if isinstance(each, SessionEntry)),
        tuple(problems),
    )


def register_journal(folders: Sequence[Path], place: JournalEntry) -> None:
    """Write a journal to the registry.

    Raises:
        NotRegistered: No folder of the registry can be written.
    """
    _write_everywhere(folders, place.name, {"kind": "journal", **asdict(place)})


def register_session(folders: Sequence[Path], place: JournalEntry, subaccount: int, mode: str) -> SessionEntry:
    """Write this process as a session that is being opened, together with its journal.

    Raises:
        NotRegistered: No folder of the registry can be written.
    """
    entry = SessionEntry(f"session-{uuid.uuid4().hex}", place, subaccount, mode, Process.current())
    register_journal(folders, place)
    _write_everywhere(folders, entry.name, {"kind": "session", **asdict(entry)})
    return entry


def record_session_id(folders: Sequence[Path], entry: SessionEntry, session_id: str) -> None:
    """Add the id of the opened session to its entry. The entry stops the session without this id, too."""
    opened = replace(entry, session_id=session_id)
    with suppress(NotRegistered):
        _write_everywhere(folders, entry.name, {"kind": "session", **asdict(opened)})


def remove_entry(folders: Sequence[Path], name: str) -> None:
    """Remove an entry from all folders. A folder that cannot be written keeps its copy."""
    for folder in folders:
        with suppress(OSError), _folder(folder) as descriptor:
            os.unlink(f"{name}{_SUFFIX}", dir_fd=descriptor)


class _Foreign(OSError):
    """The folder belongs to another user or is a symbolic link, so it is never used."""


@contextmanager
def _folder(path: Path) -> Iterator[int]:
    """Open a folder of the registry, and yield its descriptor.

    Raises:
        _Foreign: The folder belongs to another user or is a symbolic link.
        OSError: The folder does not exist or cannot be opened.
    """
    status = path.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        raise _Foreign(f"{path} is not a folder of this user")
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if os.fstat(descriptor).st_uid != os.geteuid():
            raise _Foreign(f"{path} is not a folder of this user")
        yield descriptor
    finally:
        os.close(descriptor)


def _write_everywhere(folders: Sequence[Path], name: str, content: Mapping[str, Any]) -> None:
    problems = []
    for folder in folders:
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with _folder(folder) as descriptor:
                os.fchmod(descriptor, 0o700)
                _write(descriptor, name, json.dumps(content, sort_keys=True).encode())
        except OSError as error:
            problems.append(f"{folder} ({_describe(error)})")
    if len(problems) == len(folders):
        raise NotRegistered(
            f"The registry of sessions cannot be written: {'; '.join(problems)}.",
            "Make one of these folders writable for you alone. Without an entry, `kill` would not find this session.",
        )


def _write(folder: int, name: str, text: bytes) -> None:
    temporary = f".{name}.{os.getpid()}.{uuid.uuid4().hex[:8]}"
    descriptor = os.open(
        temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=folder
    )
    try:
        with open(descriptor, "wb") as file:  # noqa: PTH123  # an open descriptor, not a path
            file.write(text)
            file.flush()
            os.fsync(descriptor)
        os.replace(temporary, f"{name}{_SUFFIX}", src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary, dir_fd=folder)
        raise


def _read(folder: int, file_name: str) -> JournalEntry | SessionEntry:
    descriptor = os.open(file_name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    with open(descriptor, "rb") as file:  # noqa: PTH123  # an open descriptor, not a path
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
            raise ValueError("it is not a file of this user")
        content = json.loads(file.read(_MOST_BYTES))
    if content["kind"] == "journal":
        return _journal(content)
    return SessionEntry(
        file_name.removesuffix(_SUFFIX),
        _journal(content["place"]),
        int(content["subaccount"]),
        str(content["mode"]),
        Process(**content["process"]),
        str(content["session_id"]),
    )


def _journal(content: Mapping[str, Any]) -> JournalEntry:
    fields = ("environment", "journal", "folder", "anchors", "started_in")
    return JournalEntry(*(str(content[name]) for name in fields))


def _describe(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__
