"""Equal rows have equal hashes, however they are cut into batches, and any other value gives another hash."""

import datetime as dt
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalshi_pipelines.lake.content_hash import ContentHash
from kalshi_pipelines.lake.datasets import CONTRACTS, DATASETS, DOLLARS, INSTANT, UUID_BYTES

SCHEMA = pa.schema(
    [
        ("text", pa.string()),
        ("price", DOLLARS),
        ("contracts", CONTRACTS),
        ("time", INSTANT),
        ("id", UUID_BYTES),
        ("flag", pa.bool_()),
        ("number", pa.int64()),
    ]
)
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
ROW = ("A", Decimal("0.57"), Decimal(1), _EPOCH, bytes(16), False, 0)
_ROWS = st.lists(
    st.tuples(
        st.none() | st.text("ABé\0", max_size=3),
        st.none() | st.integers(-(10**9), 10**9).map(lambda each: Decimal(each).scaleb(-6)),
        st.none() | st.integers(-100, 100).map(lambda each: Decimal(each).scaleb(-2)),
        st.none() | st.integers(-10, 10**12).map(lambda each: _EPOCH + dt.timedelta(microseconds=each)),
        st.none() | st.binary(min_size=16, max_size=16),
        st.none() | st.booleans(),
        st.none() | st.integers(-(2**63), 2**63 - 1),
    ),
    max_size=12,
)


def rows_as_batch(rows: list[Any]) -> pa.RecordBatch:
    columns = [[row[position] for row in rows] for position in range(len(SCHEMA))]
    return pa.record_batch([pa.array(c, f.type) for c, f in zip(columns, SCHEMA, strict=True)], schema=SCHEMA)


def hash_of(*batches: pa.RecordBatch | pa.Table) -> str:
    found = ContentHash(SCHEMA)
    for batch in batches:
        found.add(batch)
    return found.hexdigest()


@given(_ROWS, st.integers(1, 5))
def test_hash_does_not_depend_on_the_cuts_between_batches(rows: list[Any], size: int) -> None:
    batch = rows_as_batch(rows)
    parts = [batch.slice(start, size) for start in range(0, len(rows), size)]
    separate = [rows_as_batch(rows[start : start + size]) for start in range(0, len(rows), size)]
    expected = hash_of(batch)
    assert hash_of(*parts) == hash_of(*separate) == expected
    assert hash_of(pa.Table.from_batches(parts, SCHEMA)) == expected


@given(_ROWS, _ROWS)
def test_different_rows_have_different_hashes(rows: list[Any], others: list[Any]) -> None:
    assert (hash_of(rows_as_batch(rows)) == hash_of(rows_as_batch(others))) == (rows == others)


@pytest.mark.parametrize("position", range(len(ROW)))
def test_missing_value_is_not_zero_or_an_empty_text(position: int) -> None:
    zeros = ("", Decimal(0), Decimal(0), _EPOCH, bytes(16), False, 0)
    missing = (*zeros[:position], None, *zeros[position + 1 :])
    assert hash_of(rows_as_batch([zeros])) != hash_of(rows_as_batch([missing]))


def test_characters_that_move_to_the_next_row_change_the_hash() -> None:
    first, second = ([(text, *ROW[1:]) for text in texts] for texts in (("AB", "C"), ("A", "BC")))
    assert hash_of(rows_as_batch(first)) != hash_of(rows_as_batch(second))


def test_hash_of_known_rows_stays_the_same_for_ever() -> None:
    assert hash_of(rows_as_batch([ROW, (None,) * 7]))[:12] == "baee808b1786"


def test_every_dataset_can_be_hashed() -> None:
    for dataset in DATASETS.values():
        assert len(ContentHash(dataset.schema).hexdigest()) == 64
