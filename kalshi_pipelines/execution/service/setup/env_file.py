"""Writing variables to a ``.env`` file: existing lines are kept, and a different value is never overwritten."""

import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from dotenv import dotenv_values

from kalshi_pipelines.execution.service.command_context import CommandRefused

_PLAIN: Final = re.compile(r"[A-Za-z0-9_./:@,+*=-]+", re.ASCII)


def add_to_env_file(file: Path, values: Mapping[str, str]) -> list[str]:
    """Add variables to a ``.env`` file, and return the names that were added.

    The file gets mode 0600. Lines that the file already has stay as they are. The file is replaced as a whole, so an
    interrupted command leaves the earlier file.

    Raises:
        CommandRefused: The file has another value of a variable, a value has more than one line, or the file cannot be
            read or written. Nothing was written.
    """
    try:
        text = file.read_text(encoding="utf-8") if file.exists() else ""
        have = dotenv_values(file) if text else {}
    except (OSError, ValueError) as error:
        raise CommandRefused(
            f"The file {file} cannot be read ({type(error).__name__}). Nothing was written.", "Correct its permissions."
        ) from None
    different = sorted(name for name, value in values.items() if have.get(name) not in (None, value))
    if different:
        raise CommandRefused(
            f"The file {file} has another value of {', '.join(different)}. Nothing was written.",
            "Change the line in the file, or the variable, so that they agree.",
        )
    added = [name for name in values if have.get(name) is None]
    lines = [f"{name}={_quoted(name, values[name])}\n" for name in added]
    separator = "" if text.endswith("\n") or not text else "\n"
    try:
        _replace(file, text + separator + "".join(lines))
    except OSError as error:
        raise CommandRefused(
            f"The file {file} cannot be written: {error.strerror}. Nothing was written.",
            "Choose a folder that you may write to.",
        ) from None
    return added


def _quoted(name: str, value: str) -> str:
    """Return a value as a line of a ``.env`` file states it, in single quotes if a shell would change it."""
    if _PLAIN.fullmatch(value):
        return value
    if not value.isprintable() or "'" in value or "\\" in value:
        raise CommandRefused(
            f"The value of {name} has characters that a .env file cannot hold. Nothing was written.",
            "Choose a value without quotes, backslashes and control characters.",
        )
    return f"'{value}'"


def _replace(file: Path, text: str) -> None:
    # ``mkstemp`` makes the file with mode 0600, so nobody else can read it at any time.
    descriptor, name = tempfile.mkstemp(prefix=f"{file.name}.", dir=file.absolute().parent)
    temporary = Path(name)
    try:
        with open(descriptor, "w", encoding="utf-8") as opened:  # noqa: PTH123  (a descriptor, not a path)
            opened.write(text)
            opened.flush()
            os.fsync(opened.fileno())
        temporary.replace(file.resolve())
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
