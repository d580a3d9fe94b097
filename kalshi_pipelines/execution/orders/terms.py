"""The terms of an order. Each term has its own type, so that it cannot be confused with another term or a float.

Prices are YES prices in centi-cents (0.0001 dollar), counts are centi-contracts (0.01 contract). A price times a count
is an exact number of micro-dollars. Amounts in dollars and contracts are parsed from text only. Passing an ``int`` or
``float`` raises a ``TypeError``.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Final, Self

from kalshi_pipelines.errors import ExpectedError
from kalshi_pipelines.units import DOLLAR_CENTICENTS, MICRODOLLARS_PER_CENTICENT, centicontracts, microdollars

#: The largest count of an order, in centi-contracts. The journal's table of intents has the same limit.
MOST_CENTICONTRACTS: Final = 100_000_000

# A client order id has at most 64 characters: letters, digits and ``_:+=/-``. Source: docs.kalshi.com/fix/order-entry,
# October 2026.
_CLIENT_ORDER_ID: Final = re.compile(r"[\w:+=/-]{8,64}", re.ASCII)
# The exchange's ids are UUIDs. Other characters are refused, because they could change the path of a request.
_ORDER_ID: Final = re.compile(r"[A-Za-z0-9-]{8,64}")
_TICKER: Final = re.compile(r"[A-Z0-9](?:[A-Z0-9._-]{0,118}[A-Z0-9])?")


class InvalidTerms(ExpectedError, ValueError):
    """A price, count, ticker or id is not possible for any order."""


class Side(StrEnum):
    """The side of a market's book, which is quoted in YES: a bid buys YES or sells NO, an ask sells YES or buys NO."""

    BID = "bid"
    ASK = "ask"


class Action(StrEnum):
    """Whether contracts of an outcome are bought or sold."""

    BUY = "buy"
    SELL = "sell"


class Outcome(StrEnum):
    """The outcome (YES or NO) whose contracts are traded."""

    YES = "yes"
    NO = "no"


class TimeInForce(StrEnum):
    """How long an order stays valid at the exchange: OpenAPI 3.34.0, ``CreateOrderV2Request.time_in_force``."""

    FILL_OR_KILL = "fill_or_kill"
    IMMEDIATE_OR_CANCEL = "immediate_or_cancel"
    GOOD_TILL_CANCELED = "good_till_canceled"


def _format_number(number: object, scale: int) -> str:
    return f"{Decimal(number) / scale:f}" if type(number) is int else repr(number)


def _require_text(value: object, what: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{what} must be text such as '0.5600', not {type(value).__name__} {value!r}")
    return value


@dataclass(frozen=True, slots=True, order=True)
class YesPrice:
    """The price of a YES contract: an integer of centi-cents, more than 0 and less than a dollar."""

    centicents: int

    def __post_init__(self) -> None:
        if type(self.centicents) is not int or not 0 < self.centicents < DOLLAR_CENTICENTS:
            raise InvalidTerms(
                f"a price must be from $0.0001 to $0.9999, not {_format_number(self.centicents, DOLLAR_CENTICENTS)}"
            )

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Return the price that a text states in dollars, such as ``"0.5600"``.

        Raises:
            TypeError: The value is not text.
            InvalidTerms: The text is not a price, or is finer than a centi-cent.
        """
        micro = _convert(microdollars, _require_text(text, "a price"))
        if micro % MICRODOLLARS_PER_CENTICENT:
            raise InvalidTerms(f"the price {text!r} is finer than $0.0001")
        return cls(micro // MICRODOLLARS_PER_CENTICENT)

    @property
    def complement(self) -> Self:
        """The price of a contract of the opposite outcome: a dollar minus this price."""
        return type(self)(DOLLAR_CENTICENTS - self.centicents)

    def __str__(self) -> str:
        return f"0.{self.centicents:04}"


@dataclass(frozen=True, slots=True, order=True)
class Contracts:
    """A positive number of contracts, held as an integer of centi-contracts."""

    centi: int

    def __post_init__(self) -> None:
        if type(self.centi) is not int or not 0 < self.centi <= MOST_CENTICONTRACTS:
            raise InvalidTerms(
                f"a count must be more than 0 and at most {MOST_CENTICONTRACTS // 100:,}, "
                f"not {_format_number(self.centi, 100)}"
            )

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Return the count that a text states in contracts, such as ``"10"`` or ``"0.50"``.

        Raises:
            TypeError: The value is not text.
            InvalidTerms: The text is not a count, or is finer than 0.01 contract.
        """
        return cls(_convert(centicontracts, _require_text(text, "a count")))

    def __str__(self) -> str:
        return f"{self.centi // 100}.{self.centi % 100:02}"


@dataclass(frozen=True, slots=True)
class MarketTicker:
    """The ticker of a market, which has only characters that the exchange allows."""

    text: str

    def __post_init__(self) -> None:
        if not _TICKER.fullmatch(_require_text(self.text, "a ticker")):
            raise InvalidTerms(f"{self.text[:80]!r} is not a market ticker")

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class ClientOrderId:
    """The id that we give to an order, with 8 to 64 characters."""

    text: str

    def __post_init__(self) -> None:
        if not _CLIENT_ORDER_ID.fullmatch(_require_text(self.text, "a client order id")):
            raise InvalidTerms(f"{self.text[:80]!r} is not a client order id")

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class OrderId:
    """The exchange's id of an order or order group. It is never empty: a cancel without an id cancels all orders."""

    text: str

    def __post_init__(self) -> None:
        if not _ORDER_ID.fullmatch(_require_text(self.text, "an order id")):
            raise InvalidTerms(f"{self.text[:80]!r} is not an id of the exchange")

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Leg:
    """The trade that a proposer wants: buy or sell YES or NO, at the price of that outcome."""

    action: Action
    outcome: Outcome
    price: YesPrice
    """The price of a contract of the traded outcome."""

    @property
    def side(self) -> Side:
        """The side of the YES book on which the order stands.

        Source: docs.kalshi.com "Order direction", October 2026.
        """
        return Side.BID if (self.action is Action.BUY) == (self.outcome is Outcome.YES) else Side.ASK

    @property
    def yes_price(self) -> YesPrice:
        """The price in YES, as the orderbook quotes it. For NO it is a dollar minus the NO price."""
        return self.price if self.outcome is Outcome.YES else self.price.complement


def _convert(convert: Callable[[str], int], text: str) -> int:
    try:
        return convert(text)
    except ValueError as error:
        raise InvalidTerms(str(error)) from None
