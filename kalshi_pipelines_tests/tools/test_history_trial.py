"""A small history trial. ``make history-trial`` reads 90 days with 5,000,000 trades."""

import datetime as dt
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from kalshi_pipelines.lake.closing import verify_lake
from kalshi_pipelines.lake.manifest import lake_hash
from kalshi_pipelines_tests.tools.history_trial.__main__ import faults_of, find_holes, run_all
from kalshi_pipelines_tests.tools.history_trial.filled import fill_lake
from kalshi_pipelines_tests.tools.history_trial.holes import (
    PLANTS,
    CompleteLake,
    complete_lake,
    false_holes,
    missed_holes,
    planted_holes,
)
from kalshi_pipelines_tests.tools.history_trial.judge import judge
from kalshi_pipelines_tests.tools.history_trial.tape import Tape, TapeOptions, count_text, price_text, time_text
from kalshi_pipelines_tests.tools.history_trial.trial import Workers

OPTIONS = TapeOptions(days=3, trades=6_000)
DAY = OPTIONS.first_day


def test_killed_workers_leave_exactly_the_trades_of_the_exchange(tmp_path: Path, sqlite_engine: sa.Engine) -> None:
    outcomes, wrong = run_all(tmp_path, OPTIONS, [Workers("killed", 4, requests_a_kill=60, most_kills=2)])
    assert wrong == []
    (outcome,) = outcomes
    assert (outcome.rows, outcome.kills) == (6_000, 2)
    assert outcome.server["faults"]["poisoned"] > 0
    assert len(outcome.server["faults"]) > 1
    # The hash depends on the rows alone, not on how they were read.
    fill_lake(sqlite_engine, tmp_path / "other", Tape(OPTIONS))
    assert lake_hash(sqlite_engine) == outcome.lake_hash


@pytest.mark.parametrize("change", ["missing", "twice", "price", "count", "side", "time", "another day"])
def test_judge_finds_one_wrong_row(sqlite_engine: sa.Engine, tmp_path: Path, change: str) -> None:
    tape = Tape(TapeOptions(days=1, trades=500))
    fill_lake(sqlite_engine, tmp_path, tape)
    assert judge(tmp_path, tape) == {}
    (file,) = (tmp_path / "public_trades").rglob("*.parquet")
    table = pq.read_table(file, partitioning=None)
    names = {"price": "yes_price", "count": "contracts", "side": "taker_side", "time": "created_time"}
    if change in names:
        first, position = table.slice(0, 1), table.schema.get_field_index(names[change])
        values = table[names[change]]
        other = next(value for value in values if value != values[0])
        first = first.set_column(position, table.schema.field(position), pa.array([other.as_py()], other.type))
        table = _joined(first, table.slice(1))
    elif change == "missing":
        table = table.slice(1)
    elif change == "twice":
        table = _joined(table, table.slice(0, 1))
    pq.write_table(table, file)
    if change == "another day":
        other_day = file.parent.with_name(f"date={DAY + dt.timedelta(days=1)}")
        file.parent.rename(other_day)
    assert judge(tmp_path, tape)


def _joined(first: pa.Table, second: pa.Table) -> pa.Table:
    return pa.concat_tables([first, second.cast(first.schema)])


def test_each_planted_hole_is_a_hole_and_is_put_back(tmp_path: Path) -> None:
    made = complete_lake(tmp_path, TapeOptions(days=3, trades=3_000))
    found = []
    for kind, number in planted_holes(made, len(PLANTS), seed=1):
        assert list(judge(tmp_path / "lake", made.tape)) == [f"{made.tape.date(number)}"]
        found.append((kind, len(verify_lake(made.lake, made.engine).problems)))
    # The manifest describes what a faulty read brought, so only the witnesses can notice such a hole.
    assert found == [(kind, int(" file" in kind or "price" in kind)) for kind in PLANTS]
    assert judge(tmp_path / "lake", made.tape) == {}
    assert verify_lake(made.lake, made.engine).problems == ()
    # A check of the manifest alone is no proof of completeness, and must not pass as one.
    assert false_holes(made, differs_from_the_manifest) == []
    missed = missed_holes(made, differs_from_the_manifest, len(PLANTS), seed=1)
    assert [line.split(": ")[1].split(" on ")[0] for line in missed] == [
        "a dropped page",
        "a dropped minute",
        "a day not served",
    ]


def test_proof_finds_each_planted_hole_and_none_in_complete_days(tmp_path: Path) -> None:
    assert find_holes(tmp_path, TapeOptions(days=3, trades=1_500), len(PLANTS)) == []


def differs_from_the_manifest(made: CompleteLake, day: dt.date) -> bool:
    return any(f"date={day}" in problem for problem in verify_lake(made.lake, made.engine).problems)


def test_tape_is_always_the_same_and_has_the_difficult_cases() -> None:
    tape, again = (Tape(OPTIONS) for _ in range(2))
    days = [tape.day(number) for number in range(3)]
    assert [each.records for each in days] == [again.day(number).records for number in range(3)]
    assert sum(len(each.tickers) for each in days) == 6_000
    assert len({each for day in days for each in day.ids}) == 6_000
    for day in days:
        places = list(zip(day.times.tolist(), day.ids, strict=True))
        assert places == sorted(places)
        assert (day.times[1:] == day.times[:-1]).any()
        assert any(price % 10_000 for price in day.prices)
        assert any(count % 100 for count in day.counts)
        assert any(ticker.startswith("KXMVE") for ticker in day.tickers)
    assert any(any(day.are_block) for day in days)
    assert faults_of(OPTIONS) == faults_of(OPTIONS)


def test_values_are_written_as_the_exchange_writes_them() -> None:
    prices = [price_text(each) for each in (570_000, 5_000, 570_037, 1_000_000)]
    assert prices == ["0.5700", "0.0050", "0.570037", "1.0000"]
    assert [count_text(each) for each in (100, 37, 34_349)] == ["1.00", "0.37", "343.49"]
    stamps = ("2026-08-01T00:00:00.720600", "2026-08-01T00:00:10.000000")
    assert [time_text(each) for each in stamps] == ["2026-08-01T00:00:00.7206Z", "2026-08-01T00:00:10Z"]
