"""Canonical JSON according to RFC 8785: equal audit records have the same text and hash on every computer.

Allowed are objects with ASCII keys, arrays, text in the Unicode form NFC, booleans, and integers that every JSON reader
holds exactly. Floats are not allowed. Unknown values are left out instead of written as null.
"""

import json
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Final

import orjson

from kalshi_pipelines.errors import ExpectedError

#: The largest integer in canonical JSON. RFC 8785 writes numbers as IEEE 754 doubles, which do not hold larger integers
#: exactly.
LARGEST_INTEGER: Final = 2**53 - 1
_SMALL: Final = 2**53


class NotCanonical(ExpectedError, ValueError):
    """A value cannot be written as canonical JSON, so it is not allowed in an audit record."""


def canonical_json(value: Mapping[str, object]) -> str:
    """Return the canonical JSON of an object, leaving out members that are ``None``.

    Raises:
        NotCanonical: The object contains a float, an integer that is too large, a key that is not ASCII, or text that
            is not valid Unicode.
    """
    # For values that passed the checks, orjson writes the same text as the standard library, in a fifth of the time.
    try:
        return orjson.dumps(_plain(value, "$"), option=orjson.OPT_SORT_KEYS).decode()
    except orjson.JSONEncodeError as error:
        raise NotCanonical(f"The value cannot be written as JSON: {error}.") from error


def is_canonical(text: str) -> bool:
    """Return whether a text is canonical JSON: its content, written again, gives the same text."""
    try:
        value = json.loads(text)
        return isinstance(value, dict) and canonical_json(value) == text
    except (ValueError, RecursionError):
        return False


def _plain(value: object, where: str) -> object:
    if isinstance(value, str):
        return _text(str(value), where)
    if value is True or value is False:
        return value
    if isinstance(value, int):
        if abs(value) > LARGEST_INTEGER:
            raise NotCanonical(f"{where}: the integer {value} is too large for an audit record.")
        return int(value)
    if isinstance(value, Mapping):
        _require_ascii_keys(value, where)
        # Most values are ASCII text or small integers, and need no further checks. They are tested here and not in a
        # function, because an order waits for its audit record.
        return {
            key if type(key) is str else str(key): each
            if (type(each) is str and each.isascii()) or (type(each) is int and -_SMALL < each < _SMALL)
            else _plain(each, f"{where}.{key}")
            for key, each in value.items()
            if each is not None
        }
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return [_plain(each, f"{where}[{number}]") for number, each in enumerate(value)]
    raise NotCanonical(f"{where}: a value of type {type(value).__name__} is not allowed in an audit record.")


def _require_ascii_keys(value: Mapping[object, object], where: str) -> None:
    try:
        if all(map(str.isascii, value)):  # type: ignore[arg-type]  # a key that is no text raises the TypeError
            return
    except TypeError:
        pass
    wrong = next(key for key in value if not isinstance(key, str) or not key.isascii())
    raise NotCanonical(f"{where}: the key {wrong!r} is not ASCII.")


def _text(text: str, where: str) -> str:
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        raise NotCanonical(f"{where}: the text contains half a surrogate pair.") from None
    return unicodedata.normalize("NFC", text)
