"""A file that says stop when the journal can not be written: JSON lines, on the disk before they count.

While it has a line the switch is engaged. Its lines are taken into the journal, and the file away, by the next release.
"""

import contextlib
import json
import os
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
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            # A line that a crash cut short must not swallow this one.
            os.write(descriptor, b"\n" + json.dumps(asdict(line), sort_keys=True).encode() + b"\n")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

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

    def put_away(self) -> None:
        """Move it aside once its lines are in the journal; the lines stay readable beside it."""
        with contextlib.suppress(FileNotFoundError):
            aside = self.path.with_suffix(f"{self.path.suffix}.imported")
            with aside.open("ab") as kept:
                kept.write(self.path.read_bytes())
                kept.flush()
                os.fsync(kept.fileno())
            self.path.unlink()


def _line(text: bytes) -> EmergencyLine:
    try:
        told = json.loads(text)
        return EmergencyLine(
            str(told["by"]), str(told["reason"]), int(told["level"]), str(told["source"]), int(told["at_us"])
        )
    except (ValueError, KeyError, TypeError):
        return EmergencyLine("unknown", f"a line that can not be read: {text[:100]!r}", 1, "emergency file", 0)
