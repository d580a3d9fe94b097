"""Token buckets: how much a caller may ask for.

Belongs here: tiers, costs and buckets. Each API key has its own buckets, and all anonymous callers share one.
Sources: the vendor's rate-limit page of October 2026 and recordings of GET /account/limits and /account/endpoint_costs.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from kalshi_pipelines.sandbox.errors import too_many_requests

DEFAULT_COST: Final = 10
_SECOND_NS: Final = 1_000_000_000
UNLIMITED: Final = "unlimited"


@dataclass(frozen=True)
class BucketSize:
    """Tokens that come back each second, and the most that are held."""

    refill_rate: int
    capacity: int


@dataclass(frozen=True)
class Tier:
    """The two budgets of a usage tier."""

    name: str
    read: BucketSize
    write: BucketSize


def _tier(name: str, read: int, write: int, read_seconds: int, write_seconds: int) -> Tier:
    return Tier(name, BucketSize(read, read * read_seconds), BucketSize(write, write * write_seconds))


TIERS: Final = {
    tier.name: tier
    for tier in (
        _tier("basic", 200, 100, 3, 1),
        _tier("advanced", 300, 300, 3, 3),
        _tier("expert", 600, 600, 1, 3),
        _tier("premier", 1_200, 1_200, 1, 3),
        _tier("paragon", 2_400, 2_400, 1, 3),
        _tier("prime", 4_800, 4_800, 1, 3),
        _tier("prestige", 12_000, 9_600, 1, 3),
        _tier(UNLIMITED, 1_000_000_000, 1_000_000_000, 1, 1),
    )
}

PUBLISHED_COSTS: Final[Mapping[str, int]] = {
    "POST /account/api_usage_level/upgrade": 30,
    "GET /cfbenchmarks": 150,
    "POST /communications/quotes": 2,
    "DELETE /communications/quotes/{quote_id}": 2,
    "GET /margin/balance": 5,
    "PUT /multivariate_event_collections/{collection_ticker}/lookup": 2,
    "DELETE /portfolio/events/orders": 2,
    "DELETE /portfolio/events/orders/{order_id}": 2,
    "DELETE /portfolio/events/orders/batched": 2,
    "GET /portfolio/orders/{order_id}": 2,
}
"""Costs other than the default, by endpoint as the OpenAPI document names it."""


class Bucket:
    """Tokens with continuous refill, counted in billionths of a token so that nothing is rounded away."""

    def __init__(self, size: BucketSize, now_ns: int) -> None:
        self._size = size
        self._level = size.capacity * _SECOND_NS
        self._filled_ns = now_ns

    def take(self, tokens: int, now_ns: int) -> bool:
        """Take tokens if they are there; False, and nothing taken, if not."""
        grown = self._level + (now_ns - self._filled_ns) * self._size.refill_rate
        self._level = min(grown, self._size.capacity * _SECOND_NS)
        self._filled_ns = now_ns
        if self._level < tokens * _SECOND_NS:
            return False
        self._level -= tokens * _SECOND_NS
        return True


@dataclass
class RateLimits:
    """The buckets of all callers. ``costs`` are those other than the default; ``monotonic_ns`` tells the time."""

    tier: Tier
    costs: Mapping[str, int] = field(default_factory=lambda: PUBLISHED_COSTS)
    monotonic_ns: Callable[[], int] = time.monotonic_ns
    _buckets: dict[tuple[str | None, str], Bucket] = field(default_factory=dict)

    def cost(self, endpoint: str) -> int:
        """Tokens a request to an endpoint costs."""
        return self.costs.get(endpoint, DEFAULT_COST)

    def charge(self, caller: str | None, budget: str, tokens: int) -> None:
        """Take tokens from a caller's ``read`` or ``write`` budget. Raises ``ApiError`` 429 if they are not there."""
        now = self.monotonic_ns()
        bucket = self._buckets.get((caller, budget))
        if bucket is None:
            bucket = Bucket(self.tier.read if budget == "read" else self.tier.write, now)
            self._buckets[caller, budget] = bucket
        if not bucket.take(tokens, now):
            raise too_many_requests()
