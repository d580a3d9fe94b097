"""The place of the lake's files: a local folder, or a bucket of an object store.

A path inside the lake is plain text such as ``price_history/date=2026-11-22/2026-11-22.parquet``. New files are first
written outside of the data folders.
"""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import pyarrow as pa
import pyarrow.dataset as ds
from pyarrow import fs

from kalshi_pipelines.lake.errors import explain_file_errors, printable

_UNFINISHED: Final = ".unfinished"
_LOCK: Final = ".lock"
_HASH_BYTES: Final = 1 << 20
PARQUET: Final = ".parquet"


@dataclass(frozen=True)
class FetchedFile:
    """A file of the lake as a file of this computer, with its size and its SHA-256."""

    local: Path
    sha256: str
    bytes: int

    def open(self) -> pa.NativeFile:
        """Open the file for reading."""
        return open_local(self.local)


class Store(Protocol):
    """A folder or an object store that holds the files of a lake."""

    @property
    def place(self) -> str:
        """The place of the lake, for messages. It contains no secret."""

    def hold(self) -> AbstractContextManager[Path]:
        """Keep other writers of this lake out during the block. Yield an empty local folder for unfinished files.

        Raises:
            LakeUnavailable: The lake's folder cannot be written.
        """

    def fetch(self, path: str) -> AbstractContextManager[FetchedFile | None]:
        """Yield a file together with its hash, or None if there is no such file."""

    def read(self, path: str, known: Callable[[], Container[str]]) -> AbstractContextManager[pa.NativeFile | None]:
        """Yield one complete version of a file for reading, or None if there is no such file.

        A writer may replace the file at the same time. ``known`` returns the hashes that the manifest has now.
        """

    def put(self, unfinished: Path, path: str) -> None:
        """Replace a file by an unfinished file of this computer, in one step."""

    def remove(self, path: str) -> None:
        """Remove a file, if it is there."""

    def read_text(self, path: str) -> str | None:
        """Return the text of a small file, or None if there is no such file."""

    def write_text(self, path: str, text: str, unfinished: Path) -> None:
        """Replace a small file in one step. ``unfinished`` is the folder for unfinished files."""

    def paths(self, folder: str) -> list[str]:
        """Return the paths of all Parquet files in a folder and in its folders, sorted."""

    def local_files(self, paths: Sequence[str]) -> list[Path] | None:
        """Return the full paths of files on this computer; None if the lake is not on this computer."""

    def arrow_dataset(self, paths: Sequence[str], schema: pa.Schema) -> ds.Dataset:
        """Return files as a dataset of pyarrow, which reads them only when it is asked. The schema has the date.

        The dataset cannot be used any more after one of its files was replaced.
        """


def open_local(path: Path, mode: str = "rb") -> pa.NativeFile:
    """Open a file of this computer. The name may contain bytes that are no characters."""
    return pa.OSFile(os.fsencode(path), mode)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file of this computer."""
    digest = hashlib.sha256()
    with path.open("rb") as opened:
        while part := opened.read(_HASH_BYTES):
            digest.update(part)
    return digest.hexdigest()


def sync_to_disk(path: Path) -> None:
    """Make sure that a file's content, or a folder's list of names, survives a power failure."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class LocalStore:
    """A folder of this computer."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def place(self) -> str:
        """The place of the lake, for messages."""
        return printable(self._folder)

    @contextmanager
    def hold(self) -> Iterator[Path]:
        """Keep other writers out, and yield an empty folder for unfinished files."""
        unfinished = self._folder / _UNFINISHED
        with explain_file_errors(self.place):
            self._folder.mkdir(parents=True, exist_ok=True)
            # Opened for appending, because a reader of another user may not truncate the file.
            lock = (self._folder / _LOCK).open("a")
        with lock:
            with explain_file_errors(self.place):
                fcntl.flock(lock, fcntl.LOCK_EX)
                _remove_folder(unfinished)
                unfinished.mkdir()
            try:
                yield unfinished
            finally:
                with explain_file_errors(self.place):
                    _remove_folder(unfinished)

    @contextmanager
    def fetch(self, path: str) -> Iterator[FetchedFile | None]:
        """Yield a file together with its hash."""
        file = self._folder / path
        with explain_file_errors(self.place):
            found = FetchedFile(file, sha256_of(file), file.stat().st_size) if file.exists() else None
        yield found

    @contextmanager
    def read(self, path: str, known: Callable[[], Container[str]]) -> Iterator[pa.NativeFile | None]:
        """Yield one complete version of a file."""
        del known  # An open file keeps its content when its name gets another file.
        file = self._folder / path
        with explain_file_errors(self.place):
            opened = open_local(file) if file.exists() else None
        if opened is None:
            yield None
            return
        with opened:
            yield opened

    def put(self, unfinished: Path, path: str) -> None:
        """Replace a file in one step."""
        file = self._folder / path
        with explain_file_errors(self.place):
            sync_to_disk(unfinished)
            missing = [folder for folder in file.parents if not folder.exists()]
            file.parent.mkdir(parents=True, exist_ok=True)
            for folder in missing:
                sync_to_disk(folder.parent)
            unfinished.replace(file)
            sync_to_disk(file.parent)

    def remove(self, path: str) -> None:
        """Remove a file, if it is there."""
        file = self._folder / path
        with explain_file_errors(self.place):
            file.unlink(missing_ok=True)
            if file.parent.exists():
                sync_to_disk(file.parent)

    def read_text(self, path: str) -> str | None:
        """Return the text of a small file."""
        file = self._folder / path
        with explain_file_errors(self.place):
            return file.read_text() if file.exists() else None

    def write_text(self, path: str, text: str, unfinished: Path) -> None:
        """Replace a small file in one step."""
        new = unfinished / path
        with explain_file_errors(self.place):
            new.write_text(text)
        self.put(new, path)

    def paths(self, folder: str) -> list[str]:
        """Return the paths of all Parquet files in a folder."""
        with explain_file_errors(self.place):
            return sorted(
                file.relative_to(self._folder).as_posix() for file in (self._folder / folder).rglob(f"*{PARQUET}")
            )

    def local_files(self, paths: Sequence[str]) -> list[Path]:
        """Return the full paths of files."""
        return [(self._folder / path).absolute() for path in paths]

    def arrow_dataset(self, paths: Sequence[str], schema: pa.Schema) -> ds.Dataset:
        """Return files as a dataset of pyarrow."""
        return arrow_dataset([str(path) for path in self.local_files(paths)], schema, fs.LocalFileSystem())


def arrow_dataset(paths: Sequence[str], schema: pa.Schema, files: fs.FileSystem) -> ds.Dataset:
    """Return Parquet files as a dataset of pyarrow, with the date in the name of their folder as a column."""
    dates = ds.partitioning(pa.schema([schema.field("date")]), flavor="hive")
    return ds.dataset(list(paths), schema=schema, filesystem=files, format="parquet", partitioning=dates)


def _remove_folder(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
