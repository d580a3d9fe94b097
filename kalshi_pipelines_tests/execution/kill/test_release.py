"""What a release takes once something was sent: a clean reconciliation of this account since, and another person."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from kalshi_pipelines.execution.journal.tables import kill_events
from kalshi_pipelines.execution.kill.emergency import EmergencyFile
from kalshi_pipelines.execution.kill.switch import TAIL_OF_CANCEL_ALL_US, KillSwitch, NotReleased
from kalshi_pipelines_tests.execution.journal.trading import SECOND, Desk


@pytest.fixture
def switch(desk: Desk, tmp_path: Path) -> KillSwitch:
    return KillSwitch(
        lambda: desk.journal, EmergencyFile(tmp_path / "emergency"), (),
        environment="sandbox", subaccount=0, clock_us=desk.clock,
    )  # fmt: skip


def reconciled(desk: Desk, *, clean: bool, environment: str = "sandbox", subaccount: int = 0) -> int:
    with desk.journal.writing() as transaction:
        now = transaction.now_us
        return transaction.reconciled(
            environment, subaccount, now, now, differences=0 if clean else 1, clean=clean, report="of the test"
        )


def test_a_release_rests_on_a_clean_reconciliation_of_this_account_made_since(
    desk: Desk, switch: KillSwitch, journal_engine: sa.Engine
) -> None:
    reconciled(desk, clean=True)
    desk.clock.now_us += SECOND
    switch.engage("ann", "odd fills")
    desk.clock.now_us += SECOND
    for spoilt in (None, {"clean": False}, {"clean": True, "subaccount": 1}):
        if spoilt is not None:
            reconciled(desk, **spoilt)
        with pytest.raises(NotReleased, match="clean reconciliation made since"):
            switch.release("bob", "looks well")
    made = reconciled(desk, clean=True)
    with pytest.raises(NotReleased):
        switch.release("ann", "looks well to me")
    assert switch.why_engaged() is not None
    switch.release("bob", "looks well")
    assert switch.why_engaged() is None
    with journal_engine.connect() as connection:
        last = connection.execute(sa.select(kill_events).order_by(kill_events.c.seq.desc())).mappings().first()
    assert last is not None
    assert (last["by_whom"], last["reconciliation_id"]) == ("bob", made)


@pytest.mark.parametrize("again", [False, True])
def test_a_release_waits_for_the_tail_of_a_cancel_all(desk: Desk, switch: KillSwitch, again: bool) -> None:
    switch.engage("ann", "the end", level=2)
    if again:
        switch.engage("carl", "also stop")
    desk.clock.now_us += TAIL_OF_CANCEL_ALL_US - 1
    reconciled(desk, clean=True)
    with pytest.raises(NotReleased, match="less than a minute ago"):
        switch.release("bob", "looks well")
    desk.clock.now_us += 1
    switch.release("bob", "looks well")
    assert switch.why_engaged() is None
