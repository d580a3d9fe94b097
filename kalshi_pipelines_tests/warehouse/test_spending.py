"""A budget is never overspent, because the cost of a call is reserved before the call."""

from dataclasses import replace

import sqlalchemy as sa

from kalshi_pipelines.bookkeeping.runs import IngestRun
from kalshi_pipelines.settings import Environment
from kalshi_pipelines.units import DAY_US
from kalshi_pipelines.warehouse.spending import Budget, reserve, settle, spent_by_run, spent_today, unsettled_today

BUDGET = Budget("api.exa.ai", "probes", 20_000)


def test_daily_budget_is_never_overspent(engine: sa.Engine) -> None:
    def call(at_us: int) -> int | None:
        return reserve(engine, BUDGET, 10_000, at_us)

    first = call(DAY_US)
    assert first is not None
    assert call(DAY_US + 1) is not None
    assert call(DAY_US + 2) is None  # the reserved amount counts until the price is known
    settle(engine, first, 4_000)
    assert call(DAY_US + 3) is None
    with engine.connect() as connection:
        assert spent_today(connection, BUDGET, DAY_US + 3) == 14_000
        assert unsettled_today(connection, BUDGET, DAY_US + 3) == 1
    assert call(2 * DAY_US) is not None


def test_run_budget_limits_a_run_within_the_daily_budget(engine: sa.Engine) -> None:
    with IngestRun(engine, "news_articles", Environment.SANDBOX) as run:
        mine = Budget("api.exa.ai", "news", 100_000, run.run_id, 15_000)
    assert reserve(engine, mine, 10_000, DAY_US) is not None
    assert reserve(engine, mine, 10_000, DAY_US) is None
    assert reserve(engine, replace(mine, ingest_run_id=None, run_microdollars=None), 90_000, DAY_US) is not None
    with engine.connect() as connection:
        assert spent_by_run(connection, mine) == 10_000
        assert spent_today(connection, mine, DAY_US) == 100_000


def test_spending_for_one_purpose_leaves_other_budgets_alone(engine: sa.Engine) -> None:
    assert reserve(engine, BUDGET, 20_000, DAY_US) is not None
    assert reserve(engine, replace(BUDGET, purpose="news"), 20_000, DAY_US) is not None
    assert reserve(engine, replace(BUDGET, vendor="another"), 20_000, DAY_US) is not None
    assert reserve(engine, BUDGET, 1, DAY_US) is None
