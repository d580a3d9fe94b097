"""A killed collection leaves complete answers, correct counts and no watermark ahead of the stored articles."""

import multiprocessing
import os
import signal

import sqlalchemy as sa

from kalshi_pipelines.news.collecting import collect_news
from kalshi_pipelines.news.options import NewsOptions
from kalshi_pipelines.news.providers.protocol import NewsQuery, ProviderAnswer
from kalshi_pipelines.settings import Environment
from kalshi_pipelines.warehouse import tables
from kalshi_pipelines.warehouse.engine import open_engine
from kalshi_pipelines_tests.support.news.collecting import (
    GAME,
    GAME_QUERY,
    NOW,
    STORM,
    STORM_QUERY,
    collect,
    positions,
    rows,
)
from kalshi_pipelines_tests.support.news.providers import ScriptedAnswer, ScriptedProvider, article, reply

ANSWERS: dict[str, ScriptedAnswer] = {
    STORM_QUERY: reply(article("a", "Zelda nears Florida", NOW), article("b", "Zelda is here", NOW)),
    GAME_QUERY: reply(article("c", "Toronto wins", NOW), article("a", "Zelda nears Florida", NOW)),
}


class DeadlyProvider(ScriptedProvider):
    """A provider that kills its own process when the query is about the game."""

    def find(self, query: NewsQuery) -> ProviderAnswer:
        if query.text == GAME_QUERY:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().find(query)


def collect_and_die(url: str) -> None:
    """Collect news until the provider kills the process."""
    collect_news(open_engine(url), [DeadlyProvider(ANSWERS)], NewsOptions(), Environment.SANDBOX, clock=lambda: NOW)


def test_killed_collection_keeps_only_complete_answers(stocked: sa.Engine) -> None:
    url = stocked.url.render_as_string(hide_password=False)
    process = multiprocessing.get_context("forkserver").Process(target=collect_and_die, args=(url,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    run = rows(stocked, tables.ingest_runs)[-1]
    assert (run["status"], run["pages"], run["records_read"], run["records_written"]) == ("running", 1, 2, 2)
    assert len(rows(stocked, tables.news_articles)) == 2
    assert positions(stocked) == {f"news exa event {STORM}": NOW}

    done = collect(stocked, ScriptedProvider(ANSWERS), now=NOW + 1)
    assert (done.read, done.written, done.unchanged) == (4, 1, 3)
    assert positions(stocked) == {f"news exa event {ticker}": NOW + 1 for ticker in (STORM, GAME)}
    assert rows(stocked, tables.ingest_runs)[-2]["status"] == "failed"
