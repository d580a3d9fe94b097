"""A program that kills the work on a lake with SIGKILL at every step, and checks lake and warehouse after each kill.

``python -m kalshi_pipelines_tests.support.lake.kill_points CASE FOLDER EVERY [--postgres URL] [--s3 ENDPOINT]`` prints
JSON. ``EVERY`` 1 means each step, 3 each third step.

The work publishes quotes and orderbooks, removes the published rows from the warehouse, and closes the days. In the
case ``replace``, it replaces whole days of quotes instead. A step is
an SQL statement, the time before or after a commit, a file that is about to be opened, renamed, removed, locked or
written to the disk, a row group, a request to the object store, or a size that no file may exceed: the kernel then ends
the process in the middle of a write.

The program forks a child for each step. The parent itself starts no threads and uses neither Arrow nor an object store.
"""

import argparse
import datetime as dt
import json
import os
import resource
import shutil
import signal
import sys
import urllib.request
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from kalshi_pipelines.lake import buffers, parquet, removal, replacing, slots
from kalshi_pipelines.lake.address import open_store
from kalshi_pipelines.lake.buffers import ORDERBOOKS, PRICES
from kalshi_pipelines.lake.closing import close_days, verify_lake
from kalshi_pipelines.lake.history import publish_again, publish_history
from kalshi_pipelines.lake.lake import Lake
from kalshi_pipelines.lake.manifest import lake_files_of
from kalshi_pipelines.lake.object_store import ObjectStore
from kalshi_pipelines.lake.reading import read
from kalshi_pipelines.lake.rebuilding import rebuild_manifest
from kalshi_pipelines.lake.removal import remove_published
from kalshi_pipelines.settings import Settings
from kalshi_pipelines.units import DAY_US, HOUR_US, microseconds
from kalshi_pipelines.warehouse.engine import open_engine, writing
from kalshi_pipelines.warehouse.tables import lake_files, orderbook_snapshots, price_snapshots
from kalshi_pipelines_tests.support.killing import run_in_child
from kalshi_pipelines_tests.support.lake.databases import KilledDatabase, killed_database
from kalshi_pipelines_tests.support.lake.killing import count_steps, stop_at, watch_object_store
from kalshi_pipelines_tests.support.lake.lakes import DAY, MIDNIGHT_US, add_book, add_markets, add_quotes, start_history
from kalshi_pipelines_tests.support.lake.plain_readers import READERS, rows_of_file
from kalshi_pipelines_tests.support.migrated import upgrade_to_head

BUCKET: Final = "bucket"
_PREFIX: Final = "history"
_DATASETS: Final = {"price_history": price_snapshots, "orderbook_levels": orderbook_snapshots}
_KEEP_FROM_US: Final = MIDNIGHT_US + 2 * HOUR_US
_LIMITS: Final = 6

Rows = dict[str, "Counter[str]"]


@dataclass
class Summary:
    """Numbers of steps and of kills, and a message for each kill after which a check failed."""

    steps: int = 0
    kills: int = 0
    left_old: int = 0
    left_new: int = 0
    left_between: int = 0
    killed_while_writing: int = 0
    publishing_left: int = 0
    kinds: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


class Case:
    """A warehouse and a lake that can be restored to their state before the work."""

    def __init__(self, name: str, folder: Path, database: KilledDatabase, endpoint: str | None) -> None:
        self.name, self.folder, self.database, self._endpoint = name, folder, database, endpoint
        self.lake_folder, self._original = folder / "lake", folder / "original-lake"

    def lake(self) -> Lake:
        """Open the lake. Only child processes do this."""
        if self._endpoint is None:
            settings = Settings(lake_dir=self.lake_folder)
        else:
            settings = Settings.model_validate(
                {"lake_url": f"s3://{BUCKET}/{_PREFIX}?endpoint_override={self._endpoint}&region=us-east-1"}
            )
        return Lake(open_store(settings), "sandbox")

    def prepare(self) -> None:
        """Make the state before the work in a child, and keep it."""
        self._empty_bucket()
        self.database.create(lambda url: _in_child_or_fail(lambda: self._make(url)))
        self.download()
        shutil.copytree(self.lake_folder, self._original)

    def _make(self, url: str) -> None:
        engine = open_engine(url)
        upgrade_to_head(engine)
        start_history(engine)
        add_markets(engine, ["A", "Z"])
        lake = self.lake()
        self.set_sizes()
        if self.name != "first":
            for ticker in ("A", "Z"):
                add_quotes(engine, [MIDNIGHT_US - HOUR_US, MIDNIGHT_US + HOUR_US], ticker)
            add_book(engine, MIDNIGHT_US + HOUR_US)
            for each in (PRICES, ORDERBOOKS):
                publish_history(lake, engine, each)
        add_quotes(engine, [MIDNIGHT_US - 1, MIDNIGHT_US, MIDNIGHT_US + 5 * HOUR_US, MIDNIGHT_US + DAY_US], "A")
        add_quotes(engine, [MIDNIGHT_US + 2, MIDNIGHT_US + 5 * HOUR_US + 1], "Z", yes_bid_microdollars=10_000)
        add_book(engine, MIDNIGHT_US + 3 * HOUR_US, "[[570000,1],[560000,7]]", "[[100000,3]]")
        add_book(engine, MIDNIGHT_US + 5 * HOUR_US, "[]", "[]")
        if self.name == "rebuild":
            with writing(engine) as connection:
                connection.execute(sa.delete(lake_files))
        engine.dispose()

    def set_sizes(self) -> None:
        """Make batches, row groups and transactions small, so that there are many steps.

        The program sets constants of the product, because no setting changes them. Only its child processes run on.
        """
        buffers.ROWS_AT_ONCE = 2  # type: ignore[misc]
        removal.ROWS_AT_ONCE = 2  # type: ignore[attr-defined]
        parquet.ROW_GROUP_ROWS = 2  # type: ignore[misc]
        replacing.MOST_DAY_ROWS = 0  # type: ignore[misc]
        if self.name == "hours":
            slots.MOST_DAY_BYTES = 10  # type: ignore[misc]

    def work(self, engine: sa.Engine, lake: Lake) -> None:
        """Publish, remove and close. In the case ``rebuild``, make the manifest again first."""
        self.set_sizes()
        if self.name == "rebuild":
            found = rebuild_manifest(lake, engine)
            if found.problems:
                raise RuntimeError(f"rebuilding found {found.problems}")
            publish_again(engine, PRICES)
        if self.name == "replace":
            self._replace_days(engine, lake)
        else:
            publish_history(lake, engine, PRICES)
        publish_history(lake, engine, ORDERBOOKS)
        remove_published(lake, engine, ORDERBOOKS, MIDNIGHT_US + 9 * DAY_US)
        if self.name != "replace":
            remove_published(lake, engine, PRICES, _KEEP_FROM_US)
        close_days(lake, engine, DAY + dt.timedelta(days=2))

    def _replace_days(self, engine: sa.Engine, lake: Lake) -> None:
        """Make each day of the lake exactly the rows of the warehouse, which still has all of them."""
        with engine.connect() as connection:
            runs = tuple(connection.scalars(sa.select(price_snapshots.c.ingest_run_id).distinct()))
        for number in (-1, 0, 1):
            day = DAY + dt.timedelta(days=number)
            rows = buffers.BufferedRows(engine, PRICES, runs, *PRICES.dataset.bounds_of(day))
            lake.replace_day(engine, PRICES.dataset, day, [rows, rows], "all rows")

    def put_back(self) -> None:
        """Restore the state before the work."""
        self.database.put_back()
        shutil.rmtree(self.lake_folder, ignore_errors=True)
        shutil.copytree(self._original, self.lake_folder)
        if self._endpoint is not None:
            self._empty_bucket()
            for file in self.lake_folder.rglob("*"):
                if file.is_file():
                    self._request("PUT", f"{_PREFIX}/{file.relative_to(self.lake_folder)}", file.read_bytes())

    def download(self) -> None:
        """Copy the objects of the bucket to the lake's folder, so that plain readers can read them."""
        self.lake_folder.mkdir(exist_ok=True)
        if self._endpoint is not None:
            shutil.rmtree(self.lake_folder)
            _in_child_or_fail(self.fetch_objects)

    def fetch_objects(self) -> None:
        """Copy the objects in this process."""
        store = self.lake().store
        self.lake_folder.mkdir()
        mark = store.read_text("lake.json")
        if mark is not None:
            (self.lake_folder / "lake.json").write_text(mark)
        for path in [path for dataset in _DATASETS for path in store.paths(dataset)]:
            with store.fetch(path) as found:
                assert found is not None
                (self.lake_folder / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(found.local, self.lake_folder / path)

    def _empty_bucket(self) -> None:
        if self._endpoint is not None:
            urllib.request.urlopen(  # noqa: S310
                urllib.request.Request(f"{self._endpoint}/moto-api/reset", method="POST")  # noqa: S310
            ).close()
            self._request("PUT", "", b"")

    def _request(self, method: str, path: str, body: bytes) -> None:
        # The local server accepts requests without a valid signature.
        headers = {
            "Authorization": "AWS4-HMAC-SHA256 Credential=k/20261130/us-east-1/s3/aws4_request",
            "Content-Type": "application/octet-stream",
        }
        url = f"{self._endpoint}/{BUCKET}/{path}".rstrip("/")
        request = urllib.request.Request(url, body, headers, method=method)  # noqa: S310
        urllib.request.urlopen(request).close()  # noqa: S310


def _in_child_or_fail(work: Callable[[], None]) -> None:
    if run_in_child(work):
        raise RuntimeError("a step of the preparation failed")


# Checks -------------------------------------------------------------------------------------------------------------


def lake_content(folder: Path) -> dict[str, Counter[str]]:
    """Return the rows of each file of the lake, as plain pyarrow reads them."""
    found = {}
    for dataset in _DATASETS:
        for file in sorted((folder / dataset).rglob("*.parquet")):
            found[file.relative_to(folder).as_posix()] = rows_of_file(file)
    return found


def rows_of_all_files(content: dict[str, Counter[str]], dataset: str) -> Counter[str]:
    """Return the rows of all files of a dataset."""
    return sum((rows for path, rows in content.items() if path.startswith(dataset)), Counter())


def warehouse_content(engine: sa.Engine) -> Rows:
    """Return the rows of the history tables, in the form that the lake's files have."""
    found: Rows = {}
    for buffer in (PRICES, ORDERBOOKS):
        table = buffer.table.c
        query = sa.select(*[table[name] for name in buffer.columns]).order_by(table.ticker, table.observed_us)
        with engine.connect() as connection:
            rows = connection.execute(query).all()
        batch = buffer.batch(rows) if rows else None
        found[buffer.dataset.name] = Counter(map(_as_text, batch.to_pylist() if batch is not None else []))
    return found


def _as_text(row: dict[str, Any]) -> str:
    return repr(
        sorted((name, microseconds(value) if name == "observed_time" else value) for name, value in row.items())
    )


@dataclass(frozen=True)
class Truth:
    """The rows that exist, the files before and after the work, and the rows that the warehouse keeps."""

    rows: Rows
    old: dict[str, Counter[str]]
    new: dict[str, Counter[str]]
    kept: Rows


def check(case: Case, truth: Truth, result: Path, readers: tuple[str, ...]) -> None:
    """Check the state after a kill, repeat the work, and check the state again. Write what was wrong to a file."""
    engine, lake = open_engine(case.database.url), case.lake()
    left = lake_content(case.lake_folder)
    problems = _problems_after_kill(engine, lake, case, truth, left, readers)
    publishing = sum(file.status == "publishing" for file in lake_files_of(engine))
    case.work(engine, lake)
    case.work(engine, lake)
    if case.lake().store.place.startswith("s3:"):
        shutil.rmtree(case.lake_folder)
        case.fetch_objects()
    problems += _problems_after_repair(engine, lake, case, truth)
    between = "old" if left == truth.old else "new" if left == truth.new else "between"
    result.write_text(json.dumps([problems, between, publishing]))
    engine.dispose()


def _problems_after_kill(
    engine: sa.Engine, lake: Lake, case: Case, truth: Truth, left: dict[str, Counter[str]], readers: tuple[str, ...]
) -> list[str]:
    problems = [
        f"{path} is neither old nor new"
        for path, rows in left.items()
        if rows not in (truth.old.get(path), truth.new.get(path))
    ]
    stored = warehouse_content(engine)
    for dataset, expected in truth.rows.items():
        in_lake = rows_of_all_files(left, dataset)
        if any(count > 1 for count in in_lake.values()):
            problems.append(f"{dataset} has a row twice")
        if set(in_lake) | set(stored[dataset]) != set(expected):
            problems.append(f"{dataset} lost or gained a row")
        if not in_lake:
            continue
        problems += [
            f"{name} reads another number of rows of {dataset}"
            for name in readers
            if READERS[name](case.lake_folder / dataset) != sum(in_lake.values())
        ]
        if case.name != "rebuild":
            found = Counter(map(_as_text, read(lake, engine, _dataset(dataset)).read_all().to_pylist()))
            if found != in_lake:
                problems.append(f"the reading functions see other rows of {dataset}")
    return problems


def _dataset(name: str) -> Any:
    return next(buffer.dataset for buffer in (PRICES, ORDERBOOKS) if buffer.dataset.name == name)


def _problems_after_repair(engine: sa.Engine, lake: Lake, case: Case, truth: Truth) -> list[str]:
    problems = []
    now = lake_content(case.lake_folder)
    if now != truth.new:
        problems.append("the next run did not complete the lake")
    if warehouse_content(engine) != truth.kept:
        problems.append("the next run left other rows in the warehouse")
    files = lake_files_of(engine)
    if {file.path for file in files} != set(now):
        problems.append("the manifest names other files")
    if any(file.status != "closed" for file in files):
        problems.append("a past day is not closed")
    problems += verify_lake(lake, engine).problems
    extra = {path.relative_to(case.lake_folder).as_posix() for path in case.lake_folder.rglob("*") if path.is_file()}
    if extra - set(now) - {"lake.json", ".lock"}:
        problems.append(f"files were left: {sorted(extra - set(now))}")
    return problems


# The program --------------------------------------------------------------------------------------------------------


def _work(case: Case, prepare: Callable[[], None] = lambda: None) -> None:
    lake = case.lake()
    engine = open_engine(case.database.url)
    prepare()
    if isinstance(lake.store, ObjectStore):
        watch_object_store(lake.store)
    case.work(engine, lake)


def _learn(case: Case) -> Truth:
    """Run the work without a kill, and return what it does."""
    file = case.folder / "truth.json"

    def before() -> None:
        engine = open_engine(case.database.url)
        file.write_text(json.dumps([warehouse_content(engine), lake_content(case.lake_folder)]))

    def after() -> None:
        _work(case)
        if case.lake().store.place.startswith("s3:"):
            shutil.rmtree(case.lake_folder)
            case.fetch_objects()
        engine = open_engine(case.database.url)
        file.write_text(json.dumps([warehouse_content(engine), lake_content(case.lake_folder)]))

    found = []
    case.put_back()
    for step in (before, after):
        _in_child_or_fail(step)
        found.append([{name: Counter(rows) for name, rows in part.items()} for part in json.loads(file.read_text())])
    (stored, old), (kept, new) = found
    rows = {name: Counter(set(stored[name]) | set(rows_of_all_files(old, name))) for name in _DATASETS}
    for name in _DATASETS:
        if rows_of_all_files(new, name) != rows[name]:
            raise RuntimeError(f"without a kill, the lake does not have all rows of {name}")
    return Truth(rows, old, new, kept)


def run(case: Case, every: int) -> Summary:
    """Kill the work at each step, and return the results."""
    case.prepare()
    truth = _learn(case)
    labels_file = case.folder / "labels.json"
    case.put_back()
    _in_child_or_fail(lambda: _work(case, lambda: count_steps(labels_file)))
    labels: list[str] = json.loads(labels_file.read_text())
    summary = Summary(steps=len(labels), kinds=sorted({label.split()[0] for label in labels}))
    sizes = [file.stat().st_size for file in case.lake_folder.rglob("*.parquet")]
    limits = [max(sizes) * number // _LIMITS for number in range(1, _LIMITS + 1)] if sizes else []
    kills: list[tuple[str, Callable[[], None]]] = [
        (f"step {number}: {labels[number - 1][:100]}", partial(stop_at, number))
        for number in range(1, len(labels) + 1, every)
    ]
    kills += [(f"at {size} bytes", partial(_limit_files, size)) for size in limits]
    for number, (label, prepare) in enumerate(kills):
        readers = tuple(READERS) if number % 10 == 0 else ("pyarrow",)
        _kill(case, truth, label, prepare, readers, summary)
    return summary


def _limit_files(size: int) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def _kill(
    case: Case, truth: Truth, label: str, prepare: Callable[[], None], readers: tuple[str, ...], summary: Summary
) -> None:
    case.put_back()
    status = run_in_child(lambda: _work(case, prepare))
    if not os.WIFSIGNALED(status):
        if not label.startswith("at "):
            summary.wrong.append(f"{label}: the work was not killed")
        return
    summary.kills += 1
    summary.killed_while_writing += os.WTERMSIG(status) == signal.SIGXFSZ
    case.database.wait_for_sessions_to_end()
    case.download()
    result = case.folder / "result.json"
    result.unlink(missing_ok=True)
    if run_in_child(lambda: check(case, truth, result, readers)) or not result.exists():
        summary.wrong.append(f"{label}: the work fails after the kill")
        return
    problems, between, publishing = json.loads(result.read_text())
    summary.wrong += [f"{label}: {problem}" for problem in problems]
    summary.publishing_left += bool(publishing)
    setattr(summary, f"left_{between}", getattr(summary, f"left_{between}") + 1)


def main() -> None:
    """Run the program."""
    parser = argparse.ArgumentParser()
    parser.add_argument("case")
    parser.add_argument("folder", type=Path)
    parser.add_argument("every", type=int)
    parser.add_argument("--postgres")
    parser.add_argument("--s3")
    given = parser.parse_args()
    os.environ |= {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s", "TMPDIR": str(given.folder)}
    with killed_database(given.folder, given.postgres) as database:
        summary = run(Case(given.case, given.folder, database, given.s3), given.every)
    sys.stdout.write(json.dumps(asdict(summary)))


if __name__ == "__main__":
    main()
