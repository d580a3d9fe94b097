"""Rate budgets: one token bucket per API key, shared by every process and worker through the warehouse.

A bucket is stored as its "theoretical arrival time" (GCRA): the instant, in microseconds, at which the bucket would be
full again without further charges. Each bucket is one integer in one row, changed by one statement, so processes cannot
overspend together. Hosts that share a Postgres warehouse must keep their clocks within half a second of each other. On
SQLite a charge waits for the warehouse's write lock: never keep a write transaction open while requesting a page.

Belongs here: rate budgets, and the token costs of requests. Does not belong here: sending requests.
"""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from kalshi_pipelines.kalshi.errors import RateBudgetExceeded
from kalshi_pipelines.kalshi.hosts import API_ROOT
from kalshi_pipelines.kalshi.records import AccountLimits, EndpointCost
from kalshi_pipelines.settings import RateTier
from kalshi_pipelines.units import SECOND_US, now_us
from kalshi_pipelines.warehouse.engine import explain_failures, writing
from kalshi_pipelines.warehouse.tables import rate_budgets

logger = logging.getLogger("kalshi_pipelines.kalshi")

DEFAULT_COST: Final = 10
LONGEST_WAIT_SECONDS: Final = 300.0
# Requests that were sent half a second apart may arrive together at the exchange. The exchange then refills no tokens
# between these requests. So the burst of this program is smaller than the exchange's capacity by half a second of
# refill.
_ARRIVAL_JITTER_US: Final = SECOND_US // 2


class Bucket(StrEnum):
    """The token buckets to which the exchange charges reads."""

    READ = "read"
    BALANCE = "balance"


@dataclass(frozen=True)
class BucketRate:
    """The size of a token bucket of the exchange: tokens refilled per second, and the capacity in tokens."""

    refill_rate: int
    capacity: int

    def interval_us(self, cost: int) -> int:
        """Return the microseconds in which ``cost`` tokens are refilled, rounded up."""
        return -(-cost * SECOND_US // self.refill_rate)

    @property
    def burst_us(self) -> int:
        """The refill time, in microseconds, of all tokens that may be spent at once.

        These tokens are the exchange's capacity less a margin, but enough for at least one request.
        """
        return max(self.interval_us(self.capacity) - _ARRIVAL_JITTER_US, self.interval_us(DEFAULT_COST))


# Tokens per second and capacity of the Read bucket, from docs.kalshi.com "Rate limits", October 2026.
_READ_RATES: Final[Mapping[RateTier, BucketRate]] = {
    RateTier.BASIC: BucketRate(200, 600),
    RateTier.ADVANCED: BucketRate(300, 900),
    RateTier.EXPERT: BucketRate(600, 600),
    RateTier.PREMIER: BucketRate(1200, 1200),
    RateTier.PARAGON: BucketRate(2400, 2400),
    RateTier.PRIME: BucketRate(4800, 4800),
    RateTier.PRESTIGE: BucketRate(12000, 12000),
}
# The exchange permits one GET /portfolio/balance per second for accounts of the basic and advanced levels, and five for
# higher levels. The capacity of this bucket is one request, so no margin can be subtracted from it. Instead, only 80 %
# of the permitted rate is used.
_SLOW_BALANCE: Final = BucketRate(8, 10)
_FAST_BALANCE: Final = BucketRate(40, 10)

BucketRates = Mapping[Bucket, BucketRate]


def documented_rates(tier: RateTier) -> BucketRates:
    """Return the published rate limits of a usage level."""
    slow = tier in (RateTier.BASIC, RateTier.ADVANCED)
    return {Bucket.READ: _READ_RATES[tier], Bucket.BALANCE: _SLOW_BALANCE if slow else _FAST_BALANCE}


def account_rates(limits: AccountLimits) -> BucketRates:
    """Return the rate limits that the exchange states for the account of the API key."""
    slow = limits.usage_tier in (RateTier.BASIC, RateTier.ADVANCED)
    return {
        Bucket.READ: BucketRate(max(limits.read.refill_rate, 1), limits.read.bucket_capacity),
        Bucket.BALANCE: _SLOW_BALANCE if slow else _FAST_BALANCE,
    }


def bucket_of(path: str) -> Bucket:
    """Return the bucket to which a GET request of this path (below the API root) is charged."""
    return Bucket.BALANCE if path == "/portfolio/balance" else Bucket.READ


_LOOSENESS: Final = {":": 1, "*": 2}


class EndpointCosts:
    """Token costs of requests: a default, and exceptions by method and path pattern."""

    def __init__(self, default: int = DEFAULT_COST, exceptions: tuple[EndpointCost, ...] = ()) -> None:
        self._default = default
        self._exceptions = [(rule.method, rule.path.split("/"), rule.cost) for rule in exceptions]

    def cost(self, method: str, path: str) -> int:
        """Return the tokens that one request costs.

        ``path`` is below the API root. An exact segment takes precedence over ``:name`` and ``*rest``.
        """
        segments = (API_ROOT + path).split("/")
        matches = [
            (pattern, cost) for known, pattern, cost in self._exceptions if known == method and _fits(pattern, segments)
        ]
        if not matches:
            return self._default
        return min(matches, key=lambda match: [_LOOSENESS.get(segment[:1], 0) for segment in match[0]])[1]


def _fits(pattern: list[str], segments: list[str]) -> bool:
    if pattern[-1].startswith("*"):
        return len(segments) >= len(pattern) and _fits(pattern[:-1], segments[: len(pattern) - 1])
    return len(pattern) == len(segments) and all(
        expected.startswith(":") or expected == segment for expected, segment in zip(pattern, segments, strict=True)
    )


class RateBudget:
    """The rate budget of one API key. Requests wait until their tokens are available."""

    def __init__(
        self,
        engine: sa.Engine,
        key: str,
        rates: BucketRates,
        *,
        longest_wait_seconds: float = LONGEST_WAIT_SECONDS,
        clock_us: Callable[[], int] = now_us,
        sleep: Callable[[float], Any] = time.sleep,
    ) -> None:
        self._engine = engine
        self._key = key
        self.rates = rates
        self._longest_wait_us = int(longest_wait_seconds * SECOND_US)
        self._clock_us = clock_us
        self._sleep = sleep
        self._charge = _charge_statement(engine.dialect.name)
        self._empty = _empty_statement(engine.dialect.name)

    def acquire(self, cost: int, bucket: Bucket = Bucket.READ) -> float:
        """Charge ``cost`` tokens, wait until they may be spent, and return the seconds waited.

        Raises:
            RateBudgetExceeded: The wait would be longer than allowed; nothing was charged.
            WarehouseUnavailable: The database that holds the budget cannot be used.
        """
        rate = self.rates[bucket]
        interval, burst = rate.interval_us(cost), rate.burst_us
        now, arrival = self._change(
            self._charge, bucket, interval=interval, burst=burst, longest_wait=self._longest_wait_us
        )
        if arrival is None:
            raise RateBudgetExceeded(
                f"The rate budget {self._key}/{bucket.value} is spent for more than "
                f"{self._longest_wait_us / SECOND_US:.0f} s in advance.",
                "Run fewer pipelines at once with this API key, or apply for a higher usage level.",
            )
        wait = max(arrival - now - burst, 0) / SECOND_US
        if wait:
            self._sleep(wait)
        return wait

    def empty(self, bucket: Bucket) -> None:
        """Remove all tokens from a bucket because the exchange reported it empty (429). All processes then wait."""
        rate = self.rates[bucket]
        logger.warning("Rate budget %s/%s: the exchange's bucket was empty; requests wait.", self._key, bucket.value)
        self._change(self._empty, bucket, burst=rate.burst_us)

    def _change(self, statement: sa.Executable, bucket: Bucket, **amounts: int) -> tuple[int, int | None]:
        with explain_failures(self._engine), writing(self._engine) as connection:
            # The clock is read after the lock is taken. If the clock were read before, tokens for a request would be
            # refilled while the request still waits for the lock.
            now = self._clock_us()
            row = connection.execute(statement, {"key": self._key, "name": bucket.value, "now": now, **amounts})
            return now, row.scalar_one_or_none()


def _insert(dialect: str) -> Any:  # noqa: ANN401  # two classes without a common ancestor that has on_conflict
    return (sqlite.insert if dialect == "sqlite" else postgresql.insert)(rate_budgets)


def _amount(name: str) -> sa.BindParameter[int]:
    return sa.bindparam(name, type_=sa.BigInteger)


def _charge_statement(dialect: str) -> sa.Executable:
    """Return the statement that charges tokens to a bucket.

    The statement moves the theoretical arrival time later, by the time in which the charged tokens are refilled. If the
    wait would be too long, the statement charges nothing and returns no row.
    """
    now, interval, burst, longest = map(_amount, ("now", "interval", "burst", "longest_wait"))
    arrival = rate_budgets.c.theoretical_arrival_us
    # No charge sets a theoretical arrival time as late as this limit. If the stored time is later than the limit, the
    # clock was set back after the time was stored. The bucket then starts empty.
    unreachable = arrival > now + burst + longest + longest
    start = sa.case((unreachable, now + burst), (arrival > now, arrival), else_=now)
    insert = _insert(dialect).values(budget_key=sa.bindparam("key"), bucket=sa.bindparam("name"))
    charge: sa.Executable = (
        insert.values(theoretical_arrival_us=now + interval)
        .on_conflict_do_update(
            index_elements=["budget_key", "bucket"],
            set_={"theoretical_arrival_us": start + interval},
            where=sa.or_(unreachable, arrival + interval - now - burst <= longest),
        )
        .returning(arrival)
    )
    return charge


def _empty_statement(dialect: str) -> sa.Executable:
    now, burst = _amount("now"), _amount("burst")
    arrival = rate_budgets.c.theoretical_arrival_us
    insert = _insert(dialect).values(budget_key=sa.bindparam("key"), bucket=sa.bindparam("name"))
    emptied: sa.Executable = (
        insert.values(theoretical_arrival_us=now + burst)
        .on_conflict_do_update(
            index_elements=["budget_key", "bucket"],
            set_={"theoretical_arrival_us": sa.case((arrival > now + burst, arrival), else_=now + burst)},
        )
        .returning(arrival)
    )
    return emptied
