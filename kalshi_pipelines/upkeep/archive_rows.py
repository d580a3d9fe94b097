"""Whole records of settled markets and past events, as sorted batches for the lake."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow as pa
import sqlalchemy as sa

from kalshi_pipelines.lake.archived_columns import MISSING_MARKET, PAST_EVENT, SETTLED_MARKET, ArchivedColumn
from kalshi_pipelines.lake.datasets import MISSING_MARKETS, PAST_EVENTS, SETTLED_MARKETS, Dataset, exact_decimals
from kalshi_pipelines.warehouse.tables import SHARED_TEXTS, events, markets, quotes, rule_texts, series, settlements

_ROWS_AT_ONCE: Final = 5_000
#: Whether the settlement of a market counts. The exchange can take a settlement back: the market's record is then newer
#: and not finalized. In an adopted database, settlements can be newer than the records of their markets.
IS_SETTLED: Final = sa.func.coalesce(markets.c.status == "finalized", sa.true()) | (
    markets.c.recorded_us <= settlements.c.recorded_us
)


@dataclass(frozen=True)
class ArchiveRows:
    """Rows of the warehouse in the form of a dataset. Each iteration reads them, sorted by their key.

    Attributes:
        engine: The warehouse.
        query: Selects the columns of the dataset, in their order.
        dataset: The dataset.
    """

    engine: sa.Engine
    query: sa.Select[Any]
    dataset: Dataset

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        key: sa.ColumnElement[str] = self.query.selected_columns[self.dataset.key[0]]
        # The lake compares keys byte by byte, so the database must not sort them by a language's rules.
        if self.engine.dialect.name == "postgresql":
            key = sa.collate(key, "C")
        with self.engine.connect().execution_options(yield_per=_ROWS_AT_ONCE) as connection:
            for rows in connection.execute(self.query.order_by(key)).partitions():
                yield batch_of(self.dataset.schema, rows)


@dataclass(frozen=True)
class RememberedRows:
    """Rows that remember the version of each key that was read last: the time of its record, in microseconds."""

    rows: ArchiveRows
    versions: dict[str, int] = field(default_factory=dict)

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        self.versions.clear()
        for batch in self.rows:
            times = batch.column("recorded_time").cast(pa.int64()).to_pylist()
            self.versions.update(zip(batch.column(0).to_pylist(), times, strict=True))
            yield batch


def settled_markets(engine: sa.Engine, condition: sa.ColumnElement[bool]) -> ArchiveRows:
    """Return the records of the settled markets that meet a condition on ``settlements`` and ``markets``.

    The record of a market that was settled and is active again has its present status and no outcome.
    """
    joined, sources = _whole(settlements.join(markets, markets.c.ticker == settlements.c.ticker))
    computed = {"recorded_us": last_recorded(engine)}
    columns = [
        sa.case((IS_SETTLED, column), else_=None).label(one.name) if _is_outcome(one) else column
        for one, column in zip(SETTLED_MARKET, _selected(SETTLED_MARKET, sources, computed), strict=True)
    ]
    query = sa.select(*columns).select_from(joined).where(condition)
    return ArchiveRows(engine, query, SETTLED_MARKETS)


def missing_markets(engine: sa.Engine, condition: sa.ColumnElement[bool]) -> ArchiveRows:
    """Return the last records of the missing markets that meet a condition on ``markets``."""
    joined, sources = _whole(markets)
    columns = _selected(MISSING_MARKET, sources, {"recorded_us": last_seen(engine)})
    return ArchiveRows(engine, sa.select(*columns).select_from(joined).where(condition), MISSING_MARKETS)


def _whole(joined: Any) -> tuple[Any, dict[str, Any]]:  # noqa: ANN401  # SQLAlchemy's joins have no public common type
    """Join the quote, event, series and texts of markets, and return the tables by their names."""
    texts = {name: rule_texts.alias(name) for name in SHARED_TEXTS}
    joined = joined.outerjoin(quotes, quotes.c.ticker == markets.c.ticker)
    joined = joined.outerjoin(events, events.c.event_ticker == markets.c.event_ticker)
    joined = joined.outerjoin(series, series.c.ticker == events.c.series_ticker)
    for name, text in texts.items():
        joined = joined.outerjoin(text, text.c.text_digest == markets.c[f"{name}_digest"])
    return joined, {table.name: table for table in (settlements, markets, quotes, events, series)} | texts


def _is_outcome(column: ArchivedColumn) -> bool:
    return column.table == settlements.name and not column.is_required


def past_events(engine: sa.Engine, condition: sa.ColumnElement[bool]) -> ArchiveRows:
    """Return the records of the events that meet a condition on ``events``."""
    joined = events.outerjoin(series, series.c.ticker == events.c.series_ticker)
    sources = {"events": events, "series": series}
    query = sa.select(*_selected(PAST_EVENT, sources, {"ended_us": ended_us()})).select_from(joined).where(condition)
    return ArchiveRows(engine, query, PAST_EVENTS)


def last_recorded(engine: sa.Engine) -> sa.ColumnElement[int]:
    """Return the expression for the time at which any part of a settled market's record was last stored."""
    newest = sa.func.max if engine.dialect.name == "sqlite" else sa.func.greatest
    parts = (markets.c.recorded_us, settlements.c.recorded_us, sa.func.coalesce(quotes.c.observed_us, 0))
    return newest(*parts, type_=markets.c.recorded_us.type)


def last_seen(engine: sa.Engine) -> sa.ColumnElement[int]:
    """Return the expression for the time at which the record of a market or its quote was last stored."""
    newest = sa.func.max if engine.dialect.name == "sqlite" else sa.func.greatest
    return newest(markets.c.recorded_us, sa.func.coalesce(quotes.c.observed_us, 0), type_=markets.c.recorded_us.type)


def ended_us() -> sa.ColumnElement[int]:
    """Return the expression for the end of an event: its last settlement, strike, update, or new record."""
    columns = events.c
    times = (columns.last_settlement_us, columns.strike_date_us, columns.last_updated_us, columns.recorded_us)
    return sa.func.coalesce(*times)


def _selected(
    columns: tuple[ArchivedColumn, ...],
    sources: dict[str, Any],
    computed: dict[str, sa.ColumnElement[int]],
) -> Iterator[sa.ColumnElement[Any]]:
    for one in columns:
        value = sources[one.table].c[one.column] if one.table else computed[one.column]
        yield value.label(one.name)


def batch_of(schema: pa.Schema, rows: Any) -> pa.RecordBatch:  # noqa: ANN401  # rows of any select
    """Return rows with the warehouse's values as a batch of a dataset."""
    values = list(zip(*rows, strict=True)) or [()] * len(schema)
    return pa.record_batch([_array(*each) for each in zip(schema.types, values, strict=True)], schema=schema)


def _array(kind: pa.DataType, values: tuple[Any, ...]) -> pa.Array:
    if pa.types.is_decimal(kind):
        return exact_decimals(pa.array(values, pa.int64()), kind)
    if pa.types.is_boolean(kind):
        return pa.array([None if value is None else bool(value) for value in values], kind)
    return pa.array(values, kind)
