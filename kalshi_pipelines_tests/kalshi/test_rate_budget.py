import json
import subprocess
import sys
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_pipelines.kalshi.decoding import decode_record
from kalshi_pipelines.kalshi.errors import RateBudgetExceeded
from kalshi_pipelines.kalshi.rate_budget import (
    Bucket,
    BucketRate,
    BucketRates,
    EndpointCosts,
    RateBudget,
    account_rates,
    bucket_of,
    documented_rates,
)
from kalshi_pipelines.kalshi.records import AccountLimits, BucketLimits, EndpointCost, EndpointCostList
from kalshi_pipelines.settings import RateTier
from kalshi_pipelines.warehouse.engine import open_engine
from kalshi_pipelines.warehouse.tables import rate_budgets
from kalshi_pipelines_tests.support.kalshi.recordings import recording

SECOND = 1_000_000


class BudgetClock:
    """A clock that moves only when a budget sleeps. Several budgets may share it."""

    def __init__(self) -> None:
        self.us = 1_790_000_000 * SECOND

    def __call__(self) -> int:
        return self.us

    def sleep(self, seconds: float) -> None:
        self.us += round(seconds * SECOND)


def budget(engine: sa.Engine, clock: BudgetClock, rate: BucketRate, **options: float) -> RateBudget:
    return RateBudget(engine, "key", {Bucket.READ: rate}, clock_us=clock, sleep=clock.sleep, **options)


def overspent(grants: list[tuple[int, int]], rate: BucketRate) -> int:
    """Return how far a series of requests overdraws the exchange's bucket, in millionths of a token.

    Each grant is an instant and the cost of the request granted at this instant.
    """
    full = rate.capacity * SECOND
    level, last, worst = full, 0, 0
    for instant, cost in sorted(grants):
        level = min(full, level + (instant - last) * rate.refill_rate) - cost * SECOND
        last = instant
        worst = max(worst, -level)
    return worst


@settings(max_examples=60, deadline=None)
@given(
    rate=st.builds(BucketRate, st.integers(1, 5_000), st.integers(20, 15_000)).filter(
        lambda rate: rate.capacity * 2 > rate.refill_rate + 40
    ),
    steps=st.lists(st.tuples(st.integers(0, 3 * SECOND), st.integers(1, 20)), min_size=1, max_size=60),
)
def test_the_exchanges_bucket_is_never_overdrawn(rate: BucketRate, steps: list[tuple[int, int]]) -> None:
    engine = sa.create_engine("sqlite://", poolclass=sa.StaticPool)
    rate_budgets.create(engine)
    clock = BudgetClock()
    shared = budget(engine, clock, rate, longest_wait_seconds=10_000)
    grants = []
    for idle, cost in steps:
        clock.us += idle
        shared.acquire(cost)
        grants.append((clock.us, cost))
    engine.dispose()
    assert overspent(grants, rate) == 0


@pytest.mark.parametrize("tier", list(RateTier))
def test_steady_work_gets_the_whole_refill_rate(engine: sa.Engine, tier: RateTier) -> None:
    rate, clock = documented_rates(tier)[Bucket.READ], BudgetClock()
    shared = budget(engine, clock, rate)
    shared.empty(Bucket.READ)
    start = clock.us
    for _ in range(200):
        shared.acquire(10)
    assert 200 * 10 / ((clock.us - start) / SECOND) >= 0.98 * rate.refill_rate


def test_an_idle_bucket_grants_a_burst_that_leaves_a_margin(engine: sa.Engine) -> None:
    shared = budget(engine, BudgetClock(), BucketRate(200, 600))
    waits = [shared.acquire(10) for _ in range(51)]
    assert waits[:50] == [0] * 50
    assert waits[50] == pytest.approx(0.05)


def test_a_wait_that_is_too_long_is_refused_and_not_charged(engine: sa.Engine) -> None:
    shared = budget(engine, BudgetClock(), BucketRate(10, 20), longest_wait_seconds=2)
    shared._sleep = lambda _: None  # The clock moves only in a real sleep, so the bucket gains no tokens.
    for _ in range(3):
        shared.acquire(10)
    for _ in range(3):
        with pytest.raises(RateBudgetExceeded, match="more than 2 s") as caught:
            shared.acquire(10)
        assert caught.value.remedy
    assert shared.acquire(1) <= 2


def test_429_of_the_exchange_makes_every_process_wait(engine: sa.Engine) -> None:
    clock, rate = BudgetClock(), BucketRate(200, 600)
    budget(engine, clock, rate).empty(Bucket.READ)
    assert budget(engine, clock, rate).acquire(10) == pytest.approx(0.05)


def test_emptying_never_gives_tokens_back(engine: sa.Engine) -> None:
    clock = BudgetClock()
    shared = budget(engine, clock, BucketRate(10, 20))
    shared._sleep = lambda _: None
    for _ in range(5):
        shared.acquire(10)
    shared.empty(Bucket.READ)
    assert shared.acquire(10) > 4


def test_clock_set_back_does_not_block_forever(engine: sa.Engine) -> None:
    clock = BudgetClock()
    shared = budget(engine, clock, BucketRate(200, 600), longest_wait_seconds=60)
    shared.acquire(10)
    clock.us -= 86_400 * SECOND
    assert shared.acquire(10) == pytest.approx(0.05)


def test_buckets_and_keys_have_separate_budgets(engine: sa.Engine) -> None:
    clock, rates = BudgetClock(), documented_rates(RateTier.BASIC)
    one = RateBudget(engine, "one", rates, clock_us=clock, sleep=clock.sleep)
    one.empty(Bucket.READ)
    assert one.acquire(10, Bucket.BALANCE) == 0
    assert RateBudget(engine, "two", rates, clock_us=clock, sleep=clock.sleep).acquire(10) == 0
    assert one.acquire(10) > 0


def test_threads_of_one_process_do_not_overdraw(engine: sa.Engine) -> None:
    rate, clock = BucketRate(100, 400), BudgetClock()
    waits: list[float] = []
    shared = RateBudget(engine, "key", {Bucket.READ: rate}, clock_us=clock, sleep=waits.append)
    threads = [threading.Thread(target=lambda: [shared.acquire(10) for _ in range(10)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # The clock stands still. The bucket grants 350 tokens at once, and then one request every tenth of a second.
    assert sorted(round(wait, 6) for wait in waits) == [pytest.approx(n / 10) for n in range(1, 46)]


SPEND = """
import json, sys
from kalshi_pipelines.kalshi.rate_budget import Bucket, BucketRate, RateBudget
from kalshi_pipelines.units import now_us
from kalshi_pipelines.warehouse.engine import open_engine
url, refill_rate, capacity, times = sys.argv[1], *map(int, sys.argv[2:])
budget = RateBudget(open_engine(url), "key", {Bucket.READ: BucketRate(refill_rate, capacity)})
grants = []
print("ready", flush=True)
sys.stdin.readline()
for _ in range(times):
    budget.acquire(10)
    grants.append((now_us(), 10))
print(json.dumps(grants))
"""


def test_four_processes_share_one_bucket(engine: sa.Engine) -> None:
    rate, times = BucketRate(600, 600), 30
    url = engine.url.render_as_string(hide_password=False)
    command = [sys.executable, "-c", SPEND, url, *map(str, (rate.refill_rate, rate.capacity, times))]
    with ExitStack() as running:
        processes = [
            running.enter_context(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
            for _ in range(4)
        ]
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        outputs = [process.communicate(timeout=60)[0] for process in processes]
    grants = [(instant, cost) for output in outputs for instant, cost in json.loads(output)]
    assert len(grants) == 4 * times
    assert overspent(grants, rate) == 0


def test_the_limits_of_an_account_are_used_as_stated() -> None:
    limits, _ = decode_record(AccountLimits, recording("demo_2026_06/account__limits.json"))
    rates: BucketRates = account_rates(limits)
    assert rates[Bucket.READ] == BucketRate(200, 200)
    assert rates[Bucket.READ].burst_us == SECOND // 2


def test_account_without_a_refill_rate_is_slow_but_works(engine: sa.Engine) -> None:
    nothing = BucketLimits(refill_rate=0, bucket_capacity=0)
    rate = account_rates(AccountLimits("suspended", read=nothing, write=nothing))[Bucket.READ]
    assert budget(engine, BudgetClock(), rate).acquire(10) == 0
    assert rate.interval_us(10) == 10 * SECOND


def test_published_basic_bucket_holds_three_seconds_of_refill() -> None:
    assert documented_rates(RateTier.BASIC)[Bucket.READ] == BucketRate(200, 600)
    assert bucket_of("/portfolio/balance") is Bucket.BALANCE
    assert bucket_of("/markets") is Bucket.READ


@pytest.mark.parametrize(
    ("method", "path", "cost"),
    [
        ("GET", "/markets", 10),
        ("GET", "/portfolio/orders/abc", 2),
        ("GET", "/portfolio/orders", 10),
        ("GET", "/cfbenchmarks", 150),
        ("GET", "/cfbenchmarks/values/btc", 150),
        ("DELETE", "/portfolio/orders/batched", 4),
        ("DELETE", "/portfolio/events/orders/batched", 2),
    ],
)
def test_recorded_costs_apply_by_path_pattern(method: str, path: str, cost: int) -> None:
    listed, _ = decode_record(EndpointCostList, recording("demo_2026_06/account__endpoint_costs.json"))
    assert EndpointCosts(listed.default_cost, tuple(listed.endpoint_costs)).cost(method, path) == cost


def test_the_most_exact_pattern_decides() -> None:
    rules = [("/a/*rest", 1), ("/a/:id", 2), ("/a/b", 3), ("/a/:id/c", 4)]
    costs = EndpointCosts(10, tuple(EndpointCost("GET", "/trade-api/v2" + path, cost) for path, cost in rules))
    asked = {path: costs.cost("GET", path) for path in ("/a/b", "/a/x", "/a/x/c", "/a/x/d", "/a")}
    assert asked == {"/a/b": 3, "/a/x": 2, "/a/x/c": 4, "/a/x/d": 1, "/a": 10}


def test_database_that_cannot_be_used_gives_a_readable_error(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path / 'empty.db'}")
    with pytest.raises(Exception, match="cannot be used"):
        RateBudget(engine, "key", documented_rates(RateTier.BASIC)).acquire(10)
    engine.dispose()
