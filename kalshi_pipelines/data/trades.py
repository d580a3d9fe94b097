"""Public trades for readers: ids as text, fees, and the quote that was known before each trade."""

import datetime as dt
from array import array
from collections.abc import Collection, Iterator
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from kalshi_pipelines.data.as_of import join_as_of
from kalshi_pipelines.data.families import Families
from kalshi_pipelines.data.newest import last_of_each, newest_rows
from kalshi_pipelines.history.fees.pricing import price_trades
from kalshi_pipelines.history.fees.steps import load_fee_schedule
from kalshi_pipelines.lake.buffers import PRICES
from kalshi_pipelines.lake.datasets import PRICE_HISTORY, PUBLIC_TRADES
from kalshi_pipelines.lake.lake import Lake
from kalshi_pipelines.lake.reading import read
from kalshi_pipelines.lake.spanning import read_history
from kalshi_pipelines.units import DAY_US, ONE_MICROSECOND

#: The longest time for which a quote counts as known.
MAX_QUOTE_AGE: Final = dt.timedelta(days=7)
QUOTE_PREFIX: Final = "quote_"
_TEXT_LENGTH: Final = 36
_HYPHENS: Final = frozenset({8, 13, 18, 23})
_ID: Final = pa.field("trade_id", pa.string(), nullable=False)
#: Columns of trades as readers see them.
TRADES: Final = PUBLIC_TRADES.schema.set(PUBLIC_TRADES.schema.get_field_index("trade_id"), _ID)


def read_trades(
    lake: Lake, engine: sa.Engine, start_us: int | None, end_us: int | None, tickers: Collection[str] | None
) -> pa.RecordBatchReader:
    """Return trades, UTC day after UTC day, each sorted by ticker, time and id."""
    stored = read(lake, engine, PUBLIC_TRADES, start_us, end_us, tickers)
    return pa.RecordBatchReader.from_batches(TRADES, map(_with_text_ids, stored))


def read_priced_trades(lake: Lake, engine: sa.Engine, trades: pa.RecordBatchReader) -> pa.RecordBatchReader:
    """Return trades with the fees of their own moment."""
    schedule, families = load_fee_schedule(engine), Families(lake, engine)

    def priced(table: pa.Table) -> pa.Table:
        return price_trades(table, families.of(pc.unique(table["ticker"]).to_pylist()), schedule)

    schema = priced(trades.schema.empty_table()).schema
    tables = (priced(pa.Table.from_batches([batch])) for batch in trades)
    return pa.RecordBatchReader.from_batches(schema, _batches(tables, schema))


def read_quoted_trades(
    lake: Lake, engine: sa.Engine, trades: pa.RecordBatchReader, tickers: Collection[str] | None, max_age: dt.timedelta
) -> pa.RecordBatchReader:
    """Return trades, each with the newest quote that was seen before it."""
    quotes = _QuotesBefore(lake, engine, tickers, max_age)
    schema = _quoted(trades.schema.empty_table(), PRICE_HISTORY.schema.empty_table(), max_age).schema
    tables = (
        _quoted(table, quotes.around(table), max_age)
        for table in (pa.Table.from_batches([batch]) for batch in trades)
        if table.num_rows
    )
    return pa.RecordBatchReader.from_batches(schema, _batches(tables, schema))


def _quoted(trades: pa.Table, quotes: pa.Table, max_age: dt.timedelta) -> pa.Table:
    return join_as_of(
        trades, quotes, left_time="created_time", right_time="observed_time", prefix=QUOTE_PREFIX, max_age=max_age
    )


class _QuotesBefore:
    """Quotes that trades may have known. Trades must be asked for day after day.

    The newest quotes before a UTC day are kept in memory, one for each market. The quotes of the day itself are read
    for the markets of each batch only, because a day can have millions.
    """

    def __init__(self, lake: Lake, engine: sa.Engine, tickers: Collection[str] | None, max_age: dt.timedelta) -> None:
        self._lake, self._engine, self._tickers = lake, engine, tickers
        self._max_age_us = max_age // ONE_MICROSECOND
        self._day_us: int | None = None
        self._known = PRICE_HISTORY.schema.empty_table()

    def around(self, trades: pa.Table) -> pa.Table:
        """Return the quotes up to the last trade of a table that has trades of one UTC day."""
        times = pc.min_max(trades["created_time"].cast(pa.int64())).as_py()
        self._go_to(times["min"] // DAY_US * DAY_US)
        tickers = pc.unique(trades["ticker"])
        known = self._known.filter(pc.is_in(self._known["ticker"], tickers))
        today = read_history(self._lake, self._engine, PRICES, self._day_us, times["max"], tickers.to_pylist())
        return pa.concat_tables([known, today.read_all()])

    def _go_to(self, day_us: int) -> None:
        if day_us == self._day_us:
            return
        oldest = day_us - self._max_age_us
        if self._day_us is None or self._day_us < oldest:
            self._known = newest_rows(self._lake, self._engine, PRICES, day_us - 1, self._tickers, oldest)
        else:
            newer = read_history(self._lake, self._engine, PRICES, self._day_us, day_us, self._tickers)
            latest = last_of_each(newer, PRICE_HISTORY.schema)
            older = self._known.filter(pc.invert(pc.is_in(self._known["ticker"], latest["ticker"].combine_chunks())))
            self._known = pa.concat_tables([older, latest])
        self._day_us = day_us


def _batches(tables: Iterator[pa.Table], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    for table in tables:
        yield from table.cast(schema).combine_chunks().to_batches()


def _with_text_ids(batch: pa.RecordBatch) -> pa.RecordBatch:
    place = PUBLIC_TRADES.schema.get_field_index("trade_id")
    columns = [_texts(column) if number == place else column for number, column in enumerate(batch.columns)]
    return pa.record_batch(columns, schema=TRADES)


def _texts(ids: pa.Array) -> pa.Array:
    """Return ids of 16 bytes as the texts of the exchange, such as ``ba2632f9-7d17-66f5-2f82-7b085e54db40``."""
    if not len(ids):
        return pa.array([], pa.string())
    raw = ids.buffers()[1].to_pybytes()[16 * ids.offset : 16 * (ids.offset + len(ids))].hex().encode()
    text = bytearray(b"-") * (_TEXT_LENGTH * len(ids))
    digits = (place for place in range(_TEXT_LENGTH) if place not in _HYPHENS)
    # One copy for each place of the text is much quicker than one text for each row.
    for digit, place in enumerate(digits):
        text[place::_TEXT_LENGTH] = raw[digit::32]
    ends = array("i", range(0, _TEXT_LENGTH * len(ids) + 1, _TEXT_LENGTH))
    return pa.StringArray.from_buffers(len(ids), pa.py_buffer(ends.tobytes()), pa.py_buffer(bytes(text)))
