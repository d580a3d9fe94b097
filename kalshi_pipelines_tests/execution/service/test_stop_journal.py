"""The journal's part of a stop: it waits for orders that were sent before, and shows sessions of every computer."""

import time
from pathlib import Path
from threading import Event, Timer

import pytest
import sqlalchemy as sa

from kalshi_pipelines.execution.journal.records import Details
from kalshi_pipelines.execution.kill.emergency import EmergencyLine
from kalshi_pipelines.execution.orders.states import OrderState
from kalshi_pipelines.execution.service.stopping import stop_journal
from kalshi_pipelines.execution.service.stopping.stop_journal import engage_in_journal
from kalshi_pipelines.execution.service.stopping.stop_settings import StopTarget
from kalshi_pipelines_tests.support.execution.order_steps import GROUP, OrderSteps, order_steps

LINE = EmergencyLine("bob", "panic", 1, "operator", 1)
NO_FILE = OSError("no file")


@pytest.fixture
def steps(sqlite_journal: sa.Engine, monkeypatch: pytest.MonkeyPatch) -> OrderSteps:
    """A journal with a live session. The stop has the clock of the journal, and a short patience."""
    made = order_steps(sqlite_journal)
    monkeypatch.setattr(stop_journal, "now_us", lambda: made.clock.now_us)
    return made


def target_of(engine: sa.Engine, folder: Path) -> StopTarget:
    return StopTarget("sandbox", folder, str(engine.url), folder / "journal.anchors")


def test_stop_shows_the_session_that_holds_the_lease(
    steps: OrderSteps, sqlite_journal: sa.Engine, tmp_path: Path
) -> None:
    done = engage_in_journal(target_of(sqlite_journal, tmp_path), LINE, NO_FILE, [steps.session_id])
    assert done.record.seq is not None
    assert [str(each) for each in done.sessions] == [
        f"session {steps.session_id} (live) of process {done.sessions[0].holder}, sub-account 0"
    ]
    assert (done.under_way, done.ended) == (0, frozenset())


def test_F62_stop_waits_for_the_answer_of_an_order_that_was_sent(
    steps: OrderSteps, sqlite_journal: sa.Engine, tmp_path: Path
) -> None:
    intent = steps.record_sent()

    def answer() -> None:
        with steps.journal.writing() as transaction:
            transaction.orders.record_answer(steps.reload(intent), OrderState.REJECTED, details=Details())

    answers = Timer(0.5, answer)
    answers.start()
    try:
        done = engage_in_journal(target_of(sqlite_journal, tmp_path), LINE, NO_FILE, [])
    finally:
        answers.join()
    assert done.record.seq is not None
    assert done.under_way == 0
    assert steps.reload(intent).state is OrderState.REJECTED


@pytest.mark.parametrize("age_us", [0, 59_000_000, 61_000_000, 86_400_000_000])
@pytest.mark.parametrize("is_fenced", [False, True])
def test_F62_order_without_an_answer_is_under_way_until_its_fence(
    steps: OrderSteps,
    sqlite_journal: sa.Engine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    age_us: int,
    is_fenced: bool,
) -> None:
    steps.record_sent()
    steps.clock.now_us += age_us
    if is_fenced:
        with steps.journal.writing() as transaction:
            transaction.evidence.record_fence(GROUP, steps.clock.now_us)
    monkeypatch.setattr(stop_journal, "_MOST_SECONDS_UNDER_WAY", 0.1)
    done = engage_in_journal(target_of(sqlite_journal, tmp_path), LINE, NO_FILE, [])
    assert done.record.seq is not None
    assert (done.under_way, done.unread) == (0 if is_fenced else 1, "")


def test_stop_does_not_wait_for_an_answer_that_is_overdue(
    steps: OrderSteps, sqlite_journal: sa.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps.record_sent()
    steps.clock.now_us += 61_000_000
    pauses = list[float]()
    monkeypatch.setattr(time, "sleep", pauses.append)
    assert engage_in_journal(target_of(sqlite_journal, tmp_path), LINE, NO_FILE, []).under_way == 1
    assert pauses == []


def test_F62_journal_that_fails_after_the_engagement_leaves_orders_unknown(
    steps: OrderSteps, sqlite_journal: sa.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps.record_sent()

    def fail(*_: object) -> None:
        raise OSError("the disk is damaged")

    monkeypatch.setattr(stop_journal, "_observe", fail)
    done = engage_in_journal(target_of(sqlite_journal, tmp_path), LINE, NO_FILE, [])
    assert (done.record.seq is not None, done.unread) == (True, "the disk is damaged")


def test_F62_journal_that_hangs_after_the_engagement_leaves_orders_unknown(
    steps: OrderSteps, sqlite_journal: sa.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps.record_sent()
    ended = Event()
    monkeypatch.setattr(stop_journal, "_observe", lambda *_: ended.wait(60))
    monkeypatch.setattr(stop_journal, "_MOST_SECONDS_TO_READ", 0.1)
    done = engage_in_journal(target_of(sqlite_journal, tmp_path), LINE, NO_FILE, [])
    ended.set()
    assert done.record.seq is not None
    assert "did not answer" in done.unread
