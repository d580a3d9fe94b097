"""Rows of history tables reach the lake exactly once: one file for a day, replaced in one step."""

import datetime as dt
import hashlib
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from kalshi_pipelines.lake.buffers import ORDERBOOKS, PRICES
from kalshi_pipelines.lake.datasets import ORDERBOOK_LEVELS, PRICE_HISTORY
from kalshi_pipelines.lake.errors import ConflictingRows, LakeFileChanged
from kalshi_pipelines.lake.history import publish_history
from kalshi_pipelines.lake.manifest import LakeFile, Slot, lake_files_of
from kalshi_pipelines.units import HOUR_US, SECOND_US, microseconds, now_us
from kalshi_pipelines.warehouse.engine import writing
from kalshi_pipelines.warehouse.tables import lake_files
from kalshi_pipelines_tests.support.lake.lakes import (
    DAY,
    EXACT,
    MIDNIGHT_US,
    TICKER,
    add_book,
    add_markets,
    add_quotes,
    batch,
    exported,
    files_in,
    lake_rows,
    local_lake,
    start_history,
)


def only_file(engine: sa.Engine) -> LakeFile:
    (file,) = lake_files_of(engine)
    return file


def test_publish_writes_one_file_a_trading_day(engine: sa.Engine, folder: Path) -> None:
    start_history(engine)
    run = add_quotes(engine, [MIDNIGHT_US - 1, MIDNIGHT_US, MIDNIGHT_US + 1])
    published = publish_history(local_lake(folder), engine, PRICES)
    assert [(file.path, file.added, file.rows) for file in published.files] == [
        ("price_history/date=2026-11-21/2026-11-21.parquet", 1, 1),
        ("price_history/date=2026-11-22/2026-11-22.parquet", 2, 2),
    ]
    assert files_in(folder) == [file.path for file in published.files]
    rows = lake_rows(folder)
    assert [row["yes_bid"] for row in rows] == [Decimal("0.570000")] * 3
    assert [row["yes_bid_size"] for row in rows] == [Decimal("343.49")] * 3
    assert [microseconds(row["observed_time"]) - MIDNIGHT_US for row in rows] == [-1, 0, 1]
    assert [row["date"] for row in rows] == ["2026-11-21", "2026-11-22", "2026-11-22"]
    assert exported(engine, run)


def test_manifest_describes_each_file_exactly(engine: sa.Engine, folder: Path) -> None:
    start_history(engine)
    add_quotes(engine, [MIDNIGHT_US, MIDNIGHT_US + 5], yes_bid_microdollars=1)
    publish_history(local_lake(folder), engine, PRICES)
    file, content = only_file(engine), (folder / only_file(engine).path).read_bytes()
    assert (file.slot, file.status, file.source) == (Slot("price_history", DAY), "open", "run 2")
    assert (file.bytes, file.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    contents = file.contents
    assert (contents.rows, contents.first_us, contents.last_us) == (2, MIDNIGHT_US, MIDNIGHT_US + 5)
    assert contents.sums["yes_bid"] == 2
    assert contents.sums["yes_bid_size"] == 2 * 34_349
    assert len(contents.sums) == 10


def test_publishing_the_same_rows_again_changes_nothing(engine: sa.Engine, folder: Path) -> None:
    start_history(engine)
    lake = local_lake(folder)
    add_quotes(engine, [MIDNIGHT_US, MIDNIGHT_US + 5])
    publish_history(lake, engine, PRICES)
    before = only_file(engine)
    assert publish_history(lake, engine, PRICES).files == ()
    with writing(engine) as connection:
        connection.exec_driver_sql("UPDATE ingest_runs SET exported_us = NULL")
    assert publish_history(lake, engine, PRICES).files == ()
    assert only_file(engine) == before
    assert len(lake_rows(folder)) == 2


def test_later_and_late_rows_join_their_day_sorted_by_ticker_and_time(engine: sa.Engine, folder: Path) -> None:
    start_history(engine)
    add_markets(engine, ["A", "Z", "é"])
    lake = local_lake(folder)
    for ticker, time in (("Z", 7), ("A", 9), (TICKER, 3), ("é", 1), ("Z", 2), ("A", 1)):
        add_quotes(engine, [MIDNIGHT_US + time], ticker)
        publish_history(lake, engine, PRICES)
    found = [(row["ticker"], microseconds(row["observed_time"]) - MIDNIGHT_US) for row in lake_rows(folder)]
    assert found == [("A", 1), ("A", 9), (TICKER, 3), ("Z", 2), ("Z", 7), ("é", 1)]
    assert files_in(folder) == ["price_history/date=2026-11-22/2026-11-22.parquet"]


def test_different_row_with_a_published_key_is_refused_and_names_both(engine: sa.Engine, folder: Path) -> None:
    start_history(engine)
    lake = local_lake(folder)
    add_quotes(engine, [MIDNIGHT_US])
    publish_history(lake, engine, PRICES)
    before = only_file(engine)
    with writing(engine) as connection:
        connection.exec_driver_sql("UPDATE price_snapshots SET yes_bid_microdollars = 10000")
        connection.exec_driver_sql("UPDATE ingest_runs SET exported_us = NULL")
    with pytest.raises(ConflictingRows, match=r"yes_bid 0\.570000, and yes_bid 0\.010000\."):
        publish_history(lake, engine, PRICES)
    assert only_file(engine) == before
    assert files_in(folder) == [before.path]


def test_levels_of_both_sides_are_exact_and_sorted(engine: sa.Engine, folder: Path) -> None:
    start_history(engine)
    add_book(engine, MIDNIGHT_US, "[[570000,34349],[100,1]]", "[[420000,100],[420000,50]]")
    publish_history(local_lake(folder), engine, ORDERBOOKS)
    rows = lake_rows(folder, "orderbook_levels")
    assert [(row["ticker"], row["side"], row["price"], row["contracts"]) for row in rows] == [
        (TICKER, "no", Decimal("0.420000"), Decimal("1.50")),  # the book named this price twice
        (TICKER, "yes", Decimal("0.000100"), Decimal("0.01")),
        (TICKER, "yes", Decimal("0.570000"), Decimal("343.49")),
    ]


def test_empty_book_has_a_level_of_nothing_on_each_side(engine: sa.Engine, folder: Path) -> None:
    start_history(engine)
    add_book(engine, MIDNIGHT_US, "[]", "[]")
    publish_history(local_lake(folder), engine, ORDERBOOKS)
    rows = lake_rows(folder, "orderbook_levels")
    assert [(row["side"], row["price"], row["contracts"]) for row in rows] == [("no", 0, 0), ("yes", 0, 0)]


def test_file_changed_by_another_program_is_never_replaced(engine: sa.Engine, folder: Path) -> None:
    start_history(engine)
    lake = local_lake(folder)
    add_quotes(engine, [MIDNIGHT_US])
    publish_history(lake, engine, PRICES)
    file = folder / only_file(engine).path
    file.write_bytes(b"other")
    run = add_quotes(engine, [MIDNIGHT_US + 1])
    with pytest.raises(LakeFileChanged, match=r"is not the file that .*rebuild-lake"):
        publish_history(lake, engine, PRICES)
    assert file.read_bytes() == b"other"
    file.unlink()
    with pytest.raises(LakeFileChanged, match="is missing"):
        publish_history(lake, engine, PRICES)
    assert not exported(engine, run)


def test_file_that_the_manifest_does_not_know_is_never_replaced(engine: sa.Engine, folder: Path) -> None:
    start_history(engine)
    lake = local_lake(folder)
    add_quotes(engine, [MIDNIGHT_US])
    publish_history(lake, engine, PRICES)
    with writing(engine) as connection:
        connection.execute(sa.delete(lake_files))
    add_quotes(engine, [MIDNIGHT_US + 1])
    with pytest.raises(LakeFileChanged, match="not in the manifest"):
        publish_history(lake, engine, PRICES)
    assert len(lake_rows(folder)) == 1


def test_large_file_is_replaced_at_most_once_an_hour(
    engine: sa.Engine, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kalshi_pipelines.lake.publishing.MOST_BYTES_AT_ANY_TIME", 10)
    start_history(engine)
    lake = local_lake(folder)
    add_quotes(engine, [MIDNIGHT_US])
    publish_history(lake, engine, PRICES)
    run = add_quotes(engine, [MIDNIGHT_US + 1])
    other = add_quotes(engine, [MIDNIGHT_US - 1])
    published = publish_history(lake, engine, PRICES)
    assert published.deferred_days == (DAY,)
    assert (exported(engine, run), exported(engine, other)) == (False, True)
    with writing(engine) as connection:
        connection.execute(sa.update(lake_files).values(published_us=now_us() - HOUR_US))
    assert publish_history(lake, engine, PRICES).deferred_days == ()
    assert exported(engine, run)
    assert len(lake_rows(folder)) == 3


def test_large_file_is_replaced_at_once_if_asked(
    sqlite_engine: sa.Engine, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kalshi_pipelines.lake.publishing.MOST_BYTES_AT_ANY_TIME", 10)
    start_history(sqlite_engine)
    for time in (0, 1):
        add_quotes(sqlite_engine, [MIDNIGHT_US + time])
        publish_history(local_lake(folder), sqlite_engine, PRICES, now=True)
    assert len(lake_rows(folder)) == 2


def test_failure_while_writing_leaves_the_older_file(sqlite_engine: sa.Engine, folder: Path) -> None:
    def broken() -> Iterator[pa.RecordBatch]:
        yield batch(EXACT, [("A", MIDNIGHT_US + 1, 1)])
        raise OSError("the cable is out")

    class Broken:
        def __iter__(self) -> Iterator[pa.RecordBatch]:
            return broken()

    lake = local_lake(folder)
    lake.publish(sqlite_engine, EXACT, {DAY: [batch(EXACT, [("A", MIDNIGHT_US, 1)])]}, "test")
    before = only_file(sqlite_engine)
    with pytest.raises(Exception, match="the cable is out"):
        lake.publish(sqlite_engine, EXACT, {DAY: Broken()}, "test")
    assert only_file(sqlite_engine) == before
    assert files_in(folder) == [before.path]
    assert len(lake_rows(folder)) == 1


def test_rows_of_another_day_are_refused(sqlite_engine: sa.Engine, folder: Path) -> None:
    with pytest.raises(ValueError, match="not all of its day"):
        local_lake(folder).publish(sqlite_engine, EXACT, {DAY: [batch(EXACT, [("A", MIDNIGHT_US - 1, 1)])]}, "test")
    assert files_in(folder) == []


@pytest.mark.parametrize("day", [dt.date(2026, 3, 8), dt.date(2026, 11, 1)], ids=["23 hours", "25 hours"])
def test_full_day_sends_later_rows_to_hours_and_late_rows_to_the_day(
    sqlite_engine: sa.Engine, folder: Path, day: dt.date, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kalshi_pipelines.lake.slots.MOST_DAY_BYTES", 10)
    lake = local_lake(folder)
    start = microseconds(dt.datetime.combine(day, dt.time(), dt.UTC)) + (5 if day.month == 3 else 4) * HOUR_US
    hours = 23 if day.month == 3 else 25
    times = [start + number * HOUR_US // 2 for number in range(2 * hours)]
    lake.publish(sqlite_engine, EXACT, {day: [batch(EXACT, [("A", times[4], 0)])]}, "test")
    for _ in range(2):
        lake.publish(
            sqlite_engine, EXACT, {day: [batch(EXACT, [("A", time, 0), ("B", time, 0)]) for time in times[:1]]}, "test"
        )
        for time in reversed(times):
            lake.publish(sqlite_engine, EXACT, {day: [batch(EXACT, [("A", time, 0)])]}, "test")
    rows = lake_rows(folder)
    assert sorted(microseconds(row["observed_time"]) for row in rows if row["ticker"] == "A") == times
    assert len(rows) == len(times) + 1
    names = [file.slot.name for file in lake_files_of(sqlite_engine)]
    assert names[-1] == "day"
    assert 20 <= len(names) - 1 <= 23
    assert {file.path for file in lake_files_of(sqlite_engine)} == set(files_in(folder))


def test_files_are_compressed_sorted_and_pruned_by_statistics(sqlite_engine: sa.Engine, folder: Path) -> None:
    rows = [(f"T{number // 1000:03}", MIDNIGHT_US + SECOND_US * (number % 1000), number) for number in range(250_000)]
    local_lake(folder).publish(sqlite_engine, EXACT, {DAY: [batch(EXACT, rows)]}, "test")
    metadata = pq.read_metadata(folder / only_file(sqlite_engine).path)
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    assert [group.num_rows for group in groups] == [100_000, 100_000, 50_000]
    assert [group.column(0).statistics.min for group in groups] == ["T000", "T100", "T200"]
    assert [group.column(0).statistics.max for group in groups] == ["T099", "T199", "T249"]
    assert {group.column(number).compression for group in groups for number in range(3)} == {"ZSTD"}
    assert "RLE_DICTIONARY" in groups[0].column(0).encodings
    assert [each.column_index for each in groups[0].sorting_columns] == [0, 1]


def test_schemas_hold_exact_decimals_and_utc_times() -> None:
    for dataset in (PRICE_HISTORY, ORDERBOOK_LEVELS):
        kinds = {str(field.type) for field in dataset.schema}
        assert kinds == {"string", "timestamp[us, tz=UTC]", "decimal128(18, 6)", "decimal128(18, 2)"}


def test_two_programs_that_publish_at_once_lose_no_row(sqlite_engine: sa.Engine, folder: Path) -> None:
    command = [sys.executable, "-m", "kalshi_pipelines_tests.support.lake.writing_program"]
    arguments = [*command, sqlite_engine.url.render_as_string(), str(folder)]
    with ExitStack() as running:
        programs = [
            running.enter_context(
                subprocess.Popen(
                    arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
                )
            )
            for _ in range(2)
        ]
        for program in programs:
            assert program.stdout is not None
            assert program.stdout.readline() == "started\n"
        told = [program.communicate() for program in programs]
    assert [errors for _, errors in told] == ["", ""]
    published = max(int(output) for output, _ in told)
    assert published > 1
    assert len(lake_rows(folder)) == 2 * published
    assert sorted(file.contents.rows for file in lake_files_of(sqlite_engine)) == [published, published]
