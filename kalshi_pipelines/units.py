"""Exact money, contract counts and time.

Dollars are integers of 1e-6 dollar (micro-dollars). Contracts are integers of 1e-2 contract (centi-contracts). Instants
are integers of microseconds since 1970 UTC. Conversions start from text or an integer; no function accepts or returns a
float. Formats of tables and files do not belong here.
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

#: A centicent is 1e-4 dollar, the smallest price step of the exchange.
DOLLAR_CENTICENTS: Final = 10_000
MICRODOLLARS_PER_CENTICENT: Final = 100

EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
ONE_MICROSECOND: Final = dt.timedelta(microseconds=1)
EXCHANGE_TIME_ZONE: Final = ZoneInfo("America/New_York")

_POWERS: Final = (1, 10, 100, 1_000, 10_000, 100_000, 1_000_000)


class InexactValue(ExpectedError, ValueError):
    """A text that is not a plain decimal number, or that has more decimals than its unit can hold."""


def _scaled(text: str, decimals: int, unit: str) -> int:
    whole, point, fraction = text.partition(".")
    digits = whole.removeprefix("-") + fraction
    if not (digits.isdecimal() and digits.isascii()) or whole in ("", "-") or bool(point) != bool(fraction):
        raise InexactValue(f"{text!r} is not a plain decimal number of {unit}")
    if len(fraction) > decimals:
        if fraction[decimals:].strip("0"):
            raise InexactValue(f"{text!r} has more than {decimals} decimals, the most that can be stored for {unit}")
        fraction = fraction[:decimals]
    return int(whole + fraction) * _POWERS[decimals - len(fraction)]


def microdollars(text: str) -> int:
    """Return a dollar amount, written as a decimal string such as ``"0.5700"``, in micro-dollars.

    Raises:
        InexactValue: The text is not a plain decimal number, or it is finer than a micro-dollar.
    """
    return _scaled(text, 6, "dollars")


def centicontracts(text: str) -> int:
    """Return a count of contracts, written as a decimal string such as ``"343.49"``, in hundredths of a contract.

    Raises:
        InexactValue: The text is not a plain decimal number, or it is finer than 0.01 contract.
    """
    # The exchange writes two decimals. This quick way takes a third of the time, and counts hardly ever repeat.
    if text[-3:-2] == "." and len(text) > 3 and text.isascii():
        digits = text[:-3] + text[-2:]
        if digits.isdigit():
            return int(digits)
    return _scaled(text, 2, "contracts")


def dollars(microdollars: int) -> Decimal:
    """Return micro-dollars as a dollar amount with six decimals."""
    return Decimal(microdollars).scaleb(-6)


def contracts(centicontracts: int) -> Decimal:
    """Return centi-contracts as a number of contracts with two decimals."""
    return Decimal(centicontracts).scaleb(-2)


def microseconds(instant: dt.datetime) -> int:
    """Return an instant that has a time zone as microseconds since 1970 UTC."""
    since = instant - EPOCH
    return (since.days * 86_400 + since.seconds) * SECOND_US + since.microseconds


def instant(microseconds: int) -> dt.datetime:
    """Return microseconds since 1970 UTC as an instant in UTC."""
    return EPOCH + microseconds * ONE_MICROSECOND


def now_us() -> int:
    """Return the present instant in microseconds since 1970 UTC."""
    return microseconds(dt.datetime.now(dt.UTC))


def trading_day(microseconds: int) -> dt.date:
    """Return the exchange's trading day of an instant: its date in America/New_York."""
    return instant(microseconds).astimezone(EXCHANGE_TIME_ZONE).date()
