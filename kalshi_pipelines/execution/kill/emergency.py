"""A file that says stop when the journal can not be written: JSON lines, on the disk before they count.

While it has a line the switch is engaged. Its lines are taken into the journal, and the file away, by the next release.
"""

import json
import os
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

_MOST_BYTES: Final = 10_000_000


class EmergencyFileUnreadable(Exception):
    """The file is there and can not be read; the switch counts as engaged."""


@dataclass(frozen=True, slots=True)
class EmergencyLine:
    """An engagement: who, why, at which level, when (microseconds)."""

    by: str
    reason: str
    level: int
    source: str
    at_us: int


@dataclass(frozen=True, slots=True)
class EmergencyFile:
    """The file at a path; missing is empty."""

    path: Path

    def append(self, line: EmergencyLine) -> None:
        """Add a line; it is on the disk when this returns.

        Raises:
            OSError: It can not be written.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # A line that a crash cut short must not swallow this one.
        text = b"\n" + json.dumps(asdict(line), sort_keys=True).encode() + b"\n"
        # Somebody may put the file away while it is written.
        while not self._appended(text):
            pass

    def lines(self) -> tuple[EmergencyLine, ...]:
        """Every engagement in it; a line that is none counts as one, too.

        Raises:
            EmergencyFileUnreadable: It is there and can not be read.
        """
        try:
            with self.path.open("rb") as file:
                text = file.read(_MOST_BYTES)
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise EmergencyFileUnreadable(f"{self.path} can not be read: {error.strerror}") from None
        return tuple(_line(each) for each in text.splitlines() if each.strip())

    def put_away(self, taken: Sequence[EmergencyLine]) -> None:
        """Move it aside once these lines are in the journal; they stay readable beside it. Newer ones stay in it.

        Raises:
            OSError: It can not be moved.
        """
        aside = self.path.with_suffix(f"{self.path.suffix}.{uuid.uuid4().hex}")
        try:
            self.path.rename(aside)
        except FileNotFoundError:
            return
        for line in EmergencyFile(aside).lines():
            if line not in taken:
                self.append(line)
        with self.path.with_suffix(f"{self.path.suffix}.imported").open("ab") as kept:
            kept.write(aside.read_bytes())
            kept.flush()
            os.fsync(kept.fileno())
        aside.unlink()

    def _appended(self, text: bytes) -> bool:
        """Write to the file; whether it is still the one that is read."""
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(descriptor, text)
            os.fsync(descriptor)
            return os.path.samestat(os.fstat(descriptor), self.path.stat())
        except FileNotFoundError:
            return False
        finally:
            os.close(descriptor)


def _line(text: bytes) -> EmergencyLine:
    try:
        told = json.loads(text)
        return EmergencyLine(
            str(told["by"]), str(told["reason"]), int(told["level"]), str(told["source"]), int(told["at_us"])
        )
    except (ValueError, KeyError, TypeError):
        return EmergencyLine("unknown", f"a line that can not be read: {text[:100]!r}", 1, "emergency file", 0)
