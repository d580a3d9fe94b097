"""The lake holds exact copies of the warehouse's history, in files that appear whole or not at all."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from kalshi_pipelines.lake.history import ORDERBOOKS, PRICE_HISTORY, PRICES, export_history
from kalshi_pipelines.lake.parquet import CONTRACTS, DOLLARS, exact_decimals, write_file
from kalshi_pipelines.units import instant, microseconds, trading_day
from kalshi_pipelines.warehouse.engine import WarehouseUnavailable, writing
from kalshi_pipelines.warehouse.tables import ingest_runs, orderbook_snapshots, price_snapshots
from kalshi_pipelines_tests.support.warehouse.rows import MARKET, ORDERBOOK_SNAPSHOT, PRICE_SNAPSHOT, fill

MIDNIGHT_IN_NEW_YORK_US = 1_795_323_600_000_000  # 2026-11-22T05:00Z in microseconds


@given(st.lists(st.integers(min_value=-(10**15), max_value=10**15), min_size=1))
def test_integers_become_decimals_in_units_of_the_last_digit(integers: list[int]) -> None:
    for decimal_type, digits in ((DOLLARS, 6), (CONTRACTS, 2)):
        decimals = exact_decimals(pa.array(integers, pa.int64()), decimal_type).to_pylist()
        assert decimals == [Decimal(value).scaleb(-digits) for value in integers]


def with_history(engine: sa.Engine) -> None:
    fill(engine)
    with writing(engine) as connection:
        connection.execute(sa.update(ingest_runs).values(status="succeeded", finished_us=2, history_rows=2))
        connection.execute(sa.delete(price_snapshots))
        for observed in (MIDNIGHT_IN_NEW_YORK_US - 1, MIDNIGHT_IN_NEW_YORK_US):
            connection.execute(sa.insert(price_snapshots), PRICE_SNAPSHOT | {"observed_us": observed})


def test_export_writes_one_file_per_run_and_trading_day(engine: sa.Engine, tmp_path: Path) -> None:
    with_history(engine)
    files = export_history(engine, tmp_path, PRICES)
    assert [(file.path.relative_to(tmp_path).as_posix(), file.rows) for file in files] == [
        ("price_history/date=2026-11-21/run-1.parquet", 1),
        ("price_history/date=2026-11-22/run-1.parquet", 1),
    ]
    table = pq.read_table(tmp_path / "price_history")
    assert table.column("yes_bid").to_pylist() == [Decimal("0.570000")] * 2
    assert table.column("yes_bid_size").to_pylist() == [Decimal("343.49")] * 2
    assert [microseconds(time) for time in table.column("observed_time").to_pylist()] == [
        MIDNIGHT_IN_NEW_YORK_US - 1,
        MIDNIGHT_IN_NEW_YORK_US,
    ]


def test_run_is_exported_again_only_if_its_export_was_interrupted(engine: sa.Engine, tmp_path: Path) -> None:
    with_history(engine)
    first = export_history(engine, tmp_path, PRICES)
    assert export_history(engine, tmp_path, PRICES) == []
    with writing(engine) as connection:
        connection.execute(sa.update(ingest_runs).values(exported_us=None))
    assert export_history(engine, tmp_path, PRICES) == first
    assert pq.read_table(tmp_path / "price_history").num_rows == 2


def test_orderbook_levels_of_both_sides_are_exact(engine: sa.Engine, tmp_path: Path) -> None:
    fill(engine)
    with writing(engine) as connection:
        connection.execute(
            sa.update(ingest_runs).values(subject="orderbooks", status="succeeded", finished_us=2, history_rows=1)
        )
        connection.execute(sa.delete(orderbook_snapshots))
        levels = {"yes_levels": "[[100,1],[570000,34349]]", "no_levels": "[[420000,100]]"}
        connection.execute(sa.insert(orderbook_snapshots), ORDERBOOK_SNAPSHOT | levels)
    export_history(engine, tmp_path, ORDERBOOKS)
    rows = pq.read_table(tmp_path / "orderbook_levels").to_pylist()
    assert [(row["ticker"], row["side"], row["price"], row["contracts"]) for row in rows] == [
        (MARKET["ticker"], "yes", Decimal("0.000100"), Decimal("0.01")),
        (MARKET["ticker"], "yes", Decimal("0.570000"), Decimal("343.49")),
        (MARKET["ticker"], "no", Decimal("0.420000"), Decimal("1.00")),
    ]


def test_unfinished_file_leaves_the_older_file_in_place(tmp_path: Path) -> None:
    def broken() -> Iterator[pa.RecordBatch]:
        yield from ()
        raise OSError("the disk is full")

    day = trading_day(MIDNIGHT_IN_NEW_YORK_US)
    write_file(tmp_path, "price_history", day, "run-1", PRICE_HISTORY, [])
    with pytest.raises(OSError, match="disk is full"):
        write_file(tmp_path, "price_history", day, "run-1", PRICE_HISTORY, broken())
    (file,) = (tmp_path / "price_history" / f"date={day}").iterdir()
    assert pq.read_metadata(file).num_rows == 0


def test_lake_that_cannot_be_written_is_a_readable_error(engine: sa.Engine, tmp_path: Path) -> None:
    with_history(engine)
    (tmp_path / "lake").touch()
    with pytest.raises(WarehouseUnavailable, match="cannot be written"):
        export_history(engine, tmp_path / "lake", PRICES)


def test_the_views_show_plain_dollars_contracts_and_times(engine: sa.Engine) -> None:
    fill(engine)
    with engine.connect() as connection:
        quote = connection.exec_driver_sql("SELECT yes_bid, yes_bid_size, close_time FROM current_quotes").one()
        level = connection.exec_driver_sql("SELECT side, price, contracts FROM orderbook_levels").one()
    assert [str(value) for value in (*quote[:2], *level)] == ["0.570000", "343.49", "yes", "0.570000", "343.49"]
    # SQLite has no type for times, so the view shows a time as text on SQLite.
    assert quote[2] in ("1970-01-01T00:00:00.000001Z", instant(1))
