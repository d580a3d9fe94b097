"""The results of proofs in the warehouse: the verdict about a day, its figures, and every difference."""

import datetime as dt
from typing import Any, Final

import msgspec
import sqlalchemy as sa

from kalshi_pipelines.history.partitions import REFUSED
from kalshi_pipelines.history.proof.residuals import Proof, Residual, State, Verdict
from kalshi_pipelines.lake.datasets import PUBLIC_TRADES
from kalshi_pipelines.warehouse.engine import writing
from kalshi_pipelines.warehouse.tables import history_partitions, history_residuals

_ROWS_AT_ONCE: Final = 5_000
#: The name of the figures of a proof among the figures of a day.
FIGURES: Final = "proof"


def residuals_of(engine: sa.Engine, dataset: str, day: dt.date, kind: str | None = None) -> list[Residual]:
    """Return the differences of a day that the warehouse has, sorted by market and kind."""
    columns = history_residuals.c
    query = sa.select(history_residuals).where(columns.dataset == dataset, columns.partition_date == day.isoformat())
    if kind is not None:
        query = query.where(columns.kind == kind)
    with engine.connect() as connection:
        return [
            Residual(row.ticker, row.kind, State(row.state), row.expected, row.found, row.explanation or "")
            for row in connection.execute(query.order_by(columns.ticker, columns.kind))
        ]


def record_proof(engine: sa.Engine, proof: Proof, now_us: int) -> None:
    """Record a proof of a day of public trades, in one transaction. Differences that no longer exist are removed."""
    columns = history_partitions.c
    where = sa.and_(columns.dataset == PUBLIC_TRADES.name, columns.partition_date == proof.day.isoformat())
    with writing(engine) as connection:
        known = connection.scalar(sa.select(columns.figures).where(where))
        if known is None:
            return
        figures = {**msgspec.json.decode(known), FIGURES: dict(proof.figures)}
        is_checked = proof.verdict is not Verdict.NOT_CHECKED
        values = {
            "proof": str(proof.verdict),
            "checked_us": now_us if is_checked else None,
            "figures": msgspec.json.encode(figures).decode(),
        }
        connection.execute(sa.update(history_partitions).where(where).values(values))
        _replace(connection, proof, now_us)


def _replace(connection: sa.Connection, proof: Proof, now_us: int) -> None:
    columns = history_residuals.c
    # The read of a day records its refused records itself.
    mine = sa.and_(
        columns.dataset == PUBLIC_TRADES.name,
        columns.partition_date == proof.day.isoformat(),
        columns.kind != REFUSED,
    )
    known = connection.execute(sa.select(columns.ticker, columns.kind, columns.first_seen_us).where(mine))
    first_seen = {(ticker, kind): seen_us for ticker, kind, seen_us in known}
    connection.execute(sa.delete(history_residuals).where(mine))
    rows: list[dict[str, Any]] = [
        {
            "dataset": PUBLIC_TRADES.name,
            "partition_date": proof.day.isoformat(),
            "ticker": each.ticker,
            "kind": each.kind,
            "state": str(each.state),
            "expected": each.expected,
            "found": each.found,
            "explanation": each.explanation,
            "first_seen_us": first_seen.get((each.ticker, each.kind), now_us),
        }
        for each in proof.residuals
    ]
    for first in range(0, len(rows), _ROWS_AT_ONCE):
        connection.execute(sa.insert(history_residuals), rows[first : first + _ROWS_AT_ONCE])
