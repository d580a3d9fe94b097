"""Retention of what Dagster stores of its own: runs with their events and logs, and logs of ticks.

``dagster.yaml`` sets how long ticks are kept, because Dagster removes ticks by itself. Dagster has no such setting for
runs and logs. Dagster's SQLite storage keeps one file for each run, which ``DagsterInstance.delete_run`` empties but
does not remove. All use of Dagster's storage classes is in this file.
"""

import datetime as dt
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import dagster as dg
import sqlalchemy as sa

from kalshi_pipelines.upkeep.removals import Removal

_RUNS_AT_ONCE: Final = 500
_ENDED: Final = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
#: Tags of removed runs stay on SQLite, because Dagster does not switch its foreign keys on.
_STRAY_TAGS: Final = "FROM run_tags WHERE run_id NOT IN (SELECT run_id FROM runs)"
_OLD_CHECKS: Final = (
    "FROM asset_check_executions WHERE create_timestamp < :before AND id NOT IN "
    "(SELECT max(id) FROM asset_check_executions GROUP BY asset_key, check_name, partition)"
)


def remove_old_dagster_records(
    instance: dg.DagsterInstance, days: int, now: dt.datetime, report: Callable[[str], None], *, is_dry_run: bool
) -> list[Removal]:
    """Remove runs that ended long ago, with their events, tags and logs, and old logs of ticks.

    Runs that hold the newest materialization or observation of an asset stay, so that no asset forgets its state.

    Args:
        instance: The Dagster instance.
        days: Days that runs and logs are kept.
        now: The present time.
        report: Called with a sentence for each batch of runs.
        is_dry_run: Whether to count only.
    """
    before = now - dt.timedelta(days=days)
    needed = _runs_of_newest_events(instance)
    removed = 0
    for run_ids in _batches(_old_runs(instance, before, needed)):
        removed += len(run_ids)
        if not is_dry_run:
            for run_id in run_ids:
                _remove_run(instance, run_id)
            report(f"removed {removed:,} Dagster runs")
    total = instance.get_runs_count()
    checks = _old_checks(instance, before, is_dry_run=is_dry_run)
    if not is_dry_run:
        _remove_stray_tags(instance)
    logs, kept_logs = _remove_logs(instance, before, is_dry_run=is_dry_run)
    rule = f"ended more than {days} days ago, except the newest of each asset"
    return [
        Removal("Dagster runs", removed, total - removed if is_dry_run else total, rule),
        Removal("Dagster check results", *checks, f"older than {days} days, except the newest of each check"),
        Removal("Dagster log files", logs, kept_logs, f"older than {days} days"),
    ]


def _runs_of_newest_events(instance: dg.DagsterInstance) -> set[str]:
    needed: set[str] = set()
    for record in instance.get_asset_records():
        entry = record.asset_entry
        newest = (entry.last_materialization_record, entry.last_observation_record)
        needed.update(event.run_id for event in newest if event is not None)
        if entry.last_run_id:
            needed.add(entry.last_run_id)
    return needed


def _old_runs(instance: dg.DagsterInstance, before: dt.datetime, needed: set[str]) -> Iterator[str]:
    """Yield the runs to remove. All are read before the first is removed, because removal moves the pages."""
    old = dg.RunsFilter(statuses=_ENDED, created_before=before)
    found: list[str] = []
    cursor: str | None = None
    while True:
        page = instance.get_run_records(filters=old, limit=_RUNS_AT_ONCE, cursor=cursor)
        # A run that waited or worked for a long time ended later than it was created.
        found += [
            record.dagster_run.run_id
            for record in page
            if record.end_time is None or record.end_time < before.timestamp()
        ]
        if len(page) < _RUNS_AT_ONCE:
            return (run_id for run_id in found if run_id not in needed)
        cursor = page[-1].dagster_run.run_id


def _batches(run_ids: Iterator[str]) -> Iterator[Sequence[str]]:
    batch: list[str] = []
    for run_id in run_ids:
        batch.append(run_id)
        if len(batch) == _RUNS_AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch


def _remove_run(instance: dg.DagsterInstance, run_id: str) -> None:
    """Remove logs and events first and the run last, so that an interrupted removal is repeated."""
    instance.compute_log_manager.delete_logs(prefix=[run_id])
    events: Any = instance.event_log_storage
    if hasattr(events, "path_for_shard"):
        with events.index_connection() as connection:
            events.delete_events_for_run(connection, run_id)
        for suffix in ("", "-wal", "-shm", "-journal"):
            Path(events.path_for_shard(run_id) + suffix).unlink(missing_ok=True)
    else:
        events.delete_events(run_id)
    shutil.rmtree(Path(instance.storage_directory()) / run_id, ignore_errors=True)
    instance.run_storage.delete_run(run_id)


def _remove_stray_tags(instance: dg.DagsterInstance) -> None:
    runs: Any = instance.run_storage
    if hasattr(runs, "connect"):
        with runs.connect() as connection:
            connection.execute(sa.text(f"DELETE {_STRAY_TAGS}"))


def _old_checks(instance: dg.DagsterInstance, before: dt.datetime, *, is_dry_run: bool) -> tuple[int, int]:
    """Remove old results of asset checks, or count them. Return the numbers removed and kept."""
    events: Any = instance.event_log_storage
    if not hasattr(events, "index_connection"):
        return 0, 0
    old = {"before": before.astimezone(dt.UTC).replace(tzinfo=None)}
    with events.index_connection() as connection:
        total = connection.execute(sa.text("SELECT count(*) FROM asset_check_executions")).scalar() or 0
        typed = sa.bindparam("before", type_=sa.DateTime())
        removed = connection.execute(sa.text(f"SELECT count(*) {_OLD_CHECKS}").bindparams(typed), old).scalar() or 0
        if removed and not is_dry_run:
            connection.execute(sa.text(f"DELETE {_OLD_CHECKS}").bindparams(typed), old)
    return removed, total - removed


def _remove_logs(instance: dg.DagsterInstance, before: dt.datetime, *, is_dry_run: bool) -> tuple[int, int]:
    """Remove old log files that belong to no run, or count them. Return the numbers of files removed and kept.

    These are the logs of ticks, and logs of runs whose removal was interrupted. Logs in an object store are left to the
    store's own rules.
    """
    manager: Any = instance.compute_log_manager
    if not hasattr(manager, "get_captured_local_path"):
        return 0, 0
    folder = Path(manager.get_captured_local_path(["any"], "err")).parent
    removed = kept = 0
    for owner in sorted(folder.iterdir()) if folder.is_dir() else ():
        is_of_run = owner.is_dir() and instance.has_run(owner.name)
        for path in sorted(owner.rglob("*"), reverse=True) if owner.is_dir() else (owner,):
            if path.is_dir():
                if not is_dry_run and not is_of_run:
                    _remove_if_empty(path)
            elif not is_of_run and path.stat().st_mtime < before.timestamp():
                removed += 1
                if not is_dry_run:
                    path.unlink(missing_ok=True)
            else:
                kept += 1
    return removed, kept


def _remove_if_empty(folder: Path) -> None:
    if next(folder.iterdir(), None) is None:
        folder.rmdir()
