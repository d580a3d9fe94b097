"""DuckDB, Polars, pandas and pyarrow read the lake's folder without code of ours, exactly, while a writer is at work.

Readers open a file by its name twice in one query. If the file is replaced in between, the query may fail, but it must
never return a mixture.
"""

import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

import pytest
import sqlalchemy as sa

from kalshi_pipelines.lake.buffers import ORDERBOOKS, PRICES
from kalshi_pipelines.lake.datasets import PUBLIC_TRADES
from kalshi_pipelines.lake.history import publish_history
from kalshi_pipelines.lake.reading import read
from kalshi_pipelines_tests.support.lake.lakes import (
    EXACT,
    MIDNIGHT_US,
    add_book,
    add_markets,
    add_quotes,
    local_lake,
    start_history,
)
from kalshi_pipelines_tests.support.lake.plain_readers import MAY_FAIL, SUMS, ids_of
from kalshi_pipelines_tests.support.lake.public_trades import TRADES_DAY, trades_batch

_SECONDS = 5


@pytest.mark.parametrize("reader", SUMS)
def test_reader_computes_exact_sums(sqlite_engine: sa.Engine, folder: Path, reader: str) -> None:
    start_history(sqlite_engine)
    add_markets(sqlite_engine, ["A"])
    add_quotes(sqlite_engine, range(MIDNIGHT_US - 3, MIDNIGHT_US + 4), "A", yes_bid_microdollars=100_001)
    add_quotes(sqlite_engine, [MIDNIGHT_US], yes_bid_microdollars=999_999)
    add_book(sqlite_engine, MIDNIGHT_US, "[[570000,34349],[1,1]]", "[[420000,100]]")
    for buffer in (PRICES, ORDERBOOKS):
        publish_history(local_lake(folder), sqlite_engine, buffer)
    assert SUMS[reader](folder / "price_history", "yes_bid") == {
        "2026-11-21": (3, Decimal("0.300003")),
        "2026-11-22": (5, Decimal("1.400003")),
    }
    assert SUMS[reader](folder / "orderbook_levels", "contracts") == {"2026-11-22": (3, Decimal("344.50"))}


def test_ids_of_trades_are_uuids_for_every_reader(sqlite_engine: sa.Engine, folder: Path) -> None:
    batch = trades_batch([("A", 1, 1), ("A", 1, 2), ("B", 7, 3)])
    local_lake(folder).replace_day(sqlite_engine, PUBLIC_TRADES, TRADES_DAY, [[batch]], "test")
    found = ids_of(folder / "public_trades", "trade_id")
    expected = [uuid.UUID(bytes=each) for each in batch["trade_id"].to_pylist()]
    assert found == dict.fromkeys(("duckdb", "pandas", "pyarrow", "polars"), expected)


@contextmanager
def writer(engine: sa.Engine, folder: Path) -> Iterator[list[int]]:
    """Run a program that publishes all the time. At the end of the block, the list has the number of its publishes."""
    command = [sys.executable, "-m", "kalshi_pipelines_tests.support.lake.writing_program"]
    url = engine.url.render_as_string()
    published: list[int] = []
    with subprocess.Popen(
        [*command, url, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        assert program.stdout.readline() == "started\n"
        yield published
        program.stdin.close()
        published.append(int(program.stdout.readline()))


@pytest.mark.parametrize("reader", SUMS)
def test_reader_sees_old_or_new_rows_while_files_are_replaced(
    sqlite_engine: sa.Engine, folder: Path, reader: str
) -> None:
    sums, last = SUMS[reader], {"2026-11-22": 0, "2026-11-23": 0}
    with writer(sqlite_engine, folder) as published:
        end, seen = time.monotonic() + _SECONDS, set()
        while time.monotonic() < end:
            try:
                found = sums(folder / "price_history", "price")
            except MAY_FAIL[reader]:
                continue
            assert found.keys() == last.keys()
            for day, (rows, total) in found.items():
                assert total == Decimal(rows * (rows + 1) // 2).scaleb(-6)
                assert rows >= last[day]
                last[day] = rows
                seen.add(rows)
    assert len(seen) > 3
    assert sums(folder / "price_history", "price")["2026-11-22"][0] == published[0]


def test_our_reading_sees_old_or_new_rows_while_files_are_replaced(sqlite_engine: sa.Engine, folder: Path) -> None:
    with writer(sqlite_engine, folder):
        end, seen = time.monotonic() + _SECONDS, set()
        while time.monotonic() < end:
            table = read(local_lake(folder), sqlite_engine, EXACT).read_all()
            seen.add(table.num_rows)
            assert len(set(table.column("observed_time").to_pylist())) == table.num_rows
    assert len(seen) > 3
