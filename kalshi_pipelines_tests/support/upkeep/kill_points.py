"""A program that kills upkeep, or the move of older history, with SIGKILL at many points, and checks each result.

``python -m kalshi_pipelines_tests.support.upkeep.kill_points CASE FOLDER MOST [POSTGRES_URL]`` prints JSON.

After each kill, every row must be in the warehouse or in the lake, no row may be in the lake twice, and no market may
have left by half. Then the same work runs again and must end in the state of a run that nobody killed.
"""

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import psycopg
import sqlalchemy as sa
from alembic.config import Config

from kalshi_pipelines.lake.buffers import ORDERBOOKS, PRICES
from kalshi_pipelines.upkeep.maintain import maintain, require_complete
from kalshi_pipelines.upkeep.moving import move_history
from kalshi_pipelines.warehouse import tables
from kalshi_pipelines.warehouse.backup import back_up
from kalshi_pipelines.warehouse.engine import open_engine
from kalshi_pipelines.warehouse.locks import AlreadyRunning
from kalshi_pipelines_tests.support.killing import Points, choose_points, run_in_child, watch
from kalshi_pipelines_tests.support.lake.lakes import lake_rows, local_lake
from kalshi_pipelines_tests.support.migrated import upgrade_to_head
from kalshi_pipelines_tests.support.upkeep.older import OLDER, as_in_lake, fill_older
from kalshi_pipelines_tests.support.upkeep.tasks import NOW_US, days_ago, upkeep_inputs
from kalshi_pipelines_tests.support.upkeep.warehouses import (
    add_book_history,
    add_event,
    add_history,
    add_market,
    add_settled,
    insert,
    keys,
    start,
)
from kalshi_pipelines_tests.support.warehouse.revisions import PYPROJECT, Database

#: With this number of points or more, every rename and removal of a file is among them.
_MANY: Final = 100
_FILE_POINTS: Final = ("os.rename", "os.remove")
_SECONDS_FOR_LOCKS: Final = 20
Keys = set[tuple[Any, ...]]
#: Everything that must never be lost: rows by the name of their dataset, or of their table if they have no dataset.
Truth = dict[str, Keys]


@dataclass
class Summary:
    """The counts of tried kill points, and a message for each point at which a check failed."""

    points: int = 0
    statements: int = 0
    left_early: int = 0
    left_late: int = 0
    wrong: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Place:
    """A warehouse and its lake."""

    url: str
    folder: Path

    def work(self, case: str) -> None:
        """Do the work of the case once."""
        engine = open_engine(self.url)
        try:
            if case == "upgrade":
                move_history(engine, local_lake(self.folder / "lake"), self.folder / "lake", 7, NOW_US, _ignore)
            else:
                inputs = upkeep_inputs(engine, lake=local_lake(self.folder / "lake"), old_folder=self.folder / "lake")
                require_complete(maintain(inputs))
        finally:
            engine.dispose()

    def work_again(self, case: str) -> None:
        """Do the work once the server has noticed that the killed process is gone."""
        ends_at = time.monotonic() + _SECONDS_FOR_LOCKS
        while True:
            try:
                self.work(case)
            except AlreadyRunning:
                if time.monotonic() > ends_at:
                    raise
                time.sleep(0.02)
            else:
                return

    def state(self) -> dict[str, list[str]]:
        """Return everything that is stored, except times of this test run and the manifest's hashes."""
        engine = open_engine(self.url)
        volatile = {"lake_files", "warehouse_identity", "alembic_version", "superseded_files", "sqlite_stat1"}
        try:
            with engine.connect() as connection:
                names = sorted(table.name for table in tables.metadata.sorted_tables if table.name not in volatile)
                found = {
                    name: sorted(map(_as_text, connection.exec_driver_sql(f"SELECT * FROM {name}"))) for name in names
                }
        finally:
            engine.dispose()
        for dataset in ("price_history", "orderbook_levels", "settled_markets", "past_events", "missing_markets"):
            found[f"lake {dataset}"] = sorted(map(str, lake_rows(self.folder / "lake", dataset)))
        return found


def _ignore(_sentence: str) -> None:
    pass


def _as_text(row: Sequence[Any]) -> str:
    # Times of this test run are later than every time of the test's warehouse.
    return repr(tuple("now" if isinstance(value, int) and value > NOW_US else value for value in row))


def make_maintained(place: Place) -> None:
    """Fill a new warehouse with settled, traded and live markets, history rows, books, events and old records."""
    engine = open_engine(place.url)
    upgrade_to_head(engine)
    start(engine)
    for number in range(6):
        add_event(engine, f"E{number}")
        add_settled(engine, f"OLD{number}", 31 + number % 2, f"E{number}")
        add_settled(engine, f"NEW{number}", 5, f"E{number}" if number % 2 else "E0")
    add_settled(engine, "TRADED", 40, "E1")
    add_market(engine, "LIVE", "E1")
    for number in range(3):
        add_market(engine, f"LOST{number}", "E2", missing_since_us=days_ago(33 + number % 2), status="active")
    insert(engine, tables.trades, {"ticker": "TRADED", "position_id": None})
    for day in (33, 12, 9, 3):
        add_history(engine, "OLD0" if day == 33 else "LIVE", [days_ago(day) + 1_000 * each for each in range(40)])
        add_book_history(engine, "LIVE", [days_ago(day) + 1_000 * each for each in range(10)])
    insert(engine, tables.quarantine, {"resolved_us": 1}, {"record_key": "OPEN", "resolved_us": None})
    engine.dispose()
    if engine.dialect.name == "sqlite":
        for _ in range(5):
            back_up(Path(str(engine.url.database)), "0001")


def truth_of_maintained(place: Place) -> Truth:
    """Return the keys of everything in the warehouse that must not be lost."""
    engine = open_engine(place.url)
    books = _pairs(engine, tables.orderbook_snapshots)
    truth = {
        "price_history": _pairs(engine, tables.price_snapshots),
        "orderbook_levels": books,
        "settled_markets": {(ticker,) for ticker in keys(engine, tables.settlements)},
        "past_events": {(event,) for event in keys(engine, tables.events)},
        "missing_markets": {(ticker,) for ticker in keys(engine, tables.markets) if ticker.startswith("LOST")},
    }
    engine.dispose()
    return truth


def _pairs(engine: sa.Engine, table: sa.Table) -> Keys:
    with engine.connect() as connection:
        return set(map(tuple, connection.execute(sa.select(table.c.ticker, table.c.observed_us))))


def make_older(place: Place) -> None:
    """Fill a warehouse of the older version, and upgrade its schema."""
    engine = open_engine(place.url)
    os.environ["KALSHI_WAREHOUSE_URL"] = place.url
    database = Database(engine, Config(toml_file=PYPROJECT))
    database.upgrade(OLDER)
    rows = fill_older(database, place.folder / "lake", rows_a_day=24)
    for buffer, table in ((PRICES, "price_snapshots"), (ORDERBOOKS, "orderbook_snapshots")):
        assert as_in_lake(buffer, rows[table])
    database.upgrade()
    del os.environ["KALSHI_WAREHOUSE_URL"]
    engine.dispose()


def truth_of_older(place: Place) -> Truth:
    """Return the keys of all history rows."""
    engine = open_engine(place.url)
    truth = {
        "price_history": _pairs(engine, tables.price_snapshots),
        "orderbook_levels": _pairs(engine, tables.orderbook_snapshots),
    }
    engine.dispose()
    return truth


CASES: Final[dict[str, tuple[Callable[[Place], None], Callable[[Place], Truth]]]] = {
    "maintain": (make_maintained, truth_of_maintained),
    "upgrade": (make_older, truth_of_older),
}


def problems_of(place: Place, truth: Truth) -> list[str]:
    """Return a sentence for each row that is lost, doubled, or left by half."""
    engine = open_engine(place.url)
    try:
        stored = truth_of_maintained(place)
        halves = [
            f"{table.name} of {ticker} is gone"
            for table in (tables.quotes, tables.markets)
            for (ticker,) in (stored["settled_markets"] | stored["missing_markets"])
            - {(key,) for key in keys(engine, table)}
        ]
    finally:
        engine.dispose()
    found = list(halves)
    for dataset, expected in truth.items():
        rows = lake_rows(place.folder / "lake", dataset)
        lake = [_key(dataset, row) for row in rows]
        whole = {(*key, row.get("side"), row.get("price")) for key, row in zip(lake, rows, strict=True)}
        if len(whole) != len(rows):
            found.append(f"{len(rows) - len(whole)} rows of {dataset} are in the lake twice")
        if missing := expected - stored[dataset] - set(lake):
            found.append(f"{len(missing)} rows of {dataset} are lost, such as {min(missing)}")
        if strange := set(lake) - expected:
            found.append(f"{len(strange)} rows of {dataset} came from nowhere, such as {min(strange)}")
    return found


def _key(dataset: str, row: dict[str, Any]) -> tuple[Any, ...]:
    if dataset == "past_events":
        return (row["event_ticker"],)
    if dataset in ("settled_markets", "missing_markets"):
        return (row["ticker"],)
    return row["ticker"], round(row["observed_time"].timestamp() * 1_000_000)


class _Case:
    """A case: its original state, and a copy of it that is worked on and killed."""

    def __init__(self, name: str, folder: Path, url: str) -> None:
        self.name, self._url, self._scratch = name, url, folder / "answer.json"
        self._original, self._work = folder / "original", folder / "work"
        self._original.mkdir()
        self._admin = psycopg.connect(_conninfo(url), autocommit=True) if url else None
        make, truth = CASES[name]
        original = self._place("original")
        self._create("original", "template0")
        if self.in_child(lambda: make(original)):
            raise RuntimeError(f"the case {name} cannot be made")
        self.truth = {dataset: set(map(tuple, found)) for dataset, found in self.ask(lambda: _plain(truth(original)))}

    def _database(self, name: str) -> str:
        return f"kill_upkeep_{self.name}_{name}"

    def _place(self, name: str) -> Place:
        folder = self._original if name == "original" else self._work
        if not self._url:
            return Place(f"sqlite:///{folder / 'warehouse.db'}", folder)
        url = sa.make_url(self._url).set(database=self._database(name))
        return Place(url.render_as_string(hide_password=False), folder)

    @property
    def place(self) -> Place:
        """The copy that is worked on."""
        return self._place("work")

    def _create(self, name: str, template: str) -> None:
        if self._admin:
            self._drop(name)
            made = f"CREATE DATABASE {self._database(name)} TEMPLATE {template} STRATEGY file_copy"
            self._admin.execute(made.encode())

    def _drop(self, name: str) -> None:
        if self._admin:
            self._admin.execute(f"DROP DATABASE IF EXISTS {self._database(name)} WITH (FORCE)".encode())

    def put_back(self) -> None:
        """Restore the original state."""
        shutil.rmtree(self._work, ignore_errors=True)
        shutil.copytree(self._original, self._work)
        self._create("work", self._database("original"))

    def close(self) -> None:
        """Drop the databases of a Postgres case."""
        for name in ("work", "original"):
            self._drop(name)
        if self._admin:
            self._admin.close()

    def in_child(self, work: Callable[[], None]) -> int:
        """Run a function in a forked process. This process never uses pyarrow, whose threads a fork would lose."""
        return run_in_child(work)

    def ask(self, question: Callable[[], Any]) -> Any:
        """Return the answer of a function that runs in a forked process."""
        self._scratch.unlink(missing_ok=True)
        if self.in_child(lambda: self._answer(question)):
            raise RuntimeError(f"the case {self.name} failed")
        return json.loads(self._scratch.read_text())

    def _answer(self, question: Callable[[], Any]) -> None:
        self._scratch.write_text(json.dumps(question()))


def _plain(truth: Truth) -> list[tuple[str, list[tuple[Any, ...]]]]:
    return [(dataset, sorted(found)) for dataset, found in truth.items()]


def _conninfo(url: str) -> str:
    parts = sa.make_url(url)
    host = str(parts.query.get("host") or parts.host or "")
    return psycopg.conninfo.make_conninfo(user=parts.username, password=parts.password, host=host, dbname="postgres")


def _labels(case: _Case) -> list[str]:
    def count() -> list[str]:
        points = Points()
        watch(points)
        case.place.work(case.name)
        return list(points.labels)

    case.put_back()
    found: list[str] = case.ask(count)
    return found


def _kill_at(case: _Case, point: int) -> None:
    def work() -> None:
        watch(Points(fatal=point))
        case.place.work(case.name)

    status = case.in_child(work)
    # Postgres and the file system may make a run differ slightly from the counted one.
    if status and not (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL):
        raise RuntimeError(f"point {point}: the process ended with {status}")


def _check(case: _Case, expected: dict[str, list[str]], where: str, summary: Summary) -> None:
    def judge() -> dict[str, Any]:
        place = case.place
        killed, problems = place.state(), problems_of(place, case.truth)
        place.work_again(case.name)
        problems += [f"after the next run: {problem}" for problem in problems_of(place, case.truth)]
        done = place.state()
        problems += [f"{name} differs after the next run" for name in expected if done[name] != expected[name]]
        return {"problems": problems, "is_done": killed == expected}

    found = case.ask(judge)
    summary.points += 1
    summary.left_late += found["is_done"]
    summary.left_early += not found["is_done"]
    summary.wrong += [f"{where}: {problem}" for problem in found["problems"]]


def kill_everywhere(name: str, folder: Path, most: int, url: str) -> Summary:
    """Kill the work of a case at about ``most`` points, and return the results."""
    with closing(_Case(name, folder, url)) as case:
        labels = _labels(case)
        expected = case.ask(case.place.state)
        summary = Summary(statements=len(labels))
        for point in choose_points(labels, most, _FILE_POINTS if most >= _MANY else ()):
            case.put_back()
            _kill_at(case, point)
            label = " ".join(labels[point - 1].split())
            _check(case, expected, f"point {point} of {len(labels)}, {label[:100]}", summary)
    return summary


def main() -> None:
    """Run the case given on the command line, and print its results as JSON."""
    case, folder, most, *url = sys.argv[1:]
    summary = kill_everywhere(case, Path(folder), int(most), url[0] if url else "")
    sys.stdout.write(json.dumps(asdict(summary)))


if __name__ == "__main__":
    main()
