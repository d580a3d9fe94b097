"""Valid records as the exchange sends them. Tests copy a record and change one field."""

from typing import Any

import msgspec
import orjson

MARKET: dict[str, Any] = {
    "ticker": "KXHIGHNY-26NOV22-B55.5",
    "event_ticker": "KXHIGHNY-26NOV22",
    "market_type": "binary",
    "title": "Will the high in New York be 55° to 56°?",
    "yes_sub_title": "55° to 56°",
    "no_sub_title": "55° to 56°",
    "created_time": "2026-11-21T15:00:00.7931Z",
    "updated_time": "2026-11-21T15:00:00Z",
    "open_time": "2026-11-21T15:00:00Z",
    "close_time": "2026-11-23T04:59:00Z",
    "latest_expiration_time": "2026-11-29T15:00:00Z",
    "settlement_timer_seconds": 3600,
    "status": "active",
    "yes_bid_dollars": "0.5700",
    "yes_bid_size_fp": "343.49",
    "yes_ask_dollars": "0.5810",
    "yes_ask_size_fp": "0.01",
    "no_bid_dollars": "0.4190",
    "no_ask_dollars": "0.4300",
    "last_price_dollars": "0.5705",
    "volume_fp": "2985.50",
    "volume_24h_fp": "3.14",
    "result": "",
    "can_close_early": False,
    "open_interest_fp": "2422.48",
    "notional_value_dollars": "1.0000",
    "previous_yes_bid_dollars": "0.0000",
    "previous_yes_ask_dollars": "1.0000",
    "previous_price_dollars": "0.123456",
    "settlement_bounds_type": "default",
    "expiration_value": "",
    "strike_type": "between",
    "floor_strike": 55.10,
    "cap_strike": 56,
    "rules_primary": "If the highest temperature is between 55 and 56, the market resolves to Yes.",
    "rules_secondary": "",
    "price_level_structure": "deci_cent",
    "price_ranges": [{"start": "0.0000", "end": "1.0000", "step": "0.0010"}],
    "exchange_index": 0,
}
EVENT: dict[str, Any] = {
    "event_ticker": "KXHIGHNY-26NOV22",
    "series_ticker": "KXHIGHNY",
    "sub_title": "On Nov 22, 2026",
    "title": "Highest temperature in New York?",
    "collateral_return_type": "MECNET",
    "mutually_exclusive": True,
    "category": "Climate and Weather",
    "settlement_sources": None,
    "last_updated_ts": "0001-01-01T00:00:00Z",
}
ORDERBOOK: dict[str, Any] = {
    "ticker": "KXHIGHNY-26NOV22-B55.5",
    "orderbook_fp": {
        "yes_dollars": [["0.0100", "5.00"], ["0.5700", "343.49"]],
        "no_dollars": [["0.4190", "0.01"]],
    },
}


def raw(record: dict[str, Any], **changes: Any) -> msgspec.Raw:
    """Return the bytes of a record with some fields changed. A field changed to ``...`` is omitted."""
    changed = {name: value for name, value in (record | changes).items() if value is not ...}
    return msgspec.Raw(orjson.dumps(changed))
