"""Rows of the warehouse as Arrow tables: exact decimals, UTC times, and names without units, as in the lake."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import pyarrow as pa
import sqlalchemy as sa

from kalshi_pipelines.lake.datasets import CONTRACTS, DOLLARS, INSTANT, exact_decimals

_ROWS_AT_ONCE: Final = 20_000
_DECIMALS: Final = {"_microdollars": DOLLARS, "_centicontracts": CONTRACTS}


def arrow_field(column: sa.ColumnElement[Any]) -> pa.Field:
    """Return the Arrow field of a column: ``yes_bid_microdollars`` becomes the decimal ``yes_bid``.

    ``observed_us`` becomes the time ``observed_time``, ``close_time_us`` becomes ``close_time``.
    """
    name = str(column.key)
    for suffix, kind in _DECIMALS.items():
        if name.endswith(suffix):
            return pa.field(name.removesuffix(suffix), kind)
    if name.endswith("_us"):
        return pa.field(name.removesuffix("_us").removesuffix("_time") + "_time", INSTANT)
    if isinstance(column.type, sa.Boolean):
        return pa.field(name, pa.bool_())
    if isinstance(column.type, sa.BigInteger):
        return pa.field(name, pa.int64())
    if isinstance(column.type, sa.Double):
        return pa.field(name, pa.float64())
    return pa.field(name, pa.string())


def arrow_table(connection: sa.Connection, query: sa.Select[Any]) -> pa.Table:
    """Return the rows of a query."""
    schema = pa.schema([arrow_field(column) for column in query.selected_columns])
    return pa.Table.from_batches(_arrow_batches(connection, query, schema), schema)


def _arrow_batches(connection: sa.Connection, query: sa.Select[Any], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    with connection.execute(query.execution_options(yield_per=_ROWS_AT_ONCE)) as result:
        for part in result.partitions():
            values = zip(*part, strict=True)
            yield pa.record_batch(
                [_array(each, field) for each, field in zip(values, schema, strict=True)], schema=schema
            )


def _array(values: Sequence[Any], field: pa.Field) -> pa.Array:
    if pa.types.is_decimal(field.type):
        return exact_decimals(pa.array(values, pa.int64()), field.type)
    if pa.types.is_boolean(field.type):
        # SQLite has no truth values, and returns 0 and 1.
        return pa.array([None if value is None else bool(value) for value in values], pa.bool_())
    return pa.array(values, field.type)
