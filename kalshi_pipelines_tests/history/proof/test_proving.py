"""The proof of days: planted holes are found and named, complete days are proved, and the results are recorded."""

import datetime as dt
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from kalshi_pipelines.history.partitions import REFUSED, partition_of
from kalshi_pipelines.history.proof.checking import check_day
from kalshi_pipelines.history.proof.inputs import ProofInputs
from kalshi_pipelines.history.proof.proving import prove_day
from kalshi_pipelines.history.proof.recording import residuals_of
from kalshi_pipelines.history.proof.residuals import State, Verdict
from kalshi_pipelines.history.proof.volumes import check_volumes, covered, settled_markets_of
from kalshi_pipelines.lake.datasets import CANDLESTICKS_1M, PUBLIC_TRADES
from kalshi_pipelines.units import HOUR_US
from kalshi_pipelines.warehouse.engine import writing
from kalshi_pipelines.warehouse.tables import history_partitions, history_residuals, history_windows
from kalshi_pipelines_tests.tools.history_trial.filled import batch_of
from kalshi_pipelines_tests.tools.history_trial.holes import PLANTS, CompleteLake, complete_lake, planted_holes
from kalshi_pipelines_tests.tools.history_trial.tape import TapeOptions

DAYS = 5
#: A day in the life of markets that are settled later, so that both witnesses speak about it.
NUMBER = 3


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> CompleteLake:
    return complete_lake(tmp_path_factory.mktemp("complete"), TapeOptions(days=DAYS, trades=1_500))


@pytest.fixture
def day(made: CompleteLake) -> Iterator[dt.date]:
    """A day that a test may damage."""
    yield made.tape.date(NUMBER)
    made.put_back(NUMBER)


def inputs_of(made: CompleteLake) -> ProofInputs:
    return ProofInputs(made.engine, made.lake, sums_folder=made.folder / "sums")


def without_row(made: CompleteLake, row: int) -> Any:
    """Publish the day without a row, and return the row."""
    rows = batch_of(made.tape.day(NUMBER))
    kept = [each for each in range(rows.num_rows) if each != row]
    made.publish(NUMBER, rows.take(kept))
    return rows.slice(row, 1).to_pylist()[0]


def change(engine: sa.Engine, dataset: str, day: dt.date, **values: Any) -> None:
    columns = history_partitions.c
    where = sa.and_(columns.dataset == dataset, columns.partition_date == day.isoformat())
    with writing(engine) as connection:
        connection.execute(sa.update(history_partitions).where(where).values(values))


def test_complete_days_are_proved(made: CompleteLake) -> None:
    proofs = [prove_day(inputs_of(made), made.tape.date(number)) for number in range(DAYS)]
    assert [(each.verdict, each.residuals) for each in proofs] == [(Verdict.PROVED, ())] * DAYS
    assert all(each.figures["minutes_compared"] > 0 for each in proofs)
    assert proofs[NUMBER].figures["volumes_equal"] == proofs[NUMBER].figures["volumes_compared"] > 0


def test_each_kind_of_planted_hole_is_found(made: CompleteLake) -> None:
    found = {kind: prove_day(inputs_of(made), made.tape.date(day)) for kind, day in planted_holes(made, len(PLANTS), 3)}
    assert {kind: proof.verdict for kind, proof in found.items()} == dict.fromkeys(PLANTS, Verdict.MISSING)


def test_removed_trade_is_named_by_its_market_and_minute(made: CompleteLake, day: dt.date) -> None:
    row = without_row(made, 17)
    named = {(each.ticker, each.kind) for each in prove_day(inputs_of(made), day).missing}
    minute = row["created_time"].replace(second=0, microsecond=0) + dt.timedelta(minutes=1)
    assert (row["ticker"], f"candlestick of the minute that ends at {minute:%Y-%m-%dT%H:%MZ}") in named
    assert {ticker for ticker, _ in named} == {row["ticker"]}


def test_lost_market_is_found_by_its_volume_without_candlesticks(made: CompleteLake, day: dt.date) -> None:
    """The read of candlesticks asks only for markets that were traded by the trades of the lake."""
    markets = {each.market.ticker for each in volumes_of(made, day)}
    rows = batch_of(made.tape.day(NUMBER))
    ticker = next(each for each in rows["ticker"].to_pylist() if each in markets)
    kept = [place for place, each in enumerate(rows["ticker"].to_pylist()) if each != ticker]
    made.publish(NUMBER, rows.take(kept))
    change(made.engine, CANDLESTICKS_1M.name, day, read_until_us=None, read_from_us=None)
    proof = prove_day(inputs_of(made), day)
    change(made.engine, CANDLESTICKS_1M.name, day, read_from_us=1, read_until_us=CANDLESTICKS_1M.bounds_of(day)[1] - 1)
    assert [(each.ticker, each.kind) for each in proof.missing] == [(ticker, "volume")]


def volumes_of(made: CompleteLake, day: dt.date) -> list[Any]:
    days = [made.tape.date(number) for number in range(DAYS)]
    wanted = [each for each in settled_markets_of(made.lake, made.engine, day).values() if covered(each, days)]
    return check_volumes(made.lake, made.engine, wanted, days, None, day)


def test_day_without_a_witness_is_not_checked(made: CompleteLake, day: dt.date) -> None:
    change(made.engine, CANDLESTICKS_1M.name, day, read_until_us=None, read_from_us=None)
    proof = prove_day(inputs_of(made), day)
    change(made.engine, CANDLESTICKS_1M.name, day, read_from_us=1, read_until_us=CANDLESTICKS_1M.bounds_of(day)[1] - 1)
    assert proof.verdict is Verdict.NOT_CHECKED
    assert [each.state for each in proof.residuals] == [State.NOT_SERVED]


def test_day_that_was_not_read_to_its_end_is_missing(made: CompleteLake, day: dt.date) -> None:
    change(made.engine, PUBLIC_TRADES.name, day, read_until_us=PUBLIC_TRADES.bounds_of(day)[1] - 1_000_000)
    assert prove_day(inputs_of(made), day).verdict is Verdict.MISSING


def test_other_days_of_a_market_stay_clear_if_their_candlesticks_agree(made: CompleteLake, day: dt.date) -> None:
    before = made.tape.day(NUMBER - 1)
    four_us = PUBLIC_TRADES.bounds_of(day - dt.timedelta(days=1))[0] + 4 * HOUR_US
    halves: list[set[str]] = [set(), set()]
    for ticker, time_us in zip(before.tickers, before.times.tolist(), strict=True):
        halves[time_us > four_us].add(ticker)  # midnight in New York
    settled = {each.market.ticker for each in volumes_of(made, day)}
    tickers = batch_of(made.tape.day(NUMBER))["ticker"].to_pylist()
    row = next(row for row, ticker in enumerate(tickers) if ticker in settled & halves[0] & halves[1])
    without_row(made, row)
    proof = prove_day(inputs_of(made), day - dt.timedelta(days=1))
    assert proof.verdict is Verdict.EXPLAINED
    assert [(each.ticker, each.kind) for each in proof.residuals] == [(tickers[row], "volume")]


def test_results_are_recorded_and_vanish_when_the_day_is_complete(made: CompleteLake, day: dt.date) -> None:
    without_row(made, 5)
    inputs = inputs_of(made)
    proof = check_day(inputs, day)
    known = partition_of(made.engine, PUBLIC_TRADES.name, day)
    assert known is not None
    assert known.proof == Verdict.MISSING
    assert known.figures["proof"]["differences_missing"] == len(proof.missing) > 0
    assert residuals_of(made.engine, PUBLIC_TRADES.name, day) == list(proof.residuals)
    made.put_back(NUMBER)
    assert check_day(inputs, day).verdict is Verdict.PROVED
    assert residuals_of(made.engine, PUBLIC_TRADES.name, day) == []


def test_refused_records_of_the_read_stay_and_keep_the_day_red(made: CompleteLake, day: dt.date) -> None:
    key = {"dataset": PUBLIC_TRADES.name, "partition_date": day.isoformat()}
    with writing(made.engine) as connection:
        connection.execute(
            sa.insert(history_residuals),
            {**key, "ticker": "", "kind": REFUSED, "state": "missing", "expected": "0", "found": "1"}
            | {"explanation": "why", "first_seen_us": 1},
        )
    assert check_day(inputs_of(made), day).verdict is Verdict.MISSING
    assert [each.kind for each in residuals_of(made.engine, PUBLIC_TRADES.name, day)] == [REFUSED]
    with writing(made.engine) as connection:
        connection.execute(sa.delete(history_residuals))


def test_hole_of_the_read_is_listed_as_not_served(made: CompleteLake, day: dt.date) -> None:
    start_us, _ = PUBLIC_TRADES.bounds_of(day)
    row = {"dataset": PUBLIC_TRADES.name, "partition_date": day.isoformat(), "start_us": start_us}
    row |= {"end_us": start_us + 1_000_000, "state": "hole", "source": "live", "rows": 0, "read_us": 1}
    with writing(made.engine) as connection:
        connection.execute(sa.insert(history_windows), row | {"problem": "The exchange answered 504."})
    proof = prove_day(inputs_of(made), day)
    with writing(made.engine) as connection:
        connection.execute(sa.delete(history_windows))
    assert proof.verdict is Verdict.EXPLAINED
    assert [(each.state, each.explanation) for each in proof.residuals] == [
        (State.NOT_SERVED, "The exchange answered 504.")
    ]
