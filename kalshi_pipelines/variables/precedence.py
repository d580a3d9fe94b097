"""The one rule of precedence: the process environment beats ``.env``.

The command lines set only the variables that are missing. Dagster overwrites the variables of the shell, so they are
restored here. The kill switch is an exception: a value that engages it counts wherever it is set.
"""

import os
import sys
from functools import cache
from pathlib import Path
from typing import Final

from kalshi_pipelines.variables.env_file import EnvFile, env_files, read_env_file
from kalshi_pipelines.variables.process_tree import StartedProcess, read_process, shell_environment
from kalshi_pipelines.variables.spelling import name_problems, setting_of, value_problems

_PREFIX_OF_TRADING: Final = "KALSHI_TRADE_"
KILL_VARIABLE: Final = "KALSHI_TRADE_KILL"
#: Values of the kill variable that do not engage the kill switch.
CLEAR_VALUES: Final = ("", "0")


def is_engaging(name: str, value: str) -> bool:
    """Return whether a variable engages the kill switch."""
    return setting_of(name) == KILL_VARIABLE and value not in CLEAR_VALUES


def set_missing_variables(file: EnvFile) -> None:
    """Set the variables of a ``.env`` file that the process environment lacks.

    A value that engages the kill switch is set in any case.
    """
    for name, value in file.values.items():
        if is_engaging(name, value):
            os.environ[name] = value
        os.environ.setdefault(name, value)


def restore_shell_variables() -> None:
    """Give our variables the values of the shell again, if Dagster has overwritten them with those of ``.env``."""
    for name, value in _shell_values().items():
        present = os.environ.get(name)
        if present != value and setting_of(name) is not None and not is_engaging(name, present or ""):
            os.environ[name] = value


def undecided_variables() -> tuple[str, ...]:
    """Return our variables of which it cannot be determined whether the shell had another value than ``.env``.

    This happens in a process of Dagster on a system without ``/proc``, or if the process that a person started has
    ended. There is no such variable if no ``.env`` file sets one of our variables.
    """
    shell = shell_environment()
    if shell is None or shell.is_known:
        return ()
    return tuple(sorted({name for file in _found_files() for name in file.values if setting_of(name) is not None}))


def problems(*, of_trading: bool) -> list[str]:
    """Return a sentence for each of our variables that is set twice or has an unusual name or value.

    Args:
        of_trading: Whether the variables of trading are checked, or all others. Reading data does not depend on the
            variables of trading.
    """
    ours = {name: value for name, value in os.environ.items() if _is_of_trading(setting_of(name)) is of_trading}
    files = _found_files() if _reads_env_files() else []
    in_files = [text for file in files for meant, text in file.problems if _is_of_trading(meant) is of_trading]
    return [*name_problems(ours), *value_problems(ours), *in_files]


def engaged_kill_variable() -> str | None:
    """Return a text that names a variable that engages the kill switch, or None.

    The process environment, the shell that started Dagster and the ``.env`` files count.

    Raises:
        OSError, ValueError: A ``.env`` file cannot be read.
    """
    for where, variables in (("", os.environ), (" in the shell", _shell_values())):
        for name, value in variables.items():
            if is_engaging(name, value):
                return f"{name} is set{where}"
    for file in _found_files():
        for name, value in file.values.items():
            if is_engaging(name, value):
                return f"{name} is set in {file.path}"
    return None


def _is_of_trading(setting: str | None) -> bool:
    return setting is not None and setting.startswith(_PREFIX_OF_TRADING)


def _found_files() -> list[EnvFile]:
    return [found for path in env_files() if (found := read_env_file(path)) is not None]


def _reads_env_files() -> bool:
    return shell_environment() is not None


def _shell_values() -> dict[str, str]:
    """Return our variables of the shell that started Dagster; empty in other processes or if they are not known."""
    shell = shell_environment()
    if shell is not None:
        return {name: value for name, value in shell.values.items() if setting_of(name) is not None}
    return _overwritten_at_start() if "dagster" in sys.modules else {}


@cache
def _start_of(number: int) -> StartedProcess | None:
    """Return this process with its first environment, which never changes. A forked process has another number."""
    return read_process(number)


def _overwritten_at_start() -> dict[str, str]:
    """Return our variables of this process's first environment that now have the value of the ``.env`` file.

    Programs can run Dagster's command line under another name, so that the process is not recognised.
    """
    own = _start_of(os.getpid())
    try:
        file = read_env_file(Path(".env"))
    except (OSError, ValueError):
        return {}
    if own is None or own.environment is None or file is None:
        return {}
    return {
        name: value
        for name, value in own.environment.items()
        if setting_of(name) is not None
        and os.environ.get(name) != value
        and os.environ.get(name) == file.values.get(name)
    }
