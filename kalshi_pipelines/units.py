"""Exact money, contract counts and time: the ground floor.

Dollars are integers of 1e-6 dollar (micro-dollars), contracts integers of 1e-2 (centi-contracts), instants integers of
microseconds since 1970 UTC. Every conversion starts from text or an integer; nothing here accepts or returns a float.
What a table or file looks like does not belong here.
"""

import datetime as dt
from decimal import Decimal
from typing import Final
from zoneinfo import ZoneInfo

from kalshi_pipelines.errors import ExpectedError

#: Spans of time in microseconds.
SECOND_US: Final = 1_000_000
MINUTE_US: Final = 60 * SECOND_US
HOUR_US: Final = 60 * MINUTE_US
DAY_US: Final = 24 * HOUR_US

#: A centicent is 1e-4 dollar: the finest price the exchange knows.
DOLLAR_CENTICENTS: Final = 10_000
MICRODOLLARS_PER_CENTICENT: Final = 100

EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
ONE_MICROSECOND: Final = dt.timedelta(microseconds=1)
EXCHANGE_TIME_ZONE: Final = ZoneInfo("America/New_York")

_POWERS: Final = (1, 10, 100, 1_000, 10_000, 100_000, 1_000_000)


class InexactValue(ExpectedError, ValueError):
    """Text that is not a plain decimal number, or has more decimals than the unit can hold."""


def _scaled(text: str, decimals: int, unit: str) -> int:
    whole, point, fraction = text.partition(".")
    digits = whole.removeprefix("-") + fraction
    if not (digits.isdecimal() and digits.isascii()) or whole in ("", "-") or bool(point) != bool(fraction):
        raise InexactValue(f"{text!r} is not a plain decimal number of {unit}")
    if len(fraction) > decimals:
        if fraction[decimals:].strip("0"):
            raise InexactValue(f"{text!r} has more than the {decimals} decimals that {unit} are stored with")
        fraction = fraction[:decimals]
    return int(whole + fraction) * _POWERS[decimals - len(fraction)]


def microdollars(text: str) -> int:
    """Micro-dollars of a dollar amount written as a decimal string, such as ``"0.5700"``.

    Raises:
        InexactValue: The text is no plain decimal number or is finer than a micro-dollar.
    """
    return _scaled(text, 6, "dollars")


def centicontracts(text: str) -> int:
    """Hundredths of a contract of a count written as a decimal string, such as ``"343.49"``.

    Raises:
        InexactValue: The text is no plain decimal number or is finer than 0.01 contract.
    """
    return _scaled(text, 2, "contracts")


def dollars(microdollars: int) -> Decimal:
    """The dollar amount of an integer of micro-dollars, with six decimals."""
    return Decimal(microdollars).scaleb(-6)


def contracts(centicontracts: int) -> Decimal:
    """The number of contracts of an integer of centi-contracts, with two decimals."""
    return Decimal(centicontracts).scaleb(-2)


def microseconds(instant: dt.datetime) -> int:
    """Microseconds since 1970 UTC of an aware instant."""
    return (instant - EPOCH) // ONE_MICROSECOND


def instant(microseconds: int) -> dt.datetime:
    """The UTC instant of an integer of microseconds since 1970."""
    return EPOCH + microseconds * ONE_MICROSECOND


def now_us() -> int:
    """The present instant in microseconds since 1970 UTC."""
    return microseconds(dt.datetime.now(dt.UTC))


def trading_day(microseconds: int) -> dt.date:
    """The America/New_York date of an instant: the exchange's trading day."""
    return instant(microseconds).astimezone(EXCHANGE_TIME_ZONE).date()
