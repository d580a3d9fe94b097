"""A day of public trades: read window by window, and put into the lake as a whole.

``read_trades`` makes the day in the lake exactly what the exchange sends now. ``take_new_trades`` adds what is new to a
day that is open. Both can be killed at any point, and continue where they ended.
"""

import datetime as dt
import itertools
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from kalshi_pipelines.bookkeeping.quarantine import unresolved_keys
from kalshi_pipelines.contracts.comparison.page_checks import PageChecks
from kalshi_pipelines.contracts.declared import CONTRACTS
from kalshi_pipelines.history.closing import close_if_due
from kalshi_pipelines.history.coverage import is_settled, kept_windows, served_by, usable, windows_of_parts
from kalshi_pipelines.history.errors import HistoryRefused, InvalidRange
from kalshi_pipelines.history.inputs import DayRead, HistoryInputs
from kalshi_pipelines.history.kept_rows import kept_rows
from kalshi_pipelines.history.partitions import (
    FinishedRead,
    ReadWindow,
    begin_read,
    finish_read,
    has_refused,
    lock_of_day,
    partitions_of,
    windows_read,
)
from kalshi_pipelines.history.sides import Source, divided_by_side
from kalshi_pipelines.history.staging import About, StagedPart, StagingFolder
from kalshi_pipelines.history.trade_reading import TradeReader, WindowRead, distinct
from kalshi_pipelines.history.windows import (
    LONGEST_US,
    TimeWindow,
    day_window,
    missing,
    next_width,
    width_for,
)
from kalshi_pipelines.ingest.contract_checks import record_checks
from kalshi_pipelines.lake.datasets import PUBLIC_TRADES
from kalshi_pipelines.lake.errors import ConflictingRows
from kalshi_pipelines.lake.manifest import lake_files_of, lake_hash
from kalshi_pipelines.lake.merging import MergeCounts, merge_streams
from kalshi_pipelines.units import SECOND_US, microseconds
from kalshi_pipelines.warehouse.locks import wait_for_work_lock

SUBJECT: Final = "public_trades"
#: A part of a day is written when it has this many rows, or after this time. A killed run loses no more than a part.
_PART_ROWS: Final = 100_000
_PART_SECONDS: Final = 20.0
#: Width of the first window if no day near this one is known.
_FIRST_WIDTH_US: Final = LONGEST_US // 12
_SOURCE: Final = "public trades of the exchange"


def read_trades(inputs: HistoryInputs, day: dt.date) -> DayRead:
    """Read a day, and make its rows in the lake exactly the rows that the exchange sends.

    Raises:
        InvalidRange: The day has not begun.
        HistoryInterrupted: The exchange does not answer. The parts that were read are kept.
        HistoryRefused: Too many trades cannot be stored, trades changed while they were read, or the exchange now
            sends no trade of a day that has trades.
    """
    with _reading(inputs, day) as reading:
        reading.read_missing([])
        parts = reading.folder.parts()
        reading.require_trades(parts)
        # A time that was not served says nothing about the trades that the lake has of it.
        streams: list[Iterable[pa.RecordBatch]] = [*parts, *kept_rows(inputs, PUBLIC_TRADES, day, served_by(parts))]
        try:
            done = inputs.lake.replace_day(inputs.engine, PUBLIC_TRADES, day, streams, _SOURCE)
        except ConflictingRows as error:
            reading.folder.discard()
            raise HistoryRefused(
                f"The exchange changed a trade while {day} was read: {error.problem}",
                "Run again: the day is then read from its beginning.",
                retryable=True,
            ) from None
        changes = {"added": done.added, "removed": done.removed, "changed": done.changed}
        return reading.finish(parts, [], changes, is_reopened=done.reopened)


def take_new_trades(inputs: HistoryInputs, day: dt.date) -> DayRead:
    """Add new trades to an open day, and read the time again that may have late trades. Read a new day as a whole.

    Raises:
        InvalidRange: The day has not begun.
        HistoryInterrupted: The exchange does not answer. The parts that were read are kept.
        HistoryRefused: Too many trades cannot be stored.
    """
    known = windows_read(inputs.engine, SUBJECT, day)
    # Nobody knows in which window a refused trade was, so the whole day is read until no trade is refused.
    if not any(each.problem is None for each in known) or has_refused(inputs.engine, SUBJECT, day):
        return read_trades(inputs, day)
    try:
        return _take_new(inputs, day)
    except ConflictingRows as error:
        inputs.report(f"{day} is read again, because the exchange changed a trade: {error.problem}")
        StagingFolder(inputs.work_folder, PUBLIC_TRADES, day).discard()
        return read_trades(inputs, day)


def _take_new(inputs: HistoryInputs, day: dt.date) -> DayRead:
    with _reading(inputs, day) as reading:
        known = windows_read(inputs.engine, SUBJECT, day)
        final = [each for each in known if each.problem is None and is_settled(each.window, each.read_us)]
        reading.read_missing([each.window for each in final])
        parts = reading.folder.parts()
        rows_before = reading.rows_in_lake()
        done = inputs.lake.publish(inputs.engine, PUBLIC_TRADES, {day: _Merged(parts)}, _SOURCE, now=True)
        added = reading.rows_in_lake() - rows_before
        return reading.finish(parts, final, {"added": added}, is_reopened=bool(done.reopened_days))


@contextmanager
def _reading(inputs: HistoryInputs, day: dt.date) -> Iterator["_DayReading"]:
    now = inputs.clock()
    whole = day_window(day, PUBLIC_TRADES.zone)
    if now < whole.start_us + SECOND_US:
        raise InvalidRange(f"The day {day} has not begun.", "Choose a day of the past.")
    span = TimeWindow(whole.start_us, min(whole.end_us, now // SECOND_US * SECOND_US))
    with wait_for_work_lock(inputs.engine, lock_of_day(SUBJECT, day)):
        begin_read(inputs.engine, inputs.environment, SUBJECT, day)
        checks = PageChecks(CONTRACTS, inputs.environment, inputs.client.address)
        try:
            yield _DayReading(inputs, day, span, TradeReader(inputs, checks))
        except BaseException:
            with suppress(sa.exc.DBAPIError):  # the error of the read is the one to show
                _record(inputs, checks)
            raise
        _record(inputs, checks)


def _record(inputs: HistoryInputs, checks: PageChecks) -> None:
    record_checks(inputs.engine, inputs.environment, inputs.dagster_run_id, checks)


@dataclass(frozen=True)
class _Merged:
    """The rows of parts of a day as one sorted stream, which can be iterated more than once."""

    parts: Sequence[StagedPart]

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        return merge_streams(PUBLIC_TRADES, self.parts, MergeCounts())


@dataclass
class _Collected:
    """Windows that were read and are not written to a part yet. They follow each other without a gap."""

    read_us: int
    windows: list[TimeWindow] = field(default_factory=list)
    read: WindowRead = field(default_factory=WindowRead)
    since: float = field(default_factory=time.monotonic)

    @property
    def is_full(self) -> bool:
        return self.read.rows >= _PART_ROWS or time.monotonic() - self.since >= _PART_SECONDS

    def add(self, window: TimeWindow, read: WindowRead) -> None:
        self.windows.append(window)
        self.read.batches += read.batches
        self.read.refused |= read.refused
        self.read.holes += read.holes


class _DayReading:
    """The read of one day, with its lock held."""

    def __init__(self, inputs: HistoryInputs, day: dt.date, span: TimeWindow, reader: TradeReader) -> None:
        self.folder = StagingFolder(inputs.work_folder, PUBLIC_TRADES, day)
        self._inputs = inputs
        self._day = day
        self._span = span
        self._reader = reader
        self._started_us = inputs.clock()
        self._started = time.monotonic()
        self._width_us = self._first_width()
        self._holes: list[TimeWindow] = []

    def _first_width(self) -> int:
        near = [each for each in partitions_of(self._inputs.engine, SUBJECT) if each.read_until_us and each.rows]
        nearest = min(near, key=lambda each: abs(each.day - self._day), default=None)
        return width_for(nearest.rows) if nearest else _FIRST_WIDTH_US

    def read_missing(self, known: list[TimeWindow]) -> None:
        """Read the time of the day that is neither known nor in a part, until the cutoff does not move any more."""
        while True:
            cutoff_us = microseconds(self._inputs.client.historical_cutoff().trades_created_ts)
            done = [
                each for part in self.folder.parts() for each in usable(part, cutoff_us, self._inputs.clock())
            ] + self._holes
            gaps = missing(self._span, known + done)
            if not gaps:
                return
            for gap in gaps:
                for window, source in divided_by_side(gap, cutoff_us):
                    self._read_part(window, source, cutoff_us)

    def _read_part(self, window: TimeWindow, source: Source, cutoff_us: int) -> None:
        at, collected = window.start_us, _Collected(self._inputs.clock())
        while at < window.end_us:
            piece = TimeWindow(at, min(at + self._width_us, window.end_us))
            read = self._reader.read(piece, source)
            collected.add(piece, read)
            if piece.width_us == self._width_us:
                self._width_us = next_width(self._width_us, read.rows)
            at = piece.end_us
            if collected.is_full or at == window.end_us:
                self._write(collected, source, cutoff_us)
                collected = _Collected(self._inputs.clock())
            self._inputs.meter.set_fraction((SUBJECT, self._day), (at - self._span.start_us) / self._span.width_us)

    def _write(self, collected: _Collected, source: Source, cutoff_us: int) -> None:
        read = collected.read
        rows, changed = distinct(pa.Table.from_batches(read.batches, PUBLIC_TRADES.schema))
        window = TimeWindow(collected.windows[0].start_us, collected.windows[-1].end_us)
        self._reader.count_refused(changed)
        refused = (*read.refused.values(), *changed)
        about = About(window, source, cutoff_us, collected.read_us, rows.num_rows, tuple(read.holes), refused)
        self.folder.add(about, rows)
        self._holes += [hole.window for hole in read.holes]

    def require_trades(self, parts: Sequence[StagedPart]) -> None:
        """Check that the exchange serves trades, if the lake has some. Trades of the past do not all disappear.

        Raises:
            HistoryRefused: The exchange sent no trade.
        """
        rows = self.rows_in_lake()
        if rows and not any(part.about.rows or part.about.holes or part.about.refused for part in parts):
            self.folder.discard()
            raise HistoryRefused(
                f"The exchange sends no trades of {self._day} any more, but the lake has {rows:,}. They were kept.",
                "Run again later. If the exchange never serves the day again, the lake has the only copy.",
                retryable=True,
            )

    def rows_in_lake(self) -> int:
        """Return the number of rows that the lake has of the day."""
        return sum(file.contents.rows for file in lake_files_of(self._inputs.engine, SUBJECT, [self._day]))

    def finish(
        self,
        parts: list[StagedPart],
        known: list[ReadWindow],
        changes: dict[str, Any],
        *,
        is_reopened: bool,
    ) -> DayRead:
        """Record the rows of the lake, remove the parts, and close the day if no more trades are expected."""
        inputs, rows = self._inputs, self.rows_in_lake()
        new = windows_of_parts(parts, PUBLIC_TRADES.time)
        windows = sorted([*kept_windows(known, [each.window for each in new]), *new], key=lambda each: each.window)
        refused = {each.key or each.raw: each for part in parts for each in part.about.refused}
        seconds = time.monotonic() - self._started
        figures = {
            **changes,
            "rows_read": sum(part.about.rows for part in parts),
            "seconds": round(seconds, 3),
            "is_reopened": is_reopened,
        }
        read = FinishedRead(
            SUBJECT,
            self._span,
            rows,
            windows,
            any(changes.values()),
            figures,
            list(refused.values()),
            self._stored_now(parts),
            self._started_us,
            inputs.clock(),
            self._reader.pages,
        )
        finish_read(inputs.engine, inputs.environment, SUBJECT, self._day, read, inputs.dagster_run_id)
        self.folder.discard()
        # A day that late rows reopened stays open until the next night, so that people can see it.
        is_closed = not is_reopened and close_if_due(inputs, PUBLIC_TRADES, self._day)
        inputs.meter.set_fraction((SUBJECT, self._day), 1.0)
        return DayRead(
            SUBJECT,
            self._day,
            rows,
            **{name: int(number) for name, number in changes.items()},
            refused=len(refused),
            holes=tuple(f"{each.window}: {each.problem}" for each in windows if each.problem is not None),
            is_closed=is_closed,
            is_reopened=is_reopened,
            content_sha256=lake_hash(inputs.engine, SUBJECT, [self._day]) if rows else None,
            seconds=time.monotonic() - self._started,
        )

    def _stored_now(self, parts: list[StagedPart]) -> set[str]:
        """Return the ids in quarantine whose trades are in the parts."""
        waiting = [_bytes_of(key) for key in unresolved_keys(self._inputs.engine, SUBJECT)]
        wanted = pa.array([each for each in waiting if each is not None], PUBLIC_TRADES.schema.field("trade_id").type)
        if not len(wanted):
            return set()
        found = [
            batch.column("trade_id").filter(pc.is_in(batch.column("trade_id"), value_set=wanted)).to_pylist()
            for part in parts
            for batch in part
        ]
        return {str(uuid.UUID(bytes=each)) for each in itertools.chain.from_iterable(found)}


def _bytes_of(trade_id: str) -> bytes | None:
    try:
        return uuid.UUID(trade_id).bytes
    except ValueError:
        return None
