"""One text for one value: RFC 8785 for the values an audit has, so that the same record has the same hash anywhere.

Objects with ASCII keys, arrays, text in NFC, integers that every JSON reader holds exactly, true and false. No floats
and no nulls: what is not known is left out.
"""

import json
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Final

from kalshi_pipelines.errors import ExpectedError

#: RFC 8785 writes numbers as IEEE 754 doubles do: larger integers would not be read back as they are.
LARGEST_INTEGER: Final = 2**53 - 1
_SMALL: Final = 2**53


class NotCanonical(ExpectedError, ValueError):
    """A value that an audit record must not have; the message says where it is."""


def canonical_json(value: Mapping[str, object]) -> str:
    """The one text of an object; ``None`` in it is left out.

    Raises:
        NotCanonical: A float, too large an integer, a key that is not ASCII, or text that is not Unicode.
    """
    return json.dumps(_plain(value, "$"), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def is_canonical(text: str) -> bool:
    """Whether a text is exactly what ``canonical_json`` makes of what it says."""
    try:
        value = json.loads(text)
        return isinstance(value, dict) and canonical_json(value) == text
    except (ValueError, RecursionError):
        return False


def _is_plain(value: object) -> bool:
    """Most of a record is small integers and plain words: an order waits for this, so they are known at a glance."""
    return (type(value) is str and value.isascii()) or (type(value) is int and -_SMALL < value < _SMALL)


def _plain(value: object, where: str) -> object:
    if isinstance(value, str):
        return _text(str(value), where)
    if value is True or value is False:
        return value
    if isinstance(value, int):
        if abs(value) > LARGEST_INTEGER:
            raise NotCanonical(f"{where}: {value} is too large an integer")
        return int(value)
    if isinstance(value, Mapping):
        return {
            _key(key, where): each if _is_plain(each) else _plain(each, f"{where}.{key}")
            for key, each in value.items()
            if each is not None
        }
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return [_plain(each, f"{where}[{number}]") for number, each in enumerate(value)]
    raise NotCanonical(f"{where}: {type(value).__name__} has no place in an audit record")


def _key(key: object, where: str) -> str:
    if not isinstance(key, str) or not key.isascii():
        raise NotCanonical(f"{where}: the key {key!r} is not ASCII")
    return str(key)


def _text(text: str, where: str) -> str:
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        raise NotCanonical(f"{where}: half a surrogate pair is no text") from None
    return unicodedata.normalize("NFC", text)
