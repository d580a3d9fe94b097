"""Settled markets that come back after they left the warehouse, such as markets with an amended settlement.

The lake has a record of such a market already, in the partition of the day on which the market settled first. The
newer record must replace that one, so its partition is looked up before the market is archived again.
"""

import datetime as dt
from collections.abc import Mapping
from typing import Final

import sqlalchemy as sa

from kalshi_pipelines.lake.datasets import SETTLED_MARKETS
from kalshi_pipelines.lake.lake import Lake
from kalshi_pipelines.lake.reading import RowSelection, read_file
from kalshi_pipelines.settings import LEAST_SETTLED_DAYS
from kalshi_pipelines.units import DAY_US, trading_day
from kalshi_pipelines.upkeep.days import day_number
from kalshi_pipelines.upkeep.inputs import ROWS_AT_ONCE
from kalshi_pipelines.warehouse.engine import writing
from kalshi_pipelines.warehouse.tables import markets, settlements

#: A market that comes back was created at least this long before it is seen again: it settled after its creation, and
#: then stayed in the warehouse for at least this time.
_LEAST_AGE_US: Final = LEAST_SETTLED_DAYS * DAY_US
_TICKER: Final = SETTLED_MARKETS.key[0]


def earlier_partitions(lake: Lake, engine: sa.Engine) -> Mapping[str, dt.date]:
    """Return the partitions of settled markets that the lake has, and the warehouse takes for new.

    Only the tickers of files are read, of days on which such a market can have settled before: after its creation, and
    before it was seen again. Most markets are seen soon after their creation and need no look into the lake.

    Raises:
        LakeFileChanged: A file of the manifest is missing or different.
        LakeUnavailable: The lake cannot be read.
    """
    spans = _possible_days(engine)
    found: dict[str, dt.date] = {}
    if not spans:
        return found
    for file in lake.files(engine, SETTLED_MARKETS):
        day = file.slot.day
        wanted = [ticker for ticker, (first, last) in spans.items() if first <= day <= last]
        if wanted:
            selection = RowSelection(SETTLED_MARKETS, None, None, wanted, [_TICKER])
            for batch in read_file(lake, engine, file, selection):
                found |= dict.fromkeys(batch.column(_TICKER).to_pylist(), day)
    return found


def remember_earlier_partitions(lake: Lake, engine: sa.Engine) -> None:
    """Let markets that came back be archived in the partitions that have their earlier records."""
    found = earlier_partitions(lake, engine)
    statement = (
        sa.update(settlements)
        .where(settlements.c.ticker == sa.bindparam("key"), settlements.c.archived_day.is_(None))
        .values(archived_day=sa.bindparam("number"))
    )
    values = [{"key": ticker, "number": day_number(day)} for ticker, day in found.items()]
    for first in range(0, len(values), ROWS_AT_ONCE):
        with writing(engine) as connection:
            connection.execute(statement, values[first : first + ROWS_AT_ONCE])


def _possible_days(engine: sa.Engine) -> dict[str, tuple[dt.date, dt.date]]:
    """Return the first and the last day on which a market that looks new can have settled before, by ticker."""
    left_us = markets.c.first_seen_us - _LEAST_AGE_US
    rows = (
        sa.select(settlements.c.ticker, markets.c.created_time_us, left_us)
        .join(markets, markets.c.ticker == settlements.c.ticker)
        .where(settlements.c.archived_us.is_(None), settlements.c.archived_day.is_(None))
        .where(markets.c.created_time_us <= left_us)
    )
    with engine.connect().execution_options(yield_per=ROWS_AT_ONCE) as connection:
        return {
            ticker: (trading_day(created_us), trading_day(last_us))
            for ticker, created_us, last_us in connection.execute(rows)
        }
