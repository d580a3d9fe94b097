"""Functions that read values from decoded bodies of any shape.

These functions read a missing or unsuitable value as ``None`` or empty.
"""

import datetime as dt
import re
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import Any, Final

ONE: Final = Decimal(1)
_NUMBER: Final = re.compile(r"-?\d{1,18}(?:\.\d{1,12})?")


def number_of(value: object) -> Decimal | None:
    """Return the exact number of a numeric string or JSON number; ``None`` for other values."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int) or (isinstance(value, str) and _NUMBER.fullmatch(value)):
        return Decimal(value)
    if isinstance(value, float):
        try:
            return Decimal(repr(value))
        except InvalidOperation:  # pragma: no cover
            return None
    return None


def number_at(record: object, key: str) -> Decimal | None:
    """Return the exact number at a key of a record; ``None`` if there is none."""
    return number_of(record.get(key)) if isinstance(record, dict) else None


def text_at(record: object, key: str) -> str:
    """Return the text at a key of a record; empty if there is none."""
    value = record.get(key) if isinstance(record, dict) else None
    return value if isinstance(value, str) else ""


def instant_of(value: object) -> dt.datetime | None:
    """Return the instant of an RFC 3339 text; ``None`` for other values and for the zero time, which means "never"."""
    if not isinstance(value, str) or value.startswith("0001-"):
        return None
    head, _, fraction = value.removesuffix("Z").partition(".")
    if not fraction.isdigit():
        head, fraction = value, ""
    try:
        instant = dt.datetime.fromisoformat(f"{head}.{fraction[:6]:0<6}Z" if fraction else value)
    except ValueError:
        return None
    return instant if instant.tzinfo else None


def instant_at(record: object, key: str) -> dt.datetime | None:
    """Return the instant at a key of a record; ``None`` if there is none."""
    return instant_of(record.get(key)) if isinstance(record, dict) else None


def rows_at(body: object, place: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the objects at a place such as ``events[].markets[]``, each together with its place."""
    found: list[object] = [body]
    for name in place.split(".") if place not in {"", "$"} else []:
        key, _, is_list = name.partition("[]")
        found = [each[key] for each in found if isinstance(each, dict) and key in each]
        if is_list or name.endswith("[]"):
            found = [element for each in found if isinstance(each, list) for element in each]
    for each in found:
        if isinstance(each, dict):
            yield place, each


def list_at(body: object, place: str) -> list[Any] | None:
    """Return the list at a dotted path of keys; ``None`` if there is none."""
    for key in place.split("."):
        if not isinstance(body, dict):
            return None
        body = body.get(key)
    return body if isinstance(body, list) else None
