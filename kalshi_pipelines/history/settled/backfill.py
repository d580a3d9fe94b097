"""The backfill of settled markets for a range of days: read the archive backwards, then publish day by day."""

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
import sqlalchemy as sa

from kalshi_pipelines.history.inputs import DayRead, HistoryInputs
from kalshi_pipelines.history.settled.chunks import CHUNK_ROWS, ChunkFolder, SettledChunk, SettledDay
from kalshi_pipelines.history.settled.rows import SettledRowReader, SettledRows
from kalshi_pipelines.history.settled.series import known_series
from kalshi_pipelines.kalshi.errors import (
    KalshiError,
    MalformedResponse,
    PaginationStuck,
    ServerError,
    TransportFailed,
)
from kalshi_pipelines.kalshi.history import OVERLAP_US
from kalshi_pipelines.kalshi.pagination import Page
from kalshi_pipelines.lake.datasets import SETTLED_MARKETS
from kalshi_pipelines.lake.publishing import Published
from kalshi_pipelines.units import DAY_US, SECOND_US, microseconds
from kalshi_pipelines.warehouse.engine import writing
from kalshi_pipelines.warehouse.environment import refuse_another_environment
from kalshi_pipelines.warehouse.locks import hold_work_lock
from kalshi_pipelines.warehouse.tables import history_partitions, history_residuals, settlements

#: The kinds of residuals that this backfill records.
ARCHIVE: Final = "archive of a series"
REFUSED: Final = "refused market"
#: A day is complete when it ended this long ago, because the exchange may still correct settlements.
CLOSED_AFTER_US: Final = 2 * DAY_US
#: The work that only one run may do at a time.
SETTLED_WORK: Final = "history settled_markets"
#: The name under which the live side's settled markets are recorded as read.
_LIVE: Final = ""
_LOCAL: Final = (ServerError, TransportFailed, MalformedResponse, PaginationStuck)
#: After this number of series in a row that could not be read, the exchange itself is taken to be down.
_MOST_FAILURES_IN_A_ROW: Final = 5
#: A chunk is written at the latest after this number of series. Most series have few settled markets.
_SERIES_OF_A_CHUNK: Final = 500
_SOURCE: Final = "backfill of settled markets"


_Pages = Callable[[], Iterator[Page]]


@dataclass
class _Buffer:
    """Markets that were read and are not in a chunk yet."""

    batches: list[Any] = field(default_factory=list)
    rows: int = 0
    series: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    requests: int = 0
    left_out: int = 0

    def add(self, found: SettledRows) -> None:
        """Add the markets of a page."""
        self.requests += 1
        self.left_out += found.left_out
        self.refused |= {each.key or f"unreadable {len(self.refused)}": each.reason for each in found.refused}
        if found.rows.num_rows:
            self.batches.append(found.rows)
            self.rows += found.rows.num_rows

    def clear(self) -> None:
        """Remove everything, because it is in a chunk now."""
        vars(self).update(vars(_Buffer()))


@dataclass(frozen=True)
class SettledBackfill:
    """The backfill of the markets that settled from the day ``first`` to the day ``last``, both included.

    Attributes:
        inputs: The exchange, the warehouse and the lake.
        first: The first New York day.
        last: The last New York day.
        includes_combos: Whether combos are read, too.
    """

    inputs: HistoryInputs
    first: dt.date
    last: dt.date
    includes_combos: bool = False

    @property
    def days(self) -> list[dt.date]:
        """The days of the range."""
        return [self.first + dt.timedelta(days=number) for number in range((self.last - self.first).days + 1)]

    @property
    def _bounds(self) -> tuple[int, int]:
        return SETTLED_MARKETS.bounds_of(self.first)[0], SETTLED_MARKETS.bounds_of(self.last)[1]

    def series(self) -> list[str]:
        """Return the series whose archives are read."""
        lake, engine = self.inputs.lake, self.inputs.engine
        return known_series(lake, engine, *self._bounds, includes_combos=self.includes_combos)

    def run(self) -> list[DayRead]:
        """Read the range and publish its days. An interrupted backfill of the same range continues.

        Raises:
            AlreadyRunning: Another run reads settled markets.
            KalshiError: The exchange is down or refuses every request. The series that were read are kept.
            LakeFileChanged: A file of the lake is not the file that the manifest describes.
            LakeUnavailable: The lake cannot be read or written.
        """
        inputs = self.inputs
        folder = ChunkFolder(inputs.work_folder / SETTLED_MARKETS.name / f"{self.first}_{self.last}")
        with hold_work_lock(inputs.engine, SETTLED_WORK):
            with writing(inputs.engine) as connection:
                refuse_another_environment(connection, inputs.environment)
            started_us = inputs.clock()
            failed = self._read(folder)
            chunks = folder.chunks()
            days = [self._publish(chunks, day, failed, started_us) for day in self.days]
            folder.remove()
        return days

    def _read(self, folder: ChunkFolder) -> dict[str, str]:
        """Read everything that the chunks do not have yet. Return the series that could not be read, with reasons."""
        start_us, end_us = self._bounds
        folder.remove_old(end_us, self.inputs.clock())
        cutoff_us = microseconds(self.inputs.client.historical_cutoff().market_settled_ts)
        done = {ticker for chunk in folder.chunks() for ticker in chunk.facts.series}
        archives = self.series() if start_us < cutoff_us + OVERLAP_US else []
        failed: dict[str, str]
        buffer, failed, failures = _Buffer(), {}, 0
        reader = SettledRowReader(self.inputs.client, self.inputs.engine)
        sources: list[tuple[str, _Pages]] = [(_LIVE, lambda: self._live_pages(cutoff_us))]
        sources += [(each, self._archive(each)) for each in archives]
        for number, (name, pages) in enumerate(sources):
            if name in done:
                continue
            self.inputs.check_stopping()
            try:
                self._read_one(pages(), reader, buffer, folder)
            except _LOCAL as error:
                failed[name] = error.problem
                failures += 1
                if failures >= _MOST_FAILURES_IN_A_ROW and self._exchange_is_down():
                    raise
                continue
            failures = 0
            buffer.series.append(name)
            self._flush(buffer, folder, at=CHUNK_ROWS)
            self.inputs.meter.set_fraction((SETTLED_MARKETS.name, self.first), (number + 1) / len(sources))
            if number % 200 == 0:
                self.inputs.report(f"{number:,} of {len(sources):,} archives of settled markets read")
        self._flush(buffer, folder, at=0)
        return failed

    def _archive(self, ticker: str) -> _Pages:
        return lambda: self.inputs.client.historical_market_pages(series_ticker=ticker)

    def _live_pages(self, cutoff_us: int) -> Iterator[Page]:
        start_us, end_us = self._bounds
        start_us = max(start_us, cutoff_us - OVERLAP_US)
        if start_us >= end_us:
            return
        yield from self.inputs.client.market_pages(
            status="settled",
            mve_filter=None if self.includes_combos else "exclude",
            min_settled_ts=start_us // SECOND_US,
            max_settled_ts=end_us // SECOND_US,
        )

    def _read_one(self, pages: Iterator[Page], reader: SettledRowReader, buffer: _Buffer, folder: ChunkFolder) -> None:
        start_us, end_us = self._bounds
        for page in pages:
            found = reader.convert(page, start_us, end_us)
            buffer.add(found)
            self.inputs.meter.count(found.rows.num_rows)
            if buffer.rows >= 2 * CHUNK_ROWS:
                self._flush(buffer, folder, at=0)
            self.inputs.check_stopping()
            # The newest settlement comes first, so the pages that follow a page of older settlements are older still.
            if found.settled_us and max(found.settled_us) < start_us:
                return

    def _flush(self, buffer: _Buffer, folder: ChunkFolder, *, at: int) -> None:
        """Write the buffer to a chunk and clear it, if it has at least ``at`` rows or many complete series."""
        is_empty = not (buffer.rows or buffer.series)
        if is_empty or (buffer.rows < at and len(buffer.series) < _SERIES_OF_A_CHUNK):
            return
        facts = {"requests": buffer.requests, "left_out": buffer.left_out, "read_us": self.inputs.clock()}
        folder.write(buffer.batches, buffer.series, buffer.refused, **facts)
        buffer.clear()

    def _exchange_is_down(self) -> bool:
        try:
            return not self.inputs.client.exchange_status().exchange_active
        except KalshiError:
            return True

    def _publish(
        self, chunks: Sequence[SettledChunk], day: dt.date, failed: dict[str, str], started_us: int
    ) -> DayRead:
        inputs, dataset = self.inputs, SETTLED_MARKETS
        rows = SettledDay([chunk for chunk in chunks if day.isoformat() in chunk.facts.batches], day)
        published = Published()
        if rows.chunks:
            published = inputs.lake.publish(inputs.engine, dataset, {day: rows}, _SOURCE, now=True)
        files = [file for file in inputs.lake.files(inputs.engine, dataset) if file.slot.day == day]
        total, added = sum(file.contents.rows for file in files), sum(file.added for file in published.files)
        self._record(chunks, day, failed, total, is_changed=bool(published.files))
        return DayRead(
            dataset.name,
            day,
            total,
            added=added,
            holes=tuple(f"{name or 'the live side'}: {problem}" for name, problem in failed.items()),
            seconds=(inputs.clock() - started_us) / SECOND_US,
        )

    def _record(
        self, chunks: Sequence[SettledChunk], day: dt.date, failed: dict[str, str], rows: int, *, is_changed: bool
    ) -> None:
        dataset, now_us = SETTLED_MARKETS, self.inputs.clock()
        start_us, end_us = dataset.bounds_of(day)
        key = {"dataset": dataset.name, "partition_date": day.isoformat()}
        waiting = self._waiting(start_us, end_us)
        is_complete = not failed and not waiting and now_us >= end_us + CLOSED_AFTER_US
        figures = {
            "requests_of_the_range": sum(chunk.facts.requests for chunk in chunks),
            "left_to_upkeep_in_the_range": sum(chunk.facts.left_out for chunk in chunks),
            "waiting_for_upkeep": waiting,
            "archives_missing": len(failed),
        }
        values: dict[str, Any] = {
            "status": "closed" if is_complete else "open",
            "rows": rows,
            "holes": len(failed),
            "read_from_us": start_us,
            "read_until_us": min(max(now_us, start_us), end_us),
            "read_us": now_us,
            "figures": msgspec.json.encode(figures).decode(),
        }
        unchecked = {"proof": "not_checked", "checked_us": None}
        columns = history_partitions.c
        which = (columns.dataset == dataset.name, columns.partition_date == day.isoformat())
        with writing(self.inputs.engine) as connection:
            changes = values | (unchecked if is_changed else {})
            if not connection.execute(sa.update(history_partitions).where(*which).values(changes)).rowcount:
                connection.execute(sa.insert(history_partitions), key | values | unchecked)
            refused = {name: reason for chunk in chunks for name, reason in chunk.facts.refused.items()}
            _replace_residuals(connection, key, {ARCHIVE: failed, REFUSED: refused}, now_us)

    def _waiting(self, start_us: int, end_us: int) -> int:
        """Return the number of markets of a day that the warehouse has and upkeep has not archived yet."""
        columns = settlements.c
        within = (columns.settled_us >= start_us, columns.settled_us < end_us, columns.archived_us.is_(None))
        with self.inputs.engine.connect() as connection:
            return connection.scalar(sa.select(sa.func.count()).select_from(settlements).where(*within)) or 0


def _replace_residuals(
    connection: sa.Connection, key: dict[str, str], found: dict[str, dict[str, str]], now_us: int
) -> None:
    columns = history_residuals.c
    mine = (
        columns.dataset == key["dataset"],
        columns.partition_date == key["partition_date"],
        columns.kind.in_(list(found)),
    )
    query = sa.select(columns.kind, columns.ticker, columns.first_seen_us).where(*mine)
    first_seen = {(kind, ticker): seen for kind, ticker, seen in connection.execute(query)}
    connection.execute(sa.delete(history_residuals).where(*mine))
    rows = [
        {
            **key,
            "ticker": ticker,
            "kind": kind,
            "state": "missing",
            "explanation": problem,
            "first_seen_us": first_seen.get((kind, ticker), now_us),
        }
        for kind, problems in found.items()
        for ticker, problem in problems.items()
    ]
    if rows:
        connection.execute(sa.insert(history_residuals), rows)
