"""Records of days of candlesticks: what was read, which markets the exchange did not serve, and which are missing."""

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import sqlalchemy as sa

from kalshi_pipelines.history.candles.periods import CandleSpan
from kalshi_pipelines.history.candles.staging import CandlePartFacts
from kalshi_pipelines.history.partitions import after_begin
from kalshi_pipelines.lake.datasets import Dataset
from kalshi_pipelines.settings import Environment
from kalshi_pipelines.units import SECOND_US
from kalshi_pipelines.warehouse.engine import writing
from kalshi_pipelines.warehouse.environment import refuse_another_environment
from kalshi_pipelines.warehouse.tables import history_partitions, history_residuals

#: The kind of the residuals that the read of a day records. Checks against witnesses have other kinds.
SERVED: Final = "served"
_NOT_SERVED: Final = "The market was traded on this day, but neither side of the exchange has its candlesticks."
_ROWS_AT_ONCE: Final = 5_000


@dataclass(frozen=True)
class CandleDayRecord:
    """The result of reading a day.

    Attributes:
        span: The span that was read.
        rows: Rows of the day in the lake.
        parts: The report of each part of the day.
        trade_days: The status of the UTC days of public trades that the day needs.
        is_changed: Whether the rows differ from the rows of before.
    """

    span: CandleSpan
    rows: int
    parts: Sequence[CandlePartFacts]
    trade_days: Mapping[dt.date, str | None]
    is_changed: bool

    @property
    def failed(self) -> dict[str, str]:
        """Markets that could not be read, with the reasons."""
        return {ticker: problem for part in self.parts for ticker, problem in part.failed.items()}

    @property
    def not_served(self) -> list[str]:
        """Markets that were traded, but for which the exchange has no candlesticks."""
        return [ticker for part in self.parts for ticker in part.not_served]

    @property
    def figures(self) -> dict[str, Any]:
        """Figures of the read, for people."""
        return {
            "requests": sum(part.requests for part in self.parts),
            "markets_of_the_historical_side": sum(part.historical for part in self.parts),
            "markets_not_served": len(self.not_served),
            "markets_not_traded": sum(part.empty for part in self.parts),
            "markets_missing": len(self.failed),
            "trade_days": {day.isoformat(): status or "missing" for day, status in self.trade_days.items()},
        }


def begin_day(engine: sa.Engine, environment: Environment, dataset: Dataset, day: dt.date) -> None:
    """Record that a read of a day has begun. The known figures of the day stay.

    Raises:
        WarehouseOfAnotherEnvironment: The warehouse holds records of another environment.
    """
    with writing(engine) as connection:
        refuse_another_environment(connection, environment)
        begun = connection.execute(sa.update(history_partitions).where(*_is(dataset, day)).values(after_begin()))
        if not begun.rowcount:
            key = {"dataset": dataset.name, "partition_date": day.isoformat()}
            first = {"status": "reading", "rows": 0, "holes": 0, "proof": "not_checked", "figures": "{}"}
            connection.execute(sa.insert(history_partitions), key | first)


def was_closed(engine: sa.Engine, dataset: Dataset, day: dt.date) -> bool:
    """Return whether a day was closed."""
    with engine.connect() as connection:
        return connection.scalar(sa.select(history_partitions.c.status).where(*_is(dataset, day))) == "closed"


def record_day(
    engine: sa.Engine, dataset: Dataset, day: dt.date, record: CandleDayRecord, *, is_closed: bool, now_us: int
) -> None:
    """Record the result of reading a day, in one transaction. A day with other rows must be checked again."""
    values: dict[str, Any] = {
        "status": "closed" if is_closed else "open",
        "rows": record.rows,
        "holes": len(record.failed),
        "read_from_us": record.span.start_s * SECOND_US,
        "read_until_us": max(record.span.end_s, record.span.start_s) * SECOND_US,
        "read_us": now_us,
    }
    unchecked: dict[str, Any] = {"proof": "not_checked", "checked_us": None}
    with writing(engine) as connection:
        known = connection.scalar(sa.select(history_partitions.c.figures).where(*_is(dataset, day)))
        figures = (msgspec.json.decode(known) if known else {}) | record.figures
        values["figures"] = msgspec.json.encode(figures).decode()
        changes = values if not record.is_changed else values | unchecked
        connection.execute(sa.update(history_partitions).where(*_is(dataset, day)).values(changes))
        _replace_residuals(connection, dataset, day, record, now_us)


def _is(dataset: Dataset, day: dt.date) -> tuple[sa.ColumnElement[bool], ...]:
    columns = history_partitions.c
    return columns.dataset == dataset.name, columns.partition_date == day.isoformat()


def _replace_residuals(
    connection: sa.Connection, dataset: Dataset, day: dt.date, record: CandleDayRecord, now_us: int
) -> None:
    columns = history_residuals.c
    mine = (
        columns.dataset == dataset.name,
        columns.partition_date == day.isoformat(),
        columns.kind == SERVED,
    )
    first_seen = dict(connection.execute(sa.select(columns.ticker, columns.first_seen_us).where(*mine)).all())
    connection.execute(sa.delete(history_residuals).where(*mine))
    rows = [
        {
            "dataset": dataset.name,
            "partition_date": day.isoformat(),
            "ticker": ticker,
            "kind": SERVED,
            "state": state,
            "expected": "candlesticks",
            "found": "none",
            "explanation": explanation,
            "first_seen_us": first_seen.get(ticker, now_us),
        }
        for ticker, state, explanation in _residuals(record)
    ]
    for first in range(0, len(rows), _ROWS_AT_ONCE):
        connection.execute(sa.insert(history_residuals), rows[first : first + _ROWS_AT_ONCE])


def _residuals(record: CandleDayRecord) -> Iterator[tuple[str, str, str]]:
    for ticker in record.not_served:
        yield ticker, "not_served", _NOT_SERVED
    for ticker, problem in record.failed.items():
        yield ticker, "missing", problem
