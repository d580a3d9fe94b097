"""Reads of one sub-account at the exchange. A read returns complete data in exact units, or raises an error.

The fields are those of OpenAPI 3.34.0. Live orders are read before past orders. An order that ends between the two
requests is therefore in at least one of the two lists.
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

#: The largest number of characters that the journal can store of a ticker, an id or another text of the exchange.
_LONGEST_TICKER: Final = 120
_LONGEST_ID: Final = 64
_LONGEST_TEXT: Final = 200
#: The largest amounts that are accepted from the exchange: a billion contracts, and a billion dollars, which is their
#: highest possible cost. The audit log cannot store much larger numbers.
_MOST_CENTICONTRACTS: Final = 10**11
_MOST_MICRODOLLARS: Final = 10**15
#: The number of seconds before the requested instant at which a read begins. The exchange filters by whole seconds of
#: its own clock, which may differ from ours.
_EARLIER_SECONDS: Final = 5

R = TypeVar("R")
V = TypeVar("V")


class UnreadableAccount(ExpectedError, ValueError):
    """The exchange's answer about the account is malformed, so it proves nothing."""


class AccountReader(Protocol):
    """Reads the account at the exchange for a reconciliation.

    Every method raises ``KalshiError`` or ``UnreadableAccount`` rather than return an incomplete result.
    """

    def clock_difference_ms(self) -> int | None:
        """Return by how many milliseconds the exchange's clock is ahead of this computer's, or None if unknown."""
        ...

    def as_of_us(self) -> int:
        """Return the instant, on the exchange's clock, up to which the exchange's reads of the account are complete."""
        ...

    def orders(self, since_us: int, ticker: str | None = None) -> OrderSweep:
        """Return every resting order and every order created since an instant, of one market or of all markets."""
        ...

    def fills(self, since_us: int) -> list[Fill]:
        """Return every fill of the account since an instant, oldest first."""
        ...

    def holdings(self) -> dict[str, Holding]:
        """Return the positions other than 0 by ticker, in markets that have not paid out yet."""
        ...

    def settlements(self, since_us: int) -> list[Settlement]:
        """Return every settlement of the account since an instant, oldest first."""
        ...

    def event_of(self, ticker: str) -> str:
        """Return the ticker of the event that a market belongs to."""
        ...


class ExchangeAccount:
    """Reads one sub-account at the exchange with the key of a client."""

    def __init__(self, client: KalshiClient, subaccount: int) -> None:
        self._client, self._read = client, client.portfolio
        self._subaccount = subaccount

    def clock_difference_ms(self) -> int | None:
        """Ask the exchange for its time, and return by how many milliseconds its clock is ahead of this computer's."""
        self.as_of_us()
        return self._client.clock_difference_ms

    def as_of_us(self) -> int:
        """Return the instant, on the exchange's clock, up to which the exchange's reads of the account are complete."""
        return self._read.user_data_timestamp_us()

    def orders(self, since_us: int, ticker: str | None = None) -> OrderSweep:
        """Return every resting order and every order created since an instant.

        Three lists are read with all their pages: resting orders, and live and past orders created since the instant.
        """
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
            raise UnreadableAccount(
                f"The exchange was asked for orders of {ticker} and answered with {strangers[0][:80]!r}."
            )
        return OrderSweep(orders, sum(rows.pages for rows in lists), combine_digests(rows.sha256 for rows in lists))

    def fills(self, since_us: int) -> list[Fill]:
        """Return every fill of the account since an instant, oldest first."""
        since = _seconds(since_us)
        rows = [
            *self._read.fills(self._subaccount, min_ts=since).records,
            *self._read.fills(self._subaccount, min_ts=since, past=True).records,
        ]
        fills = {fill.fill_id: fill for fill in _each(_fill, (r for r in rows if self._is_ours(r.subaccount_number)))}
        return sorted(fills.values(), key=lambda fill: (fill.at_us, fill.fill_id))

    def fills_of(self, ticker: str) -> list[Fill]:
        """Return every fill of the account in one market, oldest first."""
        rows = [
            *self._read.fills(self._subaccount, ticker=ticker).records,
            *self._read.fills(self._subaccount, ticker=ticker, past=True).records,
        ]
        fills = {fill.fill_id: fill for fill in _each(_fill, (r for r in rows if self._is_ours(r.subaccount_number)))}
        return sorted(fills.values(), key=lambda fill: (fill.at_us, fill.fill_id))

    def order_groups(self) -> frozenset[str]:
        """Return the ids of the account's order groups, which may be triggered."""
        groups = self._read.order_groups(self._subaccount)
        return frozenset(_each(lambda group: _text(group.id, "order group's id", _LONGEST_ID), groups))

    def holdings(self) -> dict[str, Holding]:
        """Return the account's positions other than 0, by ticker."""
        held = _each(_holding, self._read.positions(self._subaccount).records)
        return {each.ticker: each for each in held if each.position_centicontracts}

    def settlements(self, since_us: int) -> list[Settlement]:
        """Return every settlement of the account since an instant, oldest first."""
        rows = self._read.settlements(self._subaccount, min_ts=_seconds(since_us)).records
        return sorted(_each(_settlement, rows), key=lambda each: (each.settled_us, each.ticker))

    def event_of(self, ticker: str) -> str:
        """Return a market's event ticker. An archived market's event ticker is derived from the market's own ticker."""
        try:
            event_ticker = self._client.market(ticker).event_ticker
        except NotFound:
            return ticker.rpartition("-")[0] or ticker
        (event,) = _each(lambda text: _text(text, "event's ticker", _LONGEST_TICKER), [event_ticker])
        return event

    def _is_ours(self, subaccount: int | None) -> bool:
        """Return whether a row belongs to our sub-account.

        A row without a sub-account number also belongs to it, because the request named only our sub-account.
        """
        return subaccount in (None, self._subaccount)


def _seconds(us: int) -> int:
    return max(0, us // SECOND_US - _EARLIER_SECONDS)


def _each(convert: Callable[[R], V], rows: Iterable[R]) -> list[V]:
    try:
        return [convert(row) for row in rows]
    except ValueError as error:
        raise UnreadableAccount(f"A row of the account cannot be read: {error}.") from None


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
        created_us=0 if row.created_time is None else microseconds(row.created_time),
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
    position = _within("position", centicontracts(row.position_fp), -_MOST_CENTICONTRACTS, _MOST_CENTICONTRACTS)
    ticker = _text(row.ticker, "ticker", _LONGEST_TICKER)
    return Holding(ticker, position, _money("cost of a position", row.market_exposure_dollars))


def _settlement(row: SettlementRecord) -> Settlement:
    whole = {"yes": DOLLAR_CENTICENTS, "no": 0}.get(row.market_result)
    if whole is None:
        if row.value is None:
            raise ValueError(f"the settlement of {row.ticker} does not state the payout of a YES")
        whole = _within("payout of a YES", row.value, 0, DOLLAR_CENTICENTS // 100) * 100
    return Settlement(
        _text(row.ticker, "ticker", _LONGEST_TICKER),
        _text(row.event_ticker, "event's ticker", _LONGEST_TICKER),
        whole,
        microseconds(row.settled_time),
    )


def _text(text: str, what: str, longest: int) -> str:
    """Return the text if the journal can store it.

    A text with a control character or half of a surrogate pair cannot be stored.
    """
    if not (0 < len(text) <= longest and text.isprintable()):
        raise ValueError(f"the {what} {text[:80]!a} is empty, too long or not printable")
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
