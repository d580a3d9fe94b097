"""Answers to an order that only tell how the market stood, so that nothing is wrong with the trading.

Vendor facts: docs.kalshi.com "Order errors" names ``fill_or_kill_insufficient_resting_volume``. Recordings of the demo
exchange show 400 ``invalid_order`` with the details "post only cross" for a post-only order that would trade.
"""

from typing import Any, Final

from kalshi_pipelines.execution.orders.error_bodies import is_error_body, json_object
from kalshi_pipelines.execution.orders.request import OrderRequest
from kalshi_pipelines.execution.orders.terms import TimeInForce

_MISSED: Final = "fill_or_kill_insufficient_resting_volume"
_INVALID: Final = "invalid_order"


def is_missed_fill_or_kill(body: bytes, content_type: str, request: OrderRequest) -> bool:
    """Return whether an answer says that a fill-or-kill order found too few contracts, so that it ended at once."""
    return request.time_in_force is TimeInForce.FILL_OR_KILL and _error(body, content_type).get("code") == _MISSED


def is_ordinary_refusal(body: bytes, content_type: str, request: OrderRequest) -> bool:
    """Return whether an answer refuses an order only because of the present book or position.

    The market moved before a post-only order arrived, or the position was gone before a reduce-only order arrived.
    """
    error = _error(body, content_type)
    text = " ".join(str(error.get(name) or "") for name in ("message", "details")).lower().replace("_", " ")
    if error.get("code") != _INVALID:
        return False
    return (request.post_only and "post only cross" in text) or (
        request.reduce_only and "reduce only without a position" in text
    )


def _error(body: bytes, content_type: str) -> dict[str, Any]:
    document = json_object(body, content_type) if is_error_body(body, content_type) else None
    found = (document or {}).get("error", document)
    return found if isinstance(found, dict) else {}
