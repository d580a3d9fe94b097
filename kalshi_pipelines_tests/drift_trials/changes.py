"""Changes a vendor makes without a word: one of each is injected in a trial.

They are of the sorts that happened to the Kalshi API from 2025 to 2026: fields taken away, renamed, moved and retyped,
other formats and units, new words in closed vocabularies, values that stand still, other meanings, statuses, access,
addresses, and bodies no reader should touch.
"""

from dataclasses import dataclass
from typing import Any, Final

Operation = dict[str, Any]


@dataclass(frozen=True)
class Change:
    """One change: its name, the endpoint and what is done to its answers."""

    name: str
    endpoint: str
    operations: tuple[Operation, ...]


def _change(name: str, endpoint: str, op: str, path: str = "$", **fields: Any) -> Change:
    return Change(name, f"GET {endpoint}", ({"op": op, "path": path, **fields},))


def _refused(status: int, code: str) -> dict[str, Any]:
    return {"status": status, "body": {"error": {"code": code, "message": code.replace("_", " ")}}}


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
)
