"""Commands of the lake: list its files, compare them with the manifest, and make the manifest again."""

import argparse
import datetime as dt
from pathlib import Path

import sqlalchemy as sa

from kalshi_pipelines.cli.opening import opened_warehouse
from kalshi_pipelines.lake.closing import verify_lake
from kalshi_pipelines.lake.datasets import DATASETS, SETTLED_MARKETS
from kalshi_pipelines.lake.lake import open_lake
from kalshi_pipelines.lake.manifest import lake_hash
from kalshi_pipelines.lake.squaring import square
from kalshi_pipelines.settings import Settings
from kalshi_pipelines.units import instant, now_us
from kalshi_pipelines.upkeep.archiving import archive_again
from kalshi_pipelines.upkeep.moving import move_history
from kalshi_pipelines.warehouse.migrations import require_head


def rebuild(settings: Settings, given: argparse.Namespace) -> int:
    """Read every file of the lake, make the manifest again, and publish what only the warehouse has."""
    with opened_warehouse(settings) as engine:
        require_head(engine)
        return square_with_lake(settings, engine, take_over=given.take_over)


def square_with_lake(settings: Settings, engine: sa.Engine, *, take_over: bool = False) -> int:
    """Make warehouse and lake agree, print what was done, and return the exit status."""
    lake = open_lake(settings)
    squared = square(lake, engine, print, take_over=take_over)
    print(squared)
    lost = [Path(path) for path in squared.manifest.missing]
    archive_again(engine, [dt.date.fromisoformat(path.stem) for path in lost if path.parts[0] == SETTLED_MARKETS.name])
    if not squared.has_problems:
        move_older_history(settings, engine)
    return 1 if squared.has_problems else 0


def move_older_history(settings: Settings, engine: sa.Engine) -> None:
    """Move the history that a warehouse of an older version holds to the lake, if there is any."""
    moved = move_history(engine, open_lake(settings), settings.resolved_lake_dir, settings.keep_days, now_us(), print)
    if moved is not None:
        print(moved)


def list_files(settings: Settings, given: argparse.Namespace) -> int:
    """Print the manifest: one line for each file."""
    dataset = DATASETS[given.dataset] if given.dataset else None
    with opened_warehouse(settings) as engine:
        require_head(engine)
        lake = open_lake(settings)
        files = lake.files(engine, dataset)
    print(f"{'rows':>12} {'bytes':>14} {'status':<10} {'newest row, UTC':<16} file")
    for file in files:
        last = file.contents.last_us
        newest = f"{instant(last):%Y-%m-%d %H:%M}" if last is not None else ""
        print(f"{file.contents.rows:>12,} {file.bytes:>14,} {file.status:<10} {newest:<16} {file.path}")
    rows, size = sum(file.contents.rows for file in files), sum(file.bytes for file in files)
    print(f"{rows:>12,} {size:>14,} {len(files):,} files in {lake.place}")
    return 0


def verify(settings: Settings, _given: argparse.Namespace) -> int:
    """Read every file of the manifest and compare it with the manifest. Print what differs."""
    with opened_warehouse(settings) as engine:
        require_head(engine)
        lake = open_lake(settings)
        found = verify_lake(lake, engine)
        content = lake_hash(engine)
    for problem in found.problems:
        print(problem)
    print(f"{len(found.verified):,} files of {lake.place} are as the manifest says, {len(found.problems):,} are not.")
    if content is not None:
        print(f"Hash of all rows: {content}")
    return 1 if found.problems else 0
