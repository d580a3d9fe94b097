"""Token buckets, which limit how many requests a caller may make.

Belongs here: tiers, costs and buckets. Each API key has buckets of its own, and all anonymous callers share one set.
Does not belong here: the price of a request (``api.charges``). Sources: the vendor's rate-limit page of October 2026;
recordings of GET /account/limits and /account/endpoint_costs.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from kalshi_pipelines.sandbox.errors import too_many_requests

DEFAULT_COST: Final = 10
_SECOND_NS: Final = 1_000_000_000
UNLIMITED: Final = "unlimited"


@dataclass(frozen=True)
class BucketSize:
    """Size of a token bucket: the tokens added per second, and the largest number of tokens it can hold."""

    refill_rate: int
    capacity: int


@dataclass(frozen=True)
class TokenCharge:
    """Tokens that a request takes from one budget.

    A budget is named ``read``, ``balance``, ``write``, or ``write:1`` for the write budget of shard 1.
    """

    budget: str
    tokens: int


@dataclass(frozen=True)
class Tier:
    """Budgets of a usage tier: tokens for reads, balance reads and writes.

    Each shard has its own write budget. The write budgets of all shards have the same size.
    """

    name: str
    read: BucketSize
    write: BucketSize
    balance: BucketSize

    def size(self, budget: str) -> BucketSize:
        """Return the size of the token bucket for a budget."""
        sizes = {"read": self.read, "balance": self.balance}
        return sizes.get(budget, self.write)


def _tier(name: str, read: int, write: int, read_seconds: int, write_seconds: int, balance_calls: int = 5) -> Tier:
    balance = balance_calls * DEFAULT_COST
    return Tier(
        name,
        BucketSize(read, read * read_seconds),
        BucketSize(write, write * write_seconds),
        BucketSize(balance, balance),
    )


TIERS: Final = {
    tier.name: tier
    for tier in (
        _tier("basic", 200, 100, 3, 1, balance_calls=1),
        _tier("advanced", 300, 300, 3, 3, balance_calls=1),
        _tier("expert", 600, 600, 1, 3),
        _tier("premier", 1_200, 1_200, 1, 3),
        _tier("paragon", 2_400, 2_400, 1, 3),
        _tier("prime", 4_800, 4_800, 1, 3),
        _tier("prestige", 12_000, 9_600, 1, 3),
        _tier(UNLIMITED, 1_000_000_000, 1_000_000_000, 1, 1, balance_calls=100_000_000),
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
"""Token costs of the endpoints whose cost is not the default. Endpoints are named as in the OpenAPI document."""


class TokenBucket:
    """A token bucket that refills continuously. It counts billionths of a token, so rounding loses no tokens."""

    def __init__(self, size: BucketSize, now_ns: int) -> None:
        self._size = size
        self._level = size.capacity * _SECOND_NS
        self._filled_ns = now_ns

    def refill(self, now_ns: int) -> None:
        """Add the tokens for the time since the last refill, up to the capacity of the bucket."""
        grown = self._level + (now_ns - self._filled_ns) * self._size.refill_rate
        self._level = min(grown, self._size.capacity * _SECOND_NS)
        self._filled_ns = now_ns

    def holds(self, tokens: int) -> bool:
        """Return whether the bucket holds at least ``tokens`` tokens.

        Call ``refill`` first, because this method does not add the tokens for the time since the last refill.
        """
        return self._level >= tokens * _SECOND_NS

    def take(self, tokens: int) -> bool:
        """Take tokens from the bucket and return True. If there are too few, take nothing and return False."""
        if not self.holds(tokens):
            return False
        self._level -= tokens * _SECOND_NS
        return True


@dataclass
class RateLimits:
    """Token buckets of all callers.

    ``costs`` holds the token costs of the endpoints whose cost is not the default. ``monotonic_ns`` returns the time in
    nanoseconds.
    """

    tier: Tier
    costs: Mapping[str, int] = field(default_factory=lambda: PUBLISHED_COSTS)
    monotonic_ns: Callable[[], int] = time.monotonic_ns
    _buckets: dict[tuple[str | None, str], TokenBucket] = field(default_factory=dict)

    def cost(self, endpoint: str) -> int:
        """Return the tokens that a request to an endpoint costs."""
        return self.costs.get(endpoint, DEFAULT_COST)

    def charge(self, caller: str | None, charges: Sequence[TokenCharge]) -> None:
        """Take tokens from several budgets of a caller, or take nothing if any budget holds too few.

        Raises:
            ErrorResponse: 429 if a budget holds too few tokens.
        """
        now = self.monotonic_ns()
        buckets = [(self._bucket(caller, charge.budget, now), charge.tokens) for charge in charges]
        for bucket, _ in buckets:
            bucket.refill(now)
        if not all(bucket.holds(tokens) for bucket, tokens in buckets):
            raise too_many_requests()
        for bucket, tokens in buckets:
            bucket.take(tokens)

    def _bucket(self, caller: str | None, budget: str, now_ns: int) -> TokenBucket:
        bucket = self._buckets.get((caller, budget))
        if bucket is None:
            bucket = self._buckets[caller, budget] = TokenBucket(self.tier.size(budget), now_ns)
        return bucket
