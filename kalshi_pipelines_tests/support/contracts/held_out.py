"""Invented changes of vendor answers. They are not from real incidents, so they test how checks find new changes."""

import copy
import datetime as dt
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

Change = Callable[[Any], Any]


@dataclass(frozen=True)
class Mutation:
    """A change of all values at one JSON path in an endpoint's answers."""

    name: str
    endpoint: str
    place: str
    change: Change | None
    breaking: bool = True
    key: str = ""

    def apply(self, body: Any) -> Any:
        """Return a changed copy of a body."""
        changed = copy.deepcopy(body)
        *path, last = re.findall(r"[^.\[\]]+|\[\]", self.place)
        places = [changed]
        for step in path:
            if step == "[]":
                places = [each for place in places if isinstance(place, list) for each in place]
            else:
                places = [place[step] for place in places if isinstance(place, dict) and place.get(step) is not None]
        for place in places:
            self._change(place, last)
        return changed

    def _change(self, place: Any, last: str) -> None:
        if last == "[]" or not isinstance(place, dict) or last not in place:
            return
        if self.key:
            place[self.key] = place.pop(last)
        elif self.change is None:
            del place[last]
        elif place[last] is not None:
            place[last] = self.change(place[last])


def cents(value: str) -> str:
    return str(int(Decimal(value) * 100))


def cents_with_decimals(value: str) -> str:
    return f"{Decimal(value) * 100:.4f}"


def one_less(value: str) -> str:
    return f"{1 - Decimal(value):.4f}"


def short_decimals(value: str) -> str:
    return f"{Decimal(value):.1f}"


def zero(value: str) -> str:
    return f"{Decimal(0):.{len(value.partition('.')[2])}f}"


def milliseconds(value: int) -> int:
    return value * 1_000


def unix(value: str) -> int:
    return int(dt.datetime.fromisoformat(value).timestamp())


def date_only(value: str) -> str:
    return value[:10]


def nanoseconds(value: str) -> str:
    return f"{value.removesuffix('Z').partition('.')[0]}.123456789Z"


def another_zone(value: str) -> str:
    return f"{value.removesuffix('Z').partition('.')[0]}-04:00"


def swapped(value: str) -> str:
    return {"yes": "no", "no": "yes", "bid": "ask", "ask": "bid", "buy": "sell"}.get(value, value)


def spanish(_: str) -> str:
    return "Si el equipo gana el partido, el mercado se resuelve como sí según las reglas de la liga."


def doubled(rows: list[Any]) -> list[Any]:
    return rows + rows[-1:]


def backwards(rows: list[Any]) -> list[Any]:
    return rows[::-1]


def later(value: str) -> str:
    return f"2199{value[4:]}"


MARKETS, TRADES, FILLS = "GET /markets", "GET /markets/trades", "GET /portfolio/fills"
ORDERS, POSITIONS, SETTLEMENTS = "GET /portfolio/orders", "GET /portfolio/positions", "GET /portfolio/settlements"
CANDLES = "GET /series/{series_ticker}/markets/{ticker}/candlesticks"
BOOK, SERIES, EVENTS = "GET /markets/{ticker}/orderbook", "GET /series", "GET /events"
BALANCE, CREATE = "GET /portfolio/balance", "POST /portfolio/events/orders"

HELD_OUT = (
    Mutation("ask renamed", MARKETS, "markets[].yes_ask_dollars", None, key="yes_ask_price_dollars"),
    Mutation("volume renamed", MARKETS, "markets[].volume_fp", None, key="volume"),
    Mutation("bid in cents as text", MARKETS, "markets[].yes_bid_dollars", cents),
    Mutation("prices in cents with decimals", MARKETS, "markets[].last_price_dollars", cents_with_decimals),
    Mutation("one decimal", MARKETS, "markets[].yes_ask_dollars", short_decimals),
    Mutation("bid of the other side", MARKETS, "markets[].yes_bid_dollars", one_less),
    Mutation("volume always zero", MARKETS, "markets[].volume_fp", zero),
    Mutation("last price always zero", MARKETS, "markets[].last_price_dollars", zero),
    Mutation("bid size always zero", MARKETS, "markets[].yes_bid_size_fp", zero),
    Mutation("count as number", MARKETS, "markets[].open_interest_fp", float),
    Mutation("status in capitals", MARKETS, "markets[].status", lambda value: value.upper()),
    Mutation("active renamed", MARKETS, "markets[].status", lambda value: "trading" if value == "active" else value),
    Mutation("null result", MARKETS, "markets[].result", lambda _: None),
    Mutation("times as seconds", MARKETS, "markets[].close_time", unix),
    Mutation("times with nanoseconds", MARKETS, "markets[].created_time", nanoseconds, breaking=False),
    Mutation("times of New York", MARKETS, "markets[].open_time", another_zone),
    Mutation("dates only", MARKETS, "markets[].updated_time", date_only),
    Mutation("rules in Spanish", MARKETS, "markets[].rules_primary", spanish),
    Mutation("no cursor", MARKETS, "cursor", None),
    Mutation("null cursor", MARKETS, "cursor", lambda _: None),
    Mutation("a row twice", MARKETS, "markets", doubled),
    Mutation("strike as text", MARKETS, "markets[].floor_strike", str, breaking=False),
    Mutation("grid gone", MARKETS, "markets[].price_ranges", lambda _: []),
    Mutation("grid of one cent", "GET /markets/{ticker}", "market.price_ranges", lambda _: [
        {"start": "0.0000", "end": "1.0000", "step": "0.0900"}]),
    Mutation("record unwrapped in a list", "GET /markets/{ticker}", "market", lambda value: [value]),
    Mutation("lower-case tickers", MARKETS, "markets[].ticker", lambda value: value.lower()),
    Mutation("oldest first", TRADES, "trades", backwards),
    Mutation("taker swapped", TRADES, "trades[].taker_outcome_side", swapped),
    Mutation("trades twice", TRADES, "trades", doubled),
    Mutation("price of the other side", TRADES, "trades[].yes_price_dollars", one_less),
    Mutation("count without decimals", TRADES, "trades[].count_fp", lambda value: value.partition(".")[0]),
    Mutation("block flag as text", TRADES, "trades[].is_block_trade", lambda value: str(value).lower()),
    Mutation("milliseconds", CANDLES, "candlesticks[].end_period_ts", milliseconds),
    Mutation("candles descend", CANDLES, "candlesticks", backwards),
    Mutation("a close above the high", CANDLES, "candlesticks[].yes_ask.high_dollars", lambda _: "0.0100"),
    Mutation("levels descend", BOOK, "orderbook_fp.yes_dollars", backwards),
    Mutation("levels as objects", BOOK, "orderbook_fp.no_dollars", lambda levels: [
        {"price": price, "count": count} for price, count in levels]),
    Mutation("the integer book is back", BOOK, "orderbook_fp", None, key="orderbook"),
    Mutation("fee multiplier as text", SERIES, "series[].fee_multiplier", str),
    Mutation("a new fee type", SERIES, "series[].fee_type", lambda _: "tiered"),
    Mutation("one category", SERIES, "series[].categories", lambda value: value[0]),
    Mutation("series of another event", EVENTS, "events[].markets[].event_ticker", lambda _: "KXOTHER-99"),
    Mutation("another shard", EVENTS, "events[].markets[].exchange_index", lambda _: 3),
    Mutation("exclusive as text", EVENTS, "events[].mutually_exclusive", lambda value: "yes" if value else "no"),
    Mutation("balance in dollars", BALANCE, "balance", lambda value: value // 100),
    Mutation("balance in cents", BALANCE, "balance_dollars", cents_with_decimals),
    Mutation("milliseconds of balance", BALANCE, "updated_ts", milliseconds),
    Mutation("breakdown by name", BALANCE, "balance_breakdown", lambda rows: {
        str(row["exchange_index"]): row["balance"] for row in rows}),
    Mutation("exposure times a hundred", POSITIONS, "market_positions[].market_exposure_dollars",
             lambda value: f"{Decimal(value) * 100:.6f}"),
    Mutation("position as side and count", POSITIONS, "market_positions[].position_fp", None, key="count_fp"),
    Mutation("fees of ten times", FILLS, "fills[].fee_cost", lambda value: f"{Decimal(value) * 10:.6f}"),
    Mutation("fills of the other side", FILLS, "fills[].book_side", swapped),
    Mutation("fill ids gone", FILLS, "fills[].trade_id", None),
    Mutation("executed is filled", ORDERS, "orders[].status",
             lambda value: "filled" if value == "executed" else value),
    Mutation("remaining is initial", ORDERS, "orders[].remaining_count_fp", lambda _: "1.00"),
    Mutation("null prices", ORDERS, "orders[].yes_price_dollars", lambda _: None),
    Mutation("revenue in dollars", SETTLEMENTS, "settlements[].revenue", lambda value: f"{value / 100:.2f}"),
    Mutation("result swapped", SETTLEMENTS, "settlements[].market_result", swapped),
    Mutation("seconds in answers", CREATE, "ts_ms", lambda value: value // 1_000),
    Mutation("counts as numbers", CREATE, "fill_count", float),
    Mutation("shards by name", "GET /exchange/status", "exchange_index_statuses[].exchange_index", str),
    Mutation("trading active gone", "GET /exchange/status", "trading_active", None),
    Mutation("volume a hundred times", MARKETS, "markets[].volume_fp", lambda value: f"{Decimal(value) * 100:.2f}"),
    Mutation("open interest always zero", MARKETS, "markets[].open_interest_fp", zero),
    Mutation("titles emptied", MARKETS, "markets[].title", lambda _: ""),
    Mutation("takers all alike", TRADES, "trades[].taker_side", lambda _: "yes"),
    Mutation("trade counts a hundred times", TRADES, "trades[].count_fp", lambda value: f"{Decimal(value) * 100:.2f}"),
    Mutation("category emptied", EVENTS, "events[].category", lambda _: ""),
    Mutation("expected expiration gone", MARKETS, "markets[].expected_expiration_time", None, breaking=False),
    Mutation("costs nested", "GET /account/endpoint_costs", "endpoint_costs", lambda rows: {"rows": rows}),
    Mutation("default cost doubled", "GET /account/endpoint_costs", "default_cost", lambda value: value * 2),
    Mutation("bucket halved", "GET /account/limits", "read", lambda value: {**value, "refill_rate": 100}),
    Mutation("cutoff in the future", "GET /historical/cutoff", "trades_created_ts", later),
    Mutation("cutoff as seconds", "GET /historical/cutoff", "market_settled_ts", unix),
)  # fmt: skip
