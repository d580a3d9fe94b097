"""Responses about markets: lists, single markets, order books, trades, candlesticks and archived markets.

Source of the JSON shapes: the vendor's OpenAPI document 3.34.0. Sources of the page and window limits: the document's
parameter tables, and recordings.
"""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import orjson

from kalshi_pipelines.sandbox.api.endpoints import Call, Endpoint, json_array, paged
from kalshi_pipelines.sandbox.api.validation import PERIODS, Query, historical_market_filter, market_filter
from kalshi_pipelines.sandbox.errors import bad_request, failed_validation, not_found
from kalshi_pipelines.sandbox.exchange import Exchange
from kalshi_pipelines.sandbox.faults.history import TradeFaults, serves_candles
from kalshi_pipelines.sandbox.markets.candlesticks import historical_candlestick
from kalshi_pipelines.sandbox.markets.listing import TradeFilter, TradeRow
from kalshi_pipelines.sandbox.markets.rows import CandleWindow, MarketRow
from kalshi_pipelines.sandbox.pagination import RowPage, SortKey, place_of
from kalshi_pipelines.units import SECOND_US

MOST_TICKERS: Final = 100
MOST_LEVELS: Final = 100
MOST_CANDLESTICKS: Final = 10_000
MOST_CANDLESTICKS_OF_ONE: Final = 5_000
_EMPTY_BOOK: Final = b'{"no_dollars":[],"yes_dollars":[]}'


@dataclass(frozen=True, slots=True)
class _ArchivedRow:
    """A market in the historical list, whose order is that of the settlements, newest first."""

    sort_key: SortKey
    market: MarketRow


def _markets_body(cursor: str, markets: Iterable[MarketRow]) -> bytes:
    rows = json_array(market.json() for market in markets)
    return b'{"cursor":' + orjson.dumps(cursor) + b',"markets":' + rows + b"}"


def get_markets(exchange: Exchange, call: Call) -> bytes:
    """Answer GET /markets."""
    markets = exchange.catalogue.select_markets(market_filter(call.query))
    page = paged(exchange, markets, call.query.cursor, call.query.limit(1000, 100))
    return _markets_body(page.cursor, page.rows)


def get_historical_markets(exchange: Exchange, call: Call) -> bytes:
    """Answer GET /historical/markets. The newest settlement comes first."""
    markets = exchange.catalogue.select_markets(historical_market_filter(call.query))
    rows = [_ArchivedRow((-(market.settled_us or 0), market.ticker), market) for market in markets]
    page = paged(exchange, sorted(rows, key=_sort_key), call.query.cursor, call.query.limit(1000, 100))
    return _markets_body(page.cursor, [row.market for row in page.rows])


def _sort_key(row: _ArchivedRow) -> SortKey:
    return row.sort_key


def _known(rows: dict[str, MarketRow], ticker: str) -> MarketRow:
    market = rows.get(ticker)
    if market is None:
        raise not_found()
    return market


def get_market(exchange: Exchange, call: Call) -> bytes:
    """Answer GET /markets/{ticker}."""
    return b'{"market":' + _known(exchange.catalogue.markets, call.path["ticker"]).json() + b"}"


def get_historical_market(exchange: Exchange, call: Call) -> bytes:
    """Answer GET /historical/markets/{ticker}."""
    return b'{"market":' + _known(exchange.catalogue.archived_markets, call.path["ticker"]).json() + b"}"


def _depth(text: str | None) -> int:
    return int(text) if text is not None and text.isdecimal() and len(text) <= 3 and int(text) <= MOST_LEVELS else 0


def get_orderbook(exchange: Exchange, call: Call) -> bytes:
    """Answer GET /markets/{ticker}/orderbook.

    An illegal ``depth`` is ignored, because the vendor's document lists no 400.
    """
    depth = _depth(call.query.text("depth"))
    market = _known(exchange.catalogue.markets, call.path["ticker"])
    return b'{"orderbook_fp":' + (market.orderbook(depth) or _EMPTY_BOOK) + b"}"


def get_orderbooks(exchange: Exchange, call: Call) -> bytes:
    """Answer GET /markets/orderbooks with one book for each known ticker in the request."""
    tickers = [ticker for ticker in call.query.parameters.getlist("tickers") if ticker]
    if not tickers:
        raise failed_validation(call.query.operation, "Tickers", "required")
    if len(tickers) > MOST_TICKERS:
        raise failed_validation(call.query.operation, "Tickers", "max")
    markets = exchange.catalogue.markets
    books = [
        b'{"orderbook_fp":' + (markets[ticker].orderbook() or _EMPTY_BOOK) + b',"ticker":' + orjson.dumps(ticker) + b"}"
        for ticker in dict.fromkeys(tickers)
        if ticker in markets
    ]
    return b'{"orderbooks":' + json_array(books) + b"}"


def get_trades(exchange: Exchange, call: Call) -> bytes:
    """Answer GET /markets/trades with the trades since the historical cutoff, in one market or in all markets.

    Trades shortly before the cutoff are served, too, and by GET /historical/trades as well. An archived market without
    such trades gets an empty list.
    """
    wanted = _trades_wanted(call.query)
    if exchange.replay is None:
        return _trade_page(exchange, call, replace(wanted, min_us=max(wanted.min_us or 0, exchange.live_since_us)))
    # The historical cutoff does not hide recorded trades. All of them may be older than the cutoff, and a sandbox that
    # serves recordings starts with no other trades. If the cutoff hid recorded trades, this list could be empty.
    if exchange.replay.shown_before(call.query.cursor) is None:
        return _trade_page(exchange, call, wanted)
    everything = exchange.venue.trades.page(wanted, "", sys.maxsize)
    return _trades_body(paged(exchange, everything.rows, call.query.cursor, call.query.limit(1000, 100)))


def get_historical_trades(exchange: Exchange, call: Call) -> bytes:
    """Answer GET /historical/trades with the trades before the historical cutoff."""
    wanted = _trades_wanted(call.query)
    if wanted.ticker is not None and _market_anywhere(exchange, wanted.ticker) is None:
        raise not_found()
    last_us = exchange.cutoff_us - 1
    return _trade_page(
        exchange, call, replace(wanted, max_us=last_us if wanted.max_us is None else min(wanted.max_us, last_us))
    )


def _market_anywhere(exchange: Exchange, ticker: str) -> MarketRow | None:
    return exchange.catalogue.markets.get(ticker) or exchange.catalogue.archived_markets.get(ticker)


def _trades_wanted(query: Query) -> TradeFilter:
    most = query.instant_us("max_ts")
    return TradeFilter(
        query.text("ticker"),
        query.instant_us("min_ts"),
        None if most is None else most + SECOND_US - 1,
        query.boolean("is_block_trade"),
    )


def _trade_page(exchange: Exchange, call: Call, wanted: TradeFilter) -> bytes:
    faults, trades, limit = TradeFaults(call.faults), exchange.venue.trades, call.query.limit(1000, 100)
    cursor = call.query.cursor
    if faults.drops_page:
        cursor = trades.page(wanted, cursor, limit, faults.served).cursor
        if not cursor:
            return _trades_body(RowPage([], ""))
    page = trades.page(wanted, cursor, limit, faults.served)
    list_end_us = call.now_us if wanted.max_us is None else wanted.max_us
    place = place_of(cursor) if cursor else None
    newest_us = list_end_us if place is None else -place[0]
    oldest_us = -page.rows[-1].sort_key[0] if page.cursor else wanted.min_us or 0
    faults.check_readable(newest_us, oldest_us, list_end_us, by_cursor=place is not None)
    return _trades_body(page)


def _trades_body(page: RowPage[TradeRow]) -> bytes:
    return b'{"cursor":' + orjson.dumps(page.cursor) + b',"trades":' + json_array(row.json for row in page.rows) + b"}"


def _window(query: Query, periods: Sequence[int] | None = PERIODS) -> CandleWindow:
    start, end = query.required_integer("start_ts"), query.required_integer("end_ts")
    minutes = query.required_integer("period_interval")
    if periods is not None and minutes not in periods:
        raise failed_validation(query.operation, "PeriodInterval", "oneof")
    if minutes < 1:
        raise failed_validation(query.operation, "PeriodInterval", "min")
    if end < start:
        raise bad_request("end_ts is before start_ts")
    return CandleWindow(start, end, minutes, bool(query.boolean("include_latest_before_start")))


def _candles_asked(window: CandleWindow) -> int:
    return (window.end_s - window.start_s) // (window.minutes * 60)


def _check_candles(window: CandleWindow, markets: int) -> None:
    asked = _candles_asked(window) * markets
    if asked > MOST_CANDLESTICKS:
        raise bad_request(f"requested candlesticks across all markets: {asked}, max candlesticks: {MOST_CANDLESTICKS}")


def _check_candles_of_one(window: CandleWindow) -> None:
    """Refuse a request for too many periods. The requested range counts, not the candlesticks that exist in it."""
    asked = _candles_asked(window)
    if asked > MOST_CANDLESTICKS_OF_ONE:
        limit = f"max candlesticks: {MOST_CANDLESTICKS_OF_ONE}"
        raise bad_request(f"requested time range with candlesticks: {asked}, {limit}")


def get_candlesticks(exchange: Exchange, call: Call) -> bytes:
    """Answer GET /series/{series_ticker}/markets/{ticker}/candlesticks."""
    window = _window(call.query)
    market = _known(exchange.catalogue.markets, call.path["ticker"])
    if market.series_ticker != call.path["series_ticker"]:
        raise not_found()
    _check_candles_of_one(window)
    return _candles_body(market, _candles(call, market, window))


def _candles(call: Call, market: MarketRow, window: CandleWindow) -> Sequence[bytes]:
    return market.candlesticks(window) if serves_candles(call.faults, market.ticker) else ()


def get_historical_candlesticks(exchange: Exchange, call: Call) -> bytes:
    """Answer GET /historical/markets/{ticker}/candlesticks. Only archived markets have historical candlesticks."""
    window = _window(call.query)
    market = _known(exchange.catalogue.archived_markets, call.path["ticker"])
    _check_candles_of_one(window)
    return _candles_body(market, map(historical_candlestick, _candles(call, market, window)))


def _candles_body(market: MarketRow, candles: Iterable[bytes]) -> bytes:
    return b'{"candlesticks":' + json_array(candles) + b',"ticker":' + orjson.dumps(market.ticker) + b"}"


def get_candlesticks_of_many(exchange: Exchange, call: Call) -> bytes:
    """Answer GET /markets/candlesticks."""
    tickers = call.query.listed("market_tickers")
    if not tickers:
        raise failed_validation(call.query.operation, "MarketTickers", "required")
    if len(tickers) > MOST_TICKERS:
        raise bad_request(f"requested market tickers: {len(tickers)}, max market tickers: {MOST_TICKERS}")
    window = _window(call.query)
    _check_candles(window, len(tickers))
    markets = exchange.catalogue.markets
    rows = [
        b'{"candlesticks":'
        + json_array(_candles(call, markets[ticker], window))
        + b',"market_ticker":'
        + orjson.dumps(ticker)
        + b"}"
        for ticker in dict.fromkeys(tickers)
        if ticker in markets
    ]
    return b'{"markets":' + json_array(rows) + b"}"


def get_event_candlesticks(exchange: Exchange, call: Call) -> bytes:
    """Answer GET /series/{series_ticker}/events/{ticker}/candlesticks.

    If the requested window would hold too many candlesticks, the window is shortened.

    An unknown event gets 400, because the vendor's document lists no 404.
    """
    window = _window(call.query)
    event = exchange.catalogue.events.get(call.path["ticker"])
    if event is None or event.series_ticker != call.path["series_ticker"]:
        raise bad_request("event not found in series")
    markets = exchange.catalogue.markets_of_event(event.ticker)
    each = MOST_CANDLESTICKS_OF_ONE // max(1, len(markets))
    end = min(window.end_s, window.start_s + each * window.minutes * 60)
    shortened = CandleWindow(window.start_s, end, window.minutes)
    candles = json_array(json_array(_candles(call, market, shortened)) for market in markets)
    tickers = orjson.dumps([market.ticker for market in markets])
    return b'{"adjusted_end_ts":%d,"market_candlesticks":%b,"market_tickers":%b}' % (end, candles, tickers)


_CANDLES: Final = "/series/{series_ticker}/markets/{ticker}/candlesticks"
_HISTORICAL_CANDLES: Final = "/historical/markets/{ticker}/candlesticks"
_EVENT_CANDLES: Final = "/series/{series_ticker}/events/{ticker}/candlesticks"

MARKET_ENDPOINTS: Final = (
    Endpoint("GetMarkets", "GET", "/markets", get_markets),
    Endpoint("GetTrades", "GET", "/markets/trades", get_trades),
    Endpoint("GetTradesHistorical", "GET", "/historical/trades", get_historical_trades),
    Endpoint("GetMarketOrderbooks", "GET", "/markets/orderbooks", get_orderbooks),
    Endpoint("BatchGetMarketCandlesticks", "GET", "/markets/candlesticks", get_candlesticks_of_many),
    Endpoint("GetMarket", "GET", "/markets/{ticker}", get_market),
    Endpoint("GetMarketOrderbook", "GET", "/markets/{ticker}/orderbook", get_orderbook),
    Endpoint("GetMarketCandlesticks", "GET", _CANDLES, get_candlesticks),
    Endpoint("GetMarketCandlesticksByEvent", "GET", _EVENT_CANDLES, get_event_candlesticks),
    Endpoint("GetHistoricalMarkets", "GET", "/historical/markets", get_historical_markets),
    Endpoint("GetHistoricalMarket", "GET", "/historical/markets/{ticker}", get_historical_market),
    Endpoint("GetMarketCandlesticksHistorical", "GET", _HISTORICAL_CANDLES, get_historical_candlesticks),
)
