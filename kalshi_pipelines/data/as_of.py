"""As-of joins: each row gets the newest row of another table that was known before it.

A join never looks ahead. A row of the right table with a later time is invisible. A row with the same time is invisible
too, because nobody knows which of the two came first; ``includes_equal`` makes it visible. If several visible rows have
the same newest time, the last of them in the right table counts.
"""

import datetime as dt
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from kalshi_pipelines.lake.datasets import INSTANT
from kalshi_pipelines.units import ONE_MICROSECOND

_ORDER: Final = ("group", "time", "turn", "place")


def join_as_of(
    left: pa.Table,
    right: pa.Table,
    *,
    left_time: str,
    right_time: str,
    by: str = "ticker",
    prefix: str = "",
    includes_equal: bool = False,
    max_age: dt.timedelta | None = None,
) -> pa.Table:
    """Return the rows of ``left`` in their order, each with the columns of the newest row of ``right`` before it.

    The columns are null if there is no such row.

    Args:
        left: The rows to return.
        right: The rows to look up, in any order.
        left_time: The time of a left row.
        right_time: The time at which a right row was known.
        by: A column of both tables: only rows with the same value belong together.
        prefix: Text before the names of the columns of ``right``.
        includes_equal: Whether a right row with exactly the time of the left row is visible.
        max_age: The largest difference of the times; None for no limit.
    """
    found = _positions(left, right, (left_time, right_time), by, includes_equal=includes_equal)
    columns = right.drop_columns(by).combine_chunks()
    matched = columns.take(found)
    if max_age is not None:
        oldest = pc.subtract(left[left_time].cast(pa.int64()), max_age // ONE_MICROSECOND).cast(INSTANT)
        is_fresh = pc.fill_null(pc.greater_equal(matched[right_time].cast(INSTANT), oldest), fill_value=False)
        matched = columns.take(pc.if_else(is_fresh, found, pa.scalar(None, pa.int64())))
    joined = left
    for name in columns.column_names:
        joined = joined.append_column(f"{prefix}{name}", matched[name])
    return joined


def _positions(
    left: pa.Table, right: pa.Table, times: tuple[str, str], by: str, *, includes_equal: bool
) -> pa.ChunkedArray:
    """Return for each left row the position of its row in ``right``, or null.

    Both tables are sorted together by group and time. The position of the last right row is then carried to the left
    rows after it.
    """
    is_left_first = not includes_equal
    parts = [
        _keys(table, time, by, turn=turn, is_left=is_left)
        for table, time, turn, is_left in (
            (right, times[1], 1 if is_left_first else 0, False),
            (left, times[0], 0 if is_left_first else 1, True),
        )
    ]
    rows = pa.concat_tables(parts).sort_by([(name, "ascending") for name in _ORDER])
    is_right = pc.invert(rows["is_left"])
    nothing = pa.scalar(None, pa.int64())
    place = pc.fill_null_forward(pc.if_else(is_right, rows["place"], nothing))
    group = pc.fill_null_forward(pc.if_else(is_right, rows["group"], pa.scalar(None, rows["group"].type)))
    place = pc.if_else(pc.equal(group, rows["group"]), place, nothing)
    answers = pa.table({"of": rows["place"], "place": place}).filter(rows["is_left"])
    return answers.sort_by("of")["place"]


def _keys(table: pa.Table, time: str, by: str, *, turn: int, is_left: bool) -> pa.Table:
    size = table.num_rows
    return pa.table(
        {
            "group": table[by],
            "time": table[time].cast(pa.int64()),
            "turn": pa.repeat(pa.scalar(turn, pa.int8()), size),
            "place": pa.array(range(size), pa.int64()),
            "is_left": pa.repeat(is_left, size),
        }
    )
