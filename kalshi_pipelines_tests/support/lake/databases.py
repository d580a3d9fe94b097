"""Databases of killed processes, which can be restored to an earlier state again and again."""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol

import psycopg
import sqlalchemy as sa

_SECONDS_FOR_SESSIONS_TO_END: Final = 20


class KilledDatabase(Protocol):
    """A database that can be restored."""

    @property
    def url(self) -> str:
        """The URL of the database."""

    def create(self, make: Callable[[str], None]) -> None:
        """Let a function fill a new database, and keep its state."""

    def put_back(self) -> None:
        """Restore the kept state."""

    def wait_for_sessions_to_end(self) -> None:
        """Wait until the server has noticed that the process was killed."""


class _Sqlite:
    def __init__(self, folder: Path) -> None:
        self._work, self._original = folder / "database", folder / "original-database"

    @property
    def url(self) -> str:
        return f"sqlite:///{self._work / 'warehouse.db'}"

    def create(self, make: Callable[[str], None]) -> None:
        self._work.mkdir()
        make(self.url)
        shutil.copytree(self._work, self._original)

    def put_back(self) -> None:
        shutil.rmtree(self._work)
        shutil.copytree(self._original, self._work)

    def wait_for_sessions_to_end(self) -> None:
        """Do nothing: a file has no sessions."""


class _Postgres:
    def __init__(self, url: str) -> None:
        parts = sa.make_url(url)
        self._admin = psycopg.connect(
            host=str(parts.query.get("host") or parts.host or ""),
            user=parts.username,
            password=parts.password,
            dbname="postgres",
            autocommit=True,
        )
        self._name, self._template = "kill_lake", "kill_lake_template"
        self._parts = parts

    @property
    def url(self) -> str:
        return self._parts.set(database=self._name).render_as_string(hide_password=False)

    def create(self, make: Callable[[str], None]) -> None:
        self._admin.execute(f"CREATE DATABASE {self._template} TEMPLATE template0")
        make(self._parts.set(database=self._template).render_as_string(hide_password=False))

    def put_back(self) -> None:
        self._admin.execute(f"DROP DATABASE IF EXISTS {self._name} WITH (FORCE)")
        self._admin.execute(f"CREATE DATABASE {self._name} TEMPLATE {self._template} STRATEGY file_copy")

    def wait_for_sessions_to_end(self) -> None:
        sessions = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s"
        for _ in range(_SECONDS_FOR_SESSIONS_TO_END * 100):
            found = self._admin.execute(sessions, [self._name]).fetchone()
            if not found or not found[0]:
                return
            time.sleep(0.01)
        raise RuntimeError("a session of the killed process did not end")

    def close(self) -> None:
        for name in (self._name, self._template):
            self._admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        self._admin.close()


@contextmanager
def killed_database(folder: Path, postgres_url: str | None) -> Iterator[KilledDatabase]:
    """Yield a SQLite database in a folder, or a database of a Postgres server if its URL is given."""
    if postgres_url is None:
        yield _Sqlite(folder)
        return
    database = _Postgres(postgres_url)
    try:
        yield database
    finally:
        database.close()
