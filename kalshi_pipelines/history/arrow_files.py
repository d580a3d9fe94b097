"""Files of rows on this computer that wait until a whole day or range is read: written in one step, with a checksum.

A file begins with the SHA-256 of its other bytes, which are an Arrow file. They are compared before Arrow reads them,
because Arrow crashed on a file with one changed byte. A file that is incomplete or damaged counts as missing, and its
rows are read from the exchange again.
"""

import hashlib
import mmap
import os
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Final

import pyarrow as pa

from kalshi_pipelines.lake.errors import explain_file_errors

_ABOUT: Final = b"kalshi_pipelines.about"
#: Length of the checksum at the beginning, as text. Arrow needs a beginning at a multiple of 64 bytes.
_CHECKSUM_BYTES: Final = 64
_REMEMBERED: Final = 4_096
#: Ending of a file that is being written. A killed process leaves it behind.
UNFINISHED: Final = ".unfinished"


def write_arrow_file(
    path: Path,
    schema: pa.Schema,
    batches: Iterable[pa.RecordBatch],
    about: bytes,
    options: pa.ipc.IpcWriteOptions | None = None,
) -> None:
    """Write rows to a new file. The file appears under its name only when it is complete, also after a loss of power.

    Args:
        path: The file.
        schema: Schema of the rows.
        batches: The rows. The file has the same batches.
        about: A description of the rows, which ``read_about`` returns.
        options: Options of the writer, such as a compression.

    Raises:
        LakeUnavailable: The file cannot be written.
    """
    sink = pa.BufferOutputStream()
    metadata = {_ABOUT: about}
    with pa.ipc.new_file(sink, schema.with_metadata(metadata), options=options) as writer:
        for batch in batches:
            writer.write_batch(batch.replace_schema_metadata(metadata))
    content = sink.getvalue()
    unfinished = path.with_suffix(f".{os.getpid()}{UNFINISHED}")
    with explain_file_errors(str(path.parent)):
        path.parent.mkdir(parents=True, exist_ok=True)
        with unfinished.open("wb") as target:
            target.write(hashlib.sha256(content).hexdigest().encode())
            target.write(content)
            target.flush()
            os.fsync(target.fileno())
        unfinished.replace(path)


def read_about(path: Path, schema: pa.Schema) -> bytes | None:
    """Return the description of a file's rows; None if the file is missing, damaged or of another schema."""
    try:
        found = path.stat()
        return _checked(path, schema, found.st_size, found.st_mtime_ns)
    except (OSError, pa.ArrowException, ValueError):
        return None


@lru_cache(_REMEMBERED)
def _checked(path: Path, schema: pa.Schema, _size: int, _changed_ns: int) -> bytes | None:
    # A file that was not changed since it was checked is not checked again.
    content = _content_of(path)
    if hashlib.sha256(content).hexdigest().encode() != _checksum_of(path):
        return None
    found = pa.ipc.open_file(content).schema
    about: bytes | None = (found.metadata or {}).get(_ABOUT)
    return about if found.remove_metadata().equals(schema.remove_metadata()) else None


def read_arrow_batches(path: Path, numbers: Iterable[int] | None = None) -> Iterator[pa.RecordBatch]:
    """Yield the batches of a file that ``read_about`` has checked, or some of them by their position.

    Raises:
        LakeUnavailable: The file cannot be read.
    """
    with explain_file_errors(str(path)):
        reader = pa.ipc.open_file(_content_of(path))
        for number in range(reader.num_record_batches) if numbers is None else numbers:
            yield reader.get_batch(number)


def _checksum_of(path: Path) -> bytes:
    with path.open("rb") as source:
        return source.read(_CHECKSUM_BYTES)


def _content_of(path: Path) -> pa.Buffer:
    """Return the Arrow file inside a file. Its bytes are read from the disk when they are needed."""
    with path.open("rb") as source:
        return pa.py_buffer(mmap.mmap(source.fileno(), 0, access=mmap.ACCESS_READ)).slice(_CHECKSUM_BYTES)
