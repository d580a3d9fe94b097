"""The lake in a bucket of an object store, such as Amazon S3. Credentials come from the usual AWS variables only."""

import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.dataset as ds
from pyarrow import fs

from kalshi_pipelines.lake.errors import LakeFileChanged, LakeUnavailable, explain_file_errors, printable
from kalshi_pipelines.lake.store import PARQUET, FetchedFile, arrow_dataset, open_local

_BYTES_AT_ONCE: Final = 8 << 20
_ATTEMPTS: Final = 5
_OBJECT: Final = "object"
_PREFIX: Final = "kalshi-lake-"
_SECONDS_OF_LEFTOVERS: Final = 24 * 3_600


@contextmanager
def _temporary_folder() -> Iterator[Path]:
    """Yield a new temporary folder. Remove such folders that killed processes left more than a day ago."""
    parent = Path(tempfile.gettempdir())
    with explain_file_errors(f"of unfinished files in {printable(parent)}"):
        for left in parent.glob(f"{_PREFIX}*"):
            with suppress(OSError):
                if time.time() - left.stat().st_mtime > _SECONDS_OF_LEFTOVERS:
                    shutil.rmtree(left)
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class ObjectStore:
    """A prefix in a bucket. Uploading an object replaces it in one step."""

    def __init__(self, files: fs.FileSystem, root: str, place: str) -> None:
        self._files = files
        self._root = root
        self._place = place

    @property
    def place(self) -> str:
        """The place of the lake, for messages."""
        return self._place

    @contextmanager
    def hold(self) -> Iterator[Path]:
        """Keep other writers out, and yield an empty folder for unfinished files."""
        # The work lock in the warehouse keeps other writers out, because an object store has no locks. Another
        # warehouse is refused by the owner's mark.
        with _temporary_folder() as folder:
            yield folder

    @contextmanager
    def fetch(self, path: str) -> Iterator[FetchedFile | None]:
        """Yield a file together with its hash."""
        with _temporary_folder() as folder:
            yield self._download(path, folder / _OBJECT)

    @contextmanager
    def read(self, path: str, known: Callable[[], Container[str]]) -> Iterator[pa.NativeFile | None]:
        """Yield one complete version of a file."""
        with _temporary_folder() as folder:
            for _ in range(_ATTEMPTS):
                # An object is downloaded in parts. If it is replaced meanwhile, the parts are of different versions,
                # and the hash is not in the manifest.
                fetched = self._download(path, folder / _OBJECT)
                if fetched is None or fetched.sha256 in known():
                    break
            else:
                raise LakeFileChanged(f"The lake's file {path} in {self.place} is not the file of the manifest.")
            if fetched is None:
                yield None
                return
            with fetched.open() as opened:
                yield opened

    def _download(self, path: str, target: Path) -> FetchedFile | None:
        digest, size = hashlib.sha256(), 0
        with explain_file_errors(self.place):
            if self._files.get_file_info(self._at(path)).type is not fs.FileType.File:
                return None
            with self._files.open_input_stream(self._at(path)) as source, open_local(target, "wb") as local:
                while part := source.read(_BYTES_AT_ONCE):
                    digest.update(part)
                    local.write(part)
                    size += len(part)
        return FetchedFile(target, digest.hexdigest(), size)

    def put(self, unfinished: Path, path: str) -> None:
        """Replace a file in one step."""
        with explain_file_errors(self.place):
            # Closing a stream completes the object, even after an interrupt or a failed read in the middle. A mapped
            # file is written in one call, which nothing interrupts, so no partial object is ever completed.
            with (
                pa.memory_map(os.fsencode(unfinished)) as source,
                self._files.open_output_stream(self._at(path)) as target,
            ):
                target.write(source.read_buffer())
            size = self._files.get_file_info(self._at(path)).size
        if size != unfinished.stat().st_size:
            raise LakeUnavailable(
                f"The object store {self.place} has {size} bytes of {path} instead of {unfinished.stat().st_size}.",
                "Check the object store, and run again.",
            )

    def remove(self, path: str) -> None:
        """Remove a file, if it is there."""
        with explain_file_errors(self.place):
            if self._files.get_file_info(self._at(path)).type is fs.FileType.File:
                self._files.delete_file(self._at(path))

    def read_text(self, path: str) -> str | None:
        """Return the text of a small file."""
        with explain_file_errors(self.place):
            if self._files.get_file_info(self._at(path)).type is not fs.FileType.File:
                return None
            with self._files.open_input_stream(self._at(path)) as source:
                return str(source.read().decode())

    def write_text(self, path: str, text: str, unfinished: Path) -> None:
        """Replace a small file in one step."""
        del unfinished
        with explain_file_errors(self.place), self._files.open_output_stream(self._at(path)) as target:
            target.write(text.encode())

    def paths(self, folder: str) -> list[str]:
        """Return the paths of all Parquet files in a folder."""
        with explain_file_errors(self.place):
            found = self._files.get_file_info(fs.FileSelector(self._at(folder), recursive=True, allow_not_found=True))
        names = [info.path.removeprefix(f"{self._root}/") for info in found if info.type is fs.FileType.File]
        return sorted(name for name in names if name.endswith(PARQUET))

    def local_files(self, paths: Sequence[str]) -> None:
        """Return None, because the files are not on this computer."""
        del paths

    def arrow_dataset(self, paths: Sequence[str], schema: pa.Schema) -> ds.Dataset:
        """Return files as a dataset of pyarrow."""
        with explain_file_errors(self.place):
            return arrow_dataset([self._at(path) for path in paths], schema, self._files)

    def _at(self, path: str) -> str:
        return f"{self._root}/{path}"
