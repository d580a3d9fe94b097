"""The counts of an adoption, and its progress."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from kalshi_pipelines.units import SECOND_US, now_us

_HEADINGS: Final = ("table", "read", "kept", "normalised", "quarantined")


@dataclass(frozen=True)
class AdoptedTable:
    """The counts of kept, normalised and quarantined rows of one legacy table."""

    name: str
    kept: int = 0
    normalised: int = 0
    quarantined: int = 0

    @property
    def stored(self) -> int:
        """The number of rows of the legacy table that were stored in the warehouse."""
        return self.kept + self.normalised

    @property
    def read(self) -> int:
        """The number of rows that were read from the legacy table."""
        return self.stored + self.quarantined


@dataclass(frozen=True)
class AdoptionReport:
    """The result of an adoption.

    Attributes:
        run_id: The id of the adoption in ``ingest_runs``. Every adopted row refers to it.
        tables: The counts of each legacy table.
    """

    run_id: int
    tables: tuple[AdoptedTable, ...]

    @property
    def total(self) -> AdoptedTable:
        """The counts of kept, normalised and quarantined rows, summed over all tables."""
        return AdoptedTable(
            "all",
            sum(table.kept for table in self.tables),
            sum(table.normalised for table in self.tables),
            sum(table.quarantined for table in self.tables),
        )

    def as_table(self) -> str:
        """Return the counts as a text table with a line for each legacy table."""
        lines = [(t.name, t.read, t.kept, t.normalised, t.quarantined) for t in (*self.tables, self.total)]
        return text_table(_HEADINGS, lines)


@dataclass(frozen=True)
class TableProgress:
    """The progress of the adoption of one table.

    Attributes:
        table: The name of the table.
        expected: The number of rows in the table.
        started_us: The time at which the adoption of the table began.
        counts: The counts of rows so far.
    """

    table: str
    expected: int
    started_us: int
    counts: AdoptedTable

    def with_rows(self, kept: int, normalised: int, quarantined: int) -> "TableProgress":
        """Return the progress of a table after more of its rows were adopted."""
        so_far = self.counts
        counts = AdoptedTable(
            self.table, so_far.kept + kept, so_far.normalised + normalised, so_far.quarantined + quarantined
        )
        return replace(self, counts=counts)

    def __str__(self) -> str:
        seconds = max((now_us() - self.started_us) / SECOND_US, 1e-6)
        rate = self.counts.read / seconds
        left = (self.expected - self.counts.read) / rate if rate else 0.0
        return (
            f"{self.table}: {self.counts.read:,} of {self.expected:,} rows, {rate:,.0f} rows/s, {left:,.0f} s left, "
            f"{self.counts.quarantined:,} quarantined"
        )


def text_table(headings: tuple[str, ...], lines: Iterable[tuple[str | int, ...]]) -> str:
    """Return a text table with headings. The first column is aligned left, all others right."""
    cells = [headings, *[tuple(f"{cell:,}" if isinstance(cell, int) else cell for cell in line) for line in lines]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(headings))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    )
