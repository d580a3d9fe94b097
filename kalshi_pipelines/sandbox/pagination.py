"""Cursors and pages of lists.

A cursor names the last row that was sent, not a number of rows. Rows created while a client reads pages come before the
cursor. New rows therefore cause no repeated and no missing rows on later pages.

Belongs here: cursors and slicing. Does not belong here: the rows of a list.
"""

import base64
import binascii
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

SortKey = tuple[int, str]
"""Sort key of a row in a list, newest first: the negative microseconds of its creation, then its identifier."""

_SEPARATOR: Final = "\x1f"
BEFORE_ALL: Final[SortKey] = (-(1 << 63), "")


class Listed(Protocol):
    """A row that can be sorted into a list."""

    @property
    def sort_key(self) -> SortKey:
        """Sort key of the row."""
        ...


Row = TypeVar("Row", bound=Listed)
Entry = TypeVar("Entry")


@dataclass(frozen=True)
class RowPage(Generic[Entry]):
    """Rows of one page, and the cursor of the next page (empty on the last page)."""

    rows: Sequence[Entry]
    cursor: str


def cursor_after(key: SortKey) -> str:
    """Return the opaque text of a cursor that continues a list after a sort key."""
    return base64.urlsafe_b64encode(f"{key[0]}{_SEPARATOR}{key[1]}".encode()).decode().rstrip("=")


def place_of(cursor: str) -> SortKey | None:
    """Return the sort key that a cursor contains, or None for invalid text.

    Like the exchange, the sandbox treats an invalid cursor as a missing cursor.
    """
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        number, identifier = text.split(_SEPARATOR)
        return int(number), identifier
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return None


def _sort_key(row: Listed) -> SortKey:
    return row.sort_key


def page_of(rows: Sequence[Row], cursor: str, limit: int) -> RowPage[Row]:
    """Return at most ``limit`` rows after a cursor. The rows must be in list order."""
    place = place_of(cursor) if cursor else None
    start = 0 if place is None else bisect_right(rows, place, key=_sort_key)
    end = start + limit
    # A page size of 0 is legal. Its page has no rows, and no page follows.
    more = limit > 0 and end < len(rows)
    return RowPage(rows[start:end], cursor_after(rows[end - 1].sort_key) if more else "")


def page_back(entries: Sequence[Entry], cursor: str, limit: int, wanted: Callable[[Entry], bool]) -> RowPage[Entry]:
    """Return a page of at most ``limit`` entries that ``wanted`` accepts, newest first.

    The list of entries only grows at its end. A cursor holds the position at which the previous page ended. The search
    starts at this position and continues with older entries.
    """
    place = place_of(cursor) if cursor else None
    at = len(entries) if place is None else min(max(-place[0], 0), len(entries))
    rows: list[Entry] = []
    last = at
    while at:
        at -= 1
        if wanted(entries[at]):
            if len(rows) == limit:
                return RowPage(rows, cursor_after((-last, "")))
            rows.append(entries[at])
            last = at
    return RowPage(rows, "")
