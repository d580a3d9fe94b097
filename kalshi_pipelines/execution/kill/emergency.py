"""The emergency file, which stops trading while the journal cannot be written.

The file holds one JSON line for each engagement of the kill switch and is written before the journal. The kill switch
is engaged while the file has a line. Once the journal has recorded the lines, the file is moved aside under a name that
ends in a dot and 32 hexadecimal digits. If a crash leaves such a file behind, it still counts like the emergency file
itself.
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
#: The pattern of the suffix that the emergency file's name gets when the file is moved aside.
_SUFFIX_PUT_AWAY: Final = re.compile(r"\.[0-9a-f]{32}")


class EmergencyFileUnreadable(ExpectedError):
    """The emergency file exists but cannot be read, so the kill switch counts as engaged."""


@dataclass(frozen=True, slots=True)
class EmergencyLine:
    """One engagement of the kill switch: who engaged it, why, at which level and when (microseconds)."""

    by: str
    reason: str
    level: int
    source: str
    at_us: int


@dataclass(frozen=True, slots=True)
class EmergencyFile:
    """The emergency file at a path. A missing file counts as empty."""

    path: Path

    def append(self, line: EmergencyLine) -> None:
        """Append a line to the emergency file and flush it to the disk.

        The file's folder is never created: no session would read a file in a folder that was missing.

        Raises:
            OSError: The file cannot be written, or its folder does not exist.
        """
        # The leading newline separates the new line from an incomplete line that a crash left behind.
        text = b"\n" + json.dumps(asdict(line), sort_keys=True).encode() + b"\n"
        # Another process may move the emergency file aside while this process writes a line. In that case the line is
        # written again, to a new emergency file.
        while not self._append_once(text):
            pass

    def lines(self) -> tuple[EmergencyLine, ...]:
        """Return every engagement in the emergency file. A line that cannot be parsed counts as an engagement, too.

        Raises:
            EmergencyFileUnreadable: The file exists but cannot be read.
        """
        # The emergency file is read both before and after the files that were moved aside, so that no line is missed.
        # Meanwhile another process may move lines from the emergency file into such a file, or back.
        found = [
            *_lines(self.path),
            *(line for aside in self._files_put_away() for line in _lines(aside)),
            *_lines(self.path),
        ]
        return tuple(dict.fromkeys(found))

    def put_away(self, recorded: Sequence[EmergencyLine]) -> None:
        """Remove lines from the emergency file after the journal has recorded them.

        The recorded lines are archived in a file in the same folder. Newer lines stay in the emergency file.

        Raises:
            OSError: The file cannot be moved.
        """
        with suppress(FileNotFoundError):
            self.path.rename(self.path.with_suffix(f"{self.path.suffix}.{uuid.uuid4().hex}"))
        for aside in self._files_put_away():
            # Another process may archive the same file at the same time. Each process drops only lines that it has
            # recorded.
            with suppress(FileNotFoundError):
                self._archive(aside, recorded)

    def _files_put_away(self) -> list[Path]:
        """Return the files that were moved aside and not archived yet. A crashed process may have left some of them."""
        try:
            beside = sorted(self.path.parent.iterdir())
        except FileNotFoundError:
            return []
        except OSError as error:
            raise _unreadable(self.path.parent, error) from None
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
        """Append the text to the emergency file, and return whether the file is still at its path afterwards.

        Another process may have moved the file aside meanwhile, and readers may then miss the text.
        """
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
        raise _unreadable(path, error) from None
    return [_line(each) for each in text.splitlines() if each.strip()]


def _unreadable(path: Path, error: OSError) -> EmergencyFileUnreadable:
    return EmergencyFileUnreadable(
        f"{path} cannot be read: {error.strerror}.", "Make it readable; until then trading is stopped."
    )


def _line(text: bytes) -> EmergencyLine:
    """Return the engagement that a line records.

    A line that cannot be parsed becomes an engagement of level 1, and the name of the person is ``unknown``.
    """
    try:
        return _parsed_line(json.loads(text))
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return EmergencyLine("unknown", f"a line that cannot be read: {text[:100]!r}", 1, "emergency file", 0)


def _parsed_line(line: dict[str, Any]) -> EmergencyLine:
    at_us = int(line["at_us"])
    if abs(at_us) > LARGEST_INTEGER:
        raise ValueError("the time is too large for the audit")
    return EmergencyLine(str(line["by"]), str(line["reason"]), int(line["level"]), str(line["source"]), at_us)
