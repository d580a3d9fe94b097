"""Settled markets leave the warehouse. From then on only the lake has them.

A market leaves some weeks after its settlement, unless there is a reason to stay (see ``protection``). Its record is
published once more, the file is read back and must contain it, and only then the market is removed together with its
quote, its newest orderbook and its settlement, in one transaction a batch.
"""

import datetime as dt
from collections.abc import Mapping
from typing import Any, Final

import sqlalchemy as sa

from kalshi_pipelines.lake.datasets import SETTLED_MARKETS
from kalshi_pipelines.lake.publishing import hold_lake
from kalshi_pipelines.lake.removal import require_in_lake
from kalshi_pipelines.units import trading_day
from kalshi_pipelines.upkeep.archive_rows import RememberedRows, last_recorded, settled_markets
from kalshi_pipelines.upkeep.archiving import in_partition, remember_archived
from kalshi_pipelines.upkeep.days import day_of_number
from kalshi_pipelines.upkeep.inputs import UpkeepInputs
from kalshi_pipelines.upkeep.protection import reasons_to_stay
from kalshi_pipelines.upkeep.removals import Removal
from kalshi_pipelines.upkeep.returning import remember_earlier_partitions
from kalshi_pipelines.upkeep.versions import correct_versions
from kalshi_pipelines.warehouse.bulk import wanted_keys
from kalshi_pipelines.warehouse.engine import writing
from kalshi_pipelines.warehouse.tables import events, markets, orderbooks, quotes, settlements

#: Markets that are removed in one transaction.
MARKETS_AT_ONCE: Final = 1_000
_SOURCE: Final = "leaving the warehouse"


def remove_settled(inputs: UpkeepInputs) -> list[Removal]:
    """Remove settled markets that only the lake has to keep, and return what was removed."""
    days = inputs.retention.settled_days
    reasons = reasons_to_stay(inputs.protected(), inputs.engine.dialect.name)
    leaving = sa.and_(_is_old(inputs), markets.c.status == "finalized", ~sa.or_(*reasons.values()))
    corrected = correct_versions(inputs, leaving)
    removed = _count(inputs, leaving)
    if not inputs.is_dry_run:
        removed = 0
        remember_earlier_partitions(inputs.lake, inputs.engine)
        for day in _partitions(inputs, leaving):
            removed += _remove_markets_of(inputs, day, leaving)
            inputs.report(f"{removed:,} settled markets have left the warehouse")
    kept = _count(inputs, sa.true()) - (removed if inputs.is_dry_run else 0)
    note = "; ".join(each for each in (_why_others_stay(inputs, reasons), corrected) if each)
    return [Removal("settled markets", removed, kept, f"settled more than {days} days ago", note)]


def _is_old(inputs: UpkeepInputs) -> sa.ColumnElement[bool]:
    before_us = inputs.before_us(inputs.retention.settled_days)
    # The time of the market is the same. It is named, too, because only markets have an index of these times.
    return sa.and_(settlements.c.settled_us < before_us, markets.c.settlement_time_us < before_us)


def _settled() -> Any:  # noqa: ANN401  # SQLAlchemy's joins have no public common type
    return settlements.join(markets, markets.c.ticker == settlements.c.ticker)


def _count(inputs: UpkeepInputs, condition: sa.ColumnElement[bool]) -> int:
    with inputs.engine.connect() as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(_settled()).where(condition)) or 0


def _why_others_stay(inputs: UpkeepInputs, reasons: Mapping[str, sa.ColumnElement[bool]]) -> str:
    counts = {reason: _count(inputs, sa.and_(_is_old(inputs), condition)) for reason, condition in reasons.items()}
    sentence = ", ".join(f"{count:,} {reason}" for reason, count in counts.items() if count)
    return f"older markets that stay: {sentence}" if sentence else ""


def _partitions(inputs: UpkeepInputs, leaving: sa.ColumnElement[bool]) -> list[dt.date]:
    rows = sa.select(settlements.c.settled_us, settlements.c.archived_day).select_from(_settled()).where(leaving)
    with inputs.engine.connect() as connection:
        found = {
            trading_day(settled_us) if number is None else day_of_number(number)
            for settled_us, number in connection.execute(rows)
        }
    return sorted(found)


def _remove_markets_of(inputs: UpkeepInputs, day: dt.date, leaving: sa.ColumnElement[bool]) -> int:
    rows = RememberedRows(settled_markets(inputs.engine, in_partition(day) & leaving))
    with hold_lake(inputs.engine, inputs.lake.store, inputs.lake.environment) as writer:
        writer.publish(SETTLED_MARKETS, {day: rows}, _SOURCE, now=True)
        # The rows that are remembered are those that were compared with the file.
        require_in_lake(writer, SETTLED_MARKETS, day, rows)
    remember_archived(inputs.engine, day, rows.versions)
    tickers = sorted(rows.versions)
    batches = [tickers[first : first + MARKETS_AT_ONCE] for first in range(0, len(tickers), MARKETS_AT_ONCE)]
    return sum(_remove_markets(inputs, batch, leaving) for batch in batches)


def _remove_markets(inputs: UpkeepInputs, tickers: list[str], leaving: sa.ColumnElement[bool]) -> int:
    """Remove markets in one transaction, except those that changed or got a reason to stay since the proof."""
    with writing(inputs.engine) as connection:
        batch = sa.select(wanted_keys(tickers, connection.dialect.name).c.value)
        locked = sa.select(markets.c.ticker).where(markets.c.ticker.in_(batch)).order_by(markets.c.ticker)
        connection.execute(locked.with_for_update()).all()
        unchanged = settlements.c.archived_us == last_recorded(inputs.engine)
        joined = _settled().outerjoin(quotes, quotes.c.ticker == settlements.c.ticker)
        going = list(
            connection.scalars(
                sa.select(markets.c.ticker).select_from(joined).where(markets.c.ticker.in_(batch), leaving, unchanged)
            )
        )
        if going:
            keys = sa.select(wanted_keys(going, connection.dialect.name).c.value)
            _remember_settlements(connection, keys)
            for table in (quotes, orderbooks, settlements, markets):
                connection.execute(sa.delete(table).where(table.c.ticker.in_(keys)))
    return len(going)


def _remember_settlements(connection: sa.Connection, tickers: sa.Select[Any]) -> None:
    """Record in the events of markets that leave when their last market settled."""
    last = (
        sa.select(sa.func.max(settlements.c.settled_us))
        .select_from(_settled())
        .where(markets.c.event_ticker == events.c.event_ticker, markets.c.ticker.in_(tickers))
        .correlate(events)
        .scalar_subquery()
    )
    of_markets = sa.select(markets.c.event_ticker).where(markets.c.ticker.in_(tickers))
    newer = sa.or_(events.c.last_settlement_us.is_(None), events.c.last_settlement_us < last)
    connection.execute(
        sa.update(events).where(events.c.event_ticker.in_(of_markets), newer).values(last_settlement_us=last)
    )
