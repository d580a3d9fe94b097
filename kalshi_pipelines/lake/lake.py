"""The lake of a warehouse, as other rooms use it: publish rows, list files, read rows."""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import sqlalchemy as sa

from kalshi_pipelines.lake.address import open_store
from kalshi_pipelines.lake.datasets import Dataset
from kalshi_pipelines.lake.manifest import LakeFile, lake_files_of
from kalshi_pipelines.lake.publishing import Published, hold_lake
from kalshi_pipelines.lake.replacing import ReplacedDay, replace_day
from kalshi_pipelines.lake.store import Store
from kalshi_pipelines.settings import Settings


@dataclass(frozen=True)
class Lake:
    """A lake: the store of its files, and the exchange that its rows are from."""

    store: Store
    environment: str

    @property
    def place(self) -> str:
        """The place of the lake, for messages. It contains no secret."""
        return self.store.place

    def publish(
        self,
        engine: sa.Engine,
        dataset: Dataset,
        batches_by_day: Mapping[dt.date, Iterable[pa.RecordBatch]],
        source: str,
        *,
        now: bool = False,
    ) -> Published:
        """Merge rows into the lake. Rows that the lake already has change nothing.

        Args:
            engine: The warehouse that owns the lake.
            dataset: The dataset that the rows belong to.
            batches_by_day: The rows of each day in the dataset's time zone, sorted by the dataset's key. Each value
                must be iterable more than once, because a large day is read once for each of its slots.
            source: Where the rows are from, for the manifest.
            now: Whether a large file is replaced even if it was replaced less than an hour ago.

        Raises:
            ConflictingRows: The lake has a different row with the same key.
            LakeFileChanged: A file is not the file that the manifest describes.
            LakeOfAnotherWarehouse: The lake belongs to another warehouse or environment.
            LakeUnavailable: The lake cannot be read or written.
        """
        with hold_lake(engine, self.store, self.environment) as writer:
            return writer.publish(dataset, batches_by_day, source, now=now)

    def replace_day(
        self,
        engine: sa.Engine,
        dataset: Dataset,
        day: dt.date,
        streams: Sequence[Iterable[pa.RecordBatch]],
        source: str,
    ) -> ReplacedDay:
        """Make the rows of a day exactly the rows of the streams. The same rows give the same files and hashes.

        A file that has rows which the new one lacks is kept in the folder ``superseded`` of the lake.

        Args:
            engine: The warehouse that owns the lake.
            dataset: The dataset that the rows belong to.
            day: The day, in the dataset's time zone.
            streams: The rows, in any number of streams. Each is sorted by the dataset's key and iterable more than
                once. All of them are open at the same time, so each should read some thousand rows at once.
            source: Where the rows are from, for the manifest.

        Raises:
            ConflictingRows: Two rows with the same key differ.
            LakeFileChanged: A file is not the file that the manifest describes.
            LakeOfAnotherWarehouse: The lake belongs to another warehouse or environment.
            LakeUnavailable: The lake cannot be read or written.
        """
        with hold_lake(engine, self.store, self.environment) as writer:
            return replace_day(writer, dataset, day, streams, source)

    def files(self, engine: sa.Engine, dataset: Dataset | None = None) -> list[LakeFile]:
        """Return the manifest: the files of a dataset, or of all datasets."""
        return lake_files_of(engine, dataset.name if dataset else None)


def open_lake(settings: Settings) -> Lake:
    """Return the lake that the settings name. No file is read or written yet.

    Raises:
        InvalidSettings: KALSHI_LAKE_URL cannot be used.
        LakeUnavailable: The client of the object store cannot be made.
    """
    return Lake(open_store(settings), settings.environment)
