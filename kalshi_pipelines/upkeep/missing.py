"""Markets that the exchange neither lists nor archives leave the warehouse. From then on only the lake has them.

A sweep marks such a market with ``missing_since_us`` and asks for it again for a week. Some weeks later its last record
is published, the file is read back and must contain it, and only then the market is removed, unless there is a reason
to stay (see ``protection``). A market that comes back later is stored as a new one.
"""

import datetime as dt
from collections.abc import Mapping
from typing import Final

import sqlalchemy as sa

from kalshi_pipelines.lake.datasets import MISSING_MARKETS
from kalshi_pipelines.lake.publishing import hold_lake
from kalshi_pipelines.lake.removal import require_in_lake
from kalshi_pipelines.units import trading_day
from kalshi_pipelines.upkeep.archive_rows import IS_SETTLED, RememberedRows, last_seen, missing_markets
from kalshi_pipelines.upkeep.inputs import UpkeepInputs
from kalshi_pipelines.upkeep.protection import reasons_to_stay
from kalshi_pipelines.upkeep.removals import Removal
from kalshi_pipelines.warehouse.bulk import wanted_keys
from kalshi_pipelines.warehouse.engine import writing
from kalshi_pipelines.warehouse.tables import markets, orderbooks, quotes, settlements

#: Markets that are removed in one transaction.
MARKETS_AT_ONCE: Final = 1_000
_SOURCE: Final = "leaving the warehouse"


def remove_missing(inputs: UpkeepInputs) -> list[Removal]:
    """Remove markets that have been missing for long, and return what was removed."""
    days = inputs.retention.settled_days
    reasons = reasons_to_stay(inputs.protected(), inputs.engine.dialect.name)
    leaving = sa.and_(_is_long_missing(inputs), ~sa.or_(*reasons.values()))
    total, removed = _count(inputs, _IS_MISSING), _count(inputs, leaving)
    if not inputs.is_dry_run:
        removed = sum(_remove_markets_of(inputs, day, leaving) for day in _partitions(inputs, leaving))
    counts = {reason: _count(inputs, _is_long_missing(inputs) & condition) for reason, condition in reasons.items()}
    staying = ", ".join(f"{count:,} {reason}" for reason, count in counts.items() if count)
    note = f"older markets that stay: {staying}" if staying else ""
    return [Removal("missing markets", removed, total - removed, f"missing for more than {days} days", note)]


_IS_MISSING: Final = markets.c.missing_since_us.is_not(None)


def _is_long_missing(inputs: UpkeepInputs) -> sa.ColumnElement[bool]:
    unsaved = (
        sa.exists()
        .where(settlements.c.ticker == markets.c.ticker, IS_SETTLED, settlements.c.archived_us.is_(None))
        .correlate(markets)
    )
    return sa.and_(
        _IS_MISSING,
        markets.c.missing_since_us < inputs.before_us(inputs.retention.settled_days),
        markets.c.facts_digest.is_not(None),
        # A finalized market leaves as a settled one.
        markets.c.status != "finalized",
        ~unsaved,
    )


def _count(inputs: UpkeepInputs, condition: sa.ColumnElement[bool]) -> int:
    with inputs.engine.connect() as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(markets).where(condition)) or 0


def _partitions(inputs: UpkeepInputs, leaving: sa.ColumnElement[bool]) -> list[dt.date]:
    with inputs.engine.connect() as connection:
        return sorted(set(map(trading_day, connection.scalars(sa.select(markets.c.missing_since_us).where(leaving)))))


def _remove_markets_of(inputs: UpkeepInputs, day: dt.date, leaving: sa.ColumnElement[bool]) -> int:
    start_us, end_us = MISSING_MARKETS.bounds_of(day)
    inside = sa.and_(markets.c.missing_since_us >= start_us, markets.c.missing_since_us < end_us)
    rows = RememberedRows(missing_markets(inputs.engine, inside & leaving))
    with hold_lake(inputs.engine, inputs.lake.store, inputs.lake.environment) as writer:
        writer.publish(MISSING_MARKETS, {day: rows}, _SOURCE, now=True)
        # The rows that are remembered are those that were compared with the file.
        require_in_lake(writer, MISSING_MARKETS, day, rows)
    tickers = sorted(rows.versions)
    batches = [tickers[first : first + MARKETS_AT_ONCE] for first in range(0, len(tickers), MARKETS_AT_ONCE)]
    return sum(_remove_markets(inputs, batch, rows.versions, inside & leaving) for batch in batches)


def _remove_markets(
    inputs: UpkeepInputs, tickers: list[str], versions: Mapping[str, int], leaving: sa.ColumnElement[bool]
) -> int:
    """Remove markets in one transaction, except those that came back, changed or got a reason to stay."""
    with writing(inputs.engine) as connection:
        batch = sa.select(wanted_keys(tickers, connection.dialect.name).c.value)
        among = markets.c.ticker.in_(batch)
        connection.execute(sa.select(markets.c.ticker).where(among).order_by(markets.c.ticker).with_for_update()).all()
        joined = markets.outerjoin(quotes, quotes.c.ticker == markets.c.ticker)
        version = sa.select(markets.c.ticker, last_seen(inputs.engine)).select_from(joined).where(among, leaving)
        going = [ticker for ticker, seen_us in connection.execute(version) if seen_us == versions[ticker]]
        if going:
            keys = sa.select(wanted_keys(going, connection.dialect.name).c.value)
            for table in (quotes, orderbooks, settlements, markets):
                connection.execute(sa.delete(table).where(table.c.ticker.in_(keys)))
    return len(going)
