import datetime as dt
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from kalshi_pipelines.history.backfill import DayAction, plan_backfill, run_backfill
from kalshi_pipelines.history.errors import BackfillIncomplete, InvalidRange
from kalshi_pipelines.history.inputs import HistoryInputs
from kalshi_pipelines.history.kinds import KINDS, kinds_named
from kalshi_pipelines.history.nightly import plan_upkeep
from kalshi_pipelines.history.partitions import partitions_of
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

TRADES = [KINDS["public_trades"]]
FIRST, LAST = dt.date(2026, 11, 17), dt.date(2026, 11, 22)
DAYS = [FIRST + dt.timedelta(days=number) for number in range(6)]


@pytest.fixture
def exchange() -> TapeExchange:
    return TapeExchange(tape(1_200, DAY_START_US - 5 * DAY_US, DAY_END_US), cutoff_us=DAY_START_US - 3 * DAY_US)


@pytest.fixture
def inputs(exchange: TapeExchange, sqlite_engine: sa.Engine, tmp_path: Path) -> Iterator[HistoryInputs]:
    with inputs_for(exchange, sqlite_engine, tmp_path) as found:
        yield found


def statuses(inputs: HistoryInputs) -> dict[dt.date, str]:
    return {each.day: each.status for each in partitions_of(inputs.engine, "public_trades")}


@pytest.mark.parametrize("workers", [1, 4])
def test_backfill_makes_the_lake_equal_to_the_exchange(
    exchange: TapeExchange, inputs: HistoryInputs, workers: int
) -> None:
    lines: list[str] = []
    inputs = replace(inputs, report=lines.append)
    plan = plan_backfill(inputs, TRADES, FIRST, LAST, workers=workers)
    assert [each.day for each in plan.days] == DAYS
    done = run_backfill(inputs, plan)
    assert stored_trades(inputs) == texts_of_tape(exchange.trades)
    assert {each.day for each in done} == set(DAYS)
    assert set(statuses(inputs).values()) == {"closed"}
    assert lines[0].startswith("6 days to read from 2026-11-17 to 2026-11-22, 0 days complete; about ")
    assert "tokens" in lines[0]
    assert f"with {workers} worker" in lines[0]
    assert lines[-1].startswith("6 of 6 days, 1,200 rows")


def test_lake_hash_does_not_depend_on_workers_or_repetition(
    exchange: TapeExchange, inputs: HistoryInputs, tmp_path: Path, sqlite_engine: sa.Engine
) -> None:
    run_backfill(inputs, plan_backfill(inputs, TRADES, FIRST, LAST, workers=3))
    first = lake_hash(inputs.engine)
    exchange.page_rows = 37
    run_backfill(inputs, plan_backfill(inputs, TRADES, FIRST, LAST, workers=1, again=True))
    assert lake_hash(inputs.engine) == first
    assert first is not None


def test_complete_days_are_left_out_unless_asked_again(exchange: TapeExchange, inputs: HistoryInputs) -> None:
    run_backfill(inputs, plan_backfill(inputs, TRADES, FIRST, FIRST + dt.timedelta(days=2)))
    plan = plan_backfill(inputs, TRADES, FIRST, LAST)
    assert ([each.day for each in plan.days], plan.complete) == (DAYS[3:], 3)
    assert len(plan_backfill(inputs, TRADES, FIRST, LAST, again=True).days) == 6
    run_backfill(inputs, plan)
    exchange.asked.clear()
    assert str(plan_backfill(inputs, TRADES, FIRST, LAST)) == "nothing to read: 6 days complete"
    assert not exchange.windows_asked()


def test_second_backfill_tries_the_holes_of_closed_days(exchange: TapeExchange, inputs: HistoryInputs) -> None:
    start_us = DAY_START_US - 2 * DAY_US
    (of_day, *_) = (time_of(each) for each in exchange.trades if 0 < time_of(each) - start_us < DAY_US)
    exchange.poisoned = {of_day // SECOND_US}
    (day,) = run_backfill(inputs, plan_backfill(inputs, TRADES, DAYS[3], DAYS[3]))
    assert (len(day.holes), day.is_closed) == (1, True)
    assert ", 1 hole, closed" in str(day)
    exchange.poisoned.clear()
    (day,) = run_backfill(inputs, plan_backfill(inputs, TRADES, DAYS[3], DAYS[3]))
    assert (day.added, day.holes, day.is_reopened) == (1, (), True)
    (day,) = run_backfill(inputs, plan_backfill(inputs, TRADES, DAYS[3], DAYS[3]))
    assert (day.added, day.is_closed) == (0, True)
    assert not plan_backfill(inputs, TRADES, DAYS[3], DAYS[3]).days


def test_estimate_is_near_the_truth_and_costs_few_requests(exchange: TapeExchange, inputs: HistoryInputs) -> None:
    exchange.trades = tape(12_000, DAY_START_US - 5 * DAY_US, DAY_END_US)
    plan = plan_backfill(inputs, TRADES, FIRST, LAST)
    assert len(exchange.asked) <= 25
    assert 8_000 < plan.rows < 18_000
    assert plan.tokens == 10 * plan.requests
    assert plan.seconds > 0
    exchange.asked.clear()
    run_backfill(inputs, plan)
    assert len(exchange.asked) <= plan.requests * 1.5


def test_estimate_of_candlesticks_of_unread_days_follows_that_of_trades(inputs: HistoryInputs) -> None:
    plan = plan_backfill(inputs, [KINDS["public_trades"], KINDS["candlesticks"]], FIRST, LAST)
    assert str(plan).startswith("12 days (6 of public_trades, 6 of candlesticks) to read from 2026-11-17 to 2026-11-22")
    rows = [each.rows for each in plan.days if each.kind.name == "candlesticks"]
    assert all(number < 1_000 for number in rows), rows


def test_estimate_of_days_near_known_ones_needs_no_probe(exchange: TapeExchange, inputs: HistoryInputs) -> None:
    run_backfill(inputs, plan_backfill(inputs, TRADES, FIRST, FIRST))
    exchange.asked.clear()
    plan = plan_backfill(inputs, TRADES, FIRST, LAST)
    assert {path for path, _ in exchange.asked} == {"/historical/cutoff"}
    assert all(100 < each.rows < 300 for each in plan.days)


def test_failed_day_does_not_stop_the_others(exchange: TapeExchange, inputs: HistoryInputs) -> None:
    broken = [
        {**each, "count_fp": "1.005"} for each in tape(1_100, DAY_START_US - 4 * DAY_US, DAY_START_US - 3 * DAY_US)
    ]
    good = [each for each in exchange.trades if not -4 <= (time_of(each) - DAY_START_US) / DAY_US < -3]
    exchange.trades = good + broken
    with pytest.raises(BackfillIncomplete, match=r"1 of 6 days could not be read: public_trades 2026-11-18\. .*1,000"):
        run_backfill(inputs, plan_backfill(inputs, TRADES, FIRST, LAST, workers=2))
    assert stored_trades(inputs) == texts_of_tape(good)
    plan = plan_backfill(inputs, TRADES, FIRST, LAST)
    assert [(each.day, each.action) for each in plan.days] == [(DAYS[1], DayAction.READ)]


def test_exchange_that_goes_down_ends_the_backfill_soon(exchange: TapeExchange, inputs: HistoryInputs) -> None:
    plan = plan_backfill(inputs, TRADES, FIRST, LAST, workers=1)
    exchange.is_down = True
    with pytest.raises(BackfillIncomplete, match=r"3 of 6 days could not be read: .*3 further days were not tried"):
        run_backfill(inputs, plan)


def test_interrupt_stops_every_worker(exchange: TapeExchange, inputs: HistoryInputs) -> None:
    plan = plan_backfill(inputs, TRADES, FIRST, LAST, workers=3)

    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_backfill(inputs, plan, interrupt)
    assert not any(thread.name.startswith("kalshi-history") for thread in threading.enumerate())
    run_backfill(replace(inputs, stopping=threading.Event()), plan_backfill(inputs, TRADES, FIRST, LAST))
    assert stored_trades(inputs) == texts_of_tape(exchange.trades)


@pytest.mark.parametrize(
    ("start", "end", "problem"),
    [
        (LAST, FIRST, "has no day"),
        (dt.date(2021, 6, 29), LAST, "began on 2021-06-30"),
        (FIRST, dt.date(2026, 12, 1), "has not begun"),
    ],
)
def test_impossible_range_is_refused(inputs: HistoryInputs, start: dt.date, end: dt.date, problem: str) -> None:
    with pytest.raises(InvalidRange, match=problem):
        plan_backfill(inputs, TRADES, start, end)


def test_unknown_dataset_and_impossible_workers_are_refused(inputs: HistoryInputs) -> None:
    with pytest.raises(InvalidRange, match="no history of trades"):
        kinds_named(["trades"])
    assert kinds_named(["public_trades", "public_trades"]) == TRADES
    assert kinds_named([]) == list(KINDS.values())
    for workers in (0, 17):
        with pytest.raises(InvalidRange, match="workers"):
            plan_backfill(inputs, TRADES, FIRST, LAST, workers=workers)


def test_upkeep_takes_nothing_of_a_history_that_nobody_wants(exchange: TapeExchange, inputs: HistoryInputs) -> None:
    lines: list[str] = []
    plan = plan_upkeep(replace(inputs, report=lines.append), TRADES)
    assert not plan.days
    assert lines == ["No day of public_trades was read yet. Start the job backfill_history to have its history."]
    assert not exchange.asked


def test_upkeep_follows_the_days_and_closes_them(exchange: TapeExchange, inputs: HistoryInputs) -> None:
    everything = exchange.trades

    def night(now_us: int) -> HistoryInputs:
        exchange.trades = [each for each in everything if time_of(each) < now_us]
        return replace(inputs, clock=lambda: now_us)

    at_noon = night(DAY_START_US - 2 * DAY_US + 12 * HOUR_US)
    run_backfill(at_noon, plan_backfill(at_noon, TRADES, DAYS[2], DAYS[3]))
    assert statuses(inputs) == {DAYS[2]: "open", DAYS[3]: "open"}
    for number in range(1, 6):
        tonight = night(DAY_START_US - 2 * DAY_US + number * DAY_US + 7 * HOUR_US)
        run_backfill(tonight, plan_upkeep(tonight, TRADES))
        wanted = [each for each in exchange.trades if time_of(each) >= DAY_START_US - 3 * DAY_US]
        assert stored_trades(inputs) == texts_of_tape(wanted)
    days = statuses(inputs)
    assert [days[day] for day in DAYS[2:]] == ["closed"] * 4
    assert sorted(days) == [*DAYS[2:], *[LAST + dt.timedelta(days=number) for number in (1, 2, 3)]]


def test_upkeep_finds_trades_that_appear_late(exchange: TapeExchange, inputs: HistoryInputs) -> None:
    soon = replace(inputs, clock=lambda: DAY_END_US + HOUR_US // 2)
    run_backfill(soon, plan_backfill(soon, TRADES, LAST, LAST))
    exchange.trades.append(wire_trade(1, created_time="2026-11-22T23:59:59.900000Z"))
    later = replace(inputs, clock=lambda: LATER_US)
    run_backfill(later, plan_upkeep(later, TRADES))
    assert stored_trades(inputs, [LAST]) == texts_of_tape(
        [each for each in exchange.trades if time_of(each) >= DAY_START_US]
    )
    assert statuses(inputs)[LAST] == "closed"
