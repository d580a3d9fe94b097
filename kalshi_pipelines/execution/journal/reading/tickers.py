"""The markets that a journal names."""

import sqlalchemy as sa

from kalshi_pipelines.execution.journal.engine import explain_failures
from kalshi_pipelines.execution.journal.errors import JournalMissing
from kalshi_pipelines.execution.journal.migrations import journal_revision, require_journal_head
from kalshi_pipelines.execution.journal.tables import metadata


def named_tickers(engine: sa.Engine) -> frozenset[str]:
    """Return the tickers of all markets that were ever proposed, ordered, filled, posted, fenced or swept.

    A journal that was never set up names none.

    Raises:
        JournalOutdated: The journal has another schema than this code needs.
        JournalUnavailable: The journal cannot be read.
    """
    try:
        if journal_revision(engine) is None:
            return frozenset()
    except JournalMissing:
        return frozenset()
    require_journal_head(engine)
    columns = [table.c.ticker for table in metadata.sorted_tables if "ticker" in table.c]
    with explain_failures(engine), engine.connect() as connection:
        return frozenset(connection.scalars(sa.union(*map(sa.select, columns))))
