"""Functions that convert one value of the older tool. The result is exact, or the row is refused with a reason.

Remarks record values that needed trimming, lower case or another date format, and values that are odd but legal.
"""

import datetime as dt
import json
from collections.abc import Collection
from functools import lru_cache
from typing import Any, Final, NamedTuple

from kalshi_pipelines.errors import ExpectedError
from kalshi_pipelines.units import InexactValue, microdollars, microseconds

MICRODOLLARS_PER_CENT: Final = 10_000
CENTICONTRACTS_PER_CONTRACT: Final = 100
CENTS_PER_CONTRACT: Final = 100
_MOST_SHOWN: Final = 80
_LARGEST_INTEGER: Final = 2**63 - 1


class RefusedLegacyRow(ExpectedError):
    """A legacy row breaks an invariant of the warehouse. The message becomes the row's reason in the quarantine."""


class Remarks:
    """Remarks about one row: values that were normalised, and values that are odd but legal."""

    __slots__ = ("normalised", "odd")

    def __init__(self) -> None:
        self.normalised: list[str] = []
        self.odd: list[str] = []

    def __bool__(self) -> bool:
        return bool(self.normalised or self.odd)


def excerpt(value: Any) -> str:  # noqa: ANN401
    """Return the text of a value for the reason in the quarantine, shortened if it is long."""
    text = repr(value)
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."


def whole_number(name: str, value: Any) -> int:  # noqa: ANN401
    """Check that a value is an integer, and return it. SQLite accepts other types in an INTEGER column, too."""
    if type(value) is not int:
        raise RefusedLegacyRow(f"{name}={excerpt(value)} is not a whole number")
    return value


def _require_storable(name: str, value: int) -> int:
    if abs(value) > _LARGEST_INTEGER:
        raise RefusedLegacyRow(f"{name} is larger than the warehouse can hold")
    return value


def count(name: str, value: Any) -> int:  # noqa: ANN401
    """Convert a number of contracts, zero or more, to centi-contracts."""
    if type(value) is int and value >= 0:
        return _require_storable(name, value * CENTICONTRACTS_PER_CONTRACT)
    raise RefusedLegacyRow(f"{name}={whole_number(name, value)} is negative")


def price(name: str, value: Any) -> int:  # noqa: ANN401
    """Convert a price in cents, 0 to 100, to micro-dollars."""
    if type(value) is int and 0 <= value <= CENTS_PER_CONTRACT:
        return value * MICRODOLLARS_PER_CENT
    raise RefusedLegacyRow(f"{name}={whole_number(name, value)} is outside 0..100 cents")


def optional_price(name: str, value: Any) -> int | None:  # noqa: ANN401
    """Convert a price in cents, or None, to micro-dollars."""
    return None if value is None else price(name, value)


def amount(name: str, value: Any) -> int:  # noqa: ANN401
    """Convert an amount in cents, which may be negative, to micro-dollars."""
    return _require_storable(name, whole_number(name, value) * MICRODOLLARS_PER_CENT)


def optional_amount(name: str, value: Any) -> int | None:  # noqa: ANN401
    """Convert an amount in cents, or None, to micro-dollars."""
    return None if value is None else amount(name, value)


def cost(name: str, value: Any) -> int:  # noqa: ANN401
    """Convert an amount in cents, zero or more, to micro-dollars."""
    if type(value) is int and value >= 0:
        return _require_storable(name, value * MICRODOLLARS_PER_CENT)
    raise RefusedLegacyRow(f"{name}={whole_number(name, value)} is negative")


def dollar_text(name: str, value: Any, remarks: Remarks) -> int:  # noqa: ANN401
    """Convert a decimal text in dollars, zero or more, to micro-dollars."""
    try:
        exact = microdollars(identifier(name, value, remarks))
    except InexactValue:
        raise RefusedLegacyRow(f"{name}={excerpt(value)} is not an exact decimal number") from None
    if exact < 0:
        raise RefusedLegacyRow(f"{name}={value} is negative")
    return exact


def flag(name: str, value: Any) -> bool:  # noqa: ANN401
    """Convert 0 or 1 to a boolean."""
    if type(value) is not int or value not in {0, 1}:
        raise RefusedLegacyRow(f"{name}={excerpt(value)} is neither 0 nor 1")
    return value == 1


def text(name: str, value: Any) -> str:  # noqa: ANN401
    """Check that a value is text, and return it unchanged."""
    if type(value) is not str:
        raise RefusedLegacyRow(f"{name}={excerpt(value)} is not text")
    return value


def optional_text(name: str, value: Any) -> str | None:  # noqa: ANN401
    """Check that a value is text or None, and return it unchanged."""
    return None if value is None else text(name, value)


def identifier(name: str, value: Any, remarks: Remarks) -> str:  # noqa: ANN401
    """Return an identifier without surrounding spaces. It must not be empty."""
    if type(value) is str and value and not (value[0].isspace() or value[-1].isspace()):
        return value
    bare = text(name, value).strip()
    if not bare:
        raise RefusedLegacyRow(f"{name} is empty")
    if bare != value:
        remarks.normalised.append(f"{name} {excerpt(value)} -> {excerpt(bare)}")
    return bare


def word(name: str, value: Any, vocabulary: Collection[str], remarks: Remarks) -> str:  # noqa: ANN401
    """Return a term of a closed vocabulary, trimmed and in lower case."""
    if type(value) is str:
        if value in vocabulary:
            return value
        bare = value.strip().lower()
        if bare in vocabulary:
            remarks.normalised.append(f"{name} {excerpt(value)} -> {excerpt(bare)}")
            return bare
    raise RefusedLegacyRow(
        f"{name}={excerpt(value)} is not one of {', '.join(each or '(empty)' for each in vocabulary)}"
    )


def instant(name: str, value: Any, remarks: Remarks) -> int:  # noqa: ANN401
    """Convert a date and time to microseconds since 1970 UTC. A value without a time zone is read as UTC."""
    if type(value) is str:
        parsed = _parse_instant(value)
        if parsed is not None:
            if parsed.rewritten:
                remarks.normalised.append(f"{name} {excerpt(value)} -> {parsed.rewritten}")
            return parsed.us
    raise RefusedLegacyRow(f"{name}={excerpt(value)} is not a date and time")


def optional_instant(name: str, value: Any, remarks: Remarks) -> int | None:  # noqa: ANN401
    """Convert a date and time to microseconds since 1970 UTC, and keep None as None."""
    return None if value is None else instant(name, value, remarks)


class _Instant(NamedTuple):
    us: int
    rewritten: str | None


@lru_cache(maxsize=8192)
def _parse_instant(value: str) -> _Instant | None:
    try:
        parsed = dt.datetime.fromisoformat(value.strip())
        moment = parsed.replace(tzinfo=dt.UTC) if parsed.tzinfo is None else parsed.astimezone(dt.UTC)
    except (ValueError, OverflowError):
        return None
    plain = moment.replace(tzinfo=None).isoformat(sep=" ", timespec="microseconds")
    return _Instant(microseconds(moment), None if value == plain else plain)


def texts_as_json(name: str, value: Any) -> str:  # noqa: ANN401
    """Return JSON text unchanged if it is a list of texts."""
    try:
        parsed = json.loads(text(name, value))
    except (ValueError, RecursionError):
        raise RefusedLegacyRow(f"{name}={excerpt(value)} is not JSON") from None
    if not isinstance(parsed, list) or not all(isinstance(each, str) for each in parsed):
        raise RefusedLegacyRow(f"{name}={excerpt(value)} is not a list of texts")
    return str(value)


def share(name: str, value: Any, low: int, high: int) -> float:  # noqa: ANN401
    """Return a number in a closed range as a float. Money is never converted this way."""
    if type(value) not in {int, float} or not low <= value <= high:
        raise RefusedLegacyRow(f"{name}={excerpt(value)} is outside {low}..{high}")
    return float(value)
