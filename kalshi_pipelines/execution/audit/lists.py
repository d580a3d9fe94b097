"""Check the lists of words that other tables refer to: transitions of orders, kinds of record, and codes of denials.

A word that somebody added to a list would let the journal store what this program never writes. A missing word would
make the journal refuse a record.
"""

from collections.abc import Iterator
from typing import Final

import sqlalchemy as sa

from kalshi_pipelines.execution.journal.tables import AUDIT_KINDS, audit_kinds, denial_reasons, legal_transitions
from kalshi_pipelines.execution.orders.denials import DenialReason
from kalshi_pipelines.execution.orders.states import LEGAL_TRANSITIONS

_LISTS: Final[tuple[tuple[sa.Table, frozenset[tuple[str, ...]]], ...]] = (
    (
        legal_transitions,
        frozenset((before.value, after.value) for before, later in LEGAL_TRANSITIONS.items() for after in later),
    ),
    (audit_kinds, frozenset((kind,) for kind in AUDIT_KINDS)),
    (denial_reasons, frozenset((reason.code,) for reason in DenialReason)),
)


def check_lists(connection: sa.Connection) -> Iterator[str]:
    """Yield a problem for each row that a list has too much, and for each row that it lacks."""
    for table, wanted in _LISTS:
        there = {tuple(row) for row in connection.execute(sa.select(table))}
        yield from (f"{table.name} lists {' -> '.join(row)}, which no version has" for row in sorted(there - wanted))
        yield from (f"{table.name} does not list {' -> '.join(row)}" for row in sorted(wanted - there))
