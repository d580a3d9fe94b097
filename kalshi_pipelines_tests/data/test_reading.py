"""What researchers import reads each row once, wherever it lives, exactly, and while rows move to the lake."""

import datetime as dt
import os
import shutil
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
import sqlalchemy as sa

from kalshi_pipelines.data import Data, NoData, open_data
from kalshi_pipelines.lake.buffers import ORDERBOOKS, PRICES
from kalshi_pipelines.lake.history import publish_history
from kalshi_pipelines.lake.removal import remove_published
from kalshi_pipelines.warehouse.engine import WarehouseUnavailable, writing
from kalshi_pipelines.warehouse.tables import price_snapshots, quotes
from kalshi_pipelines_tests.support.lake.lakes import (
    MIDNIGHT_US,
    TICKER,
    add_book,
    add_markets,
    add_quotes,
    local_lake,
    start_history,
)

HOUR = 3_600_000_000
DAY = 24 * HOUR


def publish(engine: sa.Engine, folder: Path) -> None:
    for buffer in (PRICES, ORDERBOOKS):
        publish_history(local_lake(folder / "lake"), engine, buffer, now=True)


def times(reader: pa.RecordBatchReader) -> list[int]:
    return [int(value.timestamp() * 1_000_000) for value in reader.read_all()["observed_time"].to_pylist()]


def test_rows_are_read_from_sql_from_both_and_from_the_lake(warehouse: sa.Engine, data: Data, tmp_path: Path) -> None:
    everything = [MIDNIGHT_US, MIDNIGHT_US + HOUR, MIDNIGHT_US + DAY]
    add_quotes(warehouse, everything[:2])
    assert times(data.price_history()) == everything[:2]
    publish(warehouse, tmp_path)
    add_quotes(warehouse, everything[2:])
    assert times(data.price_history()) == everything
    publish(warehouse, tmp_path)
    assert times(data.price_history()) == everything
    remove_published(local_lake(tmp_path / "lake"), warehouse, PRICES, MIDNIGHT_US + 2 * DAY)
    with warehouse.connect() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(price_snapshots)) == 0
    assert times(data.price_history()) == everything


def test_late_row_of_a_published_day_is_read_once(warehouse: sa.Engine, data: Data, tmp_path: Path) -> None:
    add_quotes(warehouse, [MIDNIGHT_US, MIDNIGHT_US + 2 * HOUR])
    publish(warehouse, tmp_path)
    add_quotes(warehouse, [MIDNIGHT_US + HOUR])
    assert times(data.price_history()) == [MIDNIGHT_US, MIDNIGHT_US + HOUR, MIDNIGHT_US + 2 * HOUR]


def test_span_and_tickers_limit_rows_of_both_places(warehouse: sa.Engine, data: Data, tmp_path: Path) -> None:
    add_markets(warehouse, ["KXA", "KXB"])
    add_quotes(warehouse, [MIDNIGHT_US, MIDNIGHT_US + HOUR], "KXA")
    publish(warehouse, tmp_path)
    add_quotes(warehouse, [MIDNIGHT_US, MIDNIGHT_US + HOUR, MIDNIGHT_US + DAY], "KXB")
    assert data.price_history(tickers=["KXB"]).read_all().num_rows == 3
    assert data.price_history(tickers=[]).read_all().num_rows == 0
    day = dt.date(2026, 11, 22)
    assert data.price_history(day, day + dt.timedelta(days=1)).read_all().num_rows == 4
    start = dt.datetime(2026, 11, 22, 6, tzinfo=dt.UTC)
    assert times(data.price_history(start, tickers=["KXA"])) == [MIDNIGHT_US + HOUR]
    assert data.price_history(end=start).read_all().num_rows == 2


def test_amounts_are_exact_decimals_and_times_are_utc(warehouse: sa.Engine, data: Data, tmp_path: Path) -> None:
    add_quotes(warehouse, [MIDNIGHT_US], yes_bid_microdollars=570_001, volume_centicontracts=123_456_789_012_345)
    publish(warehouse, tmp_path)
    (row,) = data.price_history().read_all().to_pylist()
    assert (row["yes_bid"], row["volume"]) == (Decimal("0.570001"), Decimal("1234567890123.45"))
    assert row["observed_time"] == dt.datetime(2026, 11, 22, 5, tzinfo=dt.UTC)
    (quote,) = data.quotes().to_pylist()
    assert (quote["ticker"], quote["yes_bid"], quote["yes_bid_size"]) == (TICKER, Decimal("0.57"), Decimal("343.49"))
    frame = data.quotes().to_pandas()
    assert frame["yes_ask"][0] - frame["yes_bid"][0] == Decimal("0.01")


def test_books_are_read_level_by_level_and_empty_books_have_a_row(
    warehouse: sa.Engine, data: Data, tmp_path: Path
) -> None:
    add_book(warehouse, MIDNIGHT_US, "[[570000,100],[560000,200]]", "[[420000,300]]")
    publish(warehouse, tmp_path)
    add_book(warehouse, MIDNIGHT_US + HOUR, "[]", "[]")
    rows = data.orderbook_levels().read_all().to_pylist()
    assert [(row["side"], row["price"], row["contracts"]) for row in rows] == [
        ("no", Decimal("0.42"), Decimal(3)),
        ("yes", Decimal("0.56"), Decimal(2)),
        ("yes", Decimal("0.57"), Decimal(1)),
        ("no", Decimal(0), Decimal(0)),
        ("yes", Decimal(0), Decimal(0)),
    ]


def test_markets_have_their_series_and_shared_texts(data: Data) -> None:
    (market,) = data.markets().to_pylist()
    assert (market["ticker"], market["series_ticker"]) == (TICKER, "KXMLBGAME")
    assert market["notional_value"] == Decimal(1)
    assert market["can_close_early"] is True
    assert {"rules_secondary", "price_ranges"} <= market.keys()
    assert not [name for name in market if "digest" in name or "micro" in name]
    assert data.markets(status=["finalized"]).num_rows == 0
    assert data.markets(tickers=[TICKER], status=["active"]).num_rows == 1
    assert data.quotes(tickers=["KXOTHER"]).num_rows == 0


def test_time_without_a_zone_is_refused(data: Data) -> None:
    with pytest.raises(ValueError, match="has no time zone"):
        data.price_history(dt.datetime(2026, 11, 22))  # noqa: DTZ001


def test_opened_data_cannot_write(warehouse: sa.Engine, data: Data) -> None:
    del warehouse
    with pytest.raises(sa.exc.DBAPIError, match=r"readonly|read-only"), writing(data._engine) as connection:
        connection.execute(sa.delete(quotes))


def test_folder_without_a_warehouse_is_named_and_stays_empty(tmp_path: Path) -> None:
    with pytest.raises(NoData, match="There is no warehouse at"):
        open_data(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_file_that_is_no_database_is_an_error_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "warehouse.db").write_bytes(b"no database" * 100)
    with pytest.raises(WarehouseUnavailable, match="cannot be used"):
        open_data(tmp_path)


def test_folder_of_an_environment_can_be_opened(sqlite_engine: sa.Engine, tmp_path: Path) -> None:
    start_history(sqlite_engine)
    add_quotes(sqlite_engine, [MIDNIGHT_US])
    folder = tmp_path / "odd 'name' % # [x] *?" / "prod"
    folder.mkdir(parents=True)
    publish_history(local_lake(folder / "lake"), sqlite_engine, PRICES)
    sqlite_engine.dispose()
    shutil.copy(tmp_path / "warehouse.db", folder / "warehouse.db")
    with open_data(folder) as data:
        assert data.price_history().read_all().num_rows == 1
        assert data.duckdb().sql("SELECT count(*) FROM price_history").fetchall() == [(1,)]


MOVER = """
import sys
from pathlib import Path
from kalshi_pipelines.lake.buffers import PRICES
from kalshi_pipelines.lake.history import publish_history
from kalshi_pipelines.lake.removal import remove_published
from kalshi_pipelines.warehouse.engine import open_engine
from kalshi_pipelines_tests.support.lake.lakes import MIDNIGHT_US, add_quotes, local_lake
engine, lake, number = open_engine(sys.argv[1]), local_lake(Path(sys.argv[2])), 0
for line in sys.stdin:
    for _ in range(3):
        add_quotes(engine, [MIDNIGHT_US + number * 3_600_000_000, MIDNIGHT_US + number * 3_600_000_000 + 1])
        number += 1
        print(2 * number, flush=True)
        publish_history(lake, engine, PRICES, now=True)
        remove_published(lake, engine, PRICES, 2**62)
"""


def test_readers_see_each_row_once_while_another_process_moves_rows(
    warehouse: sa.Engine, data: Data, tmp_path: Path
) -> None:
    url = warehouse.url.render_as_string(hide_password=False)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KALSHI_")}
    with subprocess.Popen(
        [sys.executable, "-c", MOVER, url, str(tmp_path / "lake")],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as mover:
        assert mover.stdin is not None
        assert mover.stdout is not None
        reads = 0
        for _ in range(12):
            mover.stdin.write("go\n")
            mover.stdin.flush()
            for _ in range(3):
                stored = int(mover.stdout.readline())
                for _ in range(3):
                    found = times(data.price_history())
                    assert len(found) == len(set(found)), "a row was read twice"
                    assert len(found) >= stored, "a row was not read"
                    reads += 1
        mover.stdin.close()
        assert mover.wait(60) == 0
    assert reads == 108
    assert len(times(data.price_history())) == 72


def test_duckdb_views_span_sql_and_lake(warehouse: sa.Engine, data: Data, tmp_path: Path) -> None:
    add_quotes(warehouse, [MIDNIGHT_US, MIDNIGHT_US + HOUR])
    add_book(warehouse, MIDNIGHT_US)
    publish(warehouse, tmp_path)
    add_quotes(warehouse, [MIDNIGHT_US + 2 * HOUR, MIDNIGHT_US + DAY])
    database = data.duckdb()
    found = database.sql("SELECT count(*), count(DISTINCT observed_time), max(yes_bid) FROM price_history").fetchall()
    assert found == [(4, 4, Decimal("0.57"))]
    assert database.sql("SELECT side, contracts FROM orderbook_levels").fetchall() == [("yes", Decimal("343.49"))]
    joined = "SELECT m.ticker, q.yes_ask FROM markets m JOIN quotes q USING (ticker)"
    assert database.sql(joined).fetchall() == [(TICKER, Decimal("0.58"))]
    assert database.sql("SELECT observed_time FROM price_history ORDER BY 1 LIMIT 1").fetchall() == [
        (dt.datetime(2026, 11, 22, 5, tzinfo=dt.UTC),)
    ]


def test_duckdb_views_have_no_row_twice_after_rows_moved(warehouse: sa.Engine, data: Data, tmp_path: Path) -> None:
    add_quotes(warehouse, [MIDNIGHT_US])
    publish(warehouse, tmp_path)
    add_quotes(warehouse, [MIDNIGHT_US + HOUR, MIDNIGHT_US + DAY])
    add_book(warehouse, MIDNIGHT_US, "[[570000,100],[560000,200]]")
    database = data.duckdb()
    publish(warehouse, tmp_path)
    remove_published(local_lake(tmp_path / "lake"), warehouse, PRICES, 2**62)
    assert database.sql("SELECT count(*) FROM price_history").fetchall() == [(3,)]
    assert database.sql("SELECT count(*) FROM orderbook_levels").fetchall() == [(2,)]


def test_duckdb_queries_work_after_a_file_was_replaced(warehouse: sa.Engine, data: Data, tmp_path: Path) -> None:
    add_quotes(warehouse, [MIDNIGHT_US])
    publish(warehouse, tmp_path)
    database = data.duckdb()
    assert database.sql("SELECT count(*) FROM price_history").fetchall() == [(1,)]
    add_quotes(warehouse, range(MIDNIGHT_US + 1, MIDNIGHT_US + 3_000))
    publish(warehouse, tmp_path)
    assert database.sql("SELECT count(*), count(DISTINCT observed_time) FROM price_history").fetchall() == [
        (3_000,) * 2
    ]


def test_duckdb_views_exist_without_any_row(data: Data) -> None:
    database = data.duckdb()
    for view in ("price_history", "orderbook_levels"):
        assert database.sql(f"SELECT count(*) FROM {view}").fetchall() == [(0,)]
