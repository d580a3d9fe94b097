"""Recomputation of realised results: they come from flat markets only, and leave only when their time is over."""

import datetime as dt
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import sqlalchemy as sa

from kalshi_pipelines.execution.journal.tables import REALISED
from kalshi_pipelines.units import DAY_US, trading_day

_LASTING: Final = frozenset({"account", "event"})


@dataclass
class RealisedReplay:
    """The realised results of one audit record after the other."""

    _audit_seq: int = 0
    _moved: defaultdict[int, int] = field(default_factory=lambda: defaultdict(int))
    """The micro-dollars that left flat markets in the present record and did not arrive yet, by scope."""

    def post(self, row: sa.RowMapping, kind: str, numbers: Sequence[int]) -> Iterator[str]:
        """Check a posting of a realised result.

        Args:
            row: The posting.
            kind: The kind of its scope.
            numbers: The numbers of its market in the scope before the posting. They are the losses if NO and if YES
                wins, the spent amount, and the counts of position, open bids and open asks.
        """
        if row["audit_seq"] != self._audit_seq:
            yield from self.end()
            self._audit_seq = row["audit_seq"]
        ticker, moved, spent = row["ticker"], row["d_spent_microdollars"], numbers[2]
        if not ticker.startswith(REALISED):
            self._moved[row["scope_id"]] -= moved
            if any(numbers[3:]) or moved != -spent:
                yield f"{row['dedupe']} realises {moved}, but {ticker} counts {list(numbers)} in the {kind} scope"
            return
        day, today = ticker.removeprefix(REALISED), trading_day(row["at_us"])
        if day == today.isoformat():
            self._moved[row["scope_id"]] -= moved
        elif kind not in _LASTING or moved != -spent or not _is_over(day, row["at_us"]):
            yield f"{row['dedupe']} changes the result of {day} by {moved} in the {kind} scope on {today}"

    def end(self) -> Iterator[str]:
        """Yield the problems of the present record, after its last posting."""
        for scope_id, missing in self._moved.items():
            if missing:
                yield f"record {self._audit_seq} realises {missing} in scope {scope_id} that no result of a day counts"
        self._moved.clear()


def _is_over(day: str, at_us: int) -> bool:
    """Return whether 24 hours have passed since a New York day ended."""
    try:
        return dt.date.fromisoformat(day) < trading_day(at_us - DAY_US)
    except ValueError:
        return False
