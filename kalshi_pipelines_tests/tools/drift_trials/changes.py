"""Changes that a vendor makes without an announcement. Each trial injects one of them.

Such changes happened to the Kalshi API from 2025 to 2026. Fields were removed, renamed, moved and retyped. Formats,
units and meanings changed. Closed vocabularies got new values, and other values froze. Statuses, access and addresses
changed too, and some bodies were harmful to decode.
"""

from dataclasses import dataclass
from typing import Any, Final

Operation = dict[str, Any]


@dataclass(frozen=True)
class VendorChange:
    """One change: its name, and the drift operation for each affected endpoint."""

    name: str
    drifts: tuple[tuple[str, Operation], ...]


def _change(name: str, endpoint: str, op: str, path: str = "$", **fields: Any) -> VendorChange:
    return VendorChange(name, ((f"GET {endpoint}", {"op": op, "path": path, **fields}),))


def _everywhere(name: str, op: str, key: str, **fields: Any) -> VendorChange:
    """Return a change of markets at every endpoint that returns markets."""
    places = {
        "GET /markets": "markets[]",
        "GET /markets/{ticker}": "market",
        "GET /events": "events[].markets[]",
        "GET /historical/markets": "markets[]",
    }
    return VendorChange(
        name, tuple((endpoint, {"op": op, "path": f"{at}.{key}", **fields}) for endpoint, at in places.items())
    )


def _refused(status: int, code: str) -> dict[str, Any]:
    return {"status": status, "body": {"error": {"code": code, "message": code.replace("_", " ")}}}


_CANDLES: Final = "/series/{series_ticker}/markets/{ticker}/candlesticks"
_ELSEWHERE: Final = "https://api.example.com/trade-api/v3/markets"

CHANGES: Final = (
    _change("a price is gone", "/markets", "remove", "markets[].yes_bid_dollars"),
    _change("a status is renamed", "/markets", "rename", "markets[].status", to="state"),
    _change("prices in cents", "/markets", "map", "markets[].yes_ask_dollars", fn="dollars_to_cents_int"),
    _change("prices with six decimals", "/markets", "map", "markets[].last_price_dollars", fn="fmt_6dp"),
    _change("counts as numbers", "/markets", "map", "markets[].volume_fp", fn="str_to_float"),
    _change("a new status", "/markets", "set", "markets[].status", value="halted"),
    _change("times as numbers", "/markets", "map", "markets[].close_time", fn="iso_to_unix_s"),
    _change("the list is renamed", "/markets", "rename", "markets", to="data"),
    _change("prices stand still", "/markets", "set", "markets[].yes_bid_dollars", value="0.0000"),
    _change("the body is wrapped", "/events", "wrap", key="data"),
    _change("no cursor any more", "/events", "remove", "cursor"),
    _change("a ticker is null", "/events", "set", "events[].series_ticker", value=None),
    _change("a flag as text", "/events", "set", "events[].mutually_exclusive", value="true"),
    _change("a fee as text", "/series", "map", "series[].fee_multiplier", fn="int_to_str"),
    _change("a new fee type", "/series", "set", "series[].fee_type", value="logarithmic"),
    _change("trades of the other side", "/markets/trades", "set", "trades[].no_price_dollars", value="0.9900"),
    _change("a trade has no price", "/markets/trades", "remove", "trades[].yes_price_dollars"),
    _change("a new side", "/markets/trades", "set", "trades[].taker_outcome_side", value="maybe"),
    _change("nobody says if there is trading", "/exchange/status", "remove", "trading_active"),
    _change("an endpoint is gone", "/series", "http", **_refused(404, "not_found")),
    _change("an endpoint is gone for ever", "/events", "http", **_refused(410, "gone")),
    _change("a key is needed", "/markets", "http", **_refused(401, "authentication_error"), when="anonymous"),
    _change("the address moved", "/markets", "redirect", to=_ELSEWHERE, status=308),
    _change("a web page instead", "/exchange/status", "http", status=200, body="<html>We have moved</html>"),
    _change("ten megabytes of text", "/markets", "hostile", kind="long_string"),
    _change("nesting without end", "/events", "hostile", kind="deep_nesting"),
    _change("numbers that are none", "/series", "hostile", kind="not_a_number"),
    _change("a market wrapped once more", "/markets/{ticker}", "rename", "market", to="data"),
    _change("a grid without bands", "/markets/{ticker}", "set", "market.price_ranges", value=[]),
    _change(
        "levels the other way round", "/markets/{ticker}/orderbook", "map", "orderbook_fp.yes_dollars", fn="reverse"
    ),
    _change("books in cents", "/markets/{ticker}/orderbook", "map", "orderbook_fp.no_dollars", fn="levels_to_int"),
    _change("the old name of the book", "/markets/{ticker}/orderbook", "rename", "orderbook_fp", to="orderbook"),
    _change("several books renamed", "/markets/orderbooks", "rename", "orderbooks[].orderbook_fp", to="book"),
    _change("candles without ends", _CANDLES, "remove", "candlesticks[].end_period_ts"),
    _change("candles the other way round", _CANDLES, "map", "candlesticks", fn="reverse"),
    _change("candles ask for a key", _CANDLES, "http", **_refused(401, "authentication_error"), when="anonymous"),
    _change("cutoffs as numbers", "/historical/cutoff", "map", "market_settled_ts", fn="iso_to_unix_s"),
    _change("no cutoff of trades", "/historical/cutoff", "remove", "trades_created_ts"),
    _change("history has no settlements", "/historical/markets", "remove", "markets[].settlement_value_dollars"),
    _change("costs doubled", "/account/endpoint_costs", "set", "default_cost", value=20),
    _change("costs as text", "/account/endpoint_costs", "map", "default_cost", fn="int_to_str"),
    _change("no hours on Mondays", "/exchange/schedule", "remove", "schedule.standard_hours[].monday"),
    _change("combos with other titles", "/events/multivariate", "rename", "events[].title", to="name"),
    _change("one row a page", "/markets/trades", "truncate", "trades", n=1),
    _change("trades the other way round", "/markets/trades", "map", "trades", fn="reverse"),
    _change("another content", "/markets/trades", "hostile", kind="utf16"),
    _change("an answer of a bomb", "/events", "hostile", kind="gzip_bomb"),
    _everywhere("a price gone everywhere", "remove", "yes_ask_dollars"),
    _everywhere("a name changed everywhere", "rename", "last_price_dollars", to="last_price"),
    _everywhere("counts as numbers everywhere", "map", "open_interest_fp", fn="str_to_float"),
    _everywhere("a new sort of market everywhere", "set", "market_type", value="perpetual"),
    _everywhere("shards unheard of everywhere", "set", "exchange_index", value=7),
)
