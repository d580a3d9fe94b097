"""What an adoption did, in figures that add up, and how far it is."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from kalshi_pipelines.units import SECOND_US, now_us

_HEADINGS: Final = ("table", "read", "kept", "normalised", "quarantined")


@dataclass(frozen=True)
class AdoptedTable:
    """What became of the rows of one old table."""

    name: str
    kept: int = 0
    normalised: int = 0
    quarantined: int = 0

    @property
    def stored(self) -> int:
        """Rows that are in the warehouse's tables."""
        return self.kept + self.normalised

    @property
    def read(self) -> int:
        """Rows of the old table."""
        return self.stored + self.quarantined


@dataclass(frozen=True)
class AdoptionReport:
    """What an adoption did.

    Attributes:
        run_id: Its row in ``ingest_runs``, to which every adopted row refers.
        tables: What became of each old table.
    """

    run_id: int
    tables: tuple[AdoptedTable, ...]

    @property
    def total(self) -> AdoptedTable:
        """The sum over all tables."""
        return AdoptedTable(
            "all",
            sum(table.kept for table in self.tables),
            sum(table.normalised for table in self.tables),
            sum(table.quarantined for table in self.tables),
        )

    def as_table(self) -> str:
        """The figures as a text table, a line for each old table."""
        lines = [(t.name, t.read, t.kept, t.normalised, t.quarantined) for t in (*self.tables, self.total)]
        return text_table(_HEADINGS, lines)


@dataclass(frozen=True)
class TableProgress:
    """How far the adoption of one table is.

    Attributes:
        table: Its name.
        expected: How many rows it has.
        started_us: When it was begun.
        counts: What became of the rows so far.
    """

    table: str
    expected: int
    started_us: int
    counts: AdoptedTable

    def with_rows(self, kept: int, normalised: int, quarantined: int) -> "TableProgress":
        """The progress after some more rows."""
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
    """Lines under headings, numbers to the right."""
    cells = [headings, *[tuple(f"{cell:,}" if isinstance(cell, int) else cell for cell in line) for line in lines]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(headings))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    )
