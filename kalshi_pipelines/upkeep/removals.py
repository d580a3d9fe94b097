"""Reports of upkeep: what each task removed and what stays, as numbers and as a table for people."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Removal:
    """The result of one task, or of its dry run.

    Attributes:
        what: The kind of rows or files, for example ``ended ingest runs``.
        removed: The number that was removed, or that would be removed.
        kept: The number that stays.
        rule: When such rows or files are removed.
        note: Anything else that a person must know; empty in most cases.
    """

    what: str
    removed: int
    kept: int
    rule: str
    note: str = ""


@dataclass(frozen=True)
class Problem:
    """A task that failed. The other tasks ran."""

    task: str
    error: str


@dataclass(frozen=True)
class UpkeepReport:
    """The results of all tasks of one upkeep.

    Attributes:
        removals: The results of the tasks in their order.
        problems: Tasks that failed.
        is_dry_run: Whether nothing was changed.
    """

    removals: tuple[Removal, ...]
    problems: tuple[Problem, ...]
    is_dry_run: bool

    def __str__(self) -> str:
        title = "Dry run, nothing is changed." if self.is_dry_run else "Upkeep done."
        verb = "would remove" if self.is_dry_run else "removed"
        table = [("", verb, "stays", "rule")]
        table += [(one.what, f"{one.removed:,}", f"{one.kept:,}", one.rule) for one in self.removals]
        lines = [title, *_aligned(table)]
        lines += [f"{one.what}: {one.note}" for one in self.removals if one.note]
        lines += [f"{problem.task} failed: {problem.error}" for problem in self.problems]
        return "\n".join(lines)


def _aligned(table: Sequence[tuple[str, str, str, str]]) -> list[str]:
    widths = [max(len(row[column]) for row in table) for column in range(3)]
    return [
        f"{what:<{widths[0]}}  {removed:>{widths[1]}}  {kept:>{widths[2]}}  {rule}"
        for what, removed, kept, rule in table
    ]
