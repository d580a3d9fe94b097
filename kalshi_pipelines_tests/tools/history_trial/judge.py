"""Comparing a lake with the tape, row by row and as texts, without any code of the product."""

import uuid
from collections import Counter
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from kalshi_pipelines_tests.tools.history_trial.tape import TRUTH, Tape

_MOST_EXAMPLES: Final = 3


def judge(folder: Path, tape: Tape) -> dict[str, list[str]]:
    """Return what differs between the files of a lake and the tape, by UTC date; empty if nothing does."""
    wrong = {}
    for number in range(tape.options.days):
        truth, found = tape.day(number).truth(), rows_of_day(folder, f"{tape.date(number)}")
        if not found.equals(truth):
            wrong[f"{tape.date(number)}"] = _differences(truth, found)
    dates = {f"{tape.date(number)}" for number in range(tape.options.days)}
    for path in (folder / "public_trades").glob("date=*/*.parquet"):
        if path.parent.name.removeprefix("date=") not in dates:
            wrong[path.parent.name] = [f"{path.name} is of a day that was not asked for"]
    return wrong


def rows_of_day(folder: Path, date: str) -> pa.Table:
    """Return the rows of a day with the texts that the exchange sends, sorted by id."""
    files = sorted((folder / "public_trades" / f"date={date}").glob("*.parquet"))
    rows = [pq.read_table(file, partitioning=None) for file in files]
    if not rows:
        return TRUTH.empty_table()
    table = pa.concat_tables(rows)
    times = table["created_time"].cast(pa.int64()).to_numpy().astype("datetime64[us]")
    ids = [str(each) for each in table["trade_id"].to_pylist() if isinstance(each, uuid.UUID)]
    prices = table["yes_price"].cast(pa.string())
    is_short = pc.ends_with(prices, "00")
    return pa.table(
        {
            "trade_id": ids,
            "ticker": table["ticker"],
            "created_time": np.datetime_as_string(times).tolist(),
            "yes_price": pc.if_else(is_short, pc.utf8_slice_codeunits(prices, 0, -2), prices),
            "contracts": table["contracts"].cast(pa.string()),
            **{name: table[name] for name in ("taker_side", "taker_book_side", "is_block", "is_combo")},
        },
        TRUTH,
    ).sort_by("trade_id")


def _differences(truth: pa.Table, found: pa.Table) -> list[str]:
    expected, stored = (Counter(map(repr, table.to_pylist())) for table in (truth, found))
    lines = []
    for name, rows in (("missing", expected - stored), ("not on the tape, or twice", stored - expected)):
        if rows:
            examples = ", ".join(list(rows)[:_MOST_EXAMPLES])
            lines.append(f"{rows.total():,} rows {name}: {examples}")
    return lines
