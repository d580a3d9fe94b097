"""Price of a write request: which of the caller's token buckets pay, and how many tokens.

Belongs here: the vendor's rules on which shard's bucket pays for a write, and on charging a batch for each of its
items. Does not belong here: the buckets (``rate_limits``), and the validity of a body (``order_requests``). A write
with an unreadable body is charged as a single write that names no shard. Source: the vendor's rate-limit page of
October 2026.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal

import orjson

from kalshi_pipelines.sandbox.access.rate_limits import TokenCharge
from kalshi_pipelines.sandbox.api.endpoints import Call

_SHARDS_WITH_A_BUDGET: Final = (1, 2, 3)
_AUTO: Final = -1
_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,18}")


def body_object(call: Call) -> dict[str, Any]:
    """Return the JSON object in a request's body, or an empty object if there is none."""
    try:
        body = orjson.loads(call.body)
    except orjson.JSONDecodeError:
        return {}
    return body if isinstance(body, dict) else {}


def single_write(
    ticker: str | None, named_in: Literal["body", "query"]
) -> Callable[[int, Call], Sequence[TokenCharge]]:
    """Return a function that prices a write that names its shard in ``exchange_index`` or is routed by a ticker.

    Args:
        ticker: Name of the body field or query parameter that holds the ticker. None if a write is never routed by its
            ticker.
        named_in: Whether ``exchange_index`` and the ticker are in the body or in the query.
    """

    def charges(cost: int, call: Call) -> Sequence[TokenCharge]:
        asked = body_object(call) if named_in == "body" else call.query.parameters
        shard = _shard(asked.get("exchange_index"))
        if shard == _AUTO and ticker is not None and asked.get(ticker):
            return (
                TokenCharge("write", cost),
                *(TokenCharge(f"write:{number}", cost) for number in _SHARDS_WITH_A_BUDGET),
            )
        return (TokenCharge(f"write:{shard}" if shard in _SHARDS_WITH_A_BUDGET else "write", cost),)

    return charges


def _shard(asked: object) -> int:
    """Return the shard that a request's body or query names. A value that is not a number counts as shard 0."""
    if asked is None or asked == "":
        return _AUTO
    if isinstance(asked, str):
        return int(asked) if _NUMBER.fullmatch(asked) else 0
    return asked if type(asked) is int else 0


def batch_write(items: str) -> Callable[[int, Call], Sequence[TokenCharge]]:
    """Return a function that prices a batch of writes.

    ``items`` is the name of the body field that lists the writes. Each write is charged to the write budget that
    belongs to no particular shard.
    """

    def charges(cost: int, call: Call) -> Sequence[TokenCharge]:
        listed = body_object(call).get(items)
        count = len(listed) if isinstance(listed, list) else 1
        return (TokenCharge("write", cost * max(count, 1)),)

    return charges
