"""Reading one day of candlesticks and publishing it: the day of the lake becomes exactly what the exchange serves.

The markets of the day are read in parts. An interrupted day continues with the parts that it has. A market that could
not be read leaves the day open and is listed as missing. A market that was traded, but for which the exchange has no
candlesticks, is listed as not served.
"""

import datetime as dt
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from kalshi_pipelines.history.candles.markets import CandleMarkets
from kalshi_pipelines.history.candles.periods import CandleLength, CandleSpan, span_of
from kalshi_pipelines.history.candles.reading import AskedMarket, CandleReads
from kalshi_pipelines.history.candles.records import CandleDayRecord, begin_day, record_day, was_closed
from kalshi_pipelines.history.candles.staging import CandlePart, CandlePartFolder, CandleParts
from kalshi_pipelines.history.coverage import SETTLES_US
from kalshi_pipelines.history.inputs import DayRead, HistoryInputs
from kalshi_pipelines.history.kept_rows import KeptRows, kept_rows, rows_after
from kalshi_pipelines.kalshi.errors import KalshiError
from kalshi_pipelines.lake.closing import close_day
from kalshi_pipelines.lake.datasets import Dataset
from kalshi_pipelines.units import DAY_US, SECOND_US, microseconds
from kalshi_pipelines.warehouse.locks import hold_work_lock

#: Markets of one part. A part that was interrupted is read again.
MARKETS_AT_ONCE: Final = 240
#: Parts of one day that are read at the same time. They share one rate budget with everything else.
PARTS_AT_ONCE: Final = 4
#: A day is closed when it ended this long ago, because late trades still change its candlesticks.
CLOSED_AFTER_US: Final = 2 * DAY_US
_SOURCE: Final = "backfill of candlesticks"


@dataclass(frozen=True)
class CandleDayReader:
    """A reader of days of candlesticks.

    Attributes:
        inputs: The exchange, the warehouse and the lake.
        markets: Finds the markets of a day.
    """

    inputs: HistoryInputs
    markets: CandleMarkets

    def read(self, length: CandleLength, day: dt.date, *, may_close: bool = True) -> DayRead:
        """Read a day and publish it. Reading it again replaces it exactly.

        Args:
            length: The length of the candlesticks.
            day: The New York day.
            may_close: Whether the day is closed if nothing can change it any more.

        Raises:
            AlreadyRunning: Another run reads the same day.
            TradesMissing: The lake has no public trades of the day, so no market is known to have been traded.
            KalshiError: The exchange is down or refuses every request. The parts that were read are kept.
            LakeFileChanged: A file of the lake is not the file that the manifest describes.
            LakeUnavailable: The lake cannot be read or written.
        """
        dataset = length.dataset
        with hold_work_lock(self.inputs.engine, f"history {dataset.name} {day.isoformat()}"):
            started_us = self.inputs.clock()
            full = span_of(length, day)
            # A period that has not ended yet has no final candlestick.
            span = replace(full, end_s=min(full.end_s, started_us // SECOND_US))
            cutoff_us = microseconds(self.inputs.client.historical_cutoff().market_settled_ts)
            was = was_closed(self.inputs.engine, dataset, day)
            begin_day(self.inputs.engine, self.inputs.environment, dataset, day)
            asked = self.markets.asked(span, cutoff_us) if span.start_s <= span.end_s else []
            folder = CandlePartFolder(self.inputs.work_folder / dataset.name / day.isoformat())
            parts = list(self._read_parts(asked, span, folder))
            found = self._publish(length, day, span, parts, started_us, may_close=may_close)
            folder.remove()
            return replace(found, is_reopened=was and found.is_reopened)

    def _read_parts(
        self, asked: Sequence[AskedMarket], span: CandleSpan, folder: CandlePartFolder
    ) -> Iterator[CandlePart]:
        """Yield the parts of the day in the order of their tickers. Some parts are read at the same time."""
        groups = [asked[first : first + MARKETS_AT_ONCE] for first in range(0, len(asked), MARKETS_AT_ONCE)]
        pool = ThreadPoolExecutor(PARTS_AT_ONCE, thread_name_prefix="candlesticks")
        waiting: deque[Future[CandlePart]] = deque()
        try:
            for group in groups:
                waiting.append(pool.submit(self._read_part, group, span, folder))
                if len(waiting) > PARTS_AT_ONCE:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)

    def _read_part(self, group: Sequence[AskedMarket], span: CandleSpan, folder: CandlePartFolder) -> CandlePart:
        path = folder.part_of(group, span)
        part = folder.find(path)
        if part is None or not self._is_usable(part, span):
            self.inputs.check_stopping()
            reads, read_us = (
                CandleReads(self.inputs.client.candlesticks, span, self._exchange_is_down),
                self.inputs.clock(),
            )
            part = folder.write(path, reads.read(group), read_us)
            self.inputs.meter.count(part.facts.rows, part.facts.requests)
        return part

    def _is_usable(self, part: CandlePart, span: CandleSpan) -> bool:
        """Return whether late trades cannot have changed the candlesticks of a part since it was read, or hardly."""
        is_settled = part.facts.read_us >= span.end_s * SECOND_US + SETTLES_US
        return is_settled or self.inputs.clock() - part.facts.read_us < SETTLES_US

    def _exchange_is_down(self) -> bool:
        try:
            return not self.inputs.client.exchange_status().exchange_active
        except KalshiError:
            return True

    def _publish(
        self,
        length: CandleLength,
        day: dt.date,
        span: CandleSpan,
        parts: Sequence[CandlePart],
        started_us: int,
        *,
        may_close: bool,
    ) -> DayRead:
        inputs, dataset = self.inputs, length.dataset
        streams: list[Iterable[pa.RecordBatch]] = [CandleParts(parts), *_kept(inputs, dataset, day, span, parts)]
        replaced = inputs.lake.replace_day(inputs.engine, dataset, day, streams, _SOURCE)
        record = CandleDayRecord(
            span=span,
            rows=replaced.rows,
            parts=[part.facts for part in parts],
            trade_days=self.markets.trade_days(span),
            is_changed=bool(replaced.files) or replaced.removed > 0,
        )
        closes = may_close and self._may_close(length, day, record)
        if closes:
            closed = close_day(inputs.lake, inputs.engine, dataset, day)
            closes = not closed.problems
        record_day(inputs.engine, dataset, day, record, is_closed=closes, now_us=inputs.clock())
        return DayRead(
            dataset.name,
            day,
            replaced.rows,
            added=replaced.added,
            removed=replaced.removed,
            changed=replaced.changed,
            holes=(*_trades_missing(record), *(f"{ticker}: {problem}" for ticker, problem in record.failed.items())),
            is_closed=closes,
            is_reopened=record.is_changed,
            content_sha256=replaced.content_sha256,
            seconds=(inputs.clock() - started_us) / SECOND_US,
        )

    def _may_close(self, length: CandleLength, day: dt.date, record: CandleDayRecord) -> bool:
        """Return whether nothing can change the day's candlesticks any more."""
        ended_us = span_of(length, day).end_s * SECOND_US
        trades_are_final = self.markets.includes_untraded or all(
            status == "closed" for status in record.trade_days.values()
        )
        return not record.failed and trades_are_final and self.inputs.clock() >= ended_us + CLOSED_AFTER_US


def _kept(
    inputs: HistoryInputs, dataset: Dataset, day: dt.date, span: CandleSpan, parts: Sequence[CandlePart]
) -> list[KeptRows]:
    """Return the rows of the lake about which the exchange said nothing: of a later time, or of silent markets."""
    kept = rows_after(inputs, dataset, day, span.end_s)
    silent = {ticker for part in parts for ticker in (*part.facts.failed, *part.facts.not_served)}
    if silent:
        for batch in CandleParts(parts):
            silent.difference_update(pc.unique(batch.column("ticker")).to_pylist())
        kept += kept_rows(inputs, dataset, day, tickers=silent)
    return kept


def _trades_missing(record: CandleDayRecord) -> Iterator[str]:
    for day, status in record.trade_days.items():
        if status is None:
            yield f"public trades of {day} (UTC) are not in the lake, so markets that were traded only then are missing"
