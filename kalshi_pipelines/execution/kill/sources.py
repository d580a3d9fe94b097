"""The sources of the kill switch: the journal, two files, the data folder and an environment variable.

One engaged source stops trading, and a source that cannot be read counts as engaged. The status of the exchange is not
a source of the kill switch. It is checked for each order, together with the order's market.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from kalshi_pipelines.execution.journal.errors import (
    JournalOfAnotherEnvironment,
    JournalOutdated,
    JournalUnavailable,
)
from kalshi_pipelines.execution.journal.journal import Journal
from kalshi_pipelines.execution.kill.emergency import EmergencyFile, EmergencyFileUnreadable
from kalshi_pipelines.variables.precedence import KILL_VARIABLE, engaged_kill_variable


@dataclass(frozen=True, slots=True)
class KillReading:
    """The state of one kill-switch source. Level 0 is clear, 1 stops new orders, 2 also cancels all orders."""

    source: str
    level: int
    why: str

    @property
    def engaged(self) -> bool:
        """Whether this kill-switch source stops trading."""
        return self.level > 0


@dataclass(frozen=True, slots=True)
class KillStatus:
    """The states of all sources of the kill switch."""

    readings: tuple[KillReading, ...]

    @property
    def engaged(self) -> bool:
        """Whether any source of the kill switch stops trading."""
        return any(reading.engaged for reading in self.readings)

    @property
    def level(self) -> int:
        """The highest level among all sources of the kill switch."""
        return max((reading.level for reading in self.readings), default=1)

    @property
    def why(self) -> str:
        """The engaged sources of the kill switch with their reasons, in one line."""
        return "; ".join(f"{reading.source}: {reading.why}" for reading in self.readings if reading.engaged)


class KillSource(Protocol):
    """A source that can engage the kill switch."""

    def read(self) -> KillReading:
        """Return the source's present state. No error is raised: an unreadable source counts as engaged."""
        ...


@dataclass(frozen=True, slots=True)
class JournalSource:
    """The source that reads the journal's newest kill event. A journal that cannot be read counts as engaged."""

    journal: Callable[[], Journal]

    def read(self) -> KillReading:
        """Return the kill switch's state after the newest kill event in the journal."""
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
    """A file that engages the kill switch if it exists. The content of the file does not matter."""

    path: Path
    needs_folder: bool = False
    """Whether a missing folder also engages the kill switch.

    The kill file may be on a disk that is not mounted.
    """

    def read(self) -> KillReading:
        """Return whether the kill file exists. If an error prevents the check, the kill file counts as existing."""
        try:
            self.path.lstat()
        except FileNotFoundError:
            if self.needs_folder and not self.path.parent.is_dir():
                return KillReading("file", 1, f"{self.path} cannot be looked for: its folder does not exist")
            return KillReading("file", 0, f"{self.path} does not exist")
        except OSError as error:
            return KillReading("file", 1, f"{self.path} cannot be looked for: {error.strerror}")
        return KillReading("file", 1, f"{self.path} exists")


@dataclass(frozen=True, slots=True)
class FolderSource:
    """The folder of the emergency file.

    A missing folder engages the kill switch, because an emergency file may be on a disk that is not mounted.
    """

    path: Path
    needs_absolute_path: bool = False
    """Whether a relative path also engages the kill switch.

    Such a path means a different folder for each working directory.
    """

    def read(self) -> KillReading:
        """Return whether the folder engages the kill switch.

        The switch is engaged by a missing folder, and by a relative path where an absolute path is required.
        """
        if self.needs_absolute_path and not self.path.is_absolute():
            return KillReading(
                "data folder", 1, f"{self.path} depends on the folder a run starts in: make KALSHI_DATA_DIR absolute"
            )
        try:
            is_there = self.path.is_dir()
        except OSError as error:
            return KillReading("data folder", 1, f"{self.path} cannot be looked for: {error.strerror}")
        if not is_there:
            return KillReading("data folder", 1, f"{self.path} does not exist: mount its disk, or create it")
        return KillReading("data folder", 0, f"{self.path} exists")


@dataclass(frozen=True, slots=True)
class EmergencySource:
    """The source that reads the emergency file, whose lines the journal has not recorded yet."""

    file: EmergencyFile

    def read(self) -> KillReading:
        """Return the highest level in the emergency file and the text of its newest line."""
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
    """The environment variable ``KALSHI_TRADE_KILL``. Any value except ``0`` and empty text engages the kill switch.

    The variable counts wherever it is set: in the process environment, in the shell that started Dagster, or in a
    ``.env`` file. Its name may be written in upper or lower case, as for all settings.
    """

    def read(self) -> KillReading:
        """Return whether the variable is set to a value that engages the switch."""
        try:
            engaged = engaged_kill_variable()
        except (OSError, ValueError) as error:
            return KillReading("environment", 1, f"the file .env cannot be read ({type(error).__name__})")
        if engaged is not None:
            return KillReading("environment", 1, engaged)
        return KillReading("environment", 0, f"{KILL_VARIABLE} is not set")


def read_sources(sources: Sequence[KillSource]) -> KillStatus:
    """Return the states of all kill-switch sources. An empty list of sources counts as engaged."""
    if not sources:
        return KillStatus((KillReading("nobody", 1, "there is no source to ask"),))
    return KillStatus(tuple(source.read() for source in sources))
