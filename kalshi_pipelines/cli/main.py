"""The parser of ``kalshi-pipelines``.

Environment variables that are not set are read from the file ``.env`` in the current folder.

Exit statuses:

- 0: the command succeeded.
- 1: the command ran, and found something that a person must look at.
- 2: the command could not be carried out. One sentence says why and what to do.
- 130: the command was interrupted by Ctrl-C.
"""

import argparse
import io
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from kalshi_pipelines.cli import history_commands, lake_commands, upkeep_commands, warehouse_commands
from kalshi_pipelines.errors import ExpectedError
from kalshi_pipelines.lake.datasets import DATASETS
from kalshi_pipelines.settings import Settings, take_env_file

_INTERRUPTED: Final = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    given = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # Printing a path whose bytes are no text would fail.
            stream.reconfigure(errors="backslashreplace")
    try:
        take_env_file()
        return int(given.do(Settings.from_environment(), given))
    except KeyboardInterrupt:
        print("Interrupted. Run the command again; it finishes the work or begins it again.", file=sys.stderr)
        return _INTERRUPTED
    except ExpectedError as error:
        print(error, file=sys.stderr)
        return 2
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        print(f"{place}{error.strerror or error}. Correct this and run the command again.", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="kalshi-pipelines",
        description="Back up, restore, move and maintain the warehouse and the lake. Settings are those of the jobs.",
        epilog="Exit status: 0 done; 1 something found that a person must look at; 2 could not be carried out.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_backup_and_restore(commands)
    _add_copying(commands)
    _add_lake(commands)
    _add_history(commands)
    maintain = commands.add_parser("maintain", help="report what upkeep would remove and what stays, or remove it")
    maintain.add_argument(
        "--for-real", action="store_true", help="remove what is reported; without this option, nothing is changed"
    )
    maintain.set_defaults(do=upkeep_commands.maintain)
    return parser


def _add_backup_and_restore(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    backup = commands.add_parser("backup", help="make a verified copy of the warehouse, while runs go on")
    backup.add_argument(
        "--to",
        type=Path,
        metavar="FOLDER",
        help="the folder of the copy (default: beside a SQLite warehouse, where `maintain` keeps only the newest, or "
        "the environment's data folder)",
    )
    backup.set_defaults(do=warehouse_commands.backup)
    restore = commands.add_parser(
        "restore",
        help="put a backup in the place of the warehouse; the present file is kept, and the lake loses nothing",
    )
    restore.add_argument("backup", type=Path, metavar="FILE", help="a backup of `backup` or of `migrate`")
    restore.add_argument(
        "--no-upgrade",
        action="store_true",
        help="leave the schema and the lake as they are, to go back to the older version that made the backup",
    )
    restore.add_argument(
        "--copy-is-gone",
        action="store_true",
        help="restore although the backup or the present warehouse was copied and is retired: the copy does not exist "
        "any more",
    )
    restore.set_defaults(do=warehouse_commands.restore)


def _add_copying(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    url = "its URL, without a password; KALSHI_COPY_TO may hold a URL with a password instead"
    copy = commands.add_parser(
        "copy", help="copy the warehouse to an empty database (SQLite to Postgres or back), and retire this one"
    )
    copy.add_argument("--to", metavar="URL", help=f"the empty database: {url}")
    copy.set_defaults(do=warehouse_commands.copy)
    reopen = commands.add_parser("reopen", help="let a retired warehouse take writes again, and retire its copy")
    which = reopen.add_mutually_exclusive_group()
    which.add_argument("--copy", dest="to", metavar="URL", help=f"the copy: {url}")
    which.add_argument("--copy-is-gone", action="store_true", help="the copy does not exist any more")
    reopen.add_argument(
        "--give-up-newer-rows", action="store_true", help="work on without the rows that only the copy has"
    )
    reopen.set_defaults(do=warehouse_commands.reopen)


def _add_lake(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    lake = commands.add_parser("lake", help="list the files of the lake, or compare them with the manifest")
    actions = lake.add_subparsers(required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="list the files with their rows, bytes and newest row")
    listing.add_argument("dataset", nargs="?", choices=sorted(DATASETS), help="only the files of this dataset")
    listing.set_defaults(do=lake_commands.list_files)
    verify = actions.add_parser("verify", help="read every file and compare it with the manifest")
    verify.set_defaults(do=lake_commands.verify)
    rebuild = commands.add_parser(
        "rebuild-lake", help="make the manifest again from the files, and publish what only the warehouse has"
    )
    rebuild.add_argument(
        "--take-over",
        action="store_true",
        help="make this warehouse the owner of the lake; the former owner can no longer publish",
    )
    rebuild.set_defaults(do=lake_commands.rebuild)


def _add_history(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    history = commands.add_parser("history", help="show which days of history were read, and what is missing")
    actions = history.add_subparsers(required=True, metavar="ACTION")
    status = actions.add_parser("status", help="list the days that were read, their rows, and every hole")
    backfilled = sorted(name for name, dataset in DATASETS.items() if dataset.is_backfilled)
    status.add_argument("dataset", nargs="?", choices=backfilled, help="only the days of this dataset")
    status.add_argument("--days", action="store_true", help="one line for each day")
    status.set_defaults(do=history_commands.status)


if __name__ == "__main__":
    sys.exit(main())
