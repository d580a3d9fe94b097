"""Decoding of untrusted response bodies in bounded time and memory.

The size, the number of values, the depth, and the length of texts and keys are bounded. A body is called absurd if it
exceeds a bound, is not JSON in UTF-8, has a number that is not finite, or has the same key twice.
"""

import json
from dataclasses import dataclass
from typing import Any, Final

import orjson

from kalshi_pipelines.errors import ExpectedError

MOST_BYTES: Final = 32 * 1024 * 1024
"""The largest size of a body in bytes. The complete list of series is the largest known body, about 15 MB."""
MOST_VALUES: Final = 3_000_000
MOST_DEPTH: Final = 40
MOST_CHARACTERS: Final = 200_000
"""The largest length of one text in characters. The longest rules of a market have about 20,000."""
MOST_KEYS: Final = 2_000
"""The largest number of keys in one object, and also the largest number of characters in one key."""
_MOST_SLOWLY_READ: Final = 4 * 1024 * 1024


class AbsurdBody(ExpectedError):
    """The error for a body that cannot be read. Its message gives the reason, but no values of the body."""


@dataclass(frozen=True)
class DecodedBody:
    """The result of decoding a body, kept so that no body is decoded twice.

    Attributes:
        value: The JSON value; ``None`` if the body is absurd.
        absurdity: Why the body cannot be read; empty if the body can be read.
    """

    value: Any = None
    absurdity: str = ""


def decode_body(body: bytes) -> DecodedBody:
    """Decode a body and return its value, or the reason why the body cannot be read."""
    try:
        return DecodedBody(decode(body))
    except AbsurdBody as error:
        return DecodedBody(absurdity=str(error))


def decode(body: bytes) -> Any:  # noqa: ANN401
    """Return the JSON value of a body.

    Raises:
        AbsurdBody: The body is not JSON in UTF-8, or it exceeds a bound.
    """
    if len(body) > MOST_BYTES:
        raise AbsurdBody(f"a body of more than {MOST_BYTES // 1024 // 1024} MB")
    if body.count(b",") + body.count(b"[") + body.count(b"{") > MOST_VALUES:
        raise AbsurdBody(f"more than {MOST_VALUES:,} values")
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise AbsurdBody(_why(body, error)) from None
    keys = _measure(value)
    if keys != _keys_written(body) and len(body) <= _MOST_SLOWLY_READ:
        _refuse_twins(body)
    return value


def _why(body: bytes, error: orjson.JSONDecodeError) -> str:
    said = str(error)
    if not body.strip():
        return "an empty body"
    if "depth" in said or "recursion" in said:
        return f"nested deeper than {MOST_DEPTH}"
    if "infinity" in said:
        return "a number that is not finite"
    if "UTF-8" in said or "surrogate" in said:
        return "text that is not UTF-8"
    for name in (b"NaN", b"Infinity"):
        if body[max(error.pos - 1, 0) : error.pos + 9].lstrip(b":-+ ").startswith(name):
            return "a number that is not finite"
    return "no JSON, but HTML" if body.lstrip()[:1] == b"<" else "no JSON"


def _measure(value: Any) -> int:  # noqa: ANN401
    """Return the number of keys in a value, at every depth."""
    keys, depth = 0, 0
    level = [value]
    while level:
        depth += 1
        if depth > MOST_DEPTH:
            raise AbsurdBody(f"nested deeper than {MOST_DEPTH}")
        deeper: list[Any] = []
        for each in level:
            if isinstance(each, dict):
                keys += len(each)
                if len(each) > MOST_KEYS:
                    raise AbsurdBody(f"an object of more than {MOST_KEYS:,} keys")
                deeper += each.values()
                if any(len(key) > MOST_KEYS for key in each):
                    raise AbsurdBody(f"a key of more than {MOST_KEYS:,} characters")
            elif isinstance(each, list):
                deeper += each
            elif isinstance(each, str) and len(each) > MOST_CHARACTERS:
                raise AbsurdBody(f"a text of more than {MOST_CHARACTERS:,} characters")
        level = deeper
    return keys


def _keys_written(body: bytes) -> int:
    return body.count(b'":') + body.count(b'" :') - body.count(b'\\":') - body.count(b'\\" :')


def _refuse_twins(body: bytes) -> None:
    def once(pairs: list[tuple[str, Any]]) -> None:
        if len({key for key, _ in pairs}) != len(pairs):
            raise AbsurdBody("an object that has a key twice")

    json.loads(body, object_pairs_hook=once, parse_int=str)
