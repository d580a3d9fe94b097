"""Faults of lists: a list that ends early, a page without rows, and rows that a list hides.

Each effect keeps the bytes of the rows that stay. Belongs here: the effects on one page. Does not belong here: choosing
the affected requests (``plan``).
"""

import zlib
from collections.abc import Callable
from typing import Any, Final

import orjson

from kalshi_pipelines.sandbox.faults.plan import Fault
from kalshi_pipelines.sandbox.markets.json_spans import JsonSpan, elements, members

_KEYS: Final = ("ticker", "event_ticker")
_OF_SHARE: Final = 10_000


def with_cursor(content: bytes, cursor: str) -> bytes:
    """Return a page with another cursor. A body without a cursor stays unchanged."""
    text = content.decode()
    span = members(text).get("cursor")
    if span is None:
        return content
    return (text[: span.start] + orjson.dumps(cursor).decode() + text[span.end :]).encode()


def as_last_page(content: bytes, fault: Fault) -> bytes:
    """Return a page as the last page of its list, with only the first ``fault.rows`` rows if that number is given."""
    page = with_cursor(content, "")
    return page if fault.rows is None else _with_rows(page, lambda position, _: position < (fault.rows or 0))


def as_empty_page(content: bytes) -> bytes:
    """Return a page without its rows. The cursor stays, so the list goes on."""
    return _with_rows(content, lambda _position, _row: False)


def without_hidden_rows(content: bytes, fault: Fault) -> bytes:
    """Return a page without the rows that a fault hides.

    A fault with a ``field`` hides the rows whose field has the fault's ``value``. Any other fault hides a ``share`` of
    all rows: always the same rows, because their keys decide.
    """
    if fault.field is not None:
        name, value = fault.field, fault.value
        return _with_rows(content, lambda _, row: not isinstance(row, dict) or row.get(name) != value)
    return _with_rows(content, lambda _, row: not is_in_share(_key(row), fault.share))


def is_in_share(key: str, share: float) -> bool:
    """Return whether a key belongs to a share of all keys. A larger share contains every smaller one."""
    return zlib.crc32(key.encode()) % _OF_SHARE < share * _OF_SHARE


def _key(row: Any) -> str:  # noqa: ANN401
    found = [row[name] for name in _KEYS if name in row] if isinstance(row, dict) else []
    return str(found[0]) if found else ""


def _with_rows(content: bytes, stays: Callable[[int, Any], bool]) -> bytes:
    text = content.decode()
    lists: list[JsonSpan] = [span for span in members(text).values() if isinstance(span.value, list)]
    if not lists:
        return content
    rows = [text[row.start : row.end] for at, row in enumerate(elements(text, lists[0].start)) if stays(at, row.value)]
    return (text[: lists[0].start] + "[" + ",".join(rows) + "]" + text[lists[0].end :]).encode()
