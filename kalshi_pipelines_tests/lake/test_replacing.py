"""A replaced day has exactly the offered rows, however they were read, and no row of before is lost silently."""

import datetime as dt
import tempfile
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kalshi_pipelines.lake.closing import close_day, close_days, verify_lake
from kalshi_pipelines.lake.datasets import CANDLESTICKS_1M, DATASETS, PUBLIC_TRADES
from kalshi_pipelines.lake.errors import ConflictingRows, LakeFileChanged
from kalshi_pipelines.lake.manifest import lake_files_of, lake_hash
from kalshi_pipelines.lake.reading import read
from kalshi_pipelines.lake.rebuilding import rebuild_manifest
from kalshi_pipelines.lake.replacing import ReplacedDay
from kalshi_pipelines.units import HOUR_US
from kalshi_pipelines.warehouse.engine import writing
from kalshi_pipelines.warehouse.tables import lake_files
from kalshi_pipelines_tests.support.lake.lakes import files_in, local_lake
from kalshi_pipelines_tests.support.lake.public_trades import TRADES_DAY, TRADES_DAY_US, Trade, trades_batch

DAY_FILE = f"public_trades/date={TRADES_DAY}/{TRADES_DAY}.parquet"
TRADES: list[Trade] = [("A", 1, 1), ("A", 1, 2), ("A", 5 * HOUR_US, 3), ("B", 2, 4), ("B", 23 * HOUR_US, 5)]


def replace(engine: sa.Engine, folder: Path, *streams: Sequence[pa.RecordBatch]) -> ReplacedDay:
    return local_lake(folder).replace_day(engine, PUBLIC_TRADES, TRADES_DAY, streams, "backfill")


def replace_by(engine: sa.Engine, folder: Path, trades: list[Trade], *, price: str = "0.57") -> ReplacedDay:
    return replace(engine, folder, [trades_batch(trades, price=price)])


def rows(engine: sa.Engine, folder: Path, **wanted: Any) -> list[dict[str, Any]]:
    return list(read(local_lake(folder), engine, PUBLIC_TRADES, **wanted).read_all().to_pylist())


_TRADES = st.lists(st.tuples(st.sampled_from("ABC"), st.integers(0, 3), st.integers(0, 50)), unique=True, max_size=30)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_TRADES, st.data())
def test_day_does_not_depend_on_streams_batches_or_repeats(
    sqlite_engine: sa.Engine, trades: list[Trade], data: st.DataObject
) -> None:
    trades = list({trade[2]: trade for trade in trades}.values())
    streams: list[list[Trade]] = [[] for _ in range(data.draw(st.integers(1, 5)))]
    for trade in trades:
        # A trade near the border of two windows is in both of them.
        for number in data.draw(st.sets(st.integers(0, len(streams) - 1), min_size=1)):
            streams[number].append(trade)
    size = data.draw(st.integers(1, 4))
    batches = [trades_batch(stream) for stream in streams]
    cut = [[batch.slice(at, size) for at in range(0, batch.num_rows, size)] for batch in batches]
    hashes = []
    for offered in (cut, [[trades_batch(trades)]]):
        with tempfile.TemporaryDirectory() as folder:
            with writing(sqlite_engine) as connection:
                connection.execute(sa.delete(lake_files))
            done = replace(sqlite_engine, Path(folder), *offered)
            hashes.append((done.content_sha256, lake_hash(sqlite_engine)))
            assert rows(sqlite_engine, Path(folder)) == trades_batch(trades).to_pylist()
            assert (done.rows, done.added) == (len(trades), len(trades))
    assert hashes[0] == hashes[1]


def test_same_rows_again_change_nothing(engine: sa.Engine, folder: Path) -> None:
    first = replace_by(engine, folder, TRADES)
    before = [(file.sha256, file.published_us) for file in lake_files_of(engine)]
    again = replace_by(engine, folder, TRADES)
    assert (again.files, again.superseded, again.reopened) == ((), (), False)
    assert again.content_sha256 == first.content_sha256
    assert [(file.sha256, file.published_us) for file in lake_files_of(engine)] == before


def test_file_whose_rows_are_lost_or_changed_is_kept(engine: sa.Engine, folder: Path) -> None:
    replace_by(engine, folder, TRADES)
    more = replace_by(engine, folder, [*TRADES, ("C", 1, 6)])
    assert (more.added, more.removed, more.changed, more.superseded) == (1, 0, 0, ())
    fewer = replace_by(engine, folder, TRADES)
    assert (fewer.added, fewer.removed, fewer.changed) == (0, 1, 0)
    (kept,) = fewer.superseded
    assert pq.ParquetFile(folder / kept).read().num_rows == 6
    other = replace_by(engine, folder, TRADES, price="0.58")
    assert (other.added, other.removed, other.changed) == (0, 0, 5)
    assert set(files_in(folder)) == {DAY_FILE, *fewer.superseded, *other.superseded}
    assert verify_lake(local_lake(folder), engine).problems == ()
    assert rebuild_manifest(local_lake(folder), engine).unchanged == (DAY_FILE,)
    assert {str(row["yes_price"]) for row in rows(engine, folder)} == {"0.580000"}


def test_day_without_trades_has_no_file(engine: sa.Engine, folder: Path) -> None:
    assert replace(engine, folder).rows == 0
    assert lake_files_of(engine) == []
    replace_by(engine, folder, TRADES)
    emptied = replace(engine, folder)
    assert (emptied.rows, emptied.removed, len(emptied.superseded)) == (0, 5, 1)
    assert lake_files_of(engine) == []
    assert files_in(folder) == list(emptied.superseded)


def test_two_different_trades_with_one_id_are_an_error(engine: sa.Engine, folder: Path) -> None:
    replace_by(engine, folder, TRADES)
    before = lake_files_of(engine)
    with pytest.raises(ConflictingRows):
        replace(engine, folder, [trades_batch(TRADES)], [trades_batch(TRADES[:1], price="0.58")])
    assert lake_files_of(engine) == before


def test_rows_of_another_day_are_refused(engine: sa.Engine, folder: Path) -> None:
    with pytest.raises(ValueError, match="not all of its day"):
        replace_by(engine, folder, [("A", 24 * HOUR_US, 1)])


@pytest.mark.parametrize("spoil", ["other bytes", "missing", "unknown"])
def test_file_that_the_manifest_does_not_describe_is_not_replaced(engine: sa.Engine, folder: Path, spoil: str) -> None:
    replace_by(engine, folder, TRADES)
    file = folder / DAY_FILE
    if spoil == "other bytes":
        file.write_bytes(file.read_bytes() + b"x")
    elif spoil == "missing":
        file.unlink()
    else:
        with writing(engine) as connection:
            connection.execute(sa.delete(lake_files))
    for trades in (TRADES, TRADES[:2]):
        with pytest.raises(LakeFileChanged):
            replace_by(engine, folder, trades)


# Days with very many rows -------------------------------------------------------------------------------------------


@pytest.fixture
def few_rows_a_day(monkeypatch: pytest.MonkeyPatch) -> None:
    """A day with more than four rows is a file for each hour."""
    monkeypatch.setattr("kalshi_pipelines.lake.replacing.MOST_DAY_ROWS", 4)


def slots(engine: sa.Engine) -> list[str]:
    return [file.slot.name for file in lake_files_of(engine)]


@pytest.mark.usefixtures("few_rows_a_day")
def test_large_day_has_a_file_for_each_hour(engine: sa.Engine, folder: Path) -> None:
    done = replace_by(engine, folder, TRADES)
    assert slots(engine) == ["00", "05", "23"]
    assert sorted(files_in(folder)) == sorted(done.files)
    fewer = replace_by(engine, folder, TRADES[:3])
    assert (fewer.removed, len(fewer.superseded)) == (2, 2)
    assert slots(engine) == ["00", "05"]
    assert replace_by(engine, folder, TRADES).added == 2
    assert slots(engine) == ["00", "05", "23"]
    assert [row["contracts"] for row in rows(engine, folder, start_us=TRADES_DAY_US + 3)] == [
        row["contracts"] for row in trades_batch([TRADES[2], TRADES[4]]).to_pylist()
    ]


@pytest.mark.usefixtures("few_rows_a_day")
def test_row_never_moves_to_another_file(engine: sa.Engine, folder: Path) -> None:
    # Repeats in other streams do not make the day large.
    assert replace(engine, folder, *[[trades_batch(TRADES[:4])]] * 3).rows == 4
    assert slots(engine) == ["day"]
    assert replace_by(engine, folder, TRADES).added == 1
    assert slots(engine) == ["day"]


def test_day_that_grew_large_while_it_was_open_keeps_its_files(
    engine: sa.Engine, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kalshi_pipelines.lake.slots.MOST_DAY_BYTES", 10)
    for trade in TRADES[:3]:
        local_lake(folder).publish(engine, PUBLIC_TRADES, {TRADES_DAY: [trades_batch([trade])]}, "open")
    assert slots(engine) == ["05", "day"]
    done = replace_by(engine, folder, TRADES)
    assert (done.added, done.removed, done.changed) == (2, 0, 0)
    assert slots(engine) == ["00", "05", "23", "day"]
    assert len(rows(engine, folder)) == 5
    assert replace_by(engine, folder, TRADES[2:3]).removed == 4
    assert slots(engine) == ["05"]


@pytest.mark.usefixtures("few_rows_a_day")
def test_late_row_of_a_large_day_goes_to_its_hour(engine: sa.Engine, folder: Path) -> None:
    replace_by(engine, folder, TRADES)
    late = [("A", 5 * HOUR_US + 1, 7), ("C", 6 * HOUR_US, 8)]
    local_lake(folder).publish(engine, PUBLIC_TRADES, {TRADES_DAY: [trades_batch(late)]}, "late")
    assert slots(engine) == ["00", "05", "06", "23"]
    assert len(rows(engine, folder)) == 7
    # The rows alone decide about the hash, not the way in which they came.
    found = lake_hash(engine)
    assert replace_by(engine, folder, [*TRADES, *late]).files == ()
    assert lake_hash(engine) == found


# Closing and opening again ------------------------------------------------------------------------------------------


def test_late_row_opens_a_closed_day_again(engine: sa.Engine, folder: Path) -> None:
    lake = local_lake(folder)
    replace_by(engine, folder, TRADES)
    assert close_days(lake, engine, TRADES_DAY + dt.timedelta(days=9)).closed == ()
    assert close_day(lake, engine, PUBLIC_TRADES, TRADES_DAY).closed == (DAY_FILE,)
    assert not replace_by(engine, folder, TRADES).reopened
    assert [file.status for file in lake_files_of(engine)] == ["closed"]
    late = {TRADES_DAY: [trades_batch([("C", 1, 6)])]}
    assert lake.publish(engine, PUBLIC_TRADES, late, "late").reopened_days == (TRADES_DAY,)
    assert [file.status for file in lake_files_of(engine)] == ["open"]
    close_day(lake, engine, PUBLIC_TRADES, TRADES_DAY)
    assert replace_by(engine, folder, TRADES).reopened


def test_rows_with_the_same_sums_and_a_forged_manifest_are_found(engine: sa.Engine, folder: Path) -> None:
    replace_by(engine, folder, TRADES)
    (before,) = lake_files_of(engine)
    counts = trades_batch(TRADES)["contracts"].take(pa.array([1, 0, 2, 3, 4]))
    position = PUBLIC_TRADES.schema.get_field_index("contracts")
    swapped = trades_batch(TRADES).set_column(position, PUBLIC_TRADES.schema.field(position), counts)
    assert replace(engine, folder, [swapped]).changed == 2
    assert lake_files_of(engine)[0].contents.sums == before.contents.sums
    with writing(engine) as connection:
        connection.execute(sa.update(lake_files).values(content_sha256=before.contents.content_sha256))
    assert DAY_FILE in verify_lake(local_lake(folder), engine).problems[0]
    assert close_day(local_lake(folder), engine, PUBLIC_TRADES, TRADES_DAY).closed == ()


def test_hash_that_an_older_version_did_not_record_is_filled(engine: sa.Engine, folder: Path) -> None:
    replace_by(engine, folder, TRADES)
    expected = lake_hash(engine)
    with writing(engine) as connection:
        connection.execute(sa.update(lake_files).values(content_sha256=None))
    assert lake_hash(engine) is None
    assert replace_by(engine, folder, TRADES).added == 0
    with writing(engine) as connection:
        connection.execute(sa.update(lake_files).values(content_sha256=None))
    assert verify_lake(local_lake(folder), engine).problems == ()
    assert lake_hash(engine) == expected == lake_hash(engine, "public_trades")


def test_lost_manifest_of_replaced_days_is_made_again(
    engine: sa.Engine, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    candle = {"ticker": "A", "end_time": TRADES_DAY_US + 5 * HOUR_US, "volume": Decimal(1), "open_interest": Decimal(0)}
    candles = pa.RecordBatch.from_pylist([candle], CANDLESTICKS_1M.schema)
    day_before = TRADES_DAY - dt.timedelta(days=1)
    local_lake(folder).replace_day(engine, CANDLESTICKS_1M, day_before, [[candles]], "backfill")
    monkeypatch.setattr("kalshi_pipelines.lake.replacing.MOST_DAY_ROWS", 4)
    replace_by(engine, folder, TRADES)
    expected, files = lake_hash(engine), [file.path for file in lake_files_of(engine)]
    with writing(engine) as connection:
        connection.execute(sa.delete(lake_files))
    assert rebuild_manifest(local_lake(folder), engine).problems == ()
    assert [file.path for file in lake_files_of(engine)] == files
    assert lake_hash(engine) == expected


def test_days_of_candles_end_at_midnight_in_new_york() -> None:
    start, after = CANDLESTICKS_1M.bounds_of(TRADES_DAY)
    # 05:00 UTC is midnight in New York. The candle that ends then belongs to the day before.
    assert start == TRADES_DAY_US + 5 * HOUR_US + 1
    assert [CANDLESTICKS_1M.day_of(time) for time in (start - 1, start, after - 1, after)] == [
        TRADES_DAY - dt.timedelta(days=1),
        TRADES_DAY,
        TRADES_DAY,
        TRADES_DAY + dt.timedelta(days=1),
    ]


@given(st.sampled_from(sorted(DATASETS)), st.dates(dt.date(2021, 6, 30), dt.date(2031, 1, 1)))
def test_hours_cover_each_day_without_gap_or_overlap(name: str, day: dt.date) -> None:
    dataset = DATASETS[name]
    start, after = dataset.bounds_of(day)
    hours = [dataset.bounds_of(day, hour, 1) for hour in range(24)]
    assert [hours[0][0], *[end for _, end in hours]] == [*[begin for begin, _ in hours], after]
    assert start == hours[0][0]
    assert dataset.day_of(start) == dataset.day_of(after - 1) == day
    assert dataset.bounds_of(day + dt.timedelta(days=1))[0] == after
