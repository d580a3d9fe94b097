"""The two sides of the exchange's lists: live records, and records that were archived.

The exchange moves markets and trades to historical endpoints about 60 days after their end. The live endpoints then
answer a question about them with status 200 and an empty list (recorded on 2026-09-07). Such an answer means "ask the
historical side", never "none".
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from kalshi_pipelines.kalshi.pagination import Page
from kalshi_pipelines.units import DAY_US

#: Both sides serve the records around the cutoff, and the cutoff moves while a list is read.
OVERLAP_US: Final = DAY_US


def must_ask_history(*, found: int, oldest_us: int | None, cutoff_us: int) -> bool:
    """Return whether a question must also be put to the historical side.

    Args:
        found: Number of records in the live answer.
        oldest_us: The oldest instant that the question covers, by the field that the cutoff is about; None if unknown.
        cutoff_us: The historical cutoff of the records: see ``KalshiClient.historical_cutoff``.
    """
    if oldest_us is None:
        return not found
    return oldest_us < cutoff_us + OVERLAP_US


def pages_of_both_sides(
    live: Iterable[Page], historical: Callable[[], Iterable[Page]], *, oldest_us: int | None, cutoff_us: int
) -> Iterator[Page]:
    """Yield the live pages, and then the historical pages if the live pages cannot be the whole answer.

    A record near the cutoff may come twice.

    Args:
        live: The live answer.
        historical: Returns the answer of the historical side. It is called only if that answer is needed.
        oldest_us: The oldest instant that the question covers, by the field that the cutoff is about; None if unknown.
        cutoff_us: The historical cutoff of the records.
    """
    found = 0
    for page in live:
        found += len(page.raw_records)
        yield page
    if must_ask_history(found=found, oldest_us=oldest_us, cutoff_us=cutoff_us):
        yield from historical()
