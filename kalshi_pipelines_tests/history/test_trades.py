import datetime as dt
import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from kalshi_pipelines.bookkeeping.quarantine import unresolved_keys
from kalshi_pipelines.history.errors import HistoryInterrupted, HistoryRefused, InvalidRange
from kalshi_pipelines.history.inputs import HistoryInputs
from kalshi_pipelines.history.partitions import partition_of, windows_read
from kalshi_pipelines.history.trades import read_trades, take_new_trades
from kalshi_pipelines.lake.manifest import lake_hash
from kalshi_pipelines.units import DAY_US, HOUR_US, SECOND_US
from kalshi_pipelines_tests.support.history.exchange import (
    DAY_END_US,
    DAY_START_US,
    LATER_US,
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
    return TapeExchange(tape(3_000), cutoff_us=DAY_START_US - 30 * DAY_US)


@pytest.fixture
def inputs(exchange: TapeExchange, sqlite_engine: sa.Engine, tmp_path: Path) -> Iterator[HistoryInputs]:
    with inputs_for(exchange, sqlite_engine, tmp_path) as found:
        yield found


def at(inputs: HistoryInputs, now_us: int) -> HistoryInputs:
    return replace(inputs, clock=lambda: now_us)


def stored(inputs: HistoryInputs) -> list[tuple[str, ...]]:
    return stored_trades(inputs, [DAY])


def test_a_day_in_the_lake_is_exactly_the_day_of_the_exchange(exchange: TapeExchange, inputs: HistoryInputs) -> None:
    exchange.trades += tape(50, DAY_START_US - HOUR_US, DAY_START_US, seed=8)
    exchange.trades += tape(50, DAY_END_US, DAY_END_US + HOUR_US, seed=9)
    done = read_trades(inputs, DAY)
    assert stored(inputs) == texts_of_tape(exchange.trades[:3_000])
    assert (done.rows, done.added, done.removed, done.refused, done.holes) == (3_000, 3_000, 0, 0, ())
    assert done.is_closed
    known = partition_of(inputs.engine, "public_trades", DAY)
    assert known is not None
    assert (known.status, known.rows, known.holes, known.proof) == ("closed", 3_000, 0, "not_checked")
    assert known.read_until_us == DAY_END_US
    assert not windows_read(inputs.engine, "public_trades", DAY)
    assert not list(inputs.work_folder.rglob("*.arrow"))


def test_a_day_that_is_read_again_is_the_same(inputs: HistoryInputs) -> None:
    one, other = read_trades(inputs, DAY), read_trades(inputs, DAY)
    assert (other.added, other.removed, other.changed) == (0, 0, 0)
    assert other.content_sha256 == one.content_sha256
    assert other.is_closed


@pytest.mark.parametrize("hours", [-2, 0, 5, 12, 24, 26, 47, 49])
@pytest.mark.parametrize("has_exact_bounds", [False, True])
def test_every_trade_is_found_wherever_the_cutoff_is(
    exchange: TapeExchange, inputs: HistoryInputs, hours: int, has_exact_bounds: bool
) -> None:
    exchange.has_exact_bounds = has_exact_bounds
    exchange.cutoff_us = DAY_START_US + hours * HOUR_US
    read_trades(inputs, DAY)
    assert stored(inputs) == texts_of_tape(exchange.trades)


def test_only_the_side_that_serves_a_day_is_asked(exchange: TapeExchange, inputs: HistoryInputs) -> None:
    read_trades(inputs, DAY)
    assert exchange.windows_asked()
    assert not exchange.windows_asked("/historical/trades")
    exchange.cutoff_us = LATER_US
    exchange.asked.clear()
    read_trades(inputs, DAY)
    assert not exchange.windows_asked()
    assert exchange.windows_asked("/historical/trades")


@pytest.mark.parametrize("request_number", [2, 3, 5, 9, 14, 20, 25])
@pytest.mark.parametrize("moves_by", [DAY_US, 3 * DAY_US])
def test_a_cutoff_that_moves_during_the_read_loses_no_trade(
    exchange: TapeExchange, inputs: HistoryInputs, request_number: int, moves_by: int
) -> None:
    exchange.cutoff_us = DAY_START_US - DAY_US

    def move(number: int) -> None:
        if number == request_number:
            exchange.cutoff_us += moves_by

    exchange.before_answer = move
    read_trades(inputs, DAY)
    assert stored(inputs) == texts_of_tape(exchange.trades)


def test_windows_are_never_longer_than_an_hour_and_overlap_by_seconds(
    exchange: TapeExchange, inputs: HistoryInputs
) -> None:
    read_trades(inputs, DAY)
    asked = exchange.windows_asked()
    assert all(end - start <= 3_601 for start, end in asked)
    assert all(later[0] == earlier[1] - 1 for earlier, later in itertools.pairwise(asked))
    assert asked[0][0] == DAY_START_US // SECOND_US - 1
    assert asked[-1][1] == DAY_END_US // SECOND_US


def test_poisoned_second_is_the_only_hole_and_the_rest_is_kept(exchange: TapeExchange, inputs: HistoryInputs) -> None:
    beside = [
        wire_trade(number, created_time=f"2026-11-22T12:00:{second:02}.{fraction}Z")
        for number, (second, fraction) in enumerate([(9, "5"), (10, "0"), (10, "25"), (11, "75"), (12, "0")])
    ]
    exchange.trades = [each for each in exchange.trades if not NOON_S <= time_of(each) // SECOND_US < NOON_S + 60]
    exchange.trades += beside
    exchange.poisoned = {NOON_S + 10}
    done = read_trades(inputs, DAY)
    kept = [each for each in exchange.trades if time_of(each) // SECOND_US != NOON_S + 10]
    assert [row[0] for row in stored(inputs)] == [row[0] for row in texts_of_tape(kept)]
    (hole,) = done.holes
    assert hole.startswith("2026-11-22T12:00:10Z to 2026-11-22T12:00:11Z: GET /markets/trades")
    assert "504" in hole
    (window,) = windows_read(inputs.engine, "public_trades", DAY)
    assert window.problem
    assert done.is_closed  # the exchange failed for a week


def test_second_beside_a_poisoned_one_is_a_hole_if_nothing_shows_that_it_is_whole(
    exchange: TapeExchange, inputs: HistoryInputs
) -> None:
    exchange.has_exact_bounds = True
    exchange.trades = [
        wire_trade(1, created_time="2026-11-22T12:00:09.5Z"),
        wire_trade(2, created_time="2026-11-22T12:00:10.0Z"),
    ]
    exchange.poisoned = {NOON_S + 10}
    done = read_trades(inputs, DAY)
    assert [each[:44] for each in done.holes] == ["2026-11-22T12:00:09Z to 2026-11-22T12:00:12Z"]
    assert stored(inputs) == []


def test_hole_is_filled_when_the_exchange_serves_it_again(exchange: TapeExchange, inputs: HistoryInputs) -> None:
    exchange.trades.append(wire_trade(1, created_time="2026-11-22T12:00:10.500000Z"))
    exchange.poisoned = {NOON_S + 10}
    soon = at(inputs, DAY_END_US + 3 * DAY_US)
    done = read_trades(soon, DAY)
    assert (len(done.holes), done.is_closed) == (1, False)
    exchange.poisoned.clear()
    exchange.asked.clear()
    again = take_new_trades(soon, DAY)
    assert (again.added, again.holes, again.is_closed) == (1, (), True)
    assert stored(inputs) == texts_of_tape(exchange.trades)
    assert len(exchange.windows_asked()) == 1


def test_exchange_that_is_down_ends_the_read_and_the_next_run_continues(
    exchange: TapeExchange, inputs: HistoryInputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kalshi_pipelines.history.trades._PART_ROWS", 1)

    def fail(number: int) -> None:
        exchange.is_down = number >= 15

    exchange.before_answer = fail
    with pytest.raises(HistoryInterrupted, match="does not answer"):
        read_trades(inputs, DAY)
    assert stored(inputs) == []
    known = partition_of(inputs.engine, "public_trades", DAY)
    assert known is not None
    assert known.status == "reading"
    read_before = exchange.windows_asked()[:-2]
    exchange.before_answer, exchange.is_down = lambda number: None, False
    exchange.asked.clear()
    read_trades(inputs, DAY)
    assert stored(inputs) == texts_of_tape(exchange.trades)
    assert exchange.windows_asked()[0][0] >= read_before[-1][1] - 1


def test_long_outage_of_one_stretch_ends_the_read(exchange: TapeExchange, inputs: HistoryInputs) -> None:
    exchange.trades = [
        wire_trade(number, created_time=f"2026-11-22T12:{number // 60:02}:{number % 60:02}.5Z") for number in range(300)
    ]
    exchange.poisoned = {NOON_S + second for second in range(300)}
    with pytest.raises(HistoryInterrupted, match="60 seconds up to"):
        read_trades(inputs, DAY)


def test_refused_trade_goes_to_the_quarantine_and_leaves_it_when_it_is_stored(
    exchange: TapeExchange, inputs: HistoryInputs
) -> None:
    good = exchange.trades[7]
    exchange.trades[7] = {**good, "count_fp": "1.005"}
    done = read_trades(inputs, DAY)
    assert (done.rows, done.refused) == (2_999, 1)
    assert unresolved_keys(inputs.engine, "public_trades") == [good["trade_id"]]
    with inputs.engine.connect() as connection:
        residuals = connection.execute(sa.text("SELECT kind, state, found FROM history_residuals")).all()
    assert residuals == [("refused records", "missing", "1")]
    exchange.trades[7] = good
    again = read_trades(inputs, DAY)
    assert (again.rows, again.added, again.refused, again.is_reopened) == (3_000, 1, 0, True)
    assert unresolved_keys(inputs.engine, "public_trades") == []
    with inputs.engine.connect() as connection:
        assert not connection.execute(sa.text("SELECT count(*) FROM history_residuals")).scalar()


def test_two_contents_of_one_trade_are_both_refused(exchange: TapeExchange, inputs: HistoryInputs) -> None:
    twice = exchange.trades[7]
    exchange.trades.append({**twice, "count_fp": "99.00"})
    exchange.trades.append(dict(exchange.trades[8]))  # an equal copy is no conflict
    done = read_trades(inputs, DAY)
    assert (done.rows, done.refused) == (2_999, 1)
    assert twice["trade_id"] not in {row[0] for row in stored(inputs)}
    assert unresolved_keys(inputs.engine, "public_trades") == [twice["trade_id"]]


def test_a_day_of_trades_in_a_new_format_is_not_stored(exchange: TapeExchange, inputs: HistoryInputs) -> None:
    exchange.trades = [{**each, "count_fp": "1e3"} for each in exchange.trades]
    with pytest.raises(HistoryRefused, match="More than 1,000 trades of one day"):
        read_trades(inputs, DAY)
    assert stored(inputs) == []


def test_new_field_of_the_exchange_becomes_a_finding(exchange: TapeExchange, inputs: HistoryInputs) -> None:
    exchange.trades[5]["fee_tier"] = "a"
    assert read_trades(inputs, DAY).rows == 3_000
    with inputs.engine.connect() as connection:
        found = connection.execute(sa.text("SELECT endpoint, place FROM contract_findings")).all()
    assert ("GET /markets/trades", "trades[].fee_tier") in found


def test_trades_of_unknown_markets_are_stored(inputs: HistoryInputs) -> None:
    read_trades(inputs, DAY)
    with inputs.engine.connect() as connection:
        assert not connection.execute(sa.text("SELECT count(*) FROM markets")).scalar()
    assert len(stored(inputs)) == 3_000


def test_late_trade_reopens_a_closed_day_visibly(exchange: TapeExchange, inputs: HistoryInputs) -> None:
    assert read_trades(inputs, DAY).is_closed
    exchange.trades.append(wire_trade(1))
    late = read_trades(inputs, DAY)
    assert (late.added, late.is_reopened, late.is_closed) == (1, True, False)
    assert "reopened by late rows" in str(late)
    known = partition_of(inputs.engine, "public_trades", DAY)
    assert known is not None
    assert known.status == "open"
    assert take_new_trades(inputs, DAY).is_closed


def test_trade_that_the_exchange_removed_leaves_the_day_and_its_file_is_kept(
    exchange: TapeExchange, inputs: HistoryInputs
) -> None:
    read_trades(inputs, DAY)
    gone = exchange.trades.pop(5)
    done = read_trades(inputs, DAY)
    assert (done.rows, done.removed, done.is_reopened) == (2_999, 1, True)
    assert stored(inputs) == texts_of_tape(exchange.trades)
    (kept,) = (inputs.work_folder.parent / "lake" / "superseded").rglob("*.parquet")
    assert gone["trade_id"] in {str(each) for each in pq.read_table(kept).column("trade_id").to_pylist()}


def test_day_without_trades_is_read_and_closed(exchange: TapeExchange, inputs: HistoryInputs) -> None:
    exchange.trades = []
    done = read_trades(inputs, DAY)
    assert (done.rows, done.is_closed, done.content_sha256) == (0, True, None)


def test_present_day_is_read_until_now_and_grows(exchange: TapeExchange, inputs: HistoryInputs) -> None:
    noon, evening = DAY_START_US + 12 * HOUR_US, DAY_START_US + 18 * HOUR_US
    everything = exchange.trades
    exchange.trades = [each for each in everything if time_of(each) < noon]
    done = read_trades(at(inputs, noon), DAY)
    assert (done.rows, done.is_closed) == (len(exchange.trades), False)
    exchange.trades = [each for each in everything if time_of(each) < evening]
    exchange.asked.clear()
    take_new_trades(at(inputs, evening), DAY)
    assert stored(inputs) == texts_of_tape(exchange.trades)
    # The last hour is read again, because trades may appear late. The rest is not.
    assert exchange.windows_asked()[0][0] >= (noon - 2 * HOUR_US) // SECOND_US
    exchange.trades = everything
    done = take_new_trades(inputs, DAY)
    assert stored(inputs) == texts_of_tape(everything)
    assert done.is_closed
    assert lake_hash(inputs.engine, "public_trades", [DAY]) == done.content_sha256


def test_future_day_is_refused(inputs: HistoryInputs) -> None:
    with pytest.raises(InvalidRange, match="has not begun"):
        read_trades(at(inputs, DAY_START_US), DAY)


def test_changed_trade_of_an_open_day_makes_the_day_be_read_again(
    exchange: TapeExchange, inputs: HistoryInputs
) -> None:
    soon = at(inputs, DAY_END_US)
    read_trades(soon, DAY)
    last = max(exchange.trades, key=time_of)
    last["count_fp"] = "77.00"
    done = take_new_trades(at(inputs, DAY_END_US + 2 * HOUR_US), DAY)
    assert done.changed == 1
    assert stored(inputs) == texts_of_tape(exchange.trades)


def test_parts_that_are_damaged_are_read_again(
    exchange: TapeExchange, inputs: HistoryInputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kalshi_pipelines.history.trades._PART_ROWS", 1)
    exchange.before_answer = lambda number: setattr(exchange, "is_down", number >= 15)
    with pytest.raises(HistoryInterrupted):
        read_trades(inputs, DAY)
    parts = sorted(inputs.work_folder.rglob("*.arrow"))
    parts[0].write_bytes(parts[0].read_bytes()[:-20])
    parts[1].with_suffix(".unfinished").write_bytes(b"half")
    exchange.before_answer, exchange.is_down = lambda number: None, False
    read_trades(inputs, DAY)
    assert stored(inputs) == texts_of_tape(exchange.trades)
