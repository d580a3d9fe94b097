"""A process that reads days of public trades until all of them are closed. The trial kills it again and again.

``python -m kalshi_pipelines_tests.tools.history_trial.worker FOLDER URL FIRST_DAY DAYS WORKERS``
"""

import datetime as dt
import logging
import sys
from pathlib import Path
from typing import Final

import sqlalchemy as sa
import stamina

from kalshi_pipelines.history.backfill import plan_backfill, run_backfill
from kalshi_pipelines.history.inputs import HistoryInputs
from kalshi_pipelines.history.kinds import PUBLIC_TRADES_KIND
from kalshi_pipelines.kalshi.client import KalshiClient
from kalshi_pipelines.lake.lake import Lake
from kalshi_pipelines.lake.store import LocalStore
from kalshi_pipelines.settings import Environment, Settings
from kalshi_pipelines.warehouse.engine import open_engine

_ATTEMPTS: Final = 5


def database_of(folder: Path) -> sa.Engine:
    """Open the warehouse of a trial."""
    return open_engine(f"sqlite:///{folder / 'warehouse.db'}")


def inputs_of(folder: Path, engine: sa.Engine, client: KalshiClient) -> HistoryInputs:
    """Return the inputs of reads into the lake of a trial."""
    lake = Lake(LocalStore(folder / "lake"), "sandbox")
    return HistoryInputs(client, engine, lake, Environment.SANDBOX, folder / "history_work")


def client_of(engine: sa.Engine, url: str) -> KalshiClient:
    """Return a client of a quick server, with the largest documented rate budget."""
    settings = Settings.from_environment().model_copy(update={"rate_tier": "prestige"})
    return KalshiClient.from_settings(settings, engine, url=url)


def read_days(folder: Path, url: str, first: dt.date, days: int, workers: int) -> None:
    """Read the days that are not closed yet, as the job ``backfill_history`` does."""
    engine = database_of(folder)
    with client_of(engine, url) as client:
        inputs = inputs_of(folder, engine, client)
        last = first + dt.timedelta(days=days - 1)
        run_backfill(inputs, plan_backfill(inputs, [PUBLIC_TRADES_KIND], first, last, workers=workers))
    engine.dispose()


def main() -> None:
    """Run the worker."""
    logging.disable(logging.WARNING)
    # A failed request is repeated at once, so that the trial is short.
    stamina.set_testing(True, attempts=_ATTEMPTS)  # the library's own signature
    folder, url, first, days, workers = sys.argv[1:]
    read_days(Path(folder), url, dt.date.fromisoformat(first), int(days), int(workers))


if __name__ == "__main__":
    main()
