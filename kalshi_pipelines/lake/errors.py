"""Errors of the lake, and sentences for errors of its files."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import pyarrow as pa

from kalshi_pipelines.errors import ExpectedError

_ANOTHER_PLACE: Final = "set KALSHI_LAKE_DIR or KALSHI_LAKE_URL to another place"
_PERMISSION: Final = f"Give yourself permission to read and write there, or {_ANOTHER_PLACE}."
_REMEDIES: Final = {
    errno.ENOSPC: "Free some disk space and run again. No row was lost.",
    errno.EDQUOT: "Free some disk space and run again. No row was lost.",
    errno.EFBIG: "Raise the limit on file sizes and run again. No row was lost.",
    errno.EACCES: _PERMISSION,
    errno.EPERM: _PERMISSION,
    errno.EROFS: _PERMISSION,
    errno.ENOTDIR: f"Move the file in the way, or {_ANOTHER_PLACE}.",
    errno.EEXIST: f"Move the file in the way, or {_ANOTHER_PLACE}.",
    errno.EISDIR: f"Move the folder in the way, or {_ANOTHER_PLACE}.",
    errno.ENAMETOOLONG: f"Shorten the path: {_ANOTHER_PLACE}.",
}
_OTHER: Final = "Check the lake's disk or object store, and run again. No row was lost."
_REBUILD: Final = "Run `kalshi-pipelines rebuild-lake`, which reads every file again."


class LakeUnavailable(ExpectedError):
    """The lake's folder or object store cannot be read or written."""

    is_retryable = True


class LakeOfAnotherWarehouse(ExpectedError):
    """The lake belongs to another warehouse or environment, or nobody knows to whom. Nothing was written."""


class LakeLost(ExpectedError):
    """The lake is empty, but the warehouse has published files. Nothing was written, so no second lake begins."""


class LakeFileChanged(ExpectedError):
    """A file of the lake is not the file that the manifest describes. Nothing was written."""

    def __init__(self, problem: object, remedy: str = _REBUILD) -> None:
        super().__init__(problem, remedy)


class ConflictingRows(ExpectedError):
    """Two different rows of a dataset have the same key. Nothing was written."""


class RowsNotInLake(ExpectedError):
    """Rows of the warehouse that should be in the lake are not in its files, so they were not removed."""

    def __init__(self, problem: object, remedy: str = _REBUILD) -> None:
        super().__init__(problem, remedy)


def printable(text: object) -> str:
    """Return a text with the bytes of a path that are no characters escaped, so that any terminal can show it."""
    return str(text).encode(errors="backslashreplace").decode()


@contextmanager
def explain_file_errors(place: str) -> Iterator[None]:
    """Replace errors of files and object stores inside the block by one sentence with a remedy.

    Raises:
        LakeUnavailable: A file operation failed, for example because the disk is full.
    """
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        reason = getattr(error, "strerror", None) or (str(error).splitlines() or [type(error).__name__])[0]
        remedy = _REMEDIES.get(getattr(error, "errno", None) or 0, _OTHER)
        raise LakeUnavailable(f"The lake {place} cannot be used ({printable(reason)}).", remedy) from error
