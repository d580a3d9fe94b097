"""A process that searches for news until the budget is exhausted. Tests start the process and kill it at any moment."""

import ctypes
import time

from kalshi_pipelines.news.budget import BudgetExhausted, budget_of, search_within_budget
from kalshi_pipelines.news.options import NewsOptions
from kalshi_pipelines.news.providers.exa import VENDOR, ExaProvider
from kalshi_pipelines.news.providers.protocol import NewsQuery, ProviderFailed
from kalshi_pipelines.units import DAY_US, now_us
from kalshi_pipelines.warehouse.engine import open_engine


def spend(warehouse_url: str, exa_url: str, day_microdollars: int, searches: ctypes.c_int) -> None:
    """Search repeatedly for at most 25 results, and count the searches that were started."""
    engine = open_engine(warehouse_url)
    provider = ExaProvider("sandbox", "sandbox", exa_url, text_characters=200)
    budget = budget_of(VENDOR, NewsOptions(day_microdollars=day_microdollars))
    while True:
        now = now_us()
        searches.value += 1
        try:
            search_within_budget(engine, provider, NewsQuery("Inflation in Albany", now - 7 * DAY_US, now, 25), budget)
        except BudgetExhausted:
            return
        except ProviderFailed:
            time.sleep(0.01)
