"""Tests of releasing the kill switch after live trading.

A release needs a second person. For each traded sub-account, a release also needs a clean reconciliation that began
after the switch was engaged.
"""

import json
from pathlib import Path

import pytest
import sqlalchemy as sa

from kalshi_pipelines.execution.journal.records import Binding
from kalshi_pipelines.execution.journal.tables import kill_events
from kalshi_pipelines.execution.kill.emergency import EmergencyFile
from kalshi_pipelines.execution.kill.switch import TAIL_OF_CANCEL_ALL_US, KillSwitch, NotReleased
from kalshi_pipelines.execution.orders.account import Account
from kalshi_pipelines_tests.support.execution.order_steps import (
    ACCOUNT,
    HOST,
    HOUR,
    SECOND,
    OrderSteps,
    new_session,
    open_session,
)

YEAR = 365 * 24 * HOUR


@pytest.fixture
def switch(steps: OrderSteps, tmp_path: Path) -> KillSwitch:
    return KillSwitch(
        lambda: steps.journal,
        EmergencyFile(tmp_path / "emergency"),
        (),
        account=ACCOUNT,
        clock_us=steps.clock,
    )


def reconciled(steps: OrderSteps, *, clean: bool, account: Account = ACCOUNT, took_us: int = 0) -> int:
    with steps.journal.writing() as transaction:
        began = transaction.now_us - took_us
        return transaction.reconciliations.record(
            account, began, began, differences=0 if clean else 1, clean=clean, report="of the test"
        )


def refused(switch: KillSwitch, match: str, by: str = "bob") -> None:
    with pytest.raises(NotReleased, match=match):
        switch.release(by, "looks well")


def test_release_needs_a_clean_reconciliation_newer_than_the_halt(
    steps: OrderSteps, switch: KillSwitch, journal_engine: sa.Engine
) -> None:
    reconciled(steps, clean=True)
    steps.clock.now_us += SECOND
    switch.engage("ann", "odd fills")
    steps.clock.now_us += SECOND
    for spoilt in (None, {"clean": False}, {"clean": True, "account": Account("sandbox", 1)}):
        if spoilt is not None:
            reconciled(steps, **spoilt)
        with pytest.raises(NotReleased, match="a clean reconciliation, newer than the engagement"):
            switch.release("bob", "looks well")
    made = reconciled(steps, clean=True)
    with pytest.raises(NotReleased):
        switch.release("ann", "looks well to me")
    assert switch.why_engaged() is not None
    switch.release("bob", "looks well")
    assert switch.why_engaged() is None
    with journal_engine.connect() as connection:
        last = connection.execute(sa.select(kill_events).order_by(kill_events.c.seq.desc())).mappings().first()
    assert last is not None
    assert (last["by_whom"], last["reconciliation_id"]) == ("bob", made)


@pytest.mark.parametrize("by", ["ann ", "Ann", "ANN", "\uff41nn", "ann\u200b", "a\u00adnn", "an\ufe0fn"])
def test_person_who_halted_does_not_release_in_another_spelling(steps: OrderSteps, switch: KillSwitch, by: str) -> None:
    switch.engage("ann", "odd fills")
    steps.clock.now_us += SECOND
    reconciled(steps, clean=True)
    refused(switch, "engaged the kill switch|cannot be used", by)


def test_person_who_halted_in_an_odd_spelling_does_not_release(steps: OrderSteps, switch: KillSwitch) -> None:
    switch.engage(" Jose\u0301\u200b ", "odd fills")
    steps.clock.now_us += SECOND
    reconciled(steps, clean=True)
    refused(switch, "engaged the kill switch", "jos\u00e9")


@pytest.mark.parametrize("again", [False, True])
def test_release_waits_a_minute_after_a_cancel_all(steps: OrderSteps, switch: KillSwitch, again: bool) -> None:
    switch.engage("ann", "the end", level=2)
    if again:
        switch.engage("carl", "also stop")
    steps.clock.now_us += TAIL_OF_CANCEL_ALL_US - 1
    reconciled(steps, clean=True)
    with pytest.raises(NotReleased, match="less than a minute ago"):
        switch.release("bob", "looks well")
    steps.clock.now_us += 1
    switch.release("bob", "looks well")
    assert switch.why_engaged() is None


def test_F43_reconciliation_begun_before_the_engagement_does_not_count(steps: OrderSteps, switch: KillSwitch) -> None:
    steps.clock.now_us += SECOND
    switch.engage("ann", "odd fills")
    steps.clock.now_us += SECOND
    reconciled(steps, clean=True, took_us=SECOND + 1)
    refused(switch, "newer than the engagement")
    reconciled(steps, clean=True, took_us=SECOND)
    switch.release("bob", "looks well")


@pytest.mark.parametrize("subaccount", [0, 7, 9])
def test_F43_release_needs_a_reconciliation_of_every_traded_sub_account(
    steps: OrderSteps, tmp_path: Path, subaccount: int
) -> None:
    with steps.journal.writing() as transaction:
        other = new_session(
            "session-0007", account=Account("sandbox", 7), binding=Binding(Account("sandbox", 7), HOST, "another key")
        )
        open_session(transaction, other, "9b2f2c4e-0000-4000-8000-000000000007")
    switch = KillSwitch(
        lambda: steps.journal,
        EmergencyFile(tmp_path / "emergency"),
        (),
        account=Account("sandbox", subaccount),
        clock_us=steps.clock,
    )
    switch.engage("ann", "odd fills")
    refused(switch, "sub-account 0 is missing.*KALSHI_TRADE_SUBACCOUNT=0")
    made = {0: reconciled(steps, clean=True)}
    refused(switch, "sub-account 7 is missing.*KALSHI_TRADE_SUBACCOUNT=7")
    made[7] = reconciled(steps, clean=True, account=Account("sandbox", 7))
    switch.release("bob", "looks well")
    with steps.journal.reading() as reading:
        [record] = reading.audit_log.newest(1)
    body = json.loads(record.body)
    assert body["reconciliations"] == [made[0], made[7]]
    assert body["rows"][0]["reconciliation_id"] == made.get(subaccount, made[0])


def test_F43_reconciliation_with_a_future_time_does_not_count(steps: OrderSteps, switch: KillSwitch) -> None:
    switch.engage("ann", "odd fills")
    steps.clock.now_us += YEAR
    reconciled(steps, clean=True)
    steps.clock.now_us -= YEAR
    refused(switch, "a clean reconciliation, newer than the engagement")
    reconciled(steps, clean=False)
    refused(switch, "a clean reconciliation, newer than the engagement")
    reconciled(steps, clean=True)
    switch.release("bob", "looks well")


@pytest.mark.parametrize("level", [1, 2])
def test_engagement_with_a_future_time_must_be_repeated_before_a_release(
    steps: OrderSteps, switch: KillSwitch, level: int
) -> None:
    steps.clock.now_us += YEAR
    switch.engage("ann", "odd fills", level=level)
    steps.clock.now_us -= YEAR
    reconciled(steps, clean=True)
    refused(switch, "engage the switch again" if level == 1 else "less than a minute ago")
    steps.clock.now_us += SECOND
    switch.engage("ann", "the clock is right again")
    if level == 2:
        refused(switch, "less than a minute ago")
    steps.clock.now_us += TAIL_OF_CANCEL_ALL_US
    refused(switch, "a clean reconciliation, newer than the engagement")
    reconciled(steps, clean=True)
    switch.release("bob", "looks well")
