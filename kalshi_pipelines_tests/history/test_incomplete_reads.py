"""A read that did not see the whole day, or that was killed, makes nobody believe that it did."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from kalshi_pipelines.bookkeeping.quarantine import unresolved_keys
from kalshi_pipelines.history.errors import HistoryInterrupted, HistoryRefused
from kalshi_pipelines.history.inputs import HistoryInputs
from kalshi_pipelines.history.kinds import PUBLIC_TRADES_KIND
from kalshi_pipelines.history.nightly import plan_upkeep
from kalshi_pipelines.history.partitions import begin_read, partition_of
from kalshi_pipelines.history.proof.checking import check_day
from kalshi_pipelines.history.proof.inputs import ProofInputs
from kalshi_pipelines.history.trades import read_trades, take_new_trades
from kalshi_pipelines.lake.datasets import PUBLIC_TRADES
from kalshi_pipelines.lake.rebuilding import rebuild_manifest
from kalshi_pipelines.units import DAY_US, HOUR_US, SECOND_US
from kalshi_pipelines.warehouse.locks import AlreadyRunning
from kalshi_pipelines_tests.support.history.exchange import (
    DAY_END_US,
    DAY_START_US,
    TapeExchange,
    inputs_for,
    stored_trades,
    tape,
    texts_of_tape,
    time_of,
)
from kalshi_pipelines_tests.support.history.trades import wire_trade

DAY = dt.date(2026, 11, 22)
NOON_S = DAY_START_US // SECOND_US + 12 * 3600


@pytest.fixture
def exchange() -> TapeExchange:
    return TapeExchange(tape(600), cutoff_us=DAY_START_US - 30 * DAY_US)


@pytest.fixture
def inputs(exchange: TapeExchange, sqlite_engine: sa.Engine, tmp_path: Path) -> Iterator[HistoryInputs]:
    with inputs_for(exchange, sqlite_engine, tmp_path) as found:
        yield found


def at(inputs: HistoryInputs, now_us: int) -> HistoryInputs:
    return replace(inputs, clock=lambda: now_us)


def stored(inputs: HistoryInputs) -> list[tuple[str, ...]]:
    return stored_trades(inputs, [DAY])


def residuals(inputs: HistoryInputs) -> list[tuple[str, str]]:
    with inputs.engine.connect() as connection:
        rows = connection.execute(sa.text("SELECT state, found FROM history_residuals")).all()
    return [(row[0], row[1]) for row in rows]


def test_trades_of_a_new_hole_stay_in_the_lake(exchange: TapeExchange, inputs: HistoryInputs) -> None:
    exchange.trades.append(wire_trade(1, created_time="2026-11-22T12:00:10.500000Z"))
    read_trades(inputs, DAY)
    exchange.poisoned = {NOON_S + 10}
    again = read_trades(inputs, DAY)
    assert len(again.holes) == 1
    assert again.removed == 0
    assert stored(inputs) == texts_of_tape(exchange.trades)


def test_trades_after_a_clock_that_went_back_stay_in_the_lake(exchange: TapeExchange, inputs: HistoryInputs) -> None:
    noon = DAY_START_US + 12 * HOUR_US
    exchange.trades = [each for each in exchange.trades if time_of(each) < noon]
    read_trades(at(inputs, noon), DAY)
    again = read_trades(at(inputs, noon - 3 * HOUR_US), DAY)
    assert again.removed == 0
    assert stored(inputs) == texts_of_tape(exchange.trades)


def test_day_with_trades_is_never_replaced_by_an_empty_answer(exchange: TapeExchange, inputs: HistoryInputs) -> None:
    read_trades(inputs, DAY)
    everything, exchange.trades = exchange.trades, []
    with pytest.raises(HistoryRefused, match="no trades of 2026-11-22 any more"):
        read_trades(inputs, DAY)
    assert stored(inputs) == texts_of_tape(everything)
    exchange.trades = everything
    assert read_trades(inputs, DAY).is_closed


def test_refused_trade_of_an_early_window_is_missing_until_it_is_stored(
    exchange: TapeExchange, inputs: HistoryInputs
) -> None:
    good = exchange.trades[7]
    exchange.trades[7] = {**good, "count_fp": "1.005"}
    read_trades(at(inputs, DAY_END_US + HOUR_US), DAY)
    done = take_new_trades(at(inputs, DAY_END_US + 3 * DAY_US), DAY)
    assert (done.refused, residuals(inputs)) == (1, [("missing", "1")])
    exchange.trades[7] = good
    read_trades(inputs, DAY)
    assert (residuals(inputs), unresolved_keys(inputs.engine, "public_trades")) == ([], [])


def test_refused_trade_of_an_open_day_is_stored_when_it_is_mended(
    exchange: TapeExchange, inputs: HistoryInputs
) -> None:
    good = exchange.trades[7]
    exchange.trades[7] = {**good, "count_fp": "1.005"}
    read_trades(at(inputs, DAY_END_US + HOUR_US), DAY)
    exchange.trades[7] = good
    done = take_new_trades(at(inputs, DAY_END_US + 3 * DAY_US), DAY)
    assert (done.added, done.refused, residuals(inputs)) == (1, 0, [])
    assert stored(inputs) == texts_of_tape(exchange.trades)


def test_sides_that_disagree_about_a_whole_day_store_nothing(
    exchange: TapeExchange, inputs: HistoryInputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kalshi_pipelines.history.trade_reading.MOST_REFUSED", 100)
    exchange.trades += [{**each, "count_fp": "99999.00"} for each in exchange.trades]
    with pytest.raises(HistoryRefused, match="More than 100 trades of one day"):
        read_trades(inputs, DAY)
    assert stored(inputs) == []


def test_proof_of_a_day_is_void_after_a_kill_behind_its_replacement(
    exchange: TapeExchange, inputs: HistoryInputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_trades(inputs, DAY)
    with inputs.engine.begin() as connection:
        connection.execute(sa.text("UPDATE history_partitions SET proof = 'proved', checked_us = 1"))
    exchange.trades.append(wire_trade(1))
    with monkeypatch.context() as patched:
        patched.setattr("kalshi_pipelines.history.trades.finish_read", _killed)
        with pytest.raises(KeyboardInterrupt):
            read_trades(inputs, DAY)
    assert len(stored(inputs)) == 601
    read_trades(inputs, DAY)
    known = partition_of(inputs.engine, "public_trades", DAY)
    assert known is not None
    assert known.proof == "not_checked"


def _killed(*_: object) -> None:
    raise KeyboardInterrupt


def test_day_whose_file_is_lost_is_read_again_after_the_manifest_is_rebuilt(
    exchange: TapeExchange, inputs: HistoryInputs
) -> None:
    assert read_trades(inputs, DAY).is_closed
    for file in inputs.lake.files(inputs.engine, PUBLIC_TRADES):
        (inputs.work_folder.parent / "lake" / file.path).unlink()
    rebuild_manifest(inputs.lake, inputs.engine)
    assert stored(inputs) == []
    known = partition_of(inputs.engine, "public_trades", DAY)
    assert known is not None
    assert (known.status, known.proof) == ("open", "not_checked")
    (planned,) = plan_upkeep(at(inputs, DAY_END_US + 1), [PUBLIC_TRADES_KIND]).days[:1]
    assert planned.day == DAY
    take_new_trades(inputs, DAY)
    assert stored(inputs) == texts_of_tape(exchange.trades)


def test_day_cannot_be_checked_while_it_is_read(exchange: TapeExchange, inputs: HistoryInputs) -> None:
    read_trades(inputs, DAY)
    refused: list[bool] = []

    def check(number: int) -> None:
        if not refused:
            refused.append(False)
            with pytest.raises(AlreadyRunning):
                check_day(ProofInputs.of(inputs), DAY)
            refused[0] = True

    exchange.before_answer = check
    read_trades(inputs, DAY)
    assert refused == [True]


@pytest.mark.parametrize("byte", [0, 255])
def test_part_with_damaged_rows_is_read_again(
    exchange: TapeExchange, inputs: HistoryInputs, monkeypatch: pytest.MonkeyPatch, byte: int
) -> None:
    monkeypatch.setattr("kalshi_pipelines.history.trades._PART_ROWS", 1)
    exchange.before_answer = lambda number: setattr(exchange, "is_down", number >= 15)
    with pytest.raises(HistoryInterrupted):
        read_trades(inputs, DAY)
    largest = max(inputs.work_folder.rglob("*.arrow"), key=lambda path: path.stat().st_size)
    content = bytearray(largest.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 4] = bytes([byte]) * 4
    largest.write_bytes(content)
    exchange.before_answer, exchange.is_down = lambda number: None, False
    read_trades(inputs, DAY)
    assert stored(inputs) == texts_of_tape(exchange.trades)


def test_upkeep_reads_a_recent_day_that_was_never_begun(inputs: HistoryInputs) -> None:
    for number in (-30, -2, 0):
        begin_read(inputs.engine, inputs.environment, "public_trades", DAY + dt.timedelta(days=number))
    plan = plan_upkeep(at(inputs, DAY_END_US - 1), [PUBLIC_TRADES_KIND])
    assert [(each.day - DAY).days for each in plan.days if each.day > DAY - dt.timedelta(days=8)][-3:] == [-2, -1, 0]
    assert DAY - dt.timedelta(days=20) not in {each.day for each in plan.days}
