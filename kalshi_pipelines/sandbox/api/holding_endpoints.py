"""Responses about a member's holdings: live and historical positions, money, deposits and withdrawals.

Belongs here: filters, pages and sums. Does not belong here: the JSON of a record (``portfolio_rows``), and moving money
(``account_endpoints``).

Sources: the vendor's OpenAPI document 3.34.0; recordings of June 2026. The OpenAPI document says that a page
limit counts events, not positions, in a list of settled positions and in a list of all positions. Recordings show that
a position is valued at the price of the market's last trade. If the market has no trade, the position is valued midway
between the best bid and the best ask.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

import orjson

from kalshi_pipelines.sandbox.api.endpoints import Call, Endpoint
from kalshi_pipelines.sandbox.api.portfolio_rows import (
    balance_row,
    cents,
    event_position_row,
    payment_row,
    position_row,
    short_dollars_text,
)
from kalshi_pipelines.sandbox.errors import failed_validation
from kalshi_pipelines.sandbox.exchange import Exchange
from kalshi_pipelines.sandbox.pagination import page_back
from kalshi_pipelines.sandbox.trading.events import MoneyMoved
from kalshi_pipelines.sandbox.trading.exposure import cost_each
from kalshi_pipelines.sandbox.trading.records import Position, TradedMarket
from kalshi_pipelines.sandbox.trading.state import TradingState
from kalshi_pipelines.units import DOLLAR_CENTICENTS, SECOND_US

MOST_ROWS: Final = 1_000
MOST_PAYMENTS: Final = 500
_COUNTS: Final = ("position", "total_traded")
_Wanted = Callable[[Position], bool]


def free_money(state: TradingState, member: str, subaccount: int, shard: int) -> int:
    """Return the micro-dollars of a member that are free for new orders.

    Unlike ``TradingState.available``, this function never adds missing keys to the dictionaries of the state.
    """
    place = (member, subaccount, shard)
    return state.cash.get(place, 0) - state.reserved.get(place, 0)


def get_balance(exchange: Exchange, call: Call) -> bytes:
    """Answer GET /portfolio/balance.

    The breakdown by shard covers the whole account, even if the request names a sub-account.
    """
    state = exchange.venue.as_read()
    subaccount = call.subaccount(call.query.integer("subaccount", least=0)) or 0
    asked = call.query.integer("exchange_index")
    shards = [shard for shard in state.shards if asked in {None, shard}]
    balance = sum(free_money(state, call.member, subaccount, shard) for shard in shards)
    positions = (held for held in state.positions_of(call.member) if held.subaccount == subaccount)
    value = sum(_value(state.markets[held.ticker], held) for held in positions if held.shard in shards)
    row = {
        "balance": cents(balance),
        "balance_dollars": short_dollars_text(balance),
        "portfolio_value": cents(value),
        "updated_ts": exchange.venue.as_of_us() // SECOND_US,
    }
    if call.key is None or call.key.subaccount is None:
        opened = state.members[call.member].subaccounts if call.member in state.members else ()
        row["balance_breakdown"] = [
            balance_row(shard, sum(free_money(state, call.member, number, shard) for number in opened))
            for shard in state.shards
        ]
    return orjson.dumps(row, option=orjson.OPT_SORT_KEYS)


def _value(market: TradedMarket, held: Position) -> int:
    """Return the value of a position in micro-dollars."""
    price = _worth(market)
    if price is None:
        return held.cost
    return held.count * price if held.count > 0 else -held.count * (DOLLAR_CENTICENTS - price)


def _worth(market: TradedMarket) -> int | None:
    """Return the value of one YES in centi-cents. Return None if the market has no result, no trade and no quote."""
    if market.value is not None:
        return market.value
    if market.last_price:
        return market.last_price
    bid, ask = market.book.best("bid"), market.book.best("ask")
    return None if bid is None or ask is None else (bid + ask) // 2


def get_resting_order_value(exchange: Exchange, call: Call) -> bytes:
    """Answer GET /portfolio/summary/total_resting_order_value.

    The total is the cost of the contracts, without fees, if all resting orders traded completely.
    """
    state = exchange.venue.as_read()
    subaccount = call.subaccount(None, None)
    values = dict.fromkeys(state.shards, 0)
    for order in state.orders_of.get(call.member, ()):
        if order.is_resting and subaccount in {None, order.subaccount}:
            values[order.shard] += cost_each(order.side, order.price) * order.remaining
    rows = [balance_row(shard, value) for shard, value in values.items()]
    return orjson.dumps(
        {"resting_order_value_breakdown": rows, "total_resting_order_value": cents(sum(values.values()))}
    )


class _Holdings:
    """Positions of one sub-account, oldest first, and the set of events whose positions have moved to the historical
    endpoint.
    """

    def __init__(self, exchange: Exchange, call: Call) -> None:
        state = exchange.venue.as_read()
        subaccount = call.subaccount(call.query.integer("subaccount", least=0))
        self.positions = [held for held in state.positions_of(call.member) if held.subaccount == subaccount]
        self.events: dict[str, list[Position]] = {}
        for held in self.positions:
            self.events.setdefault(held.event_ticker, []).append(held)
        self._markets: Mapping[str, TradedMarket] = state.markets
        self._past = {
            event for event, together in self.events.items() if self._settled_us(together) < exchange.cutoff_us
        }

    def _settled_us(self, together: Iterable[Position]) -> int:
        """Return the instant at which the last of the positions was settled.

        If any of the positions is unsettled, return an instant in the far future.
        """
        return max(self._settlement_us(held) if self.is_settled(held) else 1 << 63 for held in together)

    def _settlement_us(self, held: Position) -> int:
        if held.settled_us is not None:
            return held.settled_us
        return max(held.updated_us, self._markets[held.ticker].close_us)

    def is_settled(self, held: Position) -> bool:
        """Return whether a position is settled.

        A position that was sold counts as settled once its market is finalized.
        """
        return held.settled_us is not None or self._markets[held.ticker].status == "finalized"

    def is_past(self, held: Position) -> bool:
        """Return whether the historical endpoint shows a position.

        All positions of an event move to the historical endpoint together.
        """
        return held.event_ticker in self._past


def _wanted_positions(call: Call) -> _Wanted:
    query = call.query
    ticker, event = query.text("ticker"), query.text("event_ticker")
    shard, counts = query.integer("exchange_index", least=0), query.listed("count_filter") or ()
    if not set(counts) <= set(_COUNTS):
        raise failed_validation(query.operation, "CountFilter", "oneof")
    return lambda held: (
        (ticker is None or held.ticker == ticker)
        and (event is None or held.event_ticker == event)
        and shard in {None, held.shard}
        and ("position" not in counts or held.count != 0)
        and ("total_traded" not in counts or held.traded != 0)
    )


def get_positions(exchange: Exchange, call: Call) -> bytes:
    """Answer GET /portfolio/positions."""
    status = call.query.choice("settlement_status", ("unsettled", "settled", "all")) or "unsettled"
    holdings, matches = _Holdings(exchange, call), _wanted_positions(call)

    def wanted(held: Position) -> bool:
        right = status == "all" or holdings.is_settled(held) == (status == "settled")
        return right and not holdings.is_past(held) and matches(held)

    return _positions_by_market(call, holdings, wanted) if status == "unsettled" else _by_event(call, holdings, wanted)


def get_historical_positions(exchange: Exchange, call: Call) -> bytes:
    """Answer GET /historical/positions."""
    holdings, matches = _Holdings(exchange, call), _wanted_positions(call)
    return _by_event(call, holdings, lambda held: holdings.is_past(held) and matches(held))


def _positions_by_market(call: Call, holdings: _Holdings, wanted: _Wanted) -> bytes:
    page = page_back(holdings.positions, call.query.cursor, call.query.rows(MOST_ROWS), wanted)
    events = dict.fromkeys(held.event_ticker for held in page.rows)
    together = {event: [held for held in holdings.events[event] if wanted(held)] for event in events}
    return _positions_body(page.cursor, page.rows, together)


def _by_event(call: Call, holdings: _Holdings, wanted: _Wanted) -> bytes:
    events = list(holdings.events)
    page = page_back(
        events,
        call.query.cursor,
        call.query.rows(MOST_ROWS),
        lambda event: any(wanted(held) for held in holdings.events[event]),
    )
    together = {event: [held for held in holdings.events[event] if wanted(held)] for event in page.rows}
    return _positions_body(page.cursor, [held for event in page.rows for held in together[event]], together)


def _positions_body(cursor: str, rows: Iterable[Position], together: Mapping[str, Iterable[Position]]) -> bytes:
    return orjson.dumps(
        {
            "cursor": cursor,
            "event_positions": [event_position_row(event, held) for event, held in together.items()],
            "market_positions": [position_row(held) for held in rows],
        }
    )


def _payments(exchange: Exchange, call: Call, name: str, wanted: Callable[[MoneyMoved], bool]) -> bytes:
    moved = list(enumerate(exchange.venue.as_read().deposits_of.get(call.member, ())))
    page = page_back(moved, call.query.cursor, call.query.rows(MOST_PAYMENTS), lambda entry: wanted(entry[1]))
    return orjson.dumps({"cursor": page.cursor, name: [payment_row(event, number) for number, event in page.rows]})


def get_deposits(exchange: Exchange, call: Call) -> bytes:
    """Answer GET /portfolio/deposits."""
    return _payments(exchange, call, "deposits", lambda moved: moved.amount > 0)


def get_withdrawals(exchange: Exchange, call: Call) -> bytes:
    """Answer GET /portfolio/withdrawals."""
    return _payments(exchange, call, "withdrawals", lambda moved: moved.amount < 0)


def _reads(
    operation: str, template: str, answer: Callable[[Exchange, Call], bytes], *, for_locked_keys: bool = True
) -> Endpoint:
    return Endpoint(operation, "GET", template, answer, needs_key=True, scope="read", for_locked_keys=for_locked_keys)


HOLDING_ENDPOINTS: Final = (
    Endpoint(
        "GetBalance", "GET", "/portfolio/balance", get_balance,
        needs_key=True, scope="read::portfolio_balance", budget="balance",
    ),
    _reads("GetPositions", "/portfolio/positions", get_positions),
    _reads("GetHistoricalPositions", "/historical/positions", get_historical_positions),
    _reads(
        "GetPortfolioRestingOrderTotalValue", "/portfolio/summary/total_resting_order_value", get_resting_order_value
    ),
    _reads("GetDeposits", "/portfolio/deposits", get_deposits, for_locked_keys=False),
    _reads("GetWithdrawals", "/portfolio/withdrawals", get_withdrawals, for_locked_keys=False),
)  # fmt: skip
