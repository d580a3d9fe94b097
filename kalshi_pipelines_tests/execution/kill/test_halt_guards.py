"""A halt reports a flat account only if all order groups are fenced, and later reads show no resting order."""

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import sqlalchemy as sa

from kalshi_pipelines.execution.journal.errors import (
    JournalOfAnotherEnvironment,
    JournalOutdated,
    JournalUnavailable,
)
from kalshi_pipelines.execution.journal.journal import Journal
from kalshi_pipelines.execution.kill.bounded import BoundedWait
from kalshi_pipelines.execution.kill.emergency import EmergencyFile, EmergencyLine
from kalshi_pipelines.execution.kill.groups import GroupsToFence
from kalshi_pipelines.execution.kill.halt import Groups, Halt, HaltReport
from kalshi_pipelines.execution.kill.sources import (
    EmergencySource,
    EnvironmentSource,
    FileSource,
    JournalSource,
    KillReading,
    KillStatus,
    read_sources,
)
from kalshi_pipelines.execution.kill.switch import EngagementRecord, KillSwitch, NotReleased
from kalshi_pipelines.execution.orders.account import Account
from kalshi_pipelines.execution.orders.answers import OrderAnswer, SendFailure
from kalshi_pipelines.execution.orders.checkpoints import Checkpoint
from kalshi_pipelines.execution.orders.terms import OrderId
from kalshi_pipelines.execution.reconciliation.account import UnreadableAccount
from kalshi_pipelines.kalshi.errors import KalshiError
from kalshi_pipelines.kalshi.portfolio import PortfolioClient
from kalshi_pipelines_tests.support.execution.exchange_answers import confirmed, refusal
from kalshi_pipelines_tests.support.execution.order_steps import (
    ACCOUNT,
    GROUP,
    HOUR,
    NOON,
    SECOND,
    OrderSteps,
    next_session,
    order_steps,
)
from kalshi_pipelines_tests.support.execution.scripted_account import ScriptedAccount, foreign_order

LOST = OrderAnswer(None, failure=SendFailure.LOST, detail="gone")
DOWN = KalshiError("down", "Wait.")


@dataclass
class Hall:
    """A halt with its switch, its scripted account and its order groups."""

    steps: OrderSteps
    folder: Path
    groups: Groups = lambda: [(OrderId(GROUP), 2)]
    paused: list[float] = field(default_factory=list)
    passed: list[Checkpoint] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.account = ScriptedAccount(self.steps.clock, lag_us=-SECOND)
        self.emergency = EmergencyFile(self.folder / "emergency.jsonl")
        self.switch = KillSwitch(
            lambda: self.steps.journal, self.emergency, (), account=ACCOUNT, clock_us=self.steps.clock
        )

    def halt(self, patience: float = 1_000.0) -> HaltReport:
        made = Halt(
            self.switch,
            self.emergency,
            self.account,
            self.account,
            self.groups,
            clock_us=self.steps.clock,
            pause=self.paused.append,
            checkpoint=self.passed.append,
        )
        return made.run("bob", "enough", patience)


@pytest.fixture
def hall(sqlite_journal: sa.Engine, tmp_path: Path) -> Hall:
    return Hall(order_steps(sqlite_journal), tmp_path)


def test_F42_halt_cancels_all_orders_fences_and_cancels_each_resting(hall: Hall) -> None:
    hall.account.listed = [foreign_order()]
    report = hall.halt()
    acts = [what[0] for what in hall.account.written]
    assert acts == ["cancel_all", "trigger", "trigger", "cancel", "cancel_all", "trigger"]
    assert hall.account.written[1] == ("trigger", GROUP, "2")
    assert hall.account.written[3] == ("cancel", "order-foreign", "KXOTHER-26-A")
    assert (report.flat, report.rounds, report.resting, report.problems) == (True, 2, (), ())
    assert str(report) == "FLAT: no order rests, proved in round 2"
    assert (hall.paused, hall.passed) == ([1.0], [Checkpoint.CANCELS_SENT] * 2)
    with hall.steps.journal.reading() as reading:
        kill = reading.halts.kill_state()
    assert (kill.engaged, kill.level, kill.by_whom, kill.source, kill.reason) == (True, 2, "bob", "operator", "enough")
    assert report.engaged == EngagementRecord(kill.seq)
    assert not hall.emergency.path.exists()


@pytest.mark.parametrize(
    ("answers", "problem"),
    [
        ([], None),
        ([OrderAnswer(204), refusal(404, "not_found")], None),
        ([confirmed(), LOST], f"order group {GROUP} was not triggered (gone)"),
        ([confirmed(), OrderAnswer(500)], f"order group {GROUP} was not triggered (500)"),
        ([OrderAnswer(204), OrderAnswer(404, b"<html>")], f"order group {GROUP} was not triggered (404)"),
        ([OrderAnswer(204), OrderAnswer(200, b"<html>")], f"order group {GROUP} was not triggered (200)"),
        ([OrderAnswer(200, b"<html>")], "cancel-all was not confirmed (200)"),
        ([LOST], "cancel-all was not confirmed (gone)"),
        ([OrderAnswer(404)], "cancel-all was not confirmed (404)"),
    ],
)
def test_F44_unconfirmed_cancels_and_triggers_are_reported(
    hall: Hall, answers: list[OrderAnswer], problem: str | None
) -> None:
    hall.account.lag_us = -HOUR
    hall.account.answers = list(answers)
    report = hall.halt(0)
    assert (report.flat, report.problems) == (True, () if problem is None else (problem,))


def test_F44_unconfirmed_trigger_is_not_flat(hall: Hall) -> None:
    hall.account.lag_us = -HOUR
    hall.account.answers = [confirmed(), confirmed(), LOST]
    report = hall.halt(0)
    assert (report.flat, report.rounds) == (False, 1)
    assert str(report) == f"NOT FLAT after 1 rounds (not proved); order group {GROUP} was not triggered (gone)"

    def unreadable() -> list[tuple[OrderId, int]]:
        raise DOWN

    hall.groups = unreadable
    report = hall.halt(0)
    assert (report.flat, set(report.problems)) == (False, {str(DOWN)})


@pytest.mark.parametrize(
    ("status", "problems"),
    [
        (404, ()),
        (503, ("order order-foreign was not canceled (503)",)),
        (None, ("order order-foreign was not canceled (gone)",)),
    ],
)
def test_F45_order_that_still_rests_is_not_flat_after_any_answer(
    hall: Hall, status: int | None, problems: tuple[str, ...]
) -> None:
    hall.account.lag_us = -HOUR
    hall.account.listed = [foreign_order()]
    hall.account.answers = [confirmed(), confirmed(), confirmed(), OrderAnswer(status, detail="gone")]
    report = hall.halt(0)
    assert (report.flat, report.resting, report.problems) == (False, ("order-foreign",), problems)
    assert "(1 order rests: order-foreign)" in str(report)


def test_malformed_order_id_is_reported_and_does_not_end_the_halt(hall: Hall) -> None:
    hall.account.lag_us = -HOUR
    hall.account.listed = [foreign_order("no/id"), foreign_order()]
    report = hall.halt(0)
    assert [what[1] for what in hall.account.written if what[0] == "cancel"] == ["order-foreign"]
    assert len(report.problems) == 1


def test_ended_orders_do_not_count_as_resting(hall: Hall) -> None:
    ended = foreign_order(status="canceled")
    hall.account.listed = [ended]
    report = hall.halt()
    assert (report.flat, report.rounds) == (True, 1)
    assert [what[0] for what in hall.account.written] == ["cancel_all", "trigger", "trigger"]


@pytest.mark.parametrize("why", ["reads fail", "reads lag"])
def test_F45_cancel_all_is_repeated_until_confirmed_without_reads(hall: Hall, why: str) -> None:
    if why == "reads fail":
        hall.account.lag_us = -HOUR
        hall.account.failing["orders"] = [UnreadableAccount("a row of a new kind")] * 4
        hall.account.failing["orders"].append(None)
    else:
        hall.account.lag_us = HOUR
        hall.account.then["as_of"] = [lambda: None] * 40 + [lambda: setattr(hall.account, "lag_us", -HOUR)]
    hall.groups = list
    hall.account.answers = [OrderAnswer(503, b"paused"), LOST, OrderAnswer(503)]
    report = hall.halt()
    assert (report.flat, report.rounds) == (True, 5)
    assert hall.account.written == [("cancel_all",)] * 4


@pytest.mark.parametrize(
    ("answer", "ahead_us"),
    [
        (confirmed(NOON + 5 * SECOND), 5 * SECOND),
        (confirmed(), 2 * SECOND),
    ],
)
def test_reads_count_only_after_the_last_request_by_the_exchange_s_clock(
    hall: Hall, answer: OrderAnswer, ahead_us: int
) -> None:
    first, last = confirmed(NOON), confirmed(NOON + SECOND)
    for lag_us, flat in [(1 - ahead_us, False), (-ahead_us, True)]:
        hall.account.lag_us = lag_us
        hall.account.answers = [first, answer, last]
        report = hall.halt(0)
        assert report.flat is flat
        assert report.problems == (() if flat else ("the exchange's reads lag behind the last cancel",))
        assert hall.paused == ([0.5] * 10 if not flat else [])
        hall.paused.clear()
    begins = [what for what in hall.account.read if what[0] == "orders"]
    assert begins == [("orders", NOON, None)]


def test_halt_waits_for_reads_to_catch_up(hall: Hall) -> None:
    hall.account.lag_us = SECOND
    hall.account.then["as_of"] = [lambda: None, lambda: None, lambda: setattr(hall.account, "lag_us", -HOUR)]
    report = hall.halt(0)
    assert (report.flat, hall.paused) == (True, [0.5, 0.5])


@pytest.mark.parametrize("name", ["as_of", "orders"])
@pytest.mark.parametrize("failure", [DOWN, UnreadableAccount("a row")])
def test_unreadable_account_is_read_again_until_patience_ends(hall: Hall, name: str, failure: Exception) -> None:
    hall.account.lag_us = -HOUR
    hall.account.failing[name] = [failure]
    report = hall.halt()
    assert (report.flat, report.rounds, report.problems) == (True, 2, (str(failure),))
    hall.account.failing[name] = [failure]
    assert not hall.halt(0).flat


def _gone() -> Journal:
    raise JournalUnavailable("The journal cannot be used.")


@pytest.mark.parametrize(
    "failure", [JournalUnavailable("gone"), JournalOutdated("old"), JournalOfAnotherEnvironment("prod")]
)
def test_F21_halt_without_the_journal_fences_all_groups_of_the_exchange(hall: Hall, failure: Exception) -> None:
    def fails() -> Journal:
        raise failure

    class Portfolio:
        def order_groups(self, subaccount: int) -> list[Any]:
            assert subaccount == 3
            return [SimpleNamespace(id=GROUP, exchange_index=1)]

    groups = GroupsToFence(fails, cast("PortfolioClient", Portfolio()), Account("sandbox", 3), hall.steps.clock)
    assert list(groups()) == [(OrderId(GROUP), 1)]
    hall.switch = KillSwitch(fails, hall.emergency, (), account=ACCOUNT, clock_us=hall.steps.clock)
    report = hall.halt()
    assert report.engaged.seq is None
    assert report.engaged.problem == f"only {hall.emergency.path} has the engagement by bob: {failure}"
    assert hall.emergency.lines() == (EmergencyLine("bob", "enough", 2, "operator", NOON),)
    engaged = hall.switch.engage("eve", "stop", source="console")
    assert engaged == EngagementRecord(None, str(failure))
    assert hall.emergency.lines()[1] == EmergencyLine("eve", "stop", 1, "console", NOON)
    assert JournalSource(fails).read() == KillReading("journal", 1, str(failure))


def test_F21_halt_on_a_full_disk_cancels_and_is_recorded_or_reported(hall: Hall, tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    hall.emergency = EmergencyFile(tmp_path / "plain" / "emergency.jsonl")
    for journal, is_on_record in [(lambda: hall.steps.journal, True), (_gone, False)]:
        hall.switch = KillSwitch(journal, hall.emergency, (), account=ACCOUNT, clock_us=hall.steps.clock)
        report = hall.halt()
        assert (report.flat, report.engaged.is_on_record) == (True, is_on_record)
        assert "emergency.jsonl cannot be written" in report.problems[0]
        with hall.steps.journal.reading() as reading:
            kill = reading.halts.kill_state()
        assert (kill.engaged, kill.level, kill.by_whom) == (True, 2, "bob")
        assert report.engaged.seq == (kill.seq if is_on_record else None)
    assert "neither the journal nor the emergency file can be written" in report.engaged.problem


def test_release_needs_a_name_a_reason_and_a_newer_reconciliation(hall: Hall) -> None:
    hall.switch.engage("ann", "odd")
    for by, reason in [(" ", "fine"), ("bob", " ")]:
        with pytest.raises(NotReleased, match="needs a name and a reason"):
            hall.switch.release(by, reason)
    with pytest.raises(NotReleased, match="a clean reconciliation, newer than the engagement"):
        hall.switch.release("bob", "fine")
    with hall.steps.journal.writing() as transaction:
        transaction.reconciliations.record(ACCOUNT, NOON, NOON, differences=0, clean=True, report="the test says so")
    with pytest.raises(NotReleased, match="The journal refused the change"):
        hall.switch.release("bob", "x" * 5_000)
    hall.switch.release("bob", "fine")
    assert hall.switch.why_engaged() is None


def test_report_of_a_halt_lists_five_orders_and_the_last_two_problems() -> None:
    report = HaltReport(False, 3, tuple("abcdefg"), ("first", "second", "third"), EngagementRecord(1))
    assert str(report) == "NOT FLAT after 3 rounds (7 orders rest: a, b, c, d, e); second; third"


def _listing(*groups: str) -> PortfolioClient:
    listed = [SimpleNamespace(id=group, exchange_index=0) for group in groups]
    return cast("PortfolioClient", SimpleNamespace(order_groups=lambda _: listed))


def test_unfenced_groups_of_the_last_two_days_are_fenced(hall: Hall) -> None:
    portfolio, steps = _listing(), hall.steps
    groups = GroupsToFence(lambda: steps.journal, portfolio, ACCOUNT, steps.clock)
    assert list(groups()) == [(OrderId(GROUP), 0)]
    with steps.journal.writing() as transaction:
        transaction.evidence.record_fence(GROUP, NOON)
    assert list(groups()) == []
    next_session(steps, 2)
    assert list(groups()) == [(OrderId(steps.group), 0)]
    assert list(GroupsToFence(lambda: steps.journal, portfolio, Account("sandbox", 1), steps.clock)()) == []
    steps.clock.now_us += 49 * HOUR
    assert list(groups()) == [(OrderId(steps.group), 0)]
    steps.clock.now_us += 1
    assert list(groups()) == []


def test_F44_group_that_only_the_exchange_knows_is_fenced(hall: Hall) -> None:
    steps, strange = hall.steps, "9b2f2c4e-0000-4000-8000-000000000077"
    groups = GroupsToFence(lambda: steps.journal, _listing(GROUP, strange), ACCOUNT, steps.clock)
    assert list(groups()) == [(OrderId(GROUP), 0), (OrderId(strange), 0)]
    hall.groups = groups
    assert hall.halt().flat
    assert ("trigger", strange, "0") in hall.account.written
    with steps.journal.writing() as transaction:
        transaction.evidence.record_fence(GROUP, NOON)
    assert list(groups()) == [(OrderId(strange), 0)]


def test_F44_missing_list_of_the_exchange_fences_the_journal_s_groups_only(hall: Hall) -> None:
    def down(_: int) -> None:
        raise DOWN

    portfolio = cast("PortfolioClient", SimpleNamespace(order_groups=down))
    hall.groups = GroupsToFence(lambda: hall.steps.journal, portfolio, ACCOUNT, hall.steps.clock)
    report = hall.halt(0)
    assert (report.flat, set(report.problems)) == (False, {str(DOWN)})
    assert hall.account.written.count(("trigger", GROUP, "0")) == 2


@pytest.fixture
def hung() -> Iterator[Callable[[], Journal]]:
    """Return a function that opens the journal but hangs until the test is over."""
    over = threading.Event()

    def waits() -> Journal:
        over.wait(15)
        raise JournalUnavailable("the test is over")

    yield waits
    over.set()


def test_F43_F21_hanging_journal_delays_neither_engagement_nor_cancels(hall: Hall, hung: Callable[[], Journal]) -> None:
    def asked() -> Journal:
        assert hall.account.written[:1] == [("cancel_all",)], "the journal was asked before all was canceled"
        assert hall.emergency.lines()[-1].reason == "enough"
        return hung()

    hall.switch = KillSwitch(hung, hall.emergency, (), account=ACCOUNT, clock_us=hall.steps.clock, most_seconds=0.1)
    assert hall.switch.engage("ann", "odd") == EngagementRecord(
        None, "the journal did not answer within 0.1 seconds: check its disk or server"
    )
    assert [line.reason for line in hall.emergency.lines()] == ["odd"]
    assert hall.switch.engage("ann", "again").problem == "the journal still hangs: check its disk or server"
    hall.switch = KillSwitch(asked, hall.emergency, (), account=ACCOUNT, clock_us=hall.steps.clock, most_seconds=0.1)
    bounded = BoundedWait("the journal", 0.1)
    hall.groups = GroupsToFence(asked, _listing(GROUP), ACCOUNT, hall.steps.clock, bounded)
    hall.account.listed = [foreign_order()]
    report = hall.halt()
    assert (report.flat, report.engaged.seq, report.engaged.is_on_record) == (True, None, True)
    assert "has the engagement by bob: the journal did not answer within 0.1 seconds" in report.engaged.problem
    assert [what[0] for what in hall.account.written[:3]] == ["cancel_all", "trigger", "trigger"]
    assert [line.level for line in hall.emergency.lines()] == [1, 1, 2]


def test_F43_halt_on_a_hanging_disk_cancels_and_is_in_the_journal(hall: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    monkeypatch.setattr(EmergencyFile, "append", lambda *_: over.wait(15))
    monkeypatch.setattr("kalshi_pipelines.execution.kill.halt._MOST_SECONDS_TO_WRITE", 0.1)
    hall.switch = KillSwitch(
        lambda: hall.steps.journal,
        hall.emergency,
        (),
        account=ACCOUNT,
        clock_us=hall.steps.clock,
        most_seconds=0.5,
    )
    hall.account.listed = [foreign_order()]
    report = hall.halt()
    over.set()
    assert report.flat
    assert "did not answer within 0.1 seconds" in report.problems[0]
    with hall.steps.journal.reading() as reading:
        assert report.engaged == EngagementRecord(reading.halts.kill_state().seq)


def test_F43_any_error_of_the_journal_leaves_the_engagement_in_the_file(hall: Hall) -> None:
    def broken() -> Journal:
        raise ZeroDivisionError("a mistake of ours")

    hall.switch = KillSwitch(broken, hall.emergency, (), account=ACCOUNT, clock_us=hall.steps.clock)
    assert hall.switch.engage("ann", "odd") == EngagementRecord(None, "a mistake of ours")
    report = hall.halt()
    assert (report.flat, report.engaged.seq) == (True, None)
    assert [line.level for line in hall.emergency.lines()] == [1, 2]


def test_bounded_wait_refuses_calls_while_an_earlier_one_hangs() -> None:
    over = threading.Event()
    bounded = BoundedWait("the disk", 0.1)
    assert bounded(lambda: 7) == 7
    with pytest.raises(TimeoutError, match="a failure of its own"):
        bounded(_timed_out)
    with pytest.raises(TimeoutError, match=r"the disk did not answer within 0\.1 seconds"):
        bounded(over.wait)
    with pytest.raises(TimeoutError, match="the disk still hangs"):
        bounded(lambda: 7)
    over.set()
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with suppress(TimeoutError):
            assert bounded(lambda: 7) == 7
            return
    raise AssertionError("it is never asked again")


def _timed_out() -> None:
    raise TimeoutError("a failure of its own")


@pytest.mark.parametrize(
    "line",
    [
        '{"by": "a", "reason": "b", "level": 1e999, "source": "x", "at_us": 0}',
        '{"by": "a", "reason": "b", "level": 1, "source": "x", "at_us": 1000000000000000000000}',
        '{"by": "a", "reason": "b", "level": 1, "source": "x", "at_us": NaN}',
        "[" * 100_000,
        '{"by": ' + "[" * 900 + "]" * 900 + ', "level": 1}',
        "9" * 5_000,
    ],
    ids=["endless", "late", "nan", "deep", "nested", "long"],
)
def test_F43_malformed_emergency_line_engages_and_does_not_end_a_halt(hall: Hall, line: str) -> None:
    hall.emergency.path.write_text(line + "\n")
    assert EmergencySource(hall.emergency).read().engaged
    assert hall.switch.status().engaged
    hall.account.listed = [foreign_order()]
    report = hall.halt()
    assert (report.flat, hall.account.listed) == (True, [])
    with hall.steps.journal.reading() as reading:
        assert report.engaged == EngagementRecord(reading.halts.kill_state().seq)
        assert {each.by_whom for each in reading.halts.engagements_since_release()} == {"unknown", "bob"}


def test_levels_of_emergency_lines_are_limited_to_those_of_the_journal(hall: Hall) -> None:
    for level, known in [(0, 1), (1, 1), (3, 3), (9, 3)]:
        hall.emergency.append(EmergencyLine("ann", f"level {level}", level, "operator", 7))
        assert EmergencySource(hall.emergency).read() == KillReading(
            "emergency file", max(1, level), f"ann: level {level}"
        )
        hall.switch.import_emergency_file("bob")
        with hall.steps.journal.reading() as reading:
            kill = reading.halts.kill_state()
            [record] = reading.audit_log.newest(1)
        assert (kill.level, kill.reason, kill.by_whom, kill.source) == (known, f"level {level}", "ann", "operator")
        assert json.loads(record.body)["emergency_at_us"] == 7
    aside = hall.emergency.path.with_suffix(".jsonl.imported")
    assert aside.read_text().count("level ") == 4
    assert EmergencySource(hall.emergency).read() == KillReading("emergency file", 0, "empty")


def test_emergency_file_keeps_every_line_and_never_creates_its_folder(tmp_path: Path) -> None:
    file = EmergencyFile(tmp_path / "deep" / "down" / "emergency.jsonl")
    lines = [EmergencyLine("ann", f"number {number}", 2, "operator", number) for number in range(3)]
    with pytest.raises(FileNotFoundError):
        file.append(lines[0])
    assert list(tmp_path.iterdir()) == []
    file.path.parent.mkdir(parents=True)
    for line in lines:
        file.append(line)
    assert file.lines() == tuple(lines)
    file.path.write_text('{"by": "a", "reason": "b", "level": "x", "source": "c", "at_us": 1}\n7\n')
    assert {(line.by, line.level, line.source, line.at_us) for line in file.lines()} == {
        ("unknown", 1, "emergency file", 0)
    }
    assert file.path.stat().st_mode & 0o777 == 0o600
    EmergencyFile(tmp_path / "nothing").put_away(())


def test_emergency_lines_are_flushed_to_disk_before_their_file_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_size))
    file = EmergencyFile(tmp_path / "emergency.jsonl")
    line = EmergencyLine("ann", "odd", 1, "operator", 7)
    file.append(line)
    assert synced == [file.path.stat().st_size]
    file.put_away((line,))
    assert synced[1:] == [file.path.with_suffix(".jsonl.imported").stat().st_size]
    assert synced[1] == synced[0] > 0


def test_every_source_reports_its_name_and_level(hall: Hall, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    journal = JournalSource(lambda: hall.steps.journal)
    assert journal.read() == KillReading("journal", 0, "released")
    hall.switch.engage("ann", "odd")
    assert journal.read() == KillReading("journal", 1, "ann (operator): odd")
    hall.switch.engage("ann", "odd", level=2)
    assert journal.read() == KillReading("journal", 2, "ann (operator): odd")
    monkeypatch.delenv("KALSHI_TRADE_KILL", raising=False)
    assert EnvironmentSource().read() == KillReading("environment", 0, "KALSHI_TRADE_KILL is not set")
    monkeypatch.setenv("KALSHI_TRADE_KILL", "1")
    assert EnvironmentSource().read() == KillReading("environment", 1, "KALSHI_TRADE_KILL is set")
    missing = FileSource(tmp_path / "KILL").read()
    assert (missing.level, missing.source) == (0, "file")
    (tmp_path / "KILL").mkdir()
    hidden = FileSource(tmp_path / "unmounted" / "KILL", needs_folder=True)
    found = [
        source.read().level for source in (FileSource(tmp_path / "KILL"), hidden, FileSource(tmp_path / ("x" * 999)))
    ]
    assert found == [1, 1, 1]
    unreadable = EmergencySource(EmergencyFile(tmp_path / "KILL")).read()
    assert (unreadable.level, unreadable.source) == (1, "emergency file")


def test_highest_level_of_all_sources_counts() -> None:
    clear, one, two = KillReading("a", 0, "x"), KillReading("b", 1, "y"), KillReading("c", 2, "z")
    status = KillStatus((clear, two, one))
    assert (status.engaged, status.level, status.why) == (True, 2, "c: z; b: y")
    assert (KillStatus((clear,)).engaged, KillStatus((clear,)).level, KillStatus((clear,)).why) == (False, 0, "")
    assert KillStatus(()).level == 1
    assert read_sources(()).readings == (KillReading("nobody", 1, "there is no source to ask"),)
