"""The state of an adoption: the unique keys in use, and the parent rows. Other rows refer to a parent row."""

from collections.abc import Hashable
from typing import Final

import sqlalchemy as sa

from kalshi_pipelines.warehouse.adoption.values import RefusedLegacyRow, Remarks
from kalshi_pipelines.warehouse.bulk import BulkWrite, write_rows
from kalshi_pipelines.warehouse.tables import events, markets, series

_PLACEHOLDER_COLUMNS: Final = ("is_placeholder", "first_seen_us", "recorded_us", "ingest_run_id")


class Parents:
    """The rows of one table that other rows refer to, by key: stored, quarantined, or requested as placeholders.

    A parent is a row of this table. If a row refers to a quarantined parent, the parent gets a placeholder. A row may
    also refer to a parent that is not in the legacy database. The row is then refused if the legacy schema requires the
    parent. Otherwise the parent gets a placeholder, too.
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
        """Record that a parent row was stored."""
        self._stored.add(key)

    def mark_quarantined(self, key: Hashable) -> None:
        """Record that a parent row was quarantined."""
        self._quarantined.add(key)

    def move_to_quarantine(self, key: Hashable) -> None:
        """Record that the database refused a parent row that was marked as stored."""
        self._stored.discard(key)
        self.mark_quarantined(key)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._stored

    def is_quarantined(self, key: Hashable) -> bool:
        """Return whether the legacy database has a parent row with this key that the adoption quarantined."""
        return key in self._quarantined

    def require(self, key: Hashable, column: str, remarks: Remarks, *, promised: bool) -> None:
        """Check that the parent of a row exists, or request a placeholder for it.

        Raises:
            RefusedLegacyRow: The parent is missing although the legacy schema requires it.
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
        """Request a placeholder for a parent row that is not stored."""
        if key not in self._stored and key not in self._requested:
            self._requested.add(key)
            self._to_write.append(key)

    def write_placeholders(self, connection: sa.Connection, now_us: int, run_id: int) -> None:
        """Write the placeholders that were requested since the last call."""
        if self._write and self._to_write:
            write_rows(connection, self._write, [(key, True, now_us, now_us, run_id) for key in self._to_write])
            self._to_write.clear()


class AdoptionState:
    """The state of one adoption: parent rows of each table, and unique keys in use."""

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
        """Reserve a unique key for a row.

        Raises:
            RefusedLegacyRow: An earlier row has this key. The message names that row.
        """
        first = self.first_row_with(what, *key, row=row)
        if first != row:
            raise RefusedLegacyRow(f"same {what} as row {first}, which was kept")

    def first_row_with(self, what: str, *key: Hashable, row: Hashable) -> Hashable:
        """Return the first row seen with this unique key: an earlier row or, if there is none, ``row`` itself."""
        return self._taken.setdefault((what, *key), row)

    def write_placeholders(self, connection: sa.Connection) -> None:
        """Write the requested placeholders, parents before children."""
        for parents in (self.series, self.events, self.markets):
            parents.write_placeholders(connection, self.now_us, self.run_id)
