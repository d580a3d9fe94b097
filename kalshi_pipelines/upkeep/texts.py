"""Shared texts that no market refers to any more leave the warehouse. The lake has them in the records of markets."""

import sqlalchemy as sa

from kalshi_pipelines.upkeep.inputs import ROWS_AT_ONCE, UpkeepInputs
from kalshi_pipelines.upkeep.removals import Removal
from kalshi_pipelines.warehouse.engine import writing
from kalshi_pipelines.warehouse.locks import AlreadyRunning, hold_work_lock
from kalshi_pipelines.warehouse.tables import SHARED_TEXTS, ingest_runs, markets, rule_texts

_MARKETS: str = "markets"


def remove_unused_texts(inputs: UpkeepInputs) -> list[Removal]:
    """Remove the texts that no market refers to, unless an ingest of markets may just have begun to refer to them."""
    newest_run = _newest_run(inputs.engine)
    unused, total = _unused(inputs.engine)
    removed, note = len(unused), ""
    if unused and not inputs.is_dry_run:
        try:
            # An ingest of markets adds a text and the market that refers to it in one transaction, under this lock.
            with hold_work_lock(inputs.engine, _MARKETS):
                if _newest_run(inputs.engine) == newest_run:
                    _remove(inputs.engine, unused)
                else:
                    removed, note = 0, "Markets were read meanwhile; the next upkeep tries again."
        except AlreadyRunning:
            removed, note = 0, "Markets are being read; the next upkeep tries again."
    return [Removal("shared texts of markets", removed, total - removed, "not referred to by any market", note)]


def _newest_run(engine: sa.Engine) -> int | None:
    runs = ingest_runs.c
    with engine.connect() as connection:
        newest: int | None = connection.scalar(
            sa.select(sa.func.max(runs.ingest_run_id)).where(runs.subject == _MARKETS)
        )
    return newest


def _unused(engine: sa.Engine) -> tuple[list[bytes], int]:
    with engine.connect() as connection:
        known = set(map(bytes, connection.scalars(sa.select(rule_texts.c.text_digest))))
        total = len(known)
        for name in SHARED_TEXTS:
            column = markets.c[f"{name}_digest"]
            known -= set(map(bytes, connection.scalars(sa.select(column).where(column.is_not(None)).distinct())))
    return sorted(known), total


def _remove(engine: sa.Engine, digests: list[bytes]) -> None:
    for first in range(0, len(digests), ROWS_AT_ONCE):
        with writing(engine) as connection:
            some = digests[first : first + ROWS_AT_ONCE]
            connection.execute(sa.delete(rule_texts).where(rule_texts.c.text_digest.in_(some)))
