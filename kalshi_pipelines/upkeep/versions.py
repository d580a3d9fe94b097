"""Records that changed after the clock of this computer went back: their time is before that of the lake's record.

The lake keeps the record with the later time, so it would keep the older record. The warehouse remembers the time of
the record that the lake has. A record of the warehouse with an earlier time was stored afterwards and is newer.
"""

import sqlalchemy as sa

from kalshi_pipelines.upkeep.archive_rows import last_recorded
from kalshi_pipelines.upkeep.inputs import ROWS_AT_ONCE, UpkeepInputs
from kalshi_pipelines.warehouse.bulk import wanted_keys
from kalshi_pipelines.warehouse.engine import writing
from kalshi_pipelines.warehouse.tables import markets, quotes, settlements


def correct_versions(inputs: UpkeepInputs, condition: sa.ColumnElement[bool]) -> str:
    """Let newer records of settled markets with an earlier time win over the lake's records.

    Args:
        inputs: The inputs of the task. In a dry run, the records are only counted.
        condition: A condition on ``settlements`` and ``markets``.

    Returns:
        A sentence that says how many there were; empty if there were none.
    """
    joined = settlements.join(markets, markets.c.ticker == settlements.c.ticker)
    joined = joined.outerjoin(quotes, quotes.c.ticker == settlements.c.ticker)
    is_before = settlements.c.archived_us > last_recorded(inputs.engine)
    query = sa.select(settlements.c.ticker).select_from(joined).where(condition, is_before)
    with inputs.engine.connect() as connection:
        tickers = list(connection.scalars(query))
    if not tickers:
        return ""
    for first in range(0, 0 if inputs.is_dry_run else len(tickers), ROWS_AT_ONCE):
        with writing(inputs.engine) as connection:
            some = sa.select(wanted_keys(tickers[first : first + ROWS_AT_ONCE], connection.dialect.name).c.value)
            after = settlements.c.archived_us + 1
            connection.execute(sa.update(settlements).where(settlements.c.ticker.in_(some)).values(recorded_us=after))
    sentence = (
        f"{len(tickers):,} had a time before that of its older record, because the clock of this computer went back"
    )
    inputs.report(f"settled markets: {sentence}")
    return sentence
