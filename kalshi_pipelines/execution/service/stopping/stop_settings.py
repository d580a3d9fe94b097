"""The few settings that stopping needs, read one by one.

A setting that cannot be used never prevents a stop: it is reported, and the stop acts on every place that may have been
meant. Other settings are not looked at. This module uses only the standard library and, for the ``.env`` file,
``dotenv``.
"""

import io
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Final, Self
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from kalshi_pipelines.execution.kill.bounded import BoundedWait
from kalshi_pipelines.execution.kill.registry import VARIABLE as SESSIONS_DIR
from kalshi_pipelines.execution.kill.registry import JournalEntry, registry_folders

ENVIRONMENTS: Final = ("sandbox", "demo", "prod")
EMERGENCY_FILE: Final = "kill.emergency.jsonl"
_SQLITE: Final = "sqlite:///"
_LAST_SUBACCOUNT: Final = 63
_MOST_SECONDS_TO_READ: Final = 5.0


@dataclass(frozen=True, slots=True)
class StopTarget:
    """A journal to stop, and the folder of the emergency file that its sessions read.

    Attributes:
        environment: The exchange that the journal belongs to.
        folder: The environment's data folder.
        journal: The URL of the journal, which may contain a password.
        anchors: The journal's anchor file.
        is_configured: Whether the settings name this journal. Otherwise only the registry does.
    """

    environment: str
    folder: Path
    journal: str
    anchors: Path
    is_configured: bool = False

    @property
    def emergency_file(self) -> Path:
        """The path of the emergency file."""
        return self.folder / EMERGENCY_FILE

    @property
    def sqlite_file(self) -> Path | None:
        """The file of a SQLite journal, or None for another database or a URL that cannot be used."""
        if not self.journal.startswith(_SQLITE):
            return None
        return Path(unquote(self.journal.removeprefix(_SQLITE).partition("?")[0]))

    @property
    def place(self) -> str:
        """The journal's path or address, without user and password."""
        if self.sqlite_file is not None:
            return str(self.sqlite_file)
        try:
            parts = urlsplit(self.journal)
            return f"{parts.scheme.partition('+')[0]}://{parts.netloc.rpartition('@')[2]}{parts.path}"
        except ValueError:
            return "of an address that cannot be read"

    @property
    def has_own_folder(self) -> bool:
        """Whether every session of this journal reads the emergency file of this folder.

        This holds for ``journal.db`` in the environment's folder. Sessions of another journal may have other folders.
        """
        return self.sqlite_file == self.folder / "journal.db"

    @property
    def key(self) -> tuple[str, str, Path]:
        """Environment, journal without password, and folder: equal keys mean the same target."""
        return self.environment, without_password(self.journal), self.folder


@dataclass(frozen=True, slots=True)
class StopKey:
    """A trade key, with which orders can be canceled: its id, file, address and sub-account."""

    key_id: str
    file: Path
    url: str
    subaccount: int


@dataclass(frozen=True, slots=True)
class StopSettings:
    """The settings of a stop.

    Attributes:
        values: The values of each variable by its name in capitals. A variable that is written in two ways, such as in
            lower case, can have two values.
        cwd: The folder that relative paths start from.
        problems: The reasons why it is uncertain which journal is configured.
        notes: Settings that could not be used and were replaced without such an uncertainty.
    """

    values: Mapping[str, tuple[str, ...]]
    cwd: Path = field(default_factory=Path)
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @classmethod
    def from_environment(cls, env_file: Path | None = Path(".env")) -> Self:
        """Read the environment variables, and the variables of the ``.env`` file that are not set."""
        values: dict[str, list[str]] = {}
        for name, value in os.environ.items():
            values.setdefault(name.upper(), []).append(value)
        problems: list[str] = []
        if env_file is not None:
            for name, value in _of_file(env_file, problems).items():
                if name.upper() not in values:
                    values[name.upper()] = [value]
        try:
            cwd = Path.cwd()
        except OSError:
            cwd = Path()
        usable = {name: tuple(dict.fromkeys(v.strip() for v in given if v.strip())) for name, given in values.items()}
        made = cls({name: given for name, given in usable.items() if given}, cwd, tuple(problems))
        return cls(made.values, cwd, (*made.problems, *made._uncertain_places()), tuple(made._notes()))

    def with_data_dir(self, folder: Path) -> Self:
        """Return settings in which all files are in one folder. Variables that name other places are ignored."""
        places = ("KALSHI_DATA_DIR", "KALSHI_WAREHOUSE_URL", "KALSHI_JOURNAL_URL", "KALSHI_JOURNAL_ANCHORS")
        values = {name: given for name, given in self.values.items() if name not in places}
        return type(self)({**values, "KALSHI_DATA_DIR": (str(folder),)}, self.cwd, (), self.notes)

    @property
    def environments(self) -> tuple[str, ...]:
        """The configured environment. If it cannot be read, every environment may have been meant."""
        given = self._of("KALSHI_ENVIRONMENT")
        if not given:
            return (ENVIRONMENTS[0],)
        return given if all(each in ENVIRONMENTS for each in given) else ENVIRONMENTS

    @property
    def names_a_place(self) -> bool:
        """Whether a variable says where the journal is."""
        return any(self._of(f"KALSHI_{name}") for name in ("DATA_DIR", "JOURNAL_URL", "WAREHOUSE_URL"))

    @property
    def targets(self) -> tuple[StopTarget, ...]:
        """Every journal that the settings may mean: usually one."""
        found = [
            self._target(environment, self._path(folder) / environment, url)
            for environment, folder, url in product(
                self.environments, self._of("KALSHI_DATA_DIR") or ("data",), self._journal_urls() or ("",)
            )
        ]
        return tuple({target.key: target for target in found}.values())

    def target_of(self, entry: JournalEntry) -> StopTarget:
        """Return the target of a registered journal.

        The password of its URL is looked for in these settings, and in the ``.env`` file of the session's folder.
        """
        urls = [*self._journal_urls(), *(_urls_of_folder(entry.started_in) if entry.started_in else ())]
        known = {without_password(url): url for url in reversed(urls)}
        url = known.get(entry.journal, entry.journal)
        return StopTarget(entry.environment, Path(entry.folder), url, Path(entry.anchors))

    @property
    def registry_folders(self) -> tuple[Path, ...]:
        """The folders in which sessions are registered."""
        override = next(iter(self._of(SESSIONS_DIR)), None)
        real = [each for each in self.environments if each != ENVIRONMENTS[0]] if self._knows_environment else []
        home = {name: given[0] for name, given in self.values.items() if name in ("HOME", "XDG_STATE_HOME")}
        return registry_folders(real[0] if real else None, None if override is None else self._path(override), home)

    @property
    def key(self) -> StopKey | None:
        """The trade key, or None if its id, file or address is not set."""
        key_id, file, url = (
            next(iter(self._of(f"KALSHI_TRADE_{name}")), None) for name in ("API_KEY_ID", "PRIVATE_KEY_FILE", "URL")
        )
        if key_id is None or file is None or url is None:
            return None
        return StopKey(key_id, self._path(file), url, self.subaccount)

    @property
    def subaccount(self) -> int:
        """The configured sub-account; 0 if it is not set or cannot be read."""
        numbers = [int(each) for each in self._of("KALSHI_TRADE_SUBACCOUNT") if each.isascii() and each.isdecimal()]
        return next((number for number in numbers if number <= _LAST_SUBACCOUNT), 0)

    @property
    def has_clear_subaccount(self) -> bool:
        """Whether the sub-account is set to one usable number, or not set at all."""
        given = self._of("KALSHI_TRADE_SUBACCOUNT")
        return not given or given == (str(self.subaccount),)

    @property
    def _knows_environment(self) -> bool:
        return all(each in ENVIRONMENTS for each in self._of("KALSHI_ENVIRONMENT"))

    def _of(self, name: str) -> tuple[str, ...]:
        return self.values.get(name, ())

    def _path(self, text: str) -> Path:
        """Return the absolute path of a setting. A home that cannot be found leaves the path as it is."""
        try:
            return self.cwd / Path(text).expanduser()
        except RuntimeError:
            return self.cwd / text

    def _journal_urls(self) -> tuple[str, ...]:
        """Return the configured URLs of journals; none if the journal is a file in the environment's folder."""
        given = self._of("KALSHI_JOURNAL_URL")
        if not given:
            given = tuple(url for url in self._of("KALSHI_WAREHOUSE_URL") if url.startswith("postgres"))
        return tuple(absolute_url(url, self.cwd) for url in given)

    def _target(self, environment: str, folder: Path, url: str) -> StopTarget:
        anchors = next(iter(self._of("KALSHI_JOURNAL_ANCHORS")), None)
        return StopTarget(
            environment,
            folder,
            url or f"{_SQLITE}{quote(str(folder / 'journal.db'))}",
            folder / "journal.anchors" if anchors is None else self._path(anchors),
            is_configured=True,
        )

    def _uncertain_places(self) -> list[str]:
        problems = []
        for name, default in (("KALSHI_DATA_DIR", "data"), ("KALSHI_JOURNAL_ANCHORS", "")):
            for text in self._of(name) or ((default,) if default else ()):
                try:
                    is_absolute = Path(text).expanduser().is_absolute()
                except RuntimeError as error:
                    problems.append(f"{name} cannot be read: {error}")
                    continue
                if not is_absolute and not self.cwd.is_absolute() and self._of(name):
                    problems.append(f"{name} is a relative path, and the current folder no longer exists")
        return problems

    def _notes(self) -> list[str]:
        notes = []
        if not self._knows_environment:
            notes.append("KALSHI_ENVIRONMENT cannot be used, so the journals of all environments are stopped.")
        twice = [name for name in self.values if name.startswith("KALSHI_") and len(self.values[name]) > 1]
        notes += [f"{name} has two values, because it is set in two spellings." for name in sorted(twice)]
        if not self.has_clear_subaccount:
            notes.append(f"KALSHI_TRADE_SUBACCOUNT cannot be used, so {self.subaccount} is taken.")
        return notes


def without_password(url: str) -> str:
    """Return a database URL without its password."""
    if url.startswith(_SQLITE):
        return url
    try:
        parts = urlsplit(url)
        login, at, host = parts.netloc.rpartition("@")
        query = [(name, value) for name, value in parse_qsl(parts.query) if "password" not in name.lower()]
        return parts._replace(netloc=f"{login.partition(':')[0]}{at}{host}", query=urlencode(query)).geturl()
    except ValueError:
        return "unreadable"


def absolute_url(url: str, cwd: Path) -> str:
    """Return a database URL in which the path of a SQLite file is absolute."""
    if not url.startswith(_SQLITE):
        return url
    path, mark, query = url.removeprefix(_SQLITE).partition("?")
    return f"{_SQLITE}{quote(str(cwd / unquote(path)))}{mark}{query}"


def _of_file(file: Path, problems: list[str]) -> dict[str, str]:
    """Return the variables of a ``.env`` file. Add a problem if the file exists and cannot be read."""
    try:
        # The file may be a pipe that a password manager should write to, or be on a disk that hangs.
        text = BoundedWait(f"the disk of {file}", _MOST_SECONDS_TO_READ)(file.read_bytes).decode(
            "utf-8", "surrogateescape"
        )
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        why = error.strerror or error
        problems.append(f"the file {file} cannot be read ({why}), so it is not known which journal it names")
        return {}
    try:
        # The import is here, so that a broken package does not prevent a stop.
        from dotenv import dotenv_values  # noqa: PLC0415

        found = dotenv_values(stream=io.StringIO(text))
    except Exception as error:  # noqa: BLE001  # whatever is wrong with the file, the stop goes on
        problems.append(f"the file {file} cannot be read ({type(error).__name__}), so its variables are not known")
        return {}
    return {name: value for name, value in found.items() if value is not None}


def _urls_of_folder(folder: str) -> list[str]:
    found = _of_file(Path(folder) / ".env", [])
    upper = {name.upper(): value for name, value in found.items()}
    names = ("KALSHI_JOURNAL_URL", "KALSHI_WAREHOUSE_URL")
    return [absolute_url(upper[name], Path(folder)) for name in names if name in upper]
