"""Commands of history: which days were read, which are complete, and which time the exchange did not serve."""

import argparse
import datetime as dt
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Final

from kalshi_pipelines.cli.opening import opened_warehouse
from kalshi_pipelines.history.partitions import Partition, partitions_of, windows_read
from kalshi_pipelines.settings import Settings
from kalshi_pipelines.warehouse.migrations import require_head

_ONE_DAY: Final = dt.timedelta(days=1)
_NOT_READ: Final = "not read"


def status(settings: Settings, given: argparse.Namespace) -> int:
    """Print the days of history that were read, and every hole. Return 1 if a hole or a missing row is known."""
    with opened_warehouse(settings) as engine:
        require_head(engine)
        partitions = partitions_of(engine, given.dataset)
        holes = {
            (each.dataset, each.day): [
                window for window in windows_read(engine, each.dataset, each.day) if window.problem
            ]
            for each in partitions
            if each.holes
        }
    if not partitions:
        print("No day of history was read yet. Start the job backfill_history.")
        return 0
    print(f"{'dataset':<16} {'days':<24} {'number':>6} {'status':<9} {'proof':<12} {'rows':>14} {'holes':>6}")
    for line in _days(partitions) if given.days else _spans(partitions):
        print(line)
    for (dataset, day), windows in holes.items():
        for window in windows:
            print(f"hole in {dataset} {day}: {window.window}: {window.problem}")
    return 1 if holes or any(each.proof == "missing" for each in partitions) else 0


def _days(partitions: Iterable[Partition]) -> Iterator[str]:
    for each in partitions:
        yield _line(each.dataset, [each])


def _spans(partitions: Iterable[Partition]) -> Iterator[str]:
    """Yield one line for each span of days that follow each other and have the same status, and for each gap."""
    for dataset, of_dataset in groupby(partitions, key=lambda each: each.dataset):
        span: list[Partition] = []
        for each in of_dataset:
            if span and (each.status, each.proof, each.day) != (span[0].status, span[0].proof, span[-1].day + _ONE_DAY):
                yield _line(dataset, span)
                if each.day > span[-1].day + _ONE_DAY:
                    yield _gap(dataset, span[-1].day + _ONE_DAY, each.day - _ONE_DAY)
                span = []
            span.append(each)
        yield _line(dataset, span)


def _line(dataset: str, span: list[Partition]) -> str:
    rows, holes = sum(each.rows for each in span), sum(each.holes for each in span)
    proof = span[0].proof.replace("_", " ")
    days = f"{_days_text(span[0].day, span[-1].day):<24} {len(span):>6,}"
    return f"{dataset:<16} {days} {span[0].status:<9} {proof:<12} {rows:>14,} {holes:>6,}"


def _gap(dataset: str, first: dt.date, last: dt.date) -> str:
    return f"{dataset:<16} {_days_text(first, last):<24} {(last - first).days + 1:>6,} {_NOT_READ}"


def _days_text(first: dt.date, last: dt.date) -> str:
    return str(first) if first == last else f"{first} - {last}"
