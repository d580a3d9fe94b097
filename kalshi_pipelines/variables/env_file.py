"""The ``.env`` files that this program or Dagster reads."""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from dotenv import dotenv_values
from dotenv.parser import Binding, parse_stream

from kalshi_pipelines.variables.spelling import has_invisible_ends, setting_of

_FILE: Final = ".env"
_OURS_SOMEWHERE: Final = re.compile(r"kalshi|exa_api_key", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class EnvFile:
    """The contents of one ``.env`` file: the values of its variables, and the problems with our settings in it."""

    path: Path
    values: Mapping[str, str]
    problems: tuple[tuple[str, str], ...]
    """Each problem with the setting that it concerns. The setting's name is empty for a line that cannot be read."""


def env_files() -> tuple[Path, ...]:
    """Return the ``.env`` files that Dagster reads: the current folder's file, and those of a project's locations.

    ``dg dev`` names the folders of a project's locations in the variable ``DAGSTER_PROJECT_ENV_FILE_PATHS``.
    """
    try:
        folders = json.loads(os.environ.get("DAGSTER_PROJECT_ENV_FILE_PATHS") or "{}")
        others = [Path(folder) / _FILE for folder in folders.values() if isinstance(folder, str)]
    except (ValueError, AttributeError):
        others = []
    return tuple(dict.fromkeys((Path(_FILE), *others)))


def read_env_file(file: Path) -> EnvFile | None:
    """Return the contents of a ``.env`` file, or None if the file does not exist.

    Raises:
        OSError: The file cannot be read.
        ValueError: The file is not text in UTF-8.
    """
    try:
        status = file.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return _read(file.absolute(), (status.st_ino, status.st_mtime_ns, status.st_size))


@lru_cache(maxsize=8)
def _read(file: Path, version: tuple[int, ...]) -> EnvFile:
    """Read a file. ``version`` changes with the file, so that a changed file is read again."""
    del version
    values = {name: value for name, value in dotenv_values(file).items() if value is not None}
    with file.open(encoding="utf-8") as lines:
        problems = _problems(file, list(parse_stream(lines)))
    return EnvFile(file, values, problems)


def _problems(file: Path, bindings: list[Binding]) -> tuple[tuple[str, str], ...]:
    problems, first = list[tuple[str, str]](), dict[str, int]()
    for binding in bindings:
        written = binding.original.string
        line = binding.original.line + written[: len(written) - len(written.lstrip())].count("\n")
        meant = None if binding.key is None else setting_of(binding.key)
        if binding.error and _OURS_SOMEWHERE.search(written):
            problems.append(("", f"Line {line} of {file} cannot be read."))
        if meant is None:
            continue
        if meant in first:
            problems.append((meant, f"Lines {first[meant]} and {line} of {file} both set {meant}."))
        first.setdefault(meant, line)
        if has_invisible_ends(written.partition("=")[2].strip(" \t\r\n")):
            text = f"The value of {meant} in line {line} of {file} begins or ends with an invisible character."
            problems.append((meant, text))
    return tuple(problems)
