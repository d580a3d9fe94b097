"""A hash of the rows of a file, in their order.

Two files with equal rows have the same content hash. Their bytes may differ: a file also has
padding, row groups and the id of its lake, and each version of pyarrow writes in its own way.
"""

import hashlib
import json
from collections.abc import Iterable
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

_WHOLE: Final = pa.decimal128(38, 0)


class ContentHash:
    """The hash of the batches that were added so far. It does not depend on how the rows are cut into batches.

    Each column has a hash of its own for its values, for the lengths of its texts, and for its missing values. Cuts
    between batches would otherwise decide in which order these bytes are hashed.
    """

    def __init__(self, schema: pa.Schema) -> None:
        self._rows = 0
        self._columns = [_ColumnHash(field) for field in schema]

    def add(self, batch: pa.RecordBatch | pa.Table) -> None:
        """Add the rows of a batch."""
        self._rows += batch.num_rows
        for column in self._columns:
            found = batch.column(column.name)
            for array in found.chunks if isinstance(found, pa.ChunkedArray) else [found]:
                column.add(array)

    def hexdigest(self) -> str:
        """Return the hash of all rows added, as 64 characters."""
        described = [self._rows, *[column.described() for column in self._columns]]
        return hashlib.sha256(json.dumps(described).encode()).hexdigest()


class _ColumnHash:
    def __init__(self, field: pa.Field) -> None:
        self.name = field.name
        self._kind = _kind(field.type)
        self._values, self._lengths, self._present = hashlib.sha256(), hashlib.sha256(), hashlib.sha256()

    def described(self) -> list[str]:
        parts = (self._values, self._lengths, self._present)
        return [self.name, self._kind, *[part.hexdigest() for part in parts]]

    def add(self, array: pa.Array) -> None:
        if not len(array):
            return
        self._present.update(_bytes(pc.is_valid(array).cast(pa.uint8())))
        values = _values(array)
        if pa.types.is_string(values.type):
            self._lengths.update(_bytes(pc.binary_length(values)))
            self._values.update(_text(values))
        else:
            self._values.update(_bytes(values))


def hash_of_contents(parts: Iterable[tuple[str, ...]]) -> str:
    """Return one hash of the content hashes of several files. Each part is a file's place and its content hash."""
    return hashlib.sha256("".join(f"{' '.join(part)}\n" for part in parts).encode()).hexdigest()


def _kind(type_: pa.DataType) -> str:
    """Return the name of a type that is hashed. It stays the same for ever, unlike the names that Arrow gives."""
    if pa.types.is_decimal(type_):
        return f"decimal {type_.scale}"
    names = {
        "text": pa.types.is_string,
        "instant": pa.types.is_timestamp,
        "flag": pa.types.is_boolean,
        "number": pa.types.is_int64,
        "uuid": pa.types.is_fixed_size_binary,
    }
    return next(name for name, is_kind in names.items() if is_kind(type_))


def _values(array: pa.Array) -> pa.Array:
    """Return the values in a form with one representation: a missing value becomes zero or an empty text."""
    type_ = array.type
    if pa.types.is_decimal(type_):
        array = pa.Array.from_buffers(_WHOLE, len(array), array.buffers(), array.null_count, array.offset)
        array = array.cast(pa.int64())
    elif pa.types.is_timestamp(type_):
        array = array.cast(pa.int64())
    elif pa.types.is_boolean(type_):
        array = array.cast(pa.uint8())
    if not array.null_count:
        return array
    missing: Any = b"\0" * 16 if pa.types.is_fixed_size_binary(type_) else "" if pa.types.is_string(type_) else 0
    return pc.fill_null(array, pa.scalar(missing, array.type))


def _bytes(array: pa.Array) -> memoryview:
    """Return the bytes of values that all have the same width."""
    width = array.type.bit_width // 8
    values = array.buffers()[1]
    return memoryview(values)[array.offset * width : (array.offset + len(array)) * width]


def _text(array: pa.Array) -> memoryview:
    _, offsets, values = array.buffers()
    if values is None:
        return memoryview(b"")
    bounds = memoryview(offsets).cast("B").cast("i")
    return memoryview(values)[bounds[array.offset] : bounds[array.offset + len(array)]]
