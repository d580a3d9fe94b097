"""The last task of upkeep: planner statistics, and disk space that removed rows left free."""

from kalshi_pipelines.upkeep.inputs import UpkeepInputs
from kalshi_pipelines.upkeep.removals import Removal
from kalshi_pipelines.warehouse.space import Space, optimize, release_free_pages, space_of


def release_space(inputs: UpkeepInputs) -> list[Removal]:
    """Update the planner's statistics and return free pages of a SQLite file to the disk."""
    before = space_of(inputs.engine)
    note = ""
    if not inputs.is_dry_run:
        optimize(inputs.engine)
        note = release_free_pages(inputs.engine) if before else ""
    if before is None:
        return []
    after = space_of(inputs.engine) or before
    return [_removal(inputs, before, after, note)]


def _removal(inputs: UpkeepInputs, before: Space, after: Space, note: str) -> Removal:
    removed = before.free_bytes if inputs.is_dry_run else before.bytes - after.bytes
    kept = before.bytes - removed if inputs.is_dry_run else after.bytes
    if inputs.is_dry_run and not before.is_incremental:
        note = "The file will be rewritten once, because it cannot shrink page by page yet."
    return Removal("bytes of the SQLite file", max(removed, 0), kept, "free pages", note)
