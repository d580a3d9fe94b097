"""Archiving: whole records of settled markets go to the lake soon after settlement, and again if they change.

An archived market stays in the warehouse until it leaves (see ``leaving``). A market keeps the partition of its first
archiving, so that a corrected settlement time never makes a second row. That also holds for a market that comes back
after it left (see ``returning``).
"""

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Final

import sqlalchemy as sa

from kalshi_pipelines.lake.datasets import SETTLED_MARKETS
from kalshi_pipelines.lake.publishing import hold_lake
from kalshi_pipelines.lake.slots import start_of
from kalshi_pipelines.units import trading_day
from kalshi_pipelines.upkeep.archive_rows import IS_SETTLED, RememberedRows, last_recorded, settled_markets
from kalshi_pipelines.upkeep.days import day_number, day_of_number
from kalshi_pipelines.upkeep.inputs import ROWS_AT_ONCE, UpkeepInputs
from kalshi_pipelines.upkeep.removals import Removal
from kalshi_pipelines.upkeep.returning import remember_earlier_partitions
from kalshi_pipelines.upkeep.versions import correct_versions
from kalshi_pipelines.warehouse.engine import writing
from kalshi_pipelines.warehouse.tables import UNSETTLED, markets, quotes, settlements

#: Days after settlement during which changed records are archived each night. Later changes are archived when the
#: market leaves the warehouse.
DAYS_OF_CHANGES: Final = 7
_SOURCE: Final = "archiving"


def archive_settled(inputs: UpkeepInputs) -> list[Removal]:
    """Publish the records of settled markets that the lake does not have yet, or has in an older version."""
    if not inputs.is_dry_run:
        remember_earlier_partitions(inputs.lake, inputs.engine)
    corrected = correct_versions(inputs, _is_recent(inputs))
    pending = _pending_days(inputs)
    written = 0
    if not inputs.is_dry_run:
        for day in sorted(pending):
            written += _archive_day(inputs, day)
            inputs.report(f"archived {written:,} of {sum(pending.values()):,} settled markets")
    with inputs.engine.connect() as connection:
        total = connection.scalar(sa.select(sa.func.count()).select_from(settlements)) or 0
    waiting = sum(pending.values()) - written
    note = f"{sum(pending.values()):,} would be archived" if inputs.is_dry_run and pending else ""
    if waiting and not inputs.is_dry_run:
        note = f"{waiting:,} wait, because a large file of the lake is replaced at most once an hour"
    joined = "; ".join(each for each in (note, corrected) if each)
    return [
        Removal("settled markets archived", 0, total, "copied to the lake after settlement; nothing leaves", joined)
    ]


def in_partition(day: dt.date) -> sa.ColumnElement[bool]:
    """Return the condition that a settlement belongs to the partition of a day."""
    columns = settlements.c
    is_new = columns.archived_day.is_(None)
    inside = sa.and_(columns.settled_us >= start_of(day), columns.settled_us < start_of(day, 24))
    return sa.or_(columns.archived_day == day_number(day), sa.and_(is_new, inside))


def _is_new() -> sa.ColumnElement[bool]:
    return sa.and_(settlements.c.archived_us.is_(None), IS_SETTLED)


def _is_recent(inputs: UpkeepInputs) -> sa.ColumnElement[bool]:
    return settlements.c.settled_us >= inputs.before_us(DAYS_OF_CHANGES)


def _is_changed(inputs: UpkeepInputs) -> sa.ColumnElement[bool]:
    return sa.and_(_is_recent(inputs), settlements.c.archived_us < last_recorded(inputs.engine))


def _is_taken_back(inputs: UpkeepInputs) -> sa.ColumnElement[bool]:
    """Return the condition that the lake claims a settlement which the exchange has taken back long afterwards."""
    is_older = settlements.c.archived_us < last_recorded(inputs.engine)
    return sa.and_(UNSETTLED, ~IS_SETTLED, ~_is_recent(inputs), is_older)


def _pending_days(inputs: UpkeepInputs) -> Mapping[dt.date, int]:
    """Return the partitions that have something to archive, with the number of markets of each."""
    joined = settlements.join(markets, markets.c.ticker == settlements.c.ticker)
    joined = joined.outerjoin(quotes, quotes.c.ticker == settlements.c.ticker)
    columns = (settlements.c.settled_us, settlements.c.archived_day)
    # Several selects: the first and the last have an index, and the second looks up the markets of recent settlements
    # only. One select with OR would look up every settled market.
    conditions = (_is_new(), _is_changed(inputs), _is_taken_back(inputs))
    parts = [sa.select(*columns).select_from(joined).where(each) for each in conditions]
    rows = sa.union_all(*parts)
    found: dict[dt.date, int] = {}
    with inputs.engine.connect().execution_options(yield_per=ROWS_AT_ONCE) as connection:
        for settled_us, number in connection.execute(rows):
            day = trading_day(settled_us) if number is None else day_of_number(number)
            found[day] = found.get(day, 0) + 1
    return found


def _archive_day(inputs: UpkeepInputs, day: dt.date) -> int:
    """Publish the pending markets of a day, then remember which version of each was published."""
    is_pending = sa.or_(_is_new(), _is_changed(inputs), _is_taken_back(inputs))
    rows = RememberedRows(settled_markets(inputs.engine, in_partition(day) & is_pending))
    with hold_lake(inputs.engine, inputs.lake.store, inputs.lake.environment) as writer:
        published = writer.publish(SETTLED_MARKETS, {day: rows}, _SOURCE, now=False)
    if published.deferred_days:
        return 0
    remember_archived(inputs.engine, day, rows.versions)
    return len(rows.versions)


def archive_again(engine: sa.Engine, days: Iterable[dt.date]) -> None:
    """Let the next upkeep archive the markets of some days again, because the lake has lost the files of these days."""
    numbers = sorted({day_number(day) for day in days})
    for first in range(0, len(numbers), ROWS_AT_ONCE):
        lost = settlements.c.archived_day.in_(numbers[first : first + ROWS_AT_ONCE])
        with writing(engine) as connection:
            connection.execute(sa.update(settlements).where(lost).values(archived_day=None, archived_us=None))


def remember_archived(engine: sa.Engine, day: dt.date, versions: Mapping[str, int]) -> None:
    """Record in which partition, and in which version, the lake has the records of markets."""
    statement = (
        sa.update(settlements)
        .where(settlements.c.ticker == sa.bindparam("key"))
        .values(archived_day=day_number(day), archived_us=sa.bindparam("version"))
    )
    values = [{"key": ticker, "version": version} for ticker, version in versions.items()]
    for first in range(0, len(values), ROWS_AT_ONCE):
        with writing(engine) as connection:
            connection.execute(statement, values[first : first + ROWS_AT_ONCE])
