"""Retention of backups: those of upgrades, and those that a person made.

They are beside a SQLite warehouse, or in the data folder of the environment if the warehouse is on Postgres. Backups in
other folders are never touched.
"""

import re
from pathlib import Path
from typing import Final

from kalshi_pipelines.upkeep.inputs import UpkeepInputs
from kalshi_pipelines.upkeep.removals import Removal

#: What follows the warehouse's name in the name of a backup: the revision of the schema, and the moment.
_ENDING: Final = re.compile(r"\.[^.]+\.\d{8}T\d{12}\.backup")


def remove_old_backups(inputs: UpkeepInputs) -> list[Removal]:
    """Remove all backups of the warehouse except the newest, and return what was removed."""
    database = Path(str(inputs.engine.url.database))
    if inputs.engine.dialect.name != "sqlite":
        database = inputs.backup_folder / database.name
    backups = backups_of(database)
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
    """Return the backups of a SQLite file, or of a Postgres database of this name in the folder, the newest first.

    The name of a backup ends in the moment at which it was made: ``warehouse.db.0012.20261122T181114334584.backup``.
    """
    resolved = database.resolve()
    if not resolved.parent.is_dir():
        return []
    names = re.compile(re.escape(resolved.name) + _ENDING.pattern)
    found = [path for path in resolved.parent.iterdir() if names.fullmatch(path.name)]
    return sorted(found, key=lambda path: path.name.split(".")[-2], reverse=True)
