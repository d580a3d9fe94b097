"""The news budget holds even if processes that share it are killed."""

import multiprocessing
import random
import time
from collections.abc import Iterator
from contextlib import suppress

import httpx
import pytest
import sqlalchemy as sa

from kalshi_pipelines.news.budget import BudgetExhausted, budget_of, budget_state, search_within_budget
from kalshi_pipelines.news.options import NewsOptions
from kalshi_pipelines.news.providers.exa import VENDOR
from kalshi_pipelines.news.providers.protocol import NewsQuery, ProviderAnswer, ProviderFailed
from kalshi_pipelines.sandbox.process import SandboxOptions, SandboxProcess, running_sandbox
from kalshi_pipelines.units import now_us
from kalshi_pipelines.warehouse.tables import vendor_spending
from kalshi_pipelines_tests.support.news.spender import spend

QUERY = NewsQuery("rates", 0, 1, 10)
DAY = 100_000
PROCESSES = 8


class PricedProvider:
    """A provider whose calls have the price that a test gives."""

    name, vendor, takes_queries = "priced", VENDOR, True

    def __init__(self, cost: int | BaseException | None) -> None:
        self.cost = cost
        self.calls = 0

    def most_microdollars(self, query: NewsQuery) -> int:
        return 1_000 * query.most_results

    def find(self, query: NewsQuery) -> ProviderAnswer:
        self.calls += 1
        if isinstance(self.cost, BaseException):
            raise self.cost
        return ProviderAnswer((), self.cost)


@pytest.mark.parametrize(
    ("cost", "charged", "unsettled"),
    [
        (7_000, 7_000, 0),
        (0, 0, 0),
        (None, 10_000, 1),
        (12_000, 12_000, 0),  # the price in the answer counts even if it is above the reservation
        (ProviderFailed("refused", is_charged=False), 0, 0),
        (ProviderFailed("cut off"), 10_000, 1),
        (KeyboardInterrupt(), 10_000, 1),
    ],
)
def test_call_is_charged_its_price_or_its_reservation(
    engine: sa.Engine, cost: int | BaseException | None, charged: int, unsettled: int
) -> None:
    options = NewsOptions(day_microdollars=DAY)
    with suppress(ProviderFailed, KeyboardInterrupt):
        search_within_budget(engine, PricedProvider(cost), QUERY, budget_of(VENDOR, options))
    state = budget_state(engine, options, now_us())
    assert (state.spent_today, state.unsettled) == (charged, unsettled)
    assert state.remaining_today == DAY - charged


def test_call_that_could_exceed_the_budget_is_not_sent(sqlite_engine: sa.Engine) -> None:
    provider = PricedProvider(1)
    with pytest.raises(BudgetExhausted, match="KALSHI_NEWS_DAILY_DOLLARS"):
        search_within_budget(sqlite_engine, provider, QUERY, budget_of(VENDOR, NewsOptions(day_microdollars=9_999)))
    assert provider.calls == 0
    assert budget_state(sqlite_engine, NewsOptions(), now_us()).spent_today == 0


@pytest.fixture(scope="module")
def sandbox() -> Iterator[SandboxProcess]:
    with running_sandbox(SandboxOptions(markets=300, tick_seconds=0, crowd=False, warm=False)) as sandbox:
        yield sandbox


def test_eight_processes_that_are_killed_at_random_never_overspend(engine: sa.Engine, sandbox: SandboxProcess) -> None:
    httpx.post(f"{sandbox.admin_url}/sandbox/news", json={"cost_dollars": ["0.005", "0.03"]}).raise_for_status()
    httpx.delete(f"{sandbox.admin_url}/sandbox/news/charges").raise_for_status()
    exa_url = str(httpx.URL(sandbox.url).copy_with(path="/exa"))
    url = engine.url.render_as_string(hide_password=False)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["exa_py", "kalshi_pipelines_tests.support.news.spender"])
    searches = context.RawValue("i", 0)  # the counter has no lock, because a killed process would never release a lock

    def spender() -> multiprocessing.process.BaseProcess:
        process = context.Process(target=spend, args=(url, exa_url, DAY, searches), daemon=True)
        process.start()
        return process

    chance = random.Random(5)
    running = [spender() for _ in range(PROCESSES)]
    killed = 0
    give_up = time.monotonic() + 120
    while running and time.monotonic() < give_up:
        time.sleep(chance.uniform(0, 0.02))
        victim = chance.choice(running)
        # Kill only after a search has begun, because killing an idle process proves nothing.
        if killed < PROCESSES and searches.value > killed and victim.is_alive():
            victim.kill()
            killed += 1
        running = [process for process in running if process.is_alive()]
        if killed < PROCESSES:
            running += [spender() for _ in range(PROCESSES - len(running)) if chance.random() < 0.5]
    assert not running
    for process in multiprocessing.active_children():
        process.join()

    charged = httpx.get(f"{sandbox.admin_url}/sandbox/news/charges").json()
    with engine.connect() as connection:
        rows = connection.execute(sa.select(vendor_spending)).all()
    booked = sum(
        row.reserved_microdollars if row.spent_microdollars is None else row.spent_microdollars for row in rows
    )
    assert killed == PROCESSES
    assert 0 < charged["total_microdollars"] <= booked <= DAY
    assert budget_state(engine, NewsOptions(day_microdollars=DAY), now_us()).spent_today == booked
