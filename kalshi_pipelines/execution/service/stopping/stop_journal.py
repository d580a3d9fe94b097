"""The part of a stop that uses the journal.

It is a module of its own, because it imports the database libraries: without it, a stop still writes the emergency
files.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from kalshi_pipelines.execution.journal.engine import open_journal
from kalshi_pipelines.execution.journal.errors import JournalOfAnotherEnvironment, JournalUnavailable
from kalshi_pipelines.execution.journal.journal import Journal
from kalshi_pipelines.execution.kill.bounded import BoundedWait
from kalshi_pipelines.execution.kill.emergency import EmergencyFile, EmergencyLine
from kalshi_pipelines.execution.kill.switch import EngagementRecord, KillSwitch
from kalshi_pipelines.execution.orders.account import Account
from kalshi_pipelines.execution.orders.states import OrderState
from kalshi_pipelines.execution.service.stopping.stop_settings import StopTarget
from kalshi_pipelines.units import MINUTE_US, now_us

_MOST_SECONDS_TO_READ: Final = 5.0
#: The longest wait for the answers of orders that were sent before the engagement, in seconds. A session waits at most
#: 5 seconds for a connection and 15 seconds for an answer.
_MOST_SECONDS_UNDER_WAY: Final = 22.0
_SECONDS_BETWEEN_LOOKS: Final = 0.2
#: No answer is awaited for an order that was sent longer ago: only a reconciliation can decide it.
_MOST_AGE_AWAITED_US: Final = MINUTE_US


@dataclass(frozen=True, slots=True)
class JournalSession:
    """A session that holds the lease of a sub-account in a journal."""

    session_id: str
    subaccount: int
    holder: str

    def __str__(self) -> str:
        return f"session {self.session_id} (live) of process {self.holder}, sub-account {self.subaccount}"


@dataclass(frozen=True, slots=True)
class JournalStop:
    """The state of a journal after an engagement.

    Attributes:
        record: The place where the engagement is recorded.
        sessions: The sessions that hold a lease.
        ended: The ids of those sessions in question that have ended.
        under_way: The number of orders that were sent, have no known outcome, and may still arrive at the exchange.
        awaited: How many of them were sent a short time ago, so that an answer may come soon.
        unread: Why the orders could not be read after the engagement; empty if they were read.
        is_foreign: Whether the journal belongs to another environment, so that no session can use it here.
    """

    record: EngagementRecord
    sessions: tuple[JournalSession, ...] = ()
    ended: frozenset[str] = frozenset()
    under_way: int = 0
    awaited: int = 0
    unread: str = ""
    is_foreign: bool = False


def existing_journal(target: StopTarget) -> Journal:
    """Open the journal of a target, and never create a file or folder.

    Raises:
        JournalUnavailable: The journal does not exist or cannot be read.
        JournalOutdated: The journal does not have the schema of this code.
        JournalOfAnotherEnvironment: The journal belongs to another environment.
    """
    if target.sqlite_file is not None and not target.sqlite_file.is_file():
        raise JournalUnavailable(f"The journal {target.place} does not exist.")
    return Journal(open_journal(target.journal), target.environment, anchor_file=target.anchors)


def engage_in_journal(
    target: StopTarget, line: EmergencyLine, file_problem: OSError | None, in_question: Sequence[str]
) -> JournalStop:
    """Record an engagement in the journal of a target, and prove it by reading it again.

    ``file_problem`` tells why the emergency file does not have the line; None if it has it.
    """
    opened: list[Journal] = []
    foreign: list[JournalOfAnotherEnvironment] = []

    def journal() -> Journal:
        try:
            if not opened:
                opened.append(existing_journal(target))
        except JournalOfAnotherEnvironment as error:
            foreign.append(error)
            raise
        return opened[0]

    switch = _switch(target, journal)
    try:
        record = switch.record_written(line) if file_problem is None else switch.engage_without_file(line, file_problem)
    except OSError as error:
        return JournalStop(EngagementRecord(None, str(error), is_on_record=False), unread=str(error))
    if foreign:
        return JournalStop(record, unread=str(foreign[0].problem), is_foreign=True)
    return _wait_for_orders_under_way(lambda: _observe(target, journal, record, in_question), record)


def _wait_for_orders_under_way(observe: Callable[[], JournalStop], record: EngagementRecord) -> JournalStop:
    """Read the journal until no answer is awaited any more, for a limited time.

    If the journal cannot be read, the result says so, because an order may then be under way.
    """
    within_limit = BoundedWait("the journal", _MOST_SECONDS_TO_READ)
    give_up = time.monotonic() + _MOST_SECONDS_UNDER_WAY
    stopped = JournalStop(record)
    while True:
        try:
            stopped = within_limit(observe)
        except Exception as error:  # noqa: BLE001  # the engagement is recorded; only what the journal shows is missing
            return replace(stopped, unread=str(error) or type(error).__name__)
        if not stopped.awaited or time.monotonic() > give_up:
            return stopped
        time.sleep(_SECONDS_BETWEEN_LOOKS)


def _observe(
    target: StopTarget, journal: Callable[[], Journal], record: EngagementRecord, in_question: Sequence[str]
) -> JournalStop:
    """Read sessions and orders after an engagement, and check that the journal shows the engagement."""
    with journal().reading() as reading:
        now, sessions, sent_us = now_us(), [], list[int]()
        for subaccount in reading.sessions.live_subaccounts(target.environment):
            account = Account(target.environment, subaccount)
            lease = reading.sessions.lease(account)
            if lease is not None and lease.until_us > now:
                holder = reading.sessions.lease_holder(lease.session_id)
                sessions.append(JournalSession(lease.session_id, subaccount, holder))
            sent = reading.orders.open_intents(account, states=(OrderState.SENDING, OrderState.UNKNOWN))
            # The exchange accepts no order of a fenced group. Any other order may arrive late, however old it is.
            sent_us += [
                each.state_us
                for each in sent
                if each.order_group_id is None or reading.evidence.fence_of(each.order_group_id) is None
            ]
        ended = frozenset(each for each in in_question if reading.sessions.has_ended(each))
        if record.seq is not None and not reading.halts.kill_state().engaged:
            record = EngagementRecord(None, "another person has released the switch meanwhile", is_on_record=False)
    awaited = sum(abs(now - each) < _MOST_AGE_AWAITED_US for each in sent_us)
    return JournalStop(record, tuple(sessions), ended, len(sent_us), awaited)


def _switch(target: StopTarget, journal: Callable[[], Journal]) -> KillSwitch:
    account = Account(target.environment, 0)
    return KillSwitch(journal, EmergencyFile(target.emergency_file), (), account=account)
