"""Reads of the exchange as evidence: exact, of our sub-account only, whole or an error.

Source of the fields: OpenAPI 3.34.0. An order that turns into history between two requests is in one of the two lists
at least, because the live one is read first.
"""

from collections.abc import Callable, Iterable
from typing import Final, Protocol, TypeVar

from kalshi_pipelines.errors import ExpectedError
from kalshi_pipelines.execution.journal.records import Fill
from kalshi_pipelines.execution.orders.evidence import (
    ExchangeOrder,
    Holding,
    OrderStatus,
    OrderSweep,
    Settlement,
    combine_digests,
    merge_orders,
)
from kalshi_pipelines.execution.orders.terms import Side
from kalshi_pipelines.kalshi.client import KalshiClient
from kalshi_pipelines.kalshi.errors import NotFound
from kalshi_pipelines.kalshi.portfolio_records import FillRecord, OrderRecord, PositionRecord, SettlementRecord
from kalshi_pipelines.units import (
    DOLLAR_CENTICENTS,
    MICRODOLLARS_PER_CENTICENT,
    SECOND_US,
    centicontracts,
    microdollars,
    microseconds,
)

#: The longest ticker and id of the exchange the journal stores; of other texts only that they can be stored counts.
_LONGEST_TICKER: Final = 120
_LONGEST_ID: Final = 64
_LONGEST_TEXT: Final = 200
#: A billion contracts, and what they cost at most: a record of the audit holds no numbers much larger.
_MOST_CENTICONTRACTS: Final = 10**11
_MOST_MICRODOLLARS: Final = 10**15
#: The exchange's filter is of whole seconds of its own clock.
_EARLIER_SECONDS: Final = 5

R = TypeVar("R")
V = TypeVar("V")


class UnreadableAccount(ExpectedError, ValueError):
    """An answer about the account that nothing can be concluded from; the message says what of it."""


class AccountReader(Protocol):
    """What a reconciliation reads.

    Every method raises ``KalshiError`` or ``UnreadableAccount`` rather than telling less than there is.
    """

    def clock_difference_ms(self) -> int | None:
        """By how much the exchange's clock is ahead of this computer's; None if an answer does not tell."""
        ...

    def as_of_us(self) -> int:
        """Up to which instant, on the exchange's clock, the other methods tell of everything."""
        ...

    def orders(self, since_us: int, ticker: str | None = None) -> OrderSweep:
        """Every order made since, and every one that rests, of a market or of all."""
        ...

    def fills(self, since_us: int) -> list[Fill]:
        """Every fill since, the oldest first."""
        ...

    def holdings(self) -> dict[str, Holding]:
        """Positions that are not 0 in markets that have not paid out, by ticker."""
        ...

    def settlements(self, since_us: int) -> list[Settlement]:
        """Every pay-out since, the oldest first."""
        ...

    def event_of(self, ticker: str) -> str:
        """The event a market belongs to."""
        ...


class ExchangeAccount:
    """One sub-account, read with the given client's key."""

    def __init__(self, client: KalshiClient, subaccount: int) -> None:
        self._client, self._read = client, client.portfolio
        self._subaccount = subaccount

    def clock_difference_ms(self) -> int | None:
        """By how much the exchange's clock is ahead, by the Date of an answer just now."""
        self.as_of_us()
        return self._client.clock_difference_ms

    def as_of_us(self) -> int:
        """Up to which instant the other reads tell of everything."""
        return self._read.user_data_timestamp_us()

    def orders(self, since_us: int, ticker: str | None = None) -> OrderSweep:
        """Every order made since, and every one that rests: three lists, all their pages."""
        since = _seconds(since_us)
        lists = (
            self._read.orders(self._subaccount, ticker=ticker, status="resting"),
            self._read.orders(self._subaccount, ticker=ticker, min_ts=since),
            self._read.orders(self._subaccount, ticker=ticker, min_ts=since, past=True),
        )
        orders = merge_orders(
            order
            for rows in lists
            for order in _each(_order, (row for row in rows.records if self._is_ours(row.subaccount_number)))
        )
        strangers = [order.ticker for order in orders.values() if ticker not in (None, order.ticker)]
        if strangers:
            raise UnreadableAccount(f"asked for orders of {ticker}, told of {strangers[0][:80]!r}")
        return OrderSweep(orders, sum(rows.pages for rows in lists), combine_digests(rows.sha256 for rows in lists))

    def fills(self, since_us: int) -> list[Fill]:
        """Every fill since, the oldest first."""
        since = _seconds(since_us)
        rows = [
            *self._read.fills(self._subaccount, min_ts=since).records,
            *self._read.fills(self._subaccount, min_ts=since, past=True).records,
        ]
        fills = {fill.fill_id: fill for fill in _each(_fill, (r for r in rows if self._is_ours(r.subaccount_number)))}
        return sorted(fills.values(), key=lambda fill: (fill.at_us, fill.fill_id))

    def holdings(self) -> dict[str, Holding]:
        """Positions that are not 0, by ticker."""
        held = _each(_holding, self._read.positions(self._subaccount).records)
        return {each.ticker: each for each in held if each.position_centicontracts}

    def settlements(self, since_us: int) -> list[Settlement]:
        """Every pay-out since, the oldest first."""
        rows = self._read.settlements(self._subaccount, min_ts=_seconds(since_us)).records
        return sorted(_each(_settlement, rows), key=lambda each: (each.settled_us, each.ticker))

    def event_of(self, ticker: str) -> str:
        """The event a market belongs to; of one that left the live markets, what its ticker says."""
        try:
            event_ticker = self._client.market(ticker).event_ticker
        except NotFound:
            return ticker.rpartition("-")[0] or ticker
        (event,) = _each(lambda text: _text(text, "event's ticker", _LONGEST_TICKER), [event_ticker])
        return event

    def _is_ours(self, subaccount: int | None) -> bool:
        """A row that does not say whose it is belongs to what was asked for."""
        return subaccount in (None, self._subaccount)


def _seconds(us: int) -> int:
    return max(0, us // SECOND_US - _EARLIER_SECONDS)


def _each(convert: Callable[[R], V], rows: Iterable[R]) -> list[V]:
    try:
        return [convert(row) for row in rows]
    except ValueError as error:
        raise UnreadableAccount(f"a row of the account can not be read: {error}") from None


def _order(row: OrderRecord) -> ExchangeOrder:
    touched = row.last_update_time or row.created_time
    return ExchangeOrder(
        order_id=_text(row.order_id, "order id", _LONGEST_ID),
        client_order_id=row.client_order_id and _text(row.client_order_id, "client order id", _LONGEST_TEXT),
        ticker=_text(row.ticker, "ticker", _LONGEST_TICKER),
        side=Side(row.book_side),
        price_centicents=_centicents(row.yes_price_dollars),
        count_centicontracts=_count(row.initial_count_fp),
        filled_centicontracts=_count(row.fill_count_fp),
        remaining_centicontracts=_count(row.remaining_count_fp),
        status=OrderStatus(row.status),
        order_group_id=row.order_group_id or None,
        updated_us=0 if touched is None else microseconds(touched),
    )


def _fill(row: FillRecord) -> Fill:
    return Fill(
        fill_id=_text(row.fill_id, "fill id", _LONGEST_ID),
        order_id=_text(row.order_id, "order id", _LONGEST_ID),
        ticker=_text(row.ticker, "ticker", _LONGEST_TICKER),
        side=Side(row.book_side),
        price_centicents=_centicents(row.yes_price_dollars),
        count_centicontracts=_within("count of a fill", centicontracts(row.count_fp), 1, _MOST_CENTICONTRACTS),
        fee_microdollars=_money("fee of a fill", row.fee_cost),
        at_us=microseconds(row.created_time),
    )


def _holding(row: PositionRecord) -> Holding:
    position = _within(
        "position", centicontracts(row.position_fp), -_MOST_CENTICONTRACTS, _MOST_CENTICONTRACTS
    )  # fmt: skip
    ticker = _text(row.ticker, "ticker", _LONGEST_TICKER)
    return Holding(ticker, position, _money("cost of a position", row.market_exposure_dollars))


def _settlement(row: SettlementRecord) -> Settlement:
    whole = {"yes": DOLLAR_CENTICENTS, "no": 0}.get(row.market_result)
    if whole is None:
        if row.value is None:
            raise ValueError(f"the settlement of {row.ticker} does not tell what one YES paid")
        whole = _within("pay-out of a YES", row.value, 0, DOLLAR_CENTICENTS // 100) * 100
    return Settlement(
        _text(row.ticker, "ticker", _LONGEST_TICKER),
        _text(row.event_ticker, "event's ticker", _LONGEST_TICKER),
        whole,
        microseconds(row.settled_time),
    )


def _text(text: str, what: str, longest: int) -> str:
    """A text the journal can store and everybody can read: no control character, no half of a surrogate pair."""
    if not (0 < len(text) <= longest and text.isprintable()):
        raise ValueError(f"the {what} {text[:80]!a} is empty, too long or can not be printed")
    return text


def _count(text: str) -> int:
    return _within("count of an order", centicontracts(text), 0, _MOST_CENTICONTRACTS)


def _money(what: str, text: str) -> int:
    return _within(what, microdollars(text), -_MOST_MICRODOLLARS, _MOST_MICRODOLLARS)


def _within(what: str, number: int, least: int, most: int) -> int:
    if not least <= number <= most:
        raise ValueError(f"the {what} is {number}, not from {least} to {most}")
    return number


def _centicents(text: str) -> int:
    micro = microdollars(text)
    if micro % MICRODOLLARS_PER_CENTICENT:
        raise ValueError(f"the price {text!r} is finer than $0.0001")
    return _within("price", micro // MICRODOLLARS_PER_CENTICENT, 0, DOLLAR_CENTICENTS)
