"""Positions of the parts of a JSON text.

Belongs here: finding members and elements, so that recorded JSON can be sent with every character unchanged. Does not
belong here: parsing a value into Python, which the json package does.
"""

import json
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

_WHITESPACE: Final = " \t\r\n"
_DECODER: Final = json.JSONDecoder()


class JsonSpan(NamedTuple):
    """A JSON value within a text: its start position, its end position and the parsed value."""

    start: int
    end: int
    value: Any


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in _WHITESPACE:
        at += 1
    return at


def _value_at(text: str, at: int) -> JsonSpan:
    start = _skip(text, at)
    value, end = _DECODER.raw_decode(text, start)
    return JsonSpan(start, end, value)


def members(text: str, start: int = 0) -> dict[str, JsonSpan]:
    """Return the members of the JSON object that starts at or after a position.

    Raises:
        ValueError: No JSON object starts at the position.
    """
    at = _skip(text, start)
    if not text.startswith("{", at):
        raise ValueError(f"no JSON object at character {at}")
    found: dict[str, JsonSpan] = {}
    at = _skip(text, at + 1)
    while not text.startswith("}", at):
        name = _value_at(text, at)
        span = _value_at(text, _skip(text, name.end) + 1)
        found[name.value] = span
        at = _skip(text, span.end)
        at = _skip(text, at + 1) if text.startswith(",", at) else at
    return found


def elements(text: str, start: int = 0) -> Iterator[JsonSpan]:
    """Iterate over the elements of the JSON array that starts at or after a position.

    Raises:
        ValueError: No JSON array starts at the position.
    """
    at = _skip(text, start)
    if not text.startswith("[", at):
        raise ValueError(f"no JSON array at character {at}")
    at = _skip(text, at + 1)
    while not text.startswith("]", at):
        span = _value_at(text, at)
        yield span
        at = _skip(text, span.end)
        at = _skip(text, at + 1) if text.startswith(",", at) else at
