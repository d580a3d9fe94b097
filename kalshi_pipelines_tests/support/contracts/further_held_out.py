"""More invented changes of vendors' values and answers. They were written without knowledge of the checks."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from kalshi_pipelines.contracts.language.responses import Response
from kalshi_pipelines_tests.support.contracts.held_out import (
    BALANCE,
    BOOK,
    CANDLES,
    EVENTS,
    FILLS,
    MARKETS,
    ORDERS,
    POSITIONS,
    SERIES,
    SETTLEMENTS,
    TRADES,
    Mutation,
    cents_with_decimals,
    one_less,
    unix,
)


@dataclass(frozen=True)
class ResponseChange:
    """A change of a whole response: its status, headers, bytes or request."""

    name: str
    endpoint: str
    alter: Callable[[Response], Response]
    breaking: bool = True


def _is(value: Any) -> Callable[[Any], Any]:
    return lambda _: value


def _header(name: str, value: str) -> Callable[[Response], Response]:
    return lambda response: replace(response, headers={**response.headers, name: value})


def _body(change: Callable[[bytes], bytes]) -> Callable[[Response], Response]:
    return lambda response: replace(response, body=change(response.body))


def _answers(status: int, body: bytes, content_type: str = "application/json") -> Callable[[Response], Response]:
    return lambda response: replace(response, status=status, body=body, headers={"content-type": content_type})


def _with_query(**query: str) -> Callable[[Response], Response]:
    def change(response: Response) -> Response:
        given = {name: (value,) for name, value in query.items()}
        return replace(response, request=replace(response.request, query={**response.request.query, **given}))

    return change


def _same_cursor(response: Response) -> Response:
    body = json.loads(response.body)
    body["cursor"] = body.get("cursor") or "CgwI4vWZ0gYQoO"
    return _with_query(cursor=body["cursor"])(replace(response, body=json.dumps(body).encode()))


def _moved(response: Response) -> Response:
    headers = {"location": "https://api.kalshi.example/trade-api/v3/markets"}
    return replace(response, status=302, body=b"", headers=headers)


def _open_to_all(response: Response) -> Response:
    return replace(response, request=replace(response.request, is_signed=False, expects=(401,)))


def _sides_of_candles(response: Response) -> Response:
    body = json.loads(response.body)
    for candle in body["candlesticks"]:
        candle["yes_bid"], candle["yes_ask"] = candle["yes_ask"], candle["yes_bid"]
    return replace(response, body=json.dumps(body).encode())


def _both_names(response: Response) -> Response:
    body = json.loads(response.body)
    for row in body["markets"]:
        row["event_id"] = row["event_ticker"]
    return replace(response, body=json.dumps(body).encode())


def _rows_only(response: Response) -> Response:
    return replace(response, body=json.dumps(json.loads(response.body)["markets"]).encode())


def _lines(response: Response) -> Response:
    rows = json.loads(response.body)["trades"]
    return replace(response, body=b"\n".join(json.dumps(row).encode() for row in rows))


def _asks(levels: list[Any]) -> list[Any]:
    return [[one_less(price), count] for price, count in reversed(levels)]


#: Changes that no check can find in a single answer, with the reason.
MISSED = {
    "the time zero of Go": "the field may be null, and the exchange writes 'never' like this",
    "frequency in capitals": "any text is a frequency; nothing is computed from it",
}

PAGE = b"<!doctype html><html><head><title>Just a moment...</title></head><body>Checking your browser</body></html>"

FURTHER: tuple[Mutation | ResponseChange, ...] = (
    Mutation("a space after the status", MARKETS, "markets[].status", lambda value: f"{value} "),
    Mutation("decimal commas", MARKETS, "markets[].yes_bid_dollars", lambda value: value.replace(".", ",")),
    Mutation("scientific notation", MARKETS, "markets[].volume_fp", lambda value: f"{float(value):E}"),
    Mutation("a leading plus", MARKETS, "markets[].last_price_dollars", lambda value: f"+{value}"),
    Mutation("a text that is no number", MARKETS, "markets[].open_interest_fp", _is("NaN")),
    Mutation("thousands apart", MARKETS, "markets[].volume_fp", lambda value: f"{Decimal(value) + 5000:,.2f}"),
    Mutation("a dollar sign", MARKETS, "markets[].yes_ask_dollars", lambda value: f"${value}"),
    Mutation("below zero", MARKETS, "markets[].no_bid_dollars", lambda value: f"-{value}"),
    Mutation("no price is an empty text", MARKETS, "markets[].no_ask_dollars", _is("")),
    Mutation("a price with its currency", MARKETS, "markets[].yes_bid_dollars",
             lambda value: {"amount": value, "currency": "USD"}),
    Mutation("null as a text", MARKETS, "markets[].result", _is("null")),
    Mutation("a new sort of market", MARKETS, "markets[].market_type", _is("categorical")),
    Mutation("a grid without steps", MARKETS, "markets[].price_ranges[].step", _is("0")),
    Mutation("payout in cents", MARKETS, "markets[].notional_value_dollars", cents_with_decimals),
    Mutation("seconds of the timer as minutes", MARKETS, "markets[].settlement_timer_seconds", _is("1m")),
    Mutation("flags as numbers", TRADES, "trades[].is_block_trade", int),
    Mutation("milliseconds as text", TRADES, "trades[].created_time", lambda value: str(unix(value) * 1_000)),
    Mutation("times of a database", TRADES, "trades[].created_time",
             lambda value: value.replace("T", " ").replace("Z", "+00")),
    Mutation("no ticker", TRADES, "trades[].ticker", _is("")),
    Mutation("numbered trades", TRADES, "trades[].trade_id", lambda value: int(value[:8], 16)),
    Mutation("settled at one less", "GET /historical/markets", "markets[].settlement_value_dollars", one_less),
    Mutation("settled in cents", "GET /historical/markets", "markets[].settlement_value_dollars", cents_with_decimals),
    Mutation("result as a flag", "GET /historical/markets", "markets[].result", lambda value: value == "yes"),
    Mutation("series emptied", EVENTS, "events[].series_ticker", _is("")),
    Mutation("markets null", EVENTS, "events[].markets", lambda _: [None]),
    Mutation("candles of half minutes", CANDLES, "candlesticks[].end_period_ts", lambda value: value - 30),
    Mutation("volume of candles renamed", CANDLES, "candlesticks[].volume_fp", None, key="volume"),
    Mutation("counts of levels as numbers", BOOK, "orderbook_fp.yes_dollars",
             lambda levels: [[price, float(count)] for price, count in levels]),
    Mutation("asks instead of bids", BOOK, "orderbook_fp.yes_dollars", _asks),
    Mutation("taker as text", FILLS, "fills[].is_taker", lambda value: "true" if value else "false"),
    Mutation("sold counts below zero", FILLS, "fills[].count_fp", lambda value: f"-{value}"),
    Mutation("fills without a time", FILLS, "fills[].created_time", _is(None)),
    Mutation("position of the other side", POSITIONS, "market_positions[].position_fp", lambda value: f"-{value}"),
    Mutation("precision cut", POSITIONS, "market_positions[].fees_paid_dollars",
             lambda value: f"{Decimal(value):.2f}"),
    Mutation("settled in seconds", SETTLEMENTS, "settlements[].settled_time", unix),
    Mutation("revenue below zero", SETTLEMENTS, "settlements[].revenue", lambda value: -value or -100),
    Mutation("status in capitals", ORDERS, "orders[].status", lambda value: value.upper()),
    Mutation("the time zero of Go", ORDERS, "orders[].last_update_time", _is("0001-01-01T00:00:00Z")),
    Mutation("client ids cut", ORDERS, "orders[].client_order_id", lambda value: value[:8]),
    Mutation("balance as text", BALANCE, "balance", str),
    Mutation("breakdown emptied", BALANCE, "balance_breakdown", _is([])),
    Mutation("trading as a word", "GET /exchange/status", "trading_active", _is("open")),
    Mutation("hours with am", "GET /exchange/schedule", "schedule.standard_hours[].monday[].open_time", _is("8:00 AM")),
    Mutation("paths of version three", "GET /account/endpoint_costs", "endpoint_costs[].path",
             lambda value: value.replace("v2", "v3")),
    Mutation("fees in percent", SERIES, "series[].fee_multiplier", lambda value: value * 100),
    Mutation("frequency in capitals", SERIES, "series[].frequency", lambda value: value.upper(), breaking=False),
    Mutation("details as text", "GET /live_data/milestone/{milestone_id}", "live_data.details", json.dumps),
    Mutation("cutoff as date", "GET /historical/cutoff", "market_settled_ts", lambda value: value[:10]),
    Mutation("the queue counts from below", "GET /portfolio/orders/queue_positions",
             "queue_positions[].queue_position_fp", _is("-1.00")),
    Mutation("reduced as number", "DELETE /portfolio/events/orders/{order_id}", "reduced_by", float),
    Mutation("fill price in cents", "POST /portfolio/events/orders", "average_fill_price", cents_with_decimals),
    ResponseChange("a page of the proxy", MARKETS, _answers(200, PAGE, "text/html; charset=utf-8")),
    ResponseChange("a page of the proxy as JSON", MARKETS, _answers(200, PAGE)),
    ResponseChange("blocked by the proxy", MARKETS, _answers(403, PAGE, "text/html")),
    ResponseChange("another content type", MARKETS, _header("content-type", "text/plain; charset=utf-8"),
                   breaking=False),
    ResponseChange("still packed", MARKETS, _body(lambda body: b"\x1f\x8b\x08\x00" + body[:200])),
    ResponseChange("nothing to tell", MARKETS, _answers(204, b"")),
    ResponseChange("an error with status 200", MARKETS,
            _answers(200, b'{"error":{"code":"internal_server_error","message":"internal server error"}}')),
    ResponseChange("a mark before the body", TRADES, _body(lambda body: b"\xef\xbb\xbf" + body)),
    ResponseChange("in sixteen bits", TRADES, _body(lambda body: body.decode().encode("utf-16"))),
    ResponseChange("a text of JSON", TRADES, _body(lambda body: json.dumps(body.decode()).encode())),
    ResponseChange("cut in the middle", TRADES, _body(lambda body: body[: len(body) // 2])),
    ResponseChange("a line each", TRADES, _lines),
    ResponseChange("only the rows", MARKETS, _rows_only),
    ResponseChange("moved away", MARKETS, _moved),
    ResponseChange("a key is needed", BOOK, _answers(401, b'{"error":{"code":"authentication_error"}}')),
    ResponseChange("open to all", BALANCE, _open_to_all),
    ResponseChange("errors of a framework", BALANCE,
            _answers(422, b'{"detail":[{"loc":["query","subaccount"],"msg":"field required"}]}')),
    ResponseChange("the status is ignored", MARKETS, _with_query(status="settled")),
    ResponseChange("the series is ignored", MARKETS, _with_query(series_ticker="KXOTHER")),
    ResponseChange("the event is ignored", MARKETS, _with_query(event_ticker="KXOTHER-99")),
    ResponseChange("the limit is ignored", TRADES, _with_query(limit="2")),
    ResponseChange("the market is ignored", TRADES, _with_query(ticker="KXOTHER-99-A")),
    ResponseChange("the earliest time is ignored", TRADES, _with_query(min_ts="1900000000")),
    ResponseChange("the cursor goes round", MARKETS, _same_cursor),
    ResponseChange("bid and ask of candles swapped", CANDLES, _sides_of_candles),
    ResponseChange("a second name for the event", MARKETS, _both_names, breaking=False),
)  # fmt: skip
