"""A lake that is filled from a tape at once, without an exchange."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import sqlalchemy as sa

from kalshi_pipelines.lake.datasets import CONTRACTS, DOLLARS, INSTANT, PUBLIC_TRADES, UUID_BYTES, exact_decimals
from kalshi_pipelines.lake.lake import Lake
from kalshi_pipelines.lake.store import LocalStore
from kalshi_pipelines_tests.tools.history_trial.tape import Tape, TapeDay


def fill_lake(engine: sa.Engine, folder: Path, tape: Tape) -> Lake:
    """Publish every day of a tape to a new lake in a folder."""
    lake = Lake(LocalStore(folder), "sandbox")
    for number in range(tape.options.days):
        lake.replace_day(engine, PUBLIC_TRADES, tape.date(number), [[batch_of(tape.day(number))]], "tape")
    return lake


def batch_of(day: TapeDay) -> pa.RecordBatch:
    """Return the trades of a day as the lake stores them, sorted by its key."""
    columns = [
        pa.array(day.tickers, pa.string()),
        pa.array(day.times, pa.int64()).cast(INSTANT),
        pa.Array.from_buffers(UUID_BYTES, len(day.tickers), [None, pa.py_buffer(day.raw_ids)]),
        exact_decimals(pa.array(day.prices, pa.int64()), DOLLARS),
        exact_decimals(pa.array(day.counts, pa.int64()), CONTRACTS),
        pa.array(np.where(day.are_yes, "yes", "no").tolist(), pa.string()),
        pa.array(np.where(day.are_yes, "bid", "ask").tolist(), pa.string()),
        pa.array(day.are_block, pa.bool_()),
        pa.array([ticker.startswith("KXMVE") for ticker in day.tickers], pa.bool_()),
    ]
    return pa.record_batch(columns, schema=PUBLIC_TRADES.schema).sort_by(
        [(name, "ascending") for name in PUBLIC_TRADES.key]
    )
