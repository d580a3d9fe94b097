"""Events that have no market any more leave the warehouse. From then on only the lake has them."""

import datetime as dt
from collections.abc import Mapping
from typing import Final

import sqlalchemy as sa

from kalshi_pipelines.lake.datasets import PAST_EVENTS
from kalshi_pipelines.lake.publishing import hold_lake
from kalshi_pipelines.lake.removal import require_in_lake
from kalshi_pipelines.lake.slots import start_of
from kalshi_pipelines.units import trading_day
from kalshi_pipelines.upkeep.archive_rows import RememberedRows, ended_us, past_events
from kalshi_pipelines.upkeep.inputs import UpkeepInputs
from kalshi_pipelines.upkeep.removals import Removal
from kalshi_pipelines.warehouse.bulk import wanted_keys
from kalshi_pipelines.warehouse.engine import writing
from kalshi_pipelines.warehouse.tables import events, markets, news_article_events, tracked_items

#: Events that are removed in one transaction.
EVENTS_AT_ONCE: Final = 1_000
_SOURCE: Final = "leaving the warehouse"


def remove_past_events(inputs: UpkeepInputs) -> list[Removal]:
    """Remove events that have no market any more, and return what was removed.

    Events whose strike is still to come stay, because their markets may not be listed yet.
    """
    days = inputs.retention.settled_days
    leaving = _leaves(inputs)
    with inputs.engine.connect() as connection:
        total = connection.scalar(sa.select(sa.func.count()).select_from(events)) or 0
        ends = list(connection.scalars(sa.select(ended_us()).where(leaving)))
    removed = len(ends)
    if not inputs.is_dry_run:
        removed = sum(_remove_events_of(inputs, day, leaving) for day in sorted(set(map(trading_day, ends))))
    return [Removal("events", removed, total - removed, f"without markets, and unchanged for {days} days")]


def _leaves(inputs: UpkeepInputs) -> sa.ColumnElement[bool]:
    columns, before = events.c, inputs.before_us(inputs.retention.settled_days)
    referring = (news_article_events.c.event_ticker, tracked_items.c.ticker, markets.c.event_ticker)
    return sa.and_(
        columns.record_digest.is_not(None),
        columns.recorded_us < before,
        sa.func.coalesce(columns.listed_us, 0) < before,
        sa.func.coalesce(columns.strike_date_us, 0) < before,
        sa.func.coalesce(columns.last_settlement_us, 0) < before,
        *[~sa.exists().where(column == columns.event_ticker).correlate(events) for column in referring],
    )


def _remove_events_of(inputs: UpkeepInputs, day: dt.date, leaving: sa.ColumnElement[bool]) -> int:
    inside = sa.and_(ended_us() >= start_of(day), ended_us() < start_of(day, 24))
    rows = RememberedRows(past_events(inputs.engine, sa.and_(inside, leaving)))
    with hold_lake(inputs.engine, inputs.lake.store, inputs.lake.environment) as writer:
        writer.publish(PAST_EVENTS, {day: rows}, _SOURCE, now=True)
        # The rows that are remembered are those that were compared with the file.
        require_in_lake(writer, PAST_EVENTS, day, rows)
    tickers = sorted(rows.versions)
    batches = [tickers[first : first + EVENTS_AT_ONCE] for first in range(0, len(tickers), EVENTS_AT_ONCE)]
    return sum(_remove_events(inputs, batch, rows.versions, leaving) for batch in batches)


def _remove_events(
    inputs: UpkeepInputs, tickers: list[str], versions: Mapping[str, int], leaving: sa.ColumnElement[bool]
) -> int:
    """Remove events in one transaction, except those that changed or got a market since the proof."""
    with writing(inputs.engine) as connection:
        batch = sa.select(wanted_keys(tickers, connection.dialect.name).c.value)
        among = events.c.event_ticker.in_(batch)
        locked = sa.select(events.c.event_ticker).where(among).order_by(events.c.event_ticker)
        connection.execute(locked.with_for_update()).all()
        rows = connection.execute(sa.select(events.c.event_ticker, events.c.recorded_us).where(among, leaving))
        going = [ticker for ticker, recorded_us in rows if recorded_us == versions[ticker]]
        if going:
            keys = sa.select(wanted_keys(going, connection.dialect.name).c.value)
            connection.execute(sa.delete(events).where(events.c.event_ticker.in_(keys)))
    return len(going)
