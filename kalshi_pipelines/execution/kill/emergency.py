"""A file that says stop when the journal can not: JSON lines, on the disk before they count.

It is written before the journal is asked. While it has a line the switch is engaged. Once the journal has its lines, it
is put away; what a crash leaves of that (``.`` and 32 digits) is read like the file itself.
"""

import json
import os
import re
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from kalshi_pipelines.errors import ExpectedError
from kalshi_pipelines.execution.orders.canonical_json import LARGEST_INTEGER

_MOST_BYTES: Final = 10_000_000
#: What a file is called while it is put away.
_SUFFIX_PUT_AWAY: Final = re.compile(r"\.[0-9a-f]{32}")


class EmergencyFileUnreadable(ExpectedError):
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
        while not self._append_once(text):
            pass

    def lines(self) -> tuple[EmergencyLine, ...]:
        """Every engagement in it; a line that is none counts as one, too.

        Raises:
            EmergencyFileUnreadable: It is there and can not be read.
        """
        # Read once more at the end: a line may have gone back to it meanwhile.
        found = [
            *_lines(self.path),
            *(line for aside in self._files_put_away() for line in _lines(aside)),
            *_lines(self.path),
        ]
        return tuple(dict.fromkeys(found))

    def put_away(self, recorded: Sequence[EmergencyLine]) -> None:
        """Move it aside once these lines are in the journal; they stay readable beside it. Newer ones stay in it.

        Raises:
            OSError: It can not be moved.
        """
        with suppress(FileNotFoundError):
            self.path.rename(self.path.with_suffix(f"{self.path.suffix}.{uuid.uuid4().hex}"))
        for aside in self._files_put_away():
            # Somebody else may put it away at the same time; a line is only let go by who has it in the journal.
            with suppress(FileNotFoundError):
                self._archive(aside, recorded)

    def _files_put_away(self) -> list[Path]:
        """What is being put away, or was when a process died."""
        try:
            beside = sorted(self.path.parent.iterdir())
        except FileNotFoundError:
            return []
        except OSError as error:
            raise EmergencyFileUnreadable(f"{self.path.parent} can not be read: {error.strerror}") from None
        name = self.path.name
        return [
            each for each in beside if each.name.startswith(name) and _SUFFIX_PUT_AWAY.fullmatch(each.name[len(name) :])
        ]

    def _archive(self, aside: Path, recorded: Sequence[EmergencyLine]) -> None:
        text = aside.read_bytes()
        for line in _lines(aside):
            if line not in recorded:
                self.append(line)
        with self.path.with_suffix(f"{self.path.suffix}.imported").open("ab") as kept:
            kept.write(text)
            kept.flush()
            os.fsync(kept.fileno())
        aside.unlink()

    def _append_once(self, text: bytes) -> bool:
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


def _lines(path: Path) -> list[EmergencyLine]:
    try:
        with path.open("rb") as file:
            text = file.read(_MOST_BYTES)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise EmergencyFileUnreadable(f"{path} can not be read: {error.strerror}") from None
    return [_line(each) for each in text.splitlines() if each.strip()]


def _line(text: bytes) -> EmergencyLine:
    """An engagement, whatever the line is: one that is none stops, too."""
    try:
        return _parsed_line(json.loads(text))
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return EmergencyLine("unknown", f"a line that can not be read: {text[:100]!r}", 1, "emergency file", 0)


def _parsed_line(line: dict[str, Any]) -> EmergencyLine:
    at_us = int(line["at_us"])
    if abs(at_us) > LARGEST_INTEGER:
        raise ValueError("an instant the audit can not hold")
    return EmergencyLine(str(line["by"]), str(line["reason"]), int(line["level"]), str(line["source"]), at_us)
