"""History rows on their way to the lake: publish those that wait, close past days, and remove what is proven there."""

from typing import Final

import sqlalchemy as sa

from kalshi_pipelines.errors import ExpectedError
from kalshi_pipelines.lake.buffers import ORDERBOOKS, PRICES, HistoryBuffer
from kalshi_pipelines.lake.closing import close_days, files_to_close
from kalshi_pipelines.lake.history import publish_history
from kalshi_pipelines.lake.manifest import count_lake_files
from kalshi_pipelines.lake.removal import is_moving, remove_published
from kalshi_pipelines.units import trading_day
from kalshi_pipelines.upkeep.inputs import UpkeepInputs
from kalshi_pipelines.upkeep.removals import Removal
from kalshi_pipelines.warehouse.tables import ingest_runs

_NAMES: Final = {PRICES: "history rows of quotes", ORDERBOOKS: "history rows of orderbooks"}


def publish_waiting(inputs: UpkeepInputs) -> list[Removal]:
    """Publish the history rows of ended runs that the lake does not have yet. Nothing leaves the warehouse."""
    if not inputs.is_dry_run:
        for buffer in _NAMES:
            published = publish_history(inputs.lake, inputs.engine, buffer)
            added = sum(file.added for file in published.files)
            inputs.report(f"{buffer.dataset.name}: {added:,} rows published, {len(published.files):,} files replaced")
    return []


def remove_history(inputs: UpkeepInputs) -> list[Removal]:
    """Remove history rows that the lake is proven to have.

    Rows of quotes stay some days, so that questions about the last days need no lake. Rows of orderbooks leave at once,
    because the newest book of each market has a table of its own.
    """
    return [
        _remove_history(inputs, PRICES, inputs.before_us(inputs.retention.history_days)),
        _remove_history(inputs, ORDERBOOKS, inputs.now_us),
    ]


def _remove_history(inputs: UpkeepInputs, buffer: HistoryBuffer, before_us: int) -> Removal:
    columns, runs = buffer.table.c, ingest_runs.c
    exported = sa.select(runs.ingest_run_id).where(runs.exported_us.is_not(None))
    with inputs.engine.connect() as connection:
        total = connection.scalar(sa.select(sa.func.count()).select_from(buffer.table)) or 0
        old = columns.observed_us < before_us
        removed = connection.scalar(
            sa.select(sa.func.count()).select_from(buffer.table).where(old, columns.ingest_run_id.in_(exported))
        )
    removed = 0 if is_moving(inputs.engine, buffer) else removed or 0
    if not inputs.is_dry_run:
        removed = remove_published(inputs.lake, inputs.engine, buffer, before_us)
    age = "" if buffer is ORDERBOOKS else f", and older than {inputs.retention.history_days} days"
    return Removal(_NAMES[buffer], removed, total - removed, f"in the lake{age}")


class LakeDiffers(ExpectedError):
    """Files of past days are not the files that the manifest describes."""


def close_past_days(inputs: UpkeepInputs) -> list[Removal]:
    """Compare the files of past days with the manifest, and close them.

    Raises:
        LakeDiffers: A file differs. The message names each.
    """
    today = trading_day(inputs.now_us)
    waiting = files_to_close(inputs.engine, today)
    total = count_lake_files(inputs.engine)
    note = f"{len(waiting):,} would be compared with the manifest and closed" if inputs.is_dry_run and waiting else ""
    if not inputs.is_dry_run:
        verified = close_days(inputs.lake, inputs.engine, today)
        if verified.problems:
            raise LakeDiffers(" ".join(verified.problems), "Run `kalshi-pipelines rebuild-lake`.")
    return [Removal("files of the lake", 0, total, "never; files of past days are verified and closed", note)]
