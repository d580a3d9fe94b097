"""Reading several sorted streams in step: each step has all rows of some tickers, so that memory stays bounded."""

from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc


class _Stream:
    """A stream whose rows are sorted by ticker, with the rows that were read and not taken yet."""

    def __init__(self, batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> None:
        self._batches = iter(batches)
        self._rows = schema.empty_table()
        self.is_over = False

    def is_empty(self) -> bool:
        return not self._rows.num_rows

    def read_more(self) -> None:
        batch = next((each for each in self._batches if each.num_rows), None)
        if batch is None:
            self.is_over = True
        else:
            self._rows = pa.concat_tables([self._rows, pa.Table.from_batches([batch])])

    @property
    def last_ticker(self) -> str:
        return str(self._rows["ticker"][-1].as_py())

    def take(self, before: str | None) -> pa.Table:
        """Return the rows of the tickers before a ticker; all rows if it is None."""
        count = self._rows.num_rows
        if before is not None and count:
            count = pc.sum(pc.less(self._rows["ticker"], before)).as_py()
        taken, self._rows = self._rows.slice(0, count), self._rows.slice(count)
        return taken


def in_step(
    sources: Sequence[Sequence[Iterable[pa.RecordBatch]]], schemas: Sequence[pa.Schema]
) -> Iterator[list[pa.Table]]:
    """Yield a table of each source, with all rows of the same tickers. Tickers ascend from step to step.

    Args:
        sources: The sources. Each has one or more streams of batches that are sorted by their column ``ticker``.
        schemas: The schema of each source.
    """
    streams = [[_Stream(each, schema) for each in source] for source, schema in zip(sources, schemas, strict=True)]
    everything = [each for source in streams for each in source]
    while True:
        for stream in everything:
            if stream.is_empty() and not stream.is_over:
                stream.read_more()
        # The last ticker of a stream can have further rows, so this step ends before the first of these tickers.
        unfinished = [stream for stream in everything if not stream.is_over]
        before = min((stream.last_ticker for stream in unfinished), default=None)
        step = [
            pa.concat_tables([schema.empty_table(), *[stream.take(before) for stream in source]])
            for source, schema in zip(streams, schemas, strict=True)
        ]
        if any(table.num_rows for table in step):
            yield step
        elif before is None:
            return
        else:
            for stream in unfinished:
                if stream.last_ticker == before:
                    stream.read_more()
