"""The benchmarks that run in a process of their own, so that each has its own peak memory.

The minimal program downloads the same pages, parses them with orjson, and upserts every field unchanged. Its table has
no constraints, and it uses one prepared statement per page.
"""

import json
import resource
import sqlite3
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import orjson
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from kalshi_pipelines.bookkeeping.runs import Counts
from kalshi_pipelines.ingest.sweeps import ALL_STATUSES, IngestInputs, ingest_events, ingest_markets, ingest_orderbooks
from kalshi_pipelines.kalshi.client import KalshiClient
from kalshi_pipelines.kalshi.records import Market
from kalshi_pipelines.settings import Environment, Settings
from kalshi_pipelines.warehouse import tables
from kalshi_pipelines.warehouse.adoption.adopt import adopt
from kalshi_pipelines.warehouse.bulk import BulkWrite, Row, write_rows
from kalshi_pipelines.warehouse.engine import open_engine, sqlite_driver, writing
from kalshi_pipelines.warehouse.inspection import read_only
from kalshi_pipelines.warehouse.migrations import migration_transaction
from kalshi_pipelines_tests.support.migrated import upgrade_to_head
from kalshi_pipelines_tests.support.postgres import running_cluster
from kalshi_pipelines_tests.support.warehouse.legacy import make_legacy_database
from kalshi_pipelines_tests.support.warehouse.rows import LEGAL, fill
from kalshi_pipelines_tests.tools.benchmarks import history
from kalshi_pipelines_tests.tools.benchmarks.order_flow import order_round_trips
from kalshi_pipelines_tests.tools.history_trial.tape import TapeOptions

#: Number of rows overwritten in Postgres, and number of rows per transaction. An ingest's transactions have this size.
POSTGRES_MARKETS, PAGE = 50_000, 1_000
FIELDS = Market.__struct_fields__
COLUMNS = ", ".join(f'"{name}"' for name in FIELDS)
UPSERT = (
    f"INSERT INTO markets ({COLUMNS}) VALUES ({', '.join('?' * len(FIELDS))}) ON CONFLICT (ticker) DO UPDATE SET "
    + ", ".join(f'"{name}" = excluded."{name}"' for name in FIELDS if name != "ticker")
)

OLD_DATABASE = "old.db"
COPY_QUOTES = """
INSERT INTO main.price_snapshots (
    price_snapshot_id, ticker, observed_us, ingest_run_id, yes_bid_microdollars, yes_ask_microdollars,
    no_bid_microdollars, no_ask_microdollars, last_price_microdollars, volume_centicontracts,
    open_interest_centicontracts, volume_24h_centicontracts
)
SELECT id, trim(ticker), strftime('%s', substr(snapshot_time, 1, 19)) * 1000000 + substr(snapshot_time, 21, 6), 1,
       yes_bid * 10000, yes_ask * 10000, no_bid * 10000, no_ask * 10000, last_price * 10000,
       volume * 100, open_interest * 100, volume_24h * 100
FROM old.price_snapshots
"""


@dataclass(frozen=True)
class Measured:
    """Figures of one benchmark, from the first request to the last commit.

    Attributes:
        rows: Rows read.
        seconds: Seconds that passed.
        peak_mb: Peak memory of the process.
        cpu: Seconds of the processor in the process. They vary less than ``seconds`` on a machine that others use, too.
    """

    rows: int
    seconds: float
    peak_mb: float
    cpu: float = 0.0


def minimal(url: str, folder: Path) -> Measured:
    """Download, parse and upsert markets without checks."""
    connection = sqlite3.connect(folder / "minimal.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    types = COLUMNS.replace('"ticker"', '"ticker" PRIMARY KEY')
    connection.execute(f"CREATE TABLE IF NOT EXISTS markets ({types})")
    rows = 0
    started, processor = time.perf_counter(), time.process_time()
    with httpx.Client(base_url=url) as client:
        for status in ALL_STATUSES:
            cursor = None
            while cursor != "":
                params: dict[str, Any] = {"limit": 1000, "status": status, "mve_filter": "exclude"}
                if cursor:
                    params["cursor"] = cursor
                page = orjson.loads(client.get("/markets", params=params).content)
                connection.execute("BEGIN")
                connection.executemany(UPSERT, [_values(market) for market in page["markets"]])
                connection.execute("COMMIT")
                rows += len(page["markets"])
                cursor = page["cursor"]
    seconds, cpu = time.perf_counter() - started, time.process_time() - processor
    connection.close()
    return _measured(rows, seconds, cpu)


def _values(market: dict[str, Any]) -> list[Any]:
    values = [market.get(name) for name in FIELDS]
    return [orjson.dumps(value) if isinstance(value, dict | list) else value for value in values]


def markets(url: str, folder: Path) -> Measured:
    """Ingest markets with their price snapshots into a warehouse."""
    return _ingest(url, folder, "prestige", lambda inputs: ingest_markets(inputs).counts)


def markets_unchecked(url: str, folder: Path) -> Measured:
    """Ingest markets with their price snapshots, without comparing records with the contracts."""
    return _ingest(
        url, folder, "prestige", lambda inputs: ingest_markets(replace(inputs, checks_contracts=False)).counts
    )


def events(url: str, folder: Path) -> Measured:
    """Ingest events, which the nightly job reads before markets."""
    return _ingest(url, folder, "prestige", lambda inputs: ingest_events(inputs).counts)


def orderbooks(url: str, folder: Path) -> Measured:
    """Read all orderbooks on a basic rate budget."""
    return _ingest(url, folder, "basic", lambda inputs: ingest_orderbooks(inputs).counts)


def postgres_copy(url: str, folder: Path) -> Measured:
    """Overwrite many markets in Postgres as an ingest does. No exchange is needed."""
    return _overwrite_in_postgres(write_rows)


def postgres_executemany(url: str, folder: Path) -> Measured:
    """Overwrite many markets in Postgres by the simplest statement: an upsert that is executed for each row."""

    def upsert(connection: sa.Connection, write: BulkWrite, rows: list[Row]) -> None:
        insert = postgresql.insert(write.table)
        changed = {name: insert.excluded[name] for name in write.columns if name != "ticker"}
        statement = insert.on_conflict_do_update(index_elements=["ticker"], set_=changed)
        connection.execute(statement, [dict(zip(write.columns, row, strict=True)) for row in rows])

    return _overwrite_in_postgres(upsert)


def _overwrite_in_postgres(overwrite: Callable[[sa.Connection, BulkWrite, list[Row]], object]) -> Measured:
    values = dict(LEGAL[tables.markets])
    write = BulkWrite(tables.markets, tuple(values))
    seconds = 0.0
    with running_cluster() as cluster, cluster.database() as name:
        engine = open_engine(cluster.url(name))
        upgrade_to_head(engine)
        fill(engine, before=tables.markets)
        for volume in range(2):
            started = time.perf_counter()
            for first in range(0, POSTGRES_MARKETS, PAGE):
                page = range(first, first + PAGE)
                changed = [values | {"ticker": f"KX-{number}", "settlement_timer_seconds": volume} for number in page]
                with writing(engine) as connection:
                    overwrite(connection, write, [tuple(each.values()) for each in changed])
            seconds = time.perf_counter() - started
        with engine.connect() as connection:
            (stored,) = connection.execute(
                sa.select(sa.func.count(), sa.func.min(tables.markets.c.settlement_timer_seconds))
            )
        engine.dispose()
    if tuple(stored) != (POSTGRES_MARKETS, 1):
        raise SystemExit(f"Some rows were not overwritten: {stored}")
    return _measured(POSTGRES_MARKETS, seconds)


def _ingest(url: str, folder: Path, tier: str, sweep: Callable[[IngestInputs], Counts]) -> Measured:
    engine = open_engine(f"sqlite:///{folder / 'warehouse.db'}")
    upgrade_to_head(engine)
    settings = Settings.from_environment().model_copy(update={"rate_tier": tier})
    with KalshiClient.from_settings(settings, engine, url=url) as client:
        started, processor = time.perf_counter(), time.process_time()
        counts = sweep(IngestInputs(client, engine, Environment.SANDBOX))
        seconds, cpu = time.perf_counter() - started, time.process_time() - processor
    engine.dispose()
    return _measured(counts.read, seconds, cpu)


def old_database(snapshots: str, folder: Path) -> Measured:
    """Make a database of the older tool with a number of quotes. Its figures are not reported."""
    started = time.perf_counter()
    made = make_legacy_database(folder / OLD_DATABASE, snapshots=int(snapshots), markets=1_000, bad_rows=False)
    return _measured(made.rows["price_snapshots"], time.perf_counter() - started)


def adoption(_snapshots: str, folder: Path) -> Measured:
    """Adopt an old database into a new warehouse, from the first row to the commit."""
    engine = open_engine(f"sqlite:///{folder / 'warehouse.db'}")
    upgrade_to_head(engine)
    with read_only(folder / OLD_DATABASE) as old:
        started = time.perf_counter()
        with migration_transaction(engine) as connection:
            report = adopt(old, connection, lambda _progress: None)
        seconds = time.perf_counter() - started
    engine.dispose()
    return _measured(next(table.stored for table in report.tables if table.name == "price_snapshots"), seconds)


def minimal_adoption(_snapshots: str, folder: Path) -> Measured:
    """Copy quotes of an old database by one SQLite statement, with an adoption's arithmetic but without checks."""
    engine = open_engine(f"sqlite:///{folder / 'minimal.db'}")
    upgrade_to_head(engine)
    with engine.connect() as connection:
        driver = sqlite_driver(connection)  # this connection has the cache size and WAL of a warehouse
        driver.execute("PRAGMA foreign_keys = OFF")
        driver.execute("DROP TRIGGER write_guard_price_snapshots_insert")
        driver.execute("ATTACH ? AS old", (str(folder / OLD_DATABASE),))
        started = time.perf_counter()
        driver.execute("BEGIN")
        rows = driver.execute(COPY_QUOTES).rowcount
        driver.execute("COMMIT")
        seconds = time.perf_counter() - started
    engine.dispose()
    return _measured(rows, seconds)


def _measured(rows: int, seconds: float, cpu: float = 0.0) -> Measured:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    kilobyte = 1024 if sys.platform == "darwin" else 1
    return Measured(rows, seconds, peak / kilobyte / 1024, cpu)


def orders(resting: str, _folder: Path) -> Measured:
    """Send order requests to an in-process sandbox whose orderbook already holds ``resting`` orders."""
    return _measured(*order_round_trips(int(resting)))


def history_floor(url: str, folder: Path) -> Measured:
    """Download, parse and write a day of trades without checks."""
    return _timed(lambda: history.floor(url, folder))


def history_ingest(url: str, folder: Path) -> Measured:
    """Read a day of trades into a lake."""
    return _timed(lambda: history.ingest(url, folder))


def history_range(url: str, folder: Path) -> Measured:
    """Read all days of a tape into a lake. The text begins with the tape's days and trades."""
    days, trades, address = url.split(",")
    options = TapeOptions(days=int(days), trades=int(trades))
    return _timed(lambda: history.read_range(options, address, folder))


def _timed(work: Callable[[], int]) -> Measured:
    started, processor = time.perf_counter(), time.process_time()
    rows = work()
    return _measured(rows, time.perf_counter() - started, time.process_time() - processor)


WORK = {
    "history_floor": history_floor,
    "history_ingest": history_ingest,
    "history_range": history_range,
    "orders": orders,
    "minimal": minimal,
    "events": events,
    "markets": markets,
    "markets_unchecked": markets_unchecked,
    "orderbooks": orderbooks,
    "postgres_copy": postgres_copy,
    "postgres_executemany": postgres_executemany,
    "old_database": old_database,
    "adoption": adoption,
    "minimal_adoption": minimal_adoption,
}


def main() -> None:
    """Run one benchmark and print its figures as JSON.

    ``python -m kalshi_pipelines_tests.tools.benchmarks.work NAME URL_OR_SIZE FOLDER``
    """
    name, url, folder = sys.argv[1:]
    print(json.dumps(asdict(WORK[name](url, Path(folder)))))


if __name__ == "__main__":
    main()
