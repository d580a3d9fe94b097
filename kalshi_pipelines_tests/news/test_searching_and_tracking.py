"""Full-text search, tracked items, and the command line of news."""

import pytest
import sqlalchemy as sa

from kalshi_pipelines.news.__main__ import main
from kalshi_pipelines.news.errors import NewsFailed
from kalshi_pipelines.news.searching import search_articles, search_of
from kalshi_pipelines.news.tracking import list_tracked, track, untrack
from kalshi_pipelines.warehouse import tables
from kalshi_pipelines.warehouse.engine import writing
from kalshi_pipelines_tests.support.news.collecting import NOW, STORM, STORM_QUERY, TORONTO, collect
from kalshi_pipelines_tests.support.news.providers import ScriptedProvider, article, reply


def store_articles(engine: sa.Engine) -> None:
    collect(
        engine,
        ScriptedProvider(
            {
                STORM_QUERY: reply(
                    article("a", "Zelda nears Florida", NOW, "Residents are fleeing the coast"),
                    article("b", "Rates held", NOW, "The chair said inflation is cooling " * 20),
                    article("c", "Florida votes", NOW),
                )
            }
        ),
    )


def titles(engine: sa.Engine, words: str) -> list[str]:
    return [each.title for each in search_articles(engine, words)]


def test_search_matches_all_words_of_title_and_text_by_stem(stocked: sa.Engine) -> None:
    store_articles(stocked)
    assert sorted(titles(stocked, "florida")) == ["Florida votes", "Zelda nears Florida"]
    assert titles(stocked, "FLORIDA resident flee") == ["Zelda nears Florida"]
    assert titles(stocked, "inflation") == ["Rates held"]
    assert titles(stocked, "florida inflation") == []
    assert len(search_articles(stocked, "florida", 1)) == 1


@pytest.mark.parametrize(
    "words",
    ["", "???", '" OR 1=1 --', "florida) OR (inflation", "NEAR(a b)", "title:florida*", "a\x00b", "&|!:*()", "-"],
)
def test_search_text_is_never_query_syntax(stocked: sa.Engine, words: str) -> None:
    store_articles(stocked)
    assert all("Florida" in title for title in titles(stocked, words))


def test_search_index_follows_updates_and_deletions(stocked: sa.Engine) -> None:
    store_articles(stocked)
    columns = tables.news_articles.c
    with writing(stocked) as connection:
        connection.execute(
            sa.update(tables.news_articles).where(columns.title == "Rates held").values(title="Rates cut")
        )
        for table in (tables.news_finds, tables.news_article_sources):
            connection.execute(sa.delete(table))
        connection.execute(sa.delete(tables.news_articles).where(columns.title == "Florida votes"))
    assert titles(stocked, "held") == []
    assert titles(stocked, "rates cut") == ["Rates cut"]
    assert titles(stocked, "florida") == ["Zelda nears Florida"]
    if stocked.dialect.name == "sqlite":
        with writing(stocked) as connection:
            check = "INSERT INTO news_search (news_search, rank) VALUES ('integrity-check', 1)"
            connection.exec_driver_sql(check)


def test_search_uses_the_index(stocked: sa.Engine) -> None:
    store_articles(stocked)
    statement = search_of(["florida"], stocked.dialect.name).compile(stocked, compile_kwargs={"literal_binds": True})
    with stocked.connect() as connection:
        if stocked.dialect.name == "postgresql":
            connection.exec_driver_sql("SET enable_seqscan = off")
            plan = connection.exec_driver_sql(f"EXPLAIN {statement}".replace("%", "%%")).scalars().all()
            assert any("ix_news_articles_search" in line for line in plan)
        else:
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}").all()
            assert any("VIRTUAL TABLE INDEX" in line[-1] for line in plan)
            assert not any("SCAN news_articles" in line[-1] for line in plan)


def test_markets_and_events_are_tracked_and_untracked(stocked: sa.Engine) -> None:
    assert track(stocked, f" {TORONTO.lower()} ", []).item_type == "market"
    assert track(stocked, STORM, ["Will Zelda come?"]).queries == ("Zelda come",)
    assert track(stocked, STORM, ["Zelda path"]).queries == ("Zelda path",)
    assert [item.ticker for item in list_tracked(stocked)] == sorted([TORONTO, STORM])
    untrack(stocked, TORONTO)
    assert [item.ticker for item in list_tracked(stocked)] == [STORM]
    assert len(list_tracked(stocked, every=True)) == 2
    with pytest.raises(NewsFailed, match="is not tracked"):
        untrack(stocked, TORONTO)
    with pytest.raises(NewsFailed, match="is no market or event"):
        track(stocked, "KXNOTHING", [])
    with pytest.raises(NewsFailed, match="at least one word"):
        track(stocked, STORM, ["???"])


def test_commands_print_their_results(
    stocked: sa.Engine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KALSHI_WAREHOUSE_URL", stocked.url.render_as_string(hide_password=False))
    store_articles(stocked)

    def run(*arguments: str) -> str:
        assert main(arguments) == 0
        return capsys.readouterr().out

    assert "Nothing is tracked" in run("tracked")
    assert "Searches: Zelda path" in run("track", STORM, "--query", "Zelda path")
    assert "last collected: never" in run("tracked")
    assert run("targets").splitlines()[0].startswith(f"event  {STORM}  tracked  Zelda path")
    assert "Zelda nears Florida" in run("search", "zelda", "florida")
    assert "No article contains all these words." in run("search", "nothing")
    assert "$0.0000 of $1.0000" in run("budget")
    assert "Stopped tracking" in run("untrack", STORM)
    assert main(["untrack", STORM]) == 2
    assert "is not tracked" in capsys.readouterr().err
