"""Making the warehouse and its lake agree again, after a restore, a lost file, or a lost manifest.

Rows of the lake that the warehouse does not know stay in their files and can be read. Rows of the warehouse that the
lake lacks are published. No row is overwritten.
"""

from collections.abc import Callable
from dataclasses import dataclass

import sqlalchemy as sa

from kalshi_pipelines.lake.buffers import ORDERBOOKS, PRICES
from kalshi_pipelines.lake.history import publish_again, publish_history
from kalshi_pipelines.lake.lake import Lake
from kalshi_pipelines.lake.publishing import PublishedFile
from kalshi_pipelines.lake.rebuilding import Rebuilt, rebuild_manifest

Report = Callable[[str], None]


@dataclass(frozen=True)
class Squared:
    """The result: what changed in the manifest, and which files got rows that only the warehouse had."""

    manifest: Rebuilt
    published: tuple[PublishedFile, ...]

    @property
    def has_problems(self) -> bool:
        """Whether a person must look at a file, or rows of a missing file may be lost."""
        return bool(self.manifest.problems or self.manifest.missing)

    def __str__(self) -> str:
        manifest = self.manifest
        lines = [
            f"{len(manifest.unchanged):,} files agree with the manifest, {len(manifest.recorded):,} were recorded "
            f"again, {len(manifest.missing):,} are missing."
        ]
        lines += [
            f"missing, so its rows are lost unless the warehouse still has them: {path}" for path in manifest.missing
        ]
        lines += list(manifest.problems)
        lines += [f"{file.path}: {file.added:,} rows of the warehouse added" for file in self.published]
        return "\n".join(lines)


def square(lake: Lake, engine: sa.Engine, report: Report, *, take_over: bool = False) -> Squared:
    """Make the manifest describe the files of the lake, and publish the rows that the files lack.

    Args:
        lake: The lake.
        engine: The warehouse that owns the lake.
        report: Called with a sentence for each step.
        take_over: Whether the lake becomes the lake of this warehouse, whatever warehouse it belonged to.

    Raises:
        LakeOfAnotherWarehouse: The lake belongs to another warehouse or environment.
        LakeUnavailable: The lake cannot be read or written.
        ConflictingRows: The warehouse and the lake have different rows with the same key.
    """
    report(f"Reading every file of the lake {lake.place}.")
    rebuilt = rebuild_manifest(lake, engine, take_over=take_over)
    published: list[PublishedFile] = []
    if not rebuilt.problems:
        for buffer in (PRICES, ORDERBOOKS):
            publish_again(engine, buffer)
            published += publish_history(lake, engine, buffer, now=True).files
    return Squared(rebuilt, tuple(published))
