"""Retention of the backups beside a SQLite warehouse: those of upgrades, and those that a person made there."""

import glob
from pathlib import Path

from kalshi_pipelines.upkeep.inputs import UpkeepInputs
from kalshi_pipelines.upkeep.removals import Removal


def remove_old_backups(inputs: UpkeepInputs) -> list[Removal]:
    """Remove all backups of the warehouse except the newest, and return what was removed."""
    if inputs.engine.dialect.name != "sqlite":
        return []
    backups = backups_of(Path(str(inputs.engine.url.database)))
    keep = inputs.retention.backups
    old = backups[keep:]
    size = sum(path.stat().st_size for path in old)
    if not inputs.is_dry_run:
        for path in old:
            inputs.report(f"removing the backup {path}")
            path.unlink(missing_ok=True)
    note = f"{', '.join(path.name for path in old)} ({size:,} bytes)" if old else ""
    return [Removal("backups", len(old), len(backups) - len(old), f"all but the newest {keep}", note)]


def backups_of(database: Path) -> list[Path]:
    """Return the backups of a SQLite file, the newest first.

    The name of a backup ends in the moment at which it was made: ``warehouse.db.0012.20261122T181114334584.backup``.
    """
    resolved = database.resolve()
    found = resolved.parent.glob(f"{glob.escape(resolved.name)}.*.backup")
    return sorted(found, key=lambda path: path.name.split(".")[-2], reverse=True)
