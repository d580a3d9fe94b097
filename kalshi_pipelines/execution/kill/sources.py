"""Who may say stop: the journal, files, a folder, a variable. One is enough, and unreadable is stop.

Whether the exchange and a market's shard trade is asked with each order's market.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from kalshi_pipelines.execution.journal.errors import (
    JournalOfAnotherEnvironment,
    JournalOutdated,
    JournalUnavailable,
)
from kalshi_pipelines.execution.journal.journal import Journal
from kalshi_pipelines.execution.kill.emergency import EmergencyFile, EmergencyFileUnreadable

#: Engaged by any value but these.
CLEAR_VALUES: Final = ("", "0")
VARIABLE: Final = "KALSHI_TRADE_KILL"


@dataclass(frozen=True, slots=True)
class KillReading:
    """What a source says. ``level`` 0 is clear, 1 no new risk, 2 cancel everything, too."""

    source: str
    level: int
    why: str

    @property
    def engaged(self) -> bool:
        """Whether it says stop."""
        return self.level > 0


@dataclass(frozen=True, slots=True)
class KillStatus:
    """What all sources say."""

    readings: tuple[KillReading, ...]

    @property
    def engaged(self) -> bool:
        """Whether any says stop."""
        return any(reading.engaged for reading in self.readings)

    @property
    def level(self) -> int:
        """The highest level any of them says."""
        return max((reading.level for reading in self.readings), default=1)

    @property
    def why(self) -> str:
        """Who says stop and why, in one line."""
        return "; ".join(f"{reading.source}: {reading.why}" for reading in self.readings if reading.engaged)


class KillSource(Protocol):
    """Somebody who may say stop."""

    def read(self) -> KillReading:
        """What it says now. Never raises: what can not be read says stop."""
        ...


@dataclass(frozen=True, slots=True)
class JournalSource:
    """The journal's newest kill event; a journal that can not be opened or read says stop."""

    journal: Callable[[], Journal]

    def read(self) -> KillReading:
        """The newest event."""
        try:
            with self.journal().reading() as reading:
                kill = reading.halts.kill_state()
        except (JournalUnavailable, JournalOutdated, JournalOfAnotherEnvironment) as error:
            return KillReading("journal", 1, str(error))
        if not kill.engaged:
            return KillReading("journal", 0, "released")
        return KillReading("journal", max(1, kill.level), f"{kill.by_whom} ({kill.source}): {kill.reason}")


@dataclass(frozen=True, slots=True)
class FileSource:
    """A file whose presence says stop, whatever is in it."""

    path: Path
    needs_folder: bool = False
    """Whether a folder that is not there says stop, too: a disk that is not mounted hides the file."""

    def read(self) -> KillReading:
        """Whether it is there."""
        try:
            self.path.lstat()
        except FileNotFoundError:
            if self.needs_folder and not self.path.parent.is_dir():
                return KillReading("file", 1, f"{self.path} can not be looked for: its folder is not there")
            return KillReading("file", 0, f"{self.path} is not there")
        except OSError as error:
            return KillReading("file", 1, f"{self.path} can not be looked for: {error.strerror}")
        return KillReading("file", 1, f"{self.path} is there")


@dataclass(frozen=True, slots=True)
class FolderSource:
    """The folder of the emergency file: while it is not there, nobody knows whether the file is."""

    path: Path
    needs_absolute_path: bool = False
    """Whether a path that depends on the folder a run starts in says stop, too."""

    def read(self) -> KillReading:
        """Whether it is there."""
        if self.needs_absolute_path and not self.path.is_absolute():
            return KillReading(
                "data folder", 1, f"{self.path} is another folder wherever a run starts: make KALSHI_DATA_DIR absolute"
            )
        try:
            is_there = self.path.is_dir()
        except OSError as error:
            return KillReading("data folder", 1, f"{self.path} can not be looked for: {error.strerror}")
        if not is_there:
            return KillReading("data folder", 1, f"{self.path} is not there: mount its disk, or make it")
        return KillReading("data folder", 0, f"{self.path} is there")


@dataclass(frozen=True, slots=True)
class EmergencySource:
    """What was engaged while the journal could not be written."""

    file: EmergencyFile

    def read(self) -> KillReading:
        """Its newest line."""
        try:
            lines = self.file.lines()
        except EmergencyFileUnreadable as error:
            return KillReading("emergency file", 1, str(error))
        if not lines:
            return KillReading("emergency file", 0, "empty")
        return KillReading(
            "emergency file", max(1, *(line.level for line in lines)), f"{lines[-1].by}: {lines[-1].reason}"
        )


@dataclass(frozen=True, slots=True)
class EnvironmentSource:
    """The environment variable, in any letters as all settings are; anything but ``0`` or nothing says stop."""

    variable: str = VARIABLE

    def read(self) -> KillReading:
        """What it is set to now."""
        for name, value in os.environ.items():
            if name.upper() == self.variable and value not in CLEAR_VALUES:
                return KillReading("environment", 1, f"{name} is set")
        return KillReading("environment", 0, f"{self.variable} is not set")


def read_sources(sources: Sequence[KillSource]) -> KillStatus:
    """What all of them say; with none it is stop."""
    if not sources:
        return KillStatus((KillReading("nobody", 1, "there is no source to ask"),))
    return KillStatus(tuple(source.read() for source in sources))
