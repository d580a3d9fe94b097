"""What was taken over so far, as far as later rows depend on it: parents they refer to, keys that are taken."""

from collections.abc import Hashable
from typing import Final

import sqlalchemy as sa

from kalshi_pipelines.warehouse.adoption.values import RefusedLegacyRow, Remarks
from kalshi_pipelines.warehouse.bulk import BulkWrite, write_rows
from kalshi_pipelines.warehouse.tables import events, markets, series

_PLACEHOLDER_COLUMNS: Final = ("is_placeholder", "first_seen_us", "recorded_us", "ingest_run_id")


class Parents:
    """The keys of one table others refer to, and who of them was refused.

    A row that refers to a refused parent is not to blame: the parent gets a placeholder. A row that refers to one the
    old database never had is refused itself where the old schema promised a parent.
    """

    def __init__(self, table: sa.Table | None, name: str) -> None:
        self._write = table is not None and BulkWrite(
            table, (next(iter(table.primary_key)).name, *_PLACEHOLDER_COLUMNS), "keep"
        )
        self._name = name
        self._stored: set[Hashable] = set()
        self._quarantined: set[Hashable] = set()
        self._requested: set[Hashable] = set()
        self._to_write: list[Hashable] = []

    def mark_stored(self, key: Hashable) -> None:
        """Note a parent that was taken over."""
        self._stored.add(key)

    def mark_quarantined(self, key: Hashable) -> None:
        """Note a parent that is in quarantine."""
        self._quarantined.add(key)

    def move_to_quarantine(self, key: Hashable) -> None:
        """Note that a parent that seemed to be taken over is in quarantine."""
        self._stored.discard(key)
        self.mark_quarantined(key)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._stored

    def is_quarantined(self, key: Hashable) -> bool:
        """Whether the old database has this parent, but it is in quarantine."""
        return key in self._quarantined

    def require(self, key: Hashable, column: str, remarks: Remarks, *, promised: bool) -> None:
        """Make sure of the parent of a row.

        Raises:
            RefusedLegacyRow: The old database promised a parent and has none.
        """
        if key in self._stored:
            return
        if key in self._quarantined:
            if key not in self._requested:
                remarks.odd.append(f"{column}={key} is quarantined")
        elif promised:
            raise RefusedLegacyRow(f"{column}={key} is not in {self._name}")
        else:
            remarks.odd.append(f"{column}={key} is not in {self._name}")
        self.request_placeholder(key)

    def request_placeholder(self, key: Hashable) -> None:
        """Ask for a placeholder of a parent that is only named."""
        if key not in self._stored and key not in self._requested:
            self._requested.add(key)
            self._to_write.append(key)

    def write_placeholders(self, connection: sa.Connection, now_us: int, run_id: int) -> None:
        """Write the placeholders asked for since the last time."""
        if self._write and self._to_write:
            write_rows(connection, self._write, [(key, True, now_us, now_us, run_id) for key in self._to_write])
            self._to_write.clear()


class AdoptionState:
    """The state of one adoption."""

    def __init__(self, run_id: int, now_us: int) -> None:
        self.run_id = run_id
        self.now_us = now_us
        self.series = Parents(series, "series")
        self.events = Parents(events, "events")
        self.markets = Parents(markets, "markets")
        self.positions = Parents(None, "positions")
        self.articles = Parents(None, "news_articles")
        self._taken: dict[Hashable, Hashable] = {}

    def claim(self, what: str, *key: Hashable, row: Hashable) -> None:
        """Take a key that can be taken once.

        Raises:
            RefusedLegacyRow: An earlier row has it; the message names that row.
        """
        first = self.first_row_with(what, *key, row=row)
        if first != row:
            raise RefusedLegacyRow(f"same {what} as row {first}, which was kept")

    def first_row_with(self, what: str, *key: Hashable, row: Hashable) -> Hashable:
        """The first row with a key: this one, or an earlier one."""
        return self._taken.setdefault((what, *key), row)

    def write_placeholders(self, connection: sa.Connection) -> None:
        """Write placeholders of parents that are only named; parents of parents first."""
        for parents in (self.series, self.events, self.markets):
            parents.write_placeholders(connection, self.now_us, self.run_id)
