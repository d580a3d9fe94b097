"""Counting the steps of a process, and killing the process at one of them."""

import json
import os
import sys
from pathlib import Path
from typing import Any, Final

import pyarrow.parquet as pq
import sqlalchemy as sa

from kalshi_pipelines.lake.object_store import ObjectStore
from kalshi_pipelines_tests.support.killing import Points

_FILE_EVENTS: Final = frozenset(
    {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "fcntl.flock", "sqlite3.connect", "shutil.rmtree"}
)


STEPS: Final = Points()


def count_steps(file: Path) -> None:
    """Count the steps from now on. At its end, the process writes their labels to a file."""
    _watch()
    real = os._exit

    def write_and_exit(status: int) -> None:
        labels = list(STEPS.labels)
        file.write_text(json.dumps(labels))
        real(status)

    os._exit = write_and_exit  # type: ignore[assignment]  # only in a child process, which then ends


def stop_at(number: int) -> None:
    """Kill this process at a step."""
    STEPS.fatal = number
    _watch()


def _watch() -> None:
    """Count every step from now on. This cannot be undone, so only a child process calls the function."""

    def file_event(event: str, details: tuple[Any, ...]) -> None:
        if event in _FILE_EVENTS or (event == "open" and "lake" in str(details[0]) and details[1] not in ("r", "rb")):
            STEPS(f"{event} {details[:2]}")

    sys.addaudithook(file_event)

    @sa.event.listens_for(sa.Engine, "before_cursor_execute")
    def _statement(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        STEPS(f"SQL {' '.join(statement.split())}")

    @sa.event.listens_for(sa.Engine, "commit")
    def _commit(_connection: object) -> None:
        STEPS("COMMIT")

    @sa.event.listens_for(sa.Pool, "checkin")
    def _checkin(_connection: object, _record: object) -> None:
        STEPS("CHECKIN after the commit")

    _around(os, "fsync")
    _around(pq.ParquetWriter, "write_table")
    _around(pq.ParquetWriter, "close")


def _around(owner: Any, name: str) -> None:
    """Count a step before and after each call of a function."""
    real = getattr(owner, name)

    def watched(*arguments: Any, **options: Any) -> Any:
        STEPS(f"{name} begins")
        result = real(*arguments, **options)
        STEPS(f"{name} ended")
        return result

    setattr(owner, name, watched)


class _Watched:
    """A stand-in for an object whose calls count as steps."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._real, name)
        if not callable(value):
            return value

        def call(*arguments: Any, **options: Any) -> Any:
            STEPS(f"{name} request {str(arguments)[:60]}")
            result = value(*arguments, **options)
            STEPS(f"{name} answered")
            return _Watched(result) if name.startswith("open_") else result

        return call

    def __enter__(self) -> "_Watched":
        self._real.__enter__()
        return self

    def __exit__(self, *error: object) -> Any:
        STEPS("close begins")
        result = self._real.__exit__(*error)
        STEPS("close ended")
        return result


def watch_object_store(store: ObjectStore) -> None:
    """Count each request to an object store."""
    store._files = _Watched(store._files)
