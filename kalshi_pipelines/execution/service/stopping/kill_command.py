"""The command ``kill``, which must work when everything else is broken.

It has its own parser and imports only what stopping needs, so that no other command, setting or package can prevent it.
"""

import argparse
import getpass
import logging
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, NoReturn

from kalshi_pipelines.execution.orders.persons import clean_name
from kalshi_pipelines.execution.service.stopping.stop import StopRequest, stop
from kalshi_pipelines.execution.service.stopping.stop_report import StopReport, one_line
from kalshi_pipelines.execution.service.stopping.stop_settings import StopSettings

NAME: Final = "kill"
HELP: Final = "send no new orders; level 2 also cancels all orders and proves that none rests"
#: The exit status after Ctrl-C: 128 plus the number of the signal SIGINT, as in shells.
_INTERRUPTED: Final = 130
_MISUSED: Final = 2


class _Parser(argparse.ArgumentParser):
    """A parser whose errors say that nothing was stopped."""

    def error(self, message: str) -> NoReturn:
        with suppress(Exception):
            self.print_usage(sys.stderr)
        say(f"NOT ENGAGED: new orders can still be sent. The arguments cannot be used: {message}.", failed=True)
        sys.exit(_MISUSED)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``kill`` to a parser."""
    parser.add_argument(
        "--level", type=int, choices=(1, 2), default=1, help="1 sends no new order (default), 2 also cancels all orders"
    )
    parser.add_argument("--patience", type=float, default=300, metavar="SECONDS", help="how long level 2 keeps trying")
    parser.add_argument("--by", default=user_name(), help="your name")
    parser.add_argument("--why", default="no reason was given", help="the reason, recorded for later readers")
    parser.add_argument(
        "--only-this-journal", action="store_true", help="leave the other registered journals of this computer alone"
    )


def main(arguments: Sequence[str]) -> int:
    """Run the command ``kill``, and return its exit status: 0 only if everything that was asked for is proved."""
    parser = _Parser(prog=f"python -m kalshi_pipelines.execution {NAME}", description=HELP)
    add_arguments(parser)
    given = parser.parse_args(arguments)
    return kill(given)


def kill(given: argparse.Namespace) -> int:
    """Stop trading, print what was proved, and return the exit status."""
    # Messages of libraries could follow the last line, which must tell what was proved.
    logging.disable()
    try:
        return _kill(given)
    finally:
        logging.disable(logging.NOTSET)


def _kill(given: argparse.Namespace) -> int:
    request = StopRequest(
        clean_name(given.by, user_name()), given.why, given.level, given.patience, given.only_this_journal
    )
    try:
        report = stop(StopSettings.from_environment(), request)
    except KeyboardInterrupt:
        say(
            "NOT ENGAGED, INTERRUPTED: it is not proved that trading is stopped. Run the command again.",
            failed=True,
        )
        return _INTERRUPTED
    except Exception as error:  # noqa: BLE001  # whatever fails, the last line must tell it
        say(
            f"NOT ENGAGED: it is not proved that trading is stopped. {type(error).__name__}: {error}. End the trading "
            "processes, or delete the trade key on the exchange's page.",
            failed=True,
        )
        return 1
    return show(report)


def show(report: StopReport) -> int:
    """Print the report of a stop, and return the exit status."""
    *lines, last = report.lines()
    for line in lines:
        say(line)
    say(last, failed=not report.succeeded)
    return 0 if report.succeeded else 1


def say(line: str, *, failed: bool = False) -> None:
    """Print a line to the first usable stream. A failure goes to the error output first.

    A closed pipe or an unknown encoding must neither prevent a stop nor change its exit status.
    """
    text = f"{one_line(line)}\n"
    for name in ("stderr", "stdout") if failed else ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            continue
        try:
            encoding = getattr(stream, "encoding", None) or "ascii"
            stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
            stream.flush()
        except (OSError, ValueError, LookupError):
            _close(name)
            continue
        return


def _close(name: str) -> None:
    """Stop using a broken stream, so that later lines go to the other one.

    The stream's file is replaced by nowhere. Otherwise Python fails at its end, with another exit status.
    """
    with suppress(Exception):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, getattr(sys, name).fileno())
    setattr(sys, name, None)


def user_name() -> str:
    """Return the name of the user, or the user's number if the number has no name."""
    try:
        return getpass.getuser()
    except Exception:  # noqa: BLE001  # Python raises KeyError, OSError or ImportError, depending on its version
        return f"uid {os.getuid()}"
