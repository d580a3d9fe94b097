"""Cursors and pages.

A cursor names the last row that was served, not how many were: rows created while a client pages appear before it and
neither repeat nor hide what follows. Belongs here: cursors and slicing. Which rows a list has is decided by its owner.
"""

import base64
import binascii
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

SortKey = tuple[int, str]
"""Newest first: minus the microseconds of creation, then the identifier."""

_SEPARATOR: Final = "\x1f"
BEFORE_ALL: Final[SortKey] = (-(1 << 63), "")


class Listed(Protocol):
    """A row that has a place in a list."""

    @property
    def sort_key(self) -> SortKey:
        """Its place."""
        ...


Row = TypeVar("Row", bound=Listed)
Entry = TypeVar("Entry")


@dataclass(frozen=True)
class RowPage(Generic[Entry]):
    """Rows of one answer and the cursor of the next, empty on the last page."""

    rows: Sequence[Entry]
    cursor: str


def cursor_after(key: SortKey) -> str:
    """The opaque text that continues a list after a place in it."""
    return base64.urlsafe_b64encode(f"{key[0]}{_SEPARATOR}{key[1]}".encode()).decode().rstrip("=")


def place_of(cursor: str) -> SortKey | None:
    """The place a cursor names; None for text that is no cursor, which the exchange treats as no cursor at all."""
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        number, identifier = text.split(_SEPARATOR)
        return int(number), identifier
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return None


def _sort_key(row: Listed) -> SortKey:
    return row.sort_key


def page_of(rows: Sequence[Row], cursor: str, limit: int) -> RowPage[Row]:
    """The rows after a cursor, at most ``limit``, of rows that are in list order."""
    place = place_of(cursor) if cursor else None
    start = 0 if place is None else bisect_right(rows, place, key=_sort_key)
    end = start + limit
    # A limit of 0 is legal and asks for no rows: it says nothing about where a next page would start.
    more = limit > 0 and end < len(rows)
    return RowPage(rows[start:end], cursor_after(rows[end - 1].sort_key) if more else "")


def page_back(entries: Sequence[Entry], cursor: str, limit: int, wanted: Callable[[Entry], bool]) -> RowPage[Entry]:
    """The wanted entries before a cursor, newest first, at most ``limit``, of a list that only grows at its end.

    The cursor holds where in the list the page ended. It costs no more than the entries it passes.
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
