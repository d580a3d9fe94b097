"""The database itself refuses illegal rows, however they arrive."""

from typing import Any

import pytest
import sqlalchemy as sa

from kalshi_pipelines.warehouse import tables
from kalshi_pipelines.warehouse.engine import writing
from kalshi_pipelines_tests.warehouse.rows import LEGAL, fill

ILLEGAL: list[tuple[sa.Table, str, Any]] = [
    (tables.ingest_runs, "subject", "weather"),
    (tables.ingest_runs, "environment", "production"),
    (tables.ingest_runs, "status", "done"),
    (tables.ingest_runs, "records_read", 5),
    (tables.ingest_runs, "pages", -1),
    (tables.ingest_runs, "finished_us", 5),
    (tables.series, "fee_type", "cubic"),
    (tables.series, "title", None),
    (tables.series, "is_placeholder", True),
    (tables.series, "ingest_run_id", 99),
    (tables.events, "series_ticker", "KXUNKNOWN"),
    (tables.events, "series_ticker", None),
    (tables.events, "fee_type_override", "cubic"),
    (tables.markets, "status", "open"),
    (tables.markets, "result", "maybe"),
    (tables.markets, "market_type", "ternary"),
    (tables.markets, "settlement_bounds_type", "ceiling"),
    (tables.markets, "event_ticker", "KXUNKNOWN-1"),
    (tables.markets, "yes_bid_microdollars", 1_000_001),
    (tables.markets, "yes_ask_microdollars", -1),
    (tables.markets, "yes_bid_microdollars", "0.57"),
    (tables.markets, "yes_bid_microdollars", 0.57),
    (tables.markets, "open_interest_centicontracts", -1),
    (tables.markets, "close_time_us", None),
    (tables.price_snapshots, "yes_bid_microdollars", 1_000_001),
    (tables.price_snapshots, "volume_centicontracts", -1),
    (tables.price_snapshots, "ticker", "KXUNKNOWN-1-A"),
    (tables.orderbook_snapshots, "best_yes_bid_size_centicontracts", None),
    (tables.orderbook_snapshots, "best_yes_bid_microdollars", 2_000_000),
    (tables.orderbook_snapshots, "no_depth_centicontracts", -1),
    (tables.orderbook_snapshots, "ticker", "KXUNKNOWN-1-A"),
    (tables.quarantine, "reason", None),
    (tables.watermarks, "ingest_run_id", 99),
]

#: A row that is only refused as a duplicate would prove nothing.
REFUSAL = "CHECK constraint|FOREIGN KEY constraint|NOT NULL constraint|cannot store"


@pytest.mark.parametrize("verb", ["INSERT", "INSERT OR REPLACE", "UPDATE"])
@pytest.mark.parametrize(("table", "column", "value"), ILLEGAL, ids=lambda part: str(getattr(part, "name", part)))
def test_an_illegal_value_is_refused(engine: sa.Engine, verb: str, table: sa.Table, column: str, value: Any) -> None:
    fill(engine, before=table if verb == "INSERT" else None)
    illegal = LEGAL[table] | {column: value}
    if verb == "UPDATE":
        statement, values = f"UPDATE {table.name} SET {column} = ?", (value,)
    else:
        names = ", ".join(illegal)
        statement = f"{verb} INTO {table.name} ({names}) VALUES ({', '.join('?' * len(illegal))})"
        values = tuple(illegal.values())
    with pytest.raises(sa.exc.IntegrityError, match=REFUSAL), writing(engine) as connection:
        connection.exec_driver_sql(statement, values)


def test_rows_of_a_parent_can_not_be_orphaned(engine: sa.Engine) -> None:
    fill(engine)
    with pytest.raises(sa.exc.IntegrityError), writing(engine) as connection:
        connection.execute(sa.delete(tables.markets))


def test_the_legal_rows_are_legal(engine: sa.Engine) -> None:
    fill(engine)
    with engine.connect() as connection:
        for table in LEGAL:
            assert connection.scalar(sa.select(sa.func.count()).select_from(table)) == 1
