"""Reading the public trades of one window of time, from one side of the exchange or from both.

A window whose pages fail is split in two, down to one second. The second that still fails is a hole, and the rest is
kept. A failure of the whole exchange is no reason to split, so a known page is read first to tell both apart.
"""

import uuid
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from kalshi_pipelines.bookkeeping.quarantine import UnstorableRecord
from kalshi_pipelines.contracts.comparison.page_checks import IngestedPage, PageChecks
from kalshi_pipelines.history.errors import HistoryInterrupted, HistoryRefused
from kalshi_pipelines.history.inputs import HistoryInputs
from kalshi_pipelines.history.sides import LIVE, Side, Source, sides_of
from kalshi_pipelines.history.staging import Hole, rows_within
from kalshi_pipelines.history.trade_columns import TradeRows, trade_rows
from kalshi_pipelines.history.windows import TimeWindow, split
from kalshi_pipelines.kalshi.errors import (
    AbsurdAnswer,
    KalshiError,
    MalformedResponse,
    PaginationStuck,
    ServerError,
    TransportFailed,
)
from kalshi_pipelines.kalshi.pagination import Page
from kalshi_pipelines.lake.datasets import PUBLIC_TRADES
from kalshi_pipelines.lake.merging import same_as_previous
from kalshi_pipelines.units import SECOND_US

#: Failures that may concern one window only.
_OF_ONE_WINDOW: Final = (ServerError, TransportFailed, MalformedResponse, PaginationStuck, AbsurdAnswer)
#: A day with more records that cannot be stored is not stored: the exchange has changed its format.
MOST_REFUSED: Final = 1_000
#: If more seconds in a row fail, the exchange does not serve this time at all now.
_MOST_HOLES_IN_A_ROW: Final = 60
#: A failed window is compared with seconds that are this far from it.
_FAR_SECONDS: Final = 7_200
_CHANGED: Final = "the exchange sent this trade twice with different contents"


@dataclass
class WindowRead:
    """The trades of a window: rows in any order, refused records, and windows that the exchange did not serve."""

    batches: list[pa.RecordBatch] = field(default_factory=list)
    refused: dict[str, UnstorableRecord] = field(default_factory=dict)
    holes: list[Hole] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """Number of rows."""
        return sum(batch.num_rows for batch in self.batches)


class TradeReader:
    """A reader of the trades of one day. Only one thread uses it."""

    def __init__(self, inputs: HistoryInputs, checks: PageChecks) -> None:
        self._inputs = inputs
        self._checks = checks
        self._holes_in_a_row = 0
        self._refused = 0
        self._serves_last_second: set[Side] = set()
        self._known_trades: dict[Side, int] = {}
        self.pages = 0
        """Number of pages read so far."""

    def read(self, window: TimeWindow, source: Source) -> WindowRead:
        """Read the trades of a window.

        Raises:
            HistoryInterrupted: The exchange does not answer at all.
            HistoryRefused: Too many trades cannot be stored.
            KalshiError: The exchange refused the request, or the rate budget is spent.
            ReadingStopped: Another thread asked the reading to stop.
        """
        result = WindowRead()
        for side in sides_of(source):
            self._read_side(window, side, result)
        self.count_refused(result.refused.values())
        return result

    def count_refused(self, refused: Collection[UnstorableRecord]) -> None:
        """Count refused trades of the day.

        Raises:
            HistoryRefused: Too many trades of the day cannot be stored.
        """
        self._refused += len(refused)
        if self._refused > MOST_REFUSED:
            reasons = sorted({each.reason for each in refused})
            raise HistoryRefused(
                f"More than {MOST_REFUSED:,} trades of one day cannot be stored, for example because {reasons[0]}.",
                "Run the contract checks: they show what the exchange changed. Nothing of the day was stored.",
            )

    def _read_side(self, window: TimeWindow, side: Side, result: WindowRead) -> None:
        waiting = [window]
        while waiting:
            each = waiting.pop()
            error = self._try(each, side, result)
            if error is None:
                continue
            if not each.is_shortest:
                self._require_exchange(each, side, error)
                waiting += reversed(split(each))
            elif not self._try_narrowly(each, side, result):
                self._require_exchange(each, side, error)
                self._add_hole(each, error, result)

    def _try(self, window: TimeWindow, side: Side, result: WindowRead) -> KalshiError | None:
        """Read a window with a second more on both sides. Return the error if the window cannot be read.

        A second more is asked, because the exchange does not say whether it serves the bounds themselves.
        """
        try:
            read = self._rows(window, side, (window.start_us // SECOND_US) - 1, window.end_us // SECOND_US)
        except _OF_ONE_WINDOW as error:
            self._inputs.check_stopping()
            return error
        self._keep(read, result)
        return None

    def _try_narrowly(self, window: TimeWindow, side: Side, result: WindowRead) -> bool:
        """Read one second without the seconds beside it, because one of these may be the second that fails.

        The answer counts only if the side has shown trades inside of the last second of a request. Otherwise the
        exchange may serve no more than the first instant of that second.
        """
        second = window.start_us // SECOND_US
        try:
            read = self._rows(window, side, second, second)
            if side not in self._serves_last_second and side in self._known_trades:
                known = self._known_trades[side] // SECOND_US
                self._rows(TimeWindow(known * SECOND_US, (known + 1) * SECOND_US), side, known, known)
        except _OF_ONE_WINDOW:
            return False
        if side in self._serves_last_second:
            self._keep(read, result)
        return side in self._serves_last_second

    def _keep(self, read: WindowRead, result: WindowRead) -> None:
        self._inputs.meter.count(read.rows, requests=0)
        self._holes_in_a_row = 0
        result.batches += read.batches
        result.refused |= read.refused

    def _add_hole(self, window: TimeWindow, error: KalshiError, result: WindowRead) -> None:
        self._holes_in_a_row += 1
        if self._holes_in_a_row > _MOST_HOLES_IN_A_ROW:
            raise HistoryInterrupted(
                f"The exchange does not serve the {_MOST_HOLES_IN_A_ROW} seconds up to {window}: {error.problem}",
                "Run again later. The run continues where this one ended.",
            )
        result.holes.append(Hole(window, error.problem))

    def _rows(self, window: TimeWindow, side: Side, min_ts: int, max_ts: int) -> WindowRead:
        read = WindowRead()
        for page in self._pages(side, max(min_ts, 0), max_ts):
            self._inputs.check_stopping()
            rows = trade_rows(page.raw_records)
            self._check(page, rows)
            self._watch_last_second(side, rows.batch, max_ts)
            inside = rows_within(rows.batch, window, PUBLIC_TRADES.time)
            self._inputs.meter.count(rows=0)
            self.pages += 1
            if inside.num_rows:
                read.batches.append(inside)
            read.refused |= {each.key or each.raw.decode(errors="replace"): each for each in rows.refused}
            if len(read.refused) > MOST_REFUSED:
                return read
        return read

    def _watch_last_second(self, side: Side, rows: pa.RecordBatch, max_ts: int) -> None:
        if side not in self._serves_last_second and rows.num_rows:
            newest = pc.max(rows.column(PUBLIC_TRADES.time).view(pa.int64())).as_py()
            if newest > max_ts * SECOND_US:
                self._serves_last_second.add(side)
            if newest % SECOND_US:
                self._known_trades[side] = newest

    def _check(self, page: Page, rows: TradeRows) -> None:
        """Compare a page with the contract: the first page of each window, and every page with something new.

        A page in the known format was checked by the conversion of its trades, so one page of a window is enough.
        """
        if page.number == 1 or rows.suspects or rows.refused:
            refused = [(each.raw, each.reason) for each in rows.refused]
            self._checks.check_page(
                IngestedPage(page.endpoint, page.received_us, page.raw_records, rows.suspects, refused)
            )

    def _pages(self, side: Side, min_ts: int | None, max_ts: int | None, limit: int = 1_000) -> Iterator[Page]:
        history = self._inputs.client.history
        read = history.trade_pages if side == LIVE else history.historical_trade_pages
        return read(min_ts=min_ts, max_ts=max_ts, limit=limit)

    def _require_exchange(self, failed: TimeWindow, side: Side, error: KalshiError) -> None:
        """Check that the exchange still serves other trades, so that the failure concerns one window only.

        Raises:
            HistoryInterrupted: It does not.
        """
        now: KalshiError = error
        first, last = failed.start_us // SECOND_US, failed.end_us // SECOND_US
        others = [
            (None, None),
            (first - _FAR_SECONDS, first - _FAR_SECONDS),
            (last + _FAR_SECONDS, last + _FAR_SECONDS),
        ]
        try:
            self._inputs.client.exchange_status()
            for min_ts, max_ts in others:
                try:
                    next(self._pages(side, min_ts, max_ts, limit=1))
                except _OF_ONE_WINDOW as another:
                    now = another
                else:
                    return
        except KalshiError as another:
            now = another
        self._inputs.check_stopping()
        raise HistoryInterrupted(
            f"The exchange does not answer: {now.problem} Before that: {error.problem}",
            "Run again later. The run continues where this one ended.",
        )


def distinct(rows: pa.Table) -> tuple[pa.Table, list[UnstorableRecord]]:
    """Return each trade once, sorted by the dataset's key, and the trades that came with different contents.

    If the exchange sends two trades with the same id and different contents, neither of them is stored.
    """
    if pc.count_distinct(rows.column("trade_id")).as_py() == rows.num_rows:
        return _sorted(rows), []
    rows = rows.sort_by([("trade_id", "ascending")]).combine_chunks()
    batch = pa.RecordBatch.from_arrays([_chunk(column) for column in rows.columns], schema=rows.schema)
    repeats = same_as_previous(batch, ["trade_id"])
    equal = same_as_previous(batch, batch.schema.names)
    changed = batch.column("trade_id").slice(1).filter(pc.and_not(repeats, equal)).unique()
    is_changed = pc.is_in(batch.column("trade_id"), value_set=changed)
    is_first = pa.concat_arrays([pa.array([True]), pc.invert(repeats)])
    kept = batch.filter(pc.and_not(is_first, is_changed))
    return _sorted(pa.Table.from_batches([kept])), _changed(batch.filter(is_changed))


def _sorted(rows: pa.Table) -> pa.Table:
    return rows.sort_by([(name, "ascending") for name in PUBLIC_TRADES.key])


def _chunk(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks else pa.array([], column.type)


def _changed(rows: pa.RecordBatch) -> list[UnstorableRecord]:
    by_id: dict[str, list[str]] = {}
    for row in rows.to_pylist():
        row["trade_id"] = str(uuid.UUID(bytes=row["trade_id"]))
        by_id.setdefault(row["trade_id"], []).append(", ".join(f"{name} {value}" for name, value in row.items()))
    return [UnstorableRecord("\n".join(texts).encode(), _CHANGED, key) for key, texts in by_id.items()]
