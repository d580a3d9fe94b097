"""The budget of news searches, for each UTC day and each run.

A paid call is sent only after its highest possible price is reserved. The reservation stays charged if the process
dies, no answer comes, or the answer has no price.
"""

from collections.abc import Callable

import sqlalchemy as sa

from kalshi_pipelines.errors import ExpectedError
from kalshi_pipelines.news.options import NewsOptions
from kalshi_pipelines.news.providers.exa import VENDOR
from kalshi_pipelines.news.providers.protocol import NewsProvider, NewsQuery, ProviderAnswer, ProviderFailed
from kalshi_pipelines.news.reports import BudgetState
from kalshi_pipelines.units import dollars, now_us
from kalshi_pipelines.warehouse.spending import Budget, reserve, settle, spent_by_run, spent_today, unsettled_today

PURPOSE = "news"


class BudgetExhausted(ExpectedError):
    """A call was not sent because it could exceed the budget. The message names the limit."""


def budget_of(vendor: str, options: NewsOptions, ingest_run_id: int | None = None) -> Budget:
    """Return the news budget at a vendor, for the day and optionally for one run."""
    return Budget(
        vendor,
        PURPOSE,
        options.day_microdollars,
        ingest_run_id,
        None if ingest_run_id is None else options.run_microdollars,
    )


def search_within_budget(
    engine: sa.Engine, provider: NewsProvider, query: NewsQuery, budget: Budget, clock: Callable[[], int] = now_us
) -> ProviderAnswer:
    """Search at a provider if the budget allows the highest possible price of the call.

    Raises:
        BudgetExhausted: The call could exceed the budget and was not sent.
        ProviderFailed: The provider gave no usable answer. The reservation stays charged, unless the call certainly
            cost nothing.
    """
    if provider.vendor is None:
        return provider.find(query)
    most = provider.most_microdollars(query)
    spending = reserve(engine, budget, most, clock())
    if spending is None:
        raise _exhaustion(engine, budget, most, clock())
    try:
        answer = provider.find(query)
    except ProviderFailed as failure:
        if not failure.is_charged:
            settle(engine, spending, 0)
        raise
    if answer.cost_microdollars is not None:
        settle(engine, spending, answer.cost_microdollars)
    return answer


def budget_state(
    engine: sa.Engine,
    options: NewsOptions,
    now: int,
    vendor: str = VENDOR,
    ingest_run_id: int | None = None,
) -> BudgetState:
    """Return the limits and the spending of the news budget at a vendor, as of a given time."""
    budget = budget_of(vendor, options, ingest_run_id)
    with engine.connect() as connection:
        return BudgetState(
            options.day_microdollars,
            spent_today(connection, budget, now),
            options.run_microdollars,
            0 if ingest_run_id is None else spent_by_run(connection, budget),
            unsettled_today(connection, budget, now),
        )


def _exhaustion(engine: sa.Engine, budget: Budget, most: int, now: int) -> BudgetExhausted:
    with engine.connect() as connection:
        day = spent_today(connection, budget, now)
    if day + most > budget.day_microdollars:
        return BudgetExhausted(
            f"A search can cost ${dollars(most):.4f}, but ${dollars(day):.4f} of today's "
            f"${dollars(budget.day_microdollars):.4f} are spent or reserved.",
            "Wait until midnight UTC or raise KALSHI_NEWS_DAILY_DOLLARS.",
        )
    return BudgetExhausted(
        f"A search can cost ${dollars(most):.4f}, which could exceed the run's budget of "
        f"${dollars(budget.run_microdollars or 0):.4f}.",
        "The next run searches again; raise KALSHI_NEWS_RUN_DOLLARS to search more in one run.",
    )
