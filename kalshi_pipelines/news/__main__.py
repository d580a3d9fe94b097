"""The command line of news: search articles, choose tracked items, and show the budget.

Titles and addresses of articles are untrusted. Each is printed as one harmless line.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import Final

import sqlalchemy as sa

from kalshi_pipelines.alerts.messages import moment
from kalshi_pipelines.alerts.scrubbing import neutral, visible
from kalshi_pipelines.errors import ExpectedError
from kalshi_pipelines.news.budget import budget_state
from kalshi_pipelines.news.options import NewsOptions
from kalshi_pipelines.news.searching import search_articles
from kalshi_pipelines.news.targets import targets_of
from kalshi_pipelines.news.tracking import list_tracked, track, untrack
from kalshi_pipelines.settings import Settings, take_env_file
from kalshi_pipelines.units import dollars, now_us
from kalshi_pipelines.warehouse.engine import explain_failures, open_engine
from kalshi_pipelines.warehouse.migrations import require_head

_MOST_LINE: Final = 160


def main(command_line: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status."""
    arguments = _parser().parse_args(command_line)
    command: Callable[[argparse.Namespace, Settings, sa.Engine], None] = arguments.command
    try:
        take_env_file()
        settings = Settings.from_environment()
        engine = open_engine(settings.resolved_warehouse_url)
        try:
            with explain_failures(engine):
                require_head(engine)
                command(arguments, settings, engine)
        finally:
            engine.dispose()
    except ExpectedError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m kalshi_pipelines.news", description="Search and track news.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    search = commands.add_parser("search", help="show the stored articles that contain all given words")
    search.add_argument("words", nargs="+")
    search.add_argument("--most", type=int, default=20, metavar="N", help="show at most N articles (default: 20)")
    search.set_defaults(command=_search)
    track_parser = commands.add_parser("track", help="search for news about a market or event in every run")
    track_parser.add_argument("ticker")
    track_parser.add_argument(
        "--query", action="append", default=[], help="search for this text instead of the titles; can be repeated"
    )
    track_parser.set_defaults(command=_track)
    untrack_parser = commands.add_parser("untrack", help="stop searching for a market or event; keep its articles")
    untrack_parser.add_argument("ticker")
    untrack_parser.set_defaults(command=_untrack)
    commands.add_parser("tracked", help="show the tracked markets and events").set_defaults(command=_list_tracked)
    commands.add_parser("targets", help="show the searches of the next run").set_defaults(command=_targets)
    commands.add_parser("budget", help="show the search budget and the money spent today").set_defaults(command=_budget)
    return parser


def _search(arguments: argparse.Namespace, _settings: Settings, engine: sa.Engine) -> None:
    found = search_articles(engine, " ".join(arguments.words), max(arguments.most, 1))
    for article in found:
        published = "unknown time" if article.published_us is None else moment(article.published_us)
        print(f"{published}  {neutral(article.source_domain, 40)}  {neutral(article.title, _MOST_LINE)}")
        print(f"    {visible(article.url)}")
    if not found:
        print("No article contains all these words.")


def _track(arguments: argparse.Namespace, _settings: Settings, engine: sa.Engine) -> None:
    item = track(engine, arguments.ticker, arguments.query)
    print(f"Tracking {item.item_type} {item.ticker}. Searches: {', '.join(item.queries) or 'its titles'}")


def _untrack(arguments: argparse.Namespace, _settings: Settings, engine: sa.Engine) -> None:
    untrack(engine, arguments.ticker)
    print(f"Stopped tracking {neutral(arguments.ticker, 100)}.")


def _list_tracked(_arguments: argparse.Namespace, _settings: Settings, engine: sa.Engine) -> None:
    items = list_tracked(engine)
    for item in items:
        last = "never" if item.last_collected_us is None else moment(item.last_collected_us)
        queries = neutral("; ".join(item.queries), _MOST_LINE) or "its titles"
        print(f"{item.item_type:<7}{neutral(item.ticker, 80)}  last collected: {last}  searches: {queries}")
    if not items:
        print("Nothing is tracked. Track an item with `python -m kalshi_pipelines.news track TICKER`.")


def _targets(_arguments: argparse.Namespace, settings: Settings, engine: sa.Engine) -> None:
    with engine.connect() as connection:
        targets = targets_of(connection, NewsOptions.from_settings(settings).selected_events)
    for target in targets:
        why = "tracked" if target.is_tracked else "most traded"
        queries = neutral("; ".join(target.queries), _MOST_LINE)
        print(f"{target.item_type:<7}{neutral(target.ticker, 80)}  {why}  {queries}")
    if not targets:
        print("No searches: nothing is tracked, and no event traded in the 24 hours before the last ingest of markets.")


def _budget(_arguments: argparse.Namespace, settings: Settings, engine: sa.Engine) -> None:
    state = budget_state(engine, NewsOptions.from_settings(settings), now_us())
    print(f"Today (UTC) ${dollars(state.spent_today):.4f} of ${dollars(state.day_limit):.4f} are spent or reserved.")
    print(f"${dollars(state.remaining_today):.4f} remain. One run can spend ${dollars(state.run_limit):.4f}.")
    if state.unsettled:
        print(f"{state.unsettled} calls have no known price. Each counts with its reservation.")


if __name__ == "__main__":
    sys.exit(main())
