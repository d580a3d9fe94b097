"""Responses about a member's orders, fills and settlements, live and historical.

Belongs here: filters and pages. Does not belong here: the JSON of a record (``portfolio_rows``), and positions and
money (``holding_endpoints``). Responses may show an earlier state than the engine's, because portfolio reads can lag
behind writes. Source: the vendor's OpenAPI document 3.34.0.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

import orjson

from kalshi_pipelines.sandbox.api.endpoints import Call, Endpoint
from kalshi_pipelines.sandbox.api.holding_endpoints import HOLDING_ENDPOINTS
from kalshi_pipelines.sandbox.api.portfolio_rows import Row, fill_row, order_row, settlement_row
from kalshi_pipelines.sandbox.api.validation import Query
from kalshi_pipelines.sandbox.errors import not_found
from kalshi_pipelines.sandbox.exchange import Exchange
from kalshi_pipelines.sandbox.markets.listing import TimeRange
from kalshi_pipelines.sandbox.pagination import Entry, page_back
from kalshi_pipelines.sandbox.prices import count_text
from kalshi_pipelines.sandbox.trading.events import Side
from kalshi_pipelines.sandbox.trading.records import (
    CANCELED,
    EXECUTED,
    RESTING,
    SandboxFill,
    SandboxOrder,
    SandboxSettlement,
)
from kalshi_pipelines.sandbox.trading.state import TradingState

MOST_TICKERS: Final = 100
MOST_ROWS: Final = 1_000


class _Kept(Protocol):
    @property
    def subaccount(self) -> int: ...
    @property
    def shard(self) -> int: ...
    @property
    def ticker(self) -> str: ...


def _place(call: Call) -> Callable[[_Kept], bool]:
    """Return a filter of records by the sub-account and shard that a request names.

    If it names neither, every record passes.
    """
    subaccount = call.subaccount(call.query.integer("subaccount", least=0), None)
    shard = call.query.integer("exchange_index", least=0)
    return lambda record: subaccount in {None, record.subaccount} and shard in {None, record.shard}


def _page(
    call: Call, name: str, entries: Sequence[Entry], wanted: Callable[[Entry], bool], row: Callable[[Entry], Row]
) -> bytes:
    limit = call.query.rows(MOST_ROWS)
    page = page_back(entries, call.query.cursor, limit, wanted)
    return orjson.dumps({"cursor": page.cursor, name: [row(entry) for entry in page.rows]})


def _is_past(order: SandboxOrder, cutoff_us: int) -> bool:
    """Return whether an order belongs to the historical endpoint: closed, and unchanged since the historical cutoff.

    A resting order never belongs to the historical endpoint.
    """
    return not order.is_open and order.updated_us < cutoff_us


def get_orders(exchange: Exchange, call: Call) -> bytes:
    """Answer GET /portfolio/orders."""
    query, cutoff_us = call.query, exchange.orders_cutoff_us
    state = exchange.venue.as_read()
    events = query.at_most("event_ticker", MOST_TICKERS)
    status = query.choice("status", (RESTING, CANCELED, EXECUTED))
    ticker, period, is_there = query.text("ticker"), query.period(), _place(call)

    def wanted(order: SandboxOrder) -> bool:
        return (
            (status is None or order.status == status)
            and (ticker is None or order.ticker == ticker)
            and is_there(order)
            and order.created_us in period
            and (events is None or state.markets[order.ticker].facts.event_ticker in events)
            and not _is_past(order, cutoff_us)
        )

    return _page(call, "orders", state.orders_of.get(call.member, ()), wanted, order_row)


def get_historical_orders(exchange: Exchange, call: Call) -> bytes:
    """Answer GET /historical/orders."""
    cutoff_us = exchange.orders_cutoff_us
    ticker, period, is_there = call.query.text("ticker"), call.query.period(), _place(call)

    def wanted(order: SandboxOrder) -> bool:
        return (
            _is_past(order, cutoff_us)
            and (ticker is None or order.ticker == ticker)
            and is_there(order)
            and order.created_us in period
        )

    return _page(call, "orders", exchange.venue.as_read().orders_of.get(call.member, ()), wanted, order_row)


def _own_order(exchange: Exchange, call: Call, state: TradingState) -> SandboxOrder:
    order = state.orders.get(call.path["order_id"])
    if order is None or order.member != call.member or _is_past(order, exchange.orders_cutoff_us):
        raise not_found()
    if call.key is not None and call.key.subaccount not in {None, order.subaccount}:
        raise not_found()
    return order


def get_order(exchange: Exchange, call: Call) -> bytes:
    """Answer GET /portfolio/orders/{order_id}."""
    return orjson.dumps({"order": order_row(_own_order(exchange, call, exchange.venue.as_read()))})


def get_queue_position(exchange: Exchange, call: Call) -> bytes:
    """Answer GET /portfolio/orders/{order_id}/queue_position."""
    state = exchange.venue.as_read()
    order = _own_order(exchange, call, state)
    if not order.is_resting:
        raise not_found()
    return orjson.dumps({"queue_position_fp": count_text(state.markets[order.ticker].book.ahead_of(order))})


def get_queue_positions(exchange: Exchange, call: Call) -> bytes:
    """Answer GET /portfolio/orders/queue_positions."""
    query, state = call.query, exchange.venue.as_read()
    subaccount = call.subaccount(query.integer("subaccount", least=0))
    tickers, event = query.listed("market_tickers"), query.text("event_ticker")
    wanted = [
        order
        for order in state.orders_of.get(call.member, ())
        if order.is_resting
        and order.subaccount == subaccount
        and (tickers is None or order.ticker in tickers)
        and (event is None or state.markets[order.ticker].facts.event_ticker == event)
    ]
    ahead: dict[str, int] = {}
    for ticker, side in {(order.ticker, order.side) for order in wanted}:
        ahead.update(_queue(state, ticker, side))
    rows = [
        {
            "market_ticker": order.ticker,
            "order_id": order.order_id,
            "queue_position_fp": count_text(ahead[order.order_id]),
        }
        for order in wanted
    ]
    return orjson.dumps({"queue_positions": rows})


def _queue(state: TradingState, ticker: str, side: Side) -> Mapping[str, int]:
    """Return, for each order on one side of a book, the centi-contracts ahead of the order in the queue.

    One pass over the book is faster than one search for each order.
    """
    before, ahead = 0, {}
    for order in state.markets[ticker].book.queue(side):
        ahead[order.order_id] = before
        before += order.remaining
    return ahead


def _wants_fill(query: Query, call: Call) -> Callable[[SandboxFill], bool]:
    tickers, order_id = query.at_most("ticker", MOST_TICKERS), query.text("order_id")
    period, is_there = query.period(), _place(call)
    return lambda fill: (
        (tickers is None or fill.ticker in tickers)
        and (order_id is None or fill.order_id == order_id)
        and is_there(fill)
        and fill.created_us in period
    )


def get_fills(exchange: Exchange, call: Call) -> bytes:
    """Answer GET /portfolio/fills."""
    cutoff_us, matches = exchange.cutoff_us, _wants_fill(call.query, call)

    def wanted(fill: SandboxFill) -> bool:
        return fill.created_us >= cutoff_us and matches(fill)

    return _page(call, "fills", exchange.venue.as_read().fills_of.get(call.member, ()), wanted, fill_row)


def get_historical_fills(exchange: Exchange, call: Call) -> bytes:
    """Answer GET /historical/fills."""
    cutoff_us, matches = exchange.cutoff_us, _wants_fill(call.query, call)

    def wanted(fill: SandboxFill) -> bool:
        return fill.created_us < cutoff_us and matches(fill)

    return _page(call, "fills", exchange.venue.as_read().fills_of.get(call.member, ()), wanted, fill_row)


def get_settlements(exchange: Exchange, call: Call) -> bytes:
    """Answer GET /portfolio/settlements. No endpoint shows settlements that happened before the historical cutoff."""
    cutoff_us = exchange.cutoff_us
    ticker, event = call.query.text("ticker"), call.query.text("event_ticker")
    period, is_there = _settled_in(call.query, cutoff_us), _place(call)

    def wanted(settlement: SandboxSettlement) -> bool:
        return (
            settlement.settled_us in period
            and (ticker is None or settlement.ticker == ticker)
            and (event is None or settlement.event_ticker == event)
            and is_there(settlement)
        )

    settlements = exchange.venue.as_read().settlements_of.get(call.member, ())
    return _page(call, "settlements", settlements, wanted, settlement_row)


def _settled_in(query: Query, cutoff_us: int) -> TimeRange:
    asked = query.period()
    return TimeRange(cutoff_us if asked.least is None else max(asked.least, cutoff_us), asked.most)


def _reads(operation: str, template: str, answer: Callable[[Exchange, Call], bytes]) -> Endpoint:
    return Endpoint(operation, "GET", template, answer, needs_key=True, scope="read")


PORTFOLIO_ENDPOINTS: Final = (
    _reads("GetOrders", "/portfolio/orders", get_orders),
    _reads("GetOrderQueuePositions", "/portfolio/orders/queue_positions", get_queue_positions),
    _reads("GetOrder", "/portfolio/orders/{order_id}", get_order),
    _reads("GetOrderQueuePosition", "/portfolio/orders/{order_id}/queue_position", get_queue_position),
    _reads("GetFills", "/portfolio/fills", get_fills),
    _reads("GetSettlements", "/portfolio/settlements", get_settlements),
    _reads("GetHistoricalOrders", "/historical/orders", get_historical_orders),
    _reads("GetFillsHistorical", "/historical/fills", get_historical_fills),
    *HOLDING_ENDPOINTS,
)
