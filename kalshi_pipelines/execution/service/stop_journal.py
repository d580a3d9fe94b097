"""The part of a stop that uses the journal.

It is a module of its own, because it imports the database libraries: without it, a stop still writes the emergency
files.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kalshi_pipelines.execution.journal.engine import open_journal
from kalshi_pipelines.execution.journal.errors import JournalOfAnotherEnvironment, JournalUnavailable
from kalshi_pipelines.execution.journal.journal import Journal
from kalshi_pipelines.execution.kill.bounded import BoundedWait
from kalshi_pipelines.execution.kill.emergency import EmergencyFile, EmergencyLine
from kalshi_pipelines.execution.kill.switch import EngagementRecord, KillSwitch
from kalshi_pipelines.execution.orders.account import Account
from kalshi_pipelines.execution.service.stop_settings import StopTarget
from kalshi_pipelines.units import now_us

_MOST_SECONDS_TO_READ = 5.0


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
    """What the journal knows after an engagement.

    Attributes:
        record: The place where the engagement is recorded.
        sessions: The sessions that hold a lease.
        ended: The ids of those sessions in question that have ended.
        is_foreign: Whether the journal belongs to another environment, so that no session can use it here.
    """

    record: EngagementRecord
    sessions: tuple[JournalSession, ...] = ()
    ended: frozenset[str] = frozenset()
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
        return JournalStop(EngagementRecord(None, str(error), is_on_record=False))
    if record.seq is None:
        return JournalStop(record, is_foreign=bool(foreign))
    return _read_sessions(target, journal, record, in_question)


def _read_sessions(
    target: StopTarget, journal: Callable[[], Journal], record: EngagementRecord, in_question: Sequence[str]
) -> JournalStop:
    """Read the journal's sessions after an engagement, and check that the journal shows the engagement."""

    def read() -> JournalStop:
        with journal().reading() as reading:
            sessions = []
            for subaccount in reading.sessions.live_subaccounts(target.environment):
                lease = reading.sessions.lease(Account(target.environment, subaccount))
                if lease is not None and lease.until_us > now_us():
                    holder = reading.sessions.lease_holder(lease.session_id)
                    sessions.append(JournalSession(lease.session_id, subaccount, holder))
            ended = frozenset(each for each in in_question if reading.sessions.has_ended(each))
            if not reading.halts.kill_state().engaged:
                another = EngagementRecord(None, "another person has released the switch meanwhile", is_on_record=False)
                return JournalStop(another, tuple(sessions), ended)
            return JournalStop(record, tuple(sessions), ended)

    try:
        return BoundedWait("the journal", _MOST_SECONDS_TO_READ)(read)
    except Exception:  # noqa: BLE001  # the engagement is recorded; only the list of sessions is missing
        return JournalStop(record)


def _switch(target: StopTarget, journal: Callable[[], Journal]) -> KillSwitch:
    account = Account(target.environment, 0)
    return KillSwitch(journal, EmergencyFile(target.emergency_file), (), account=account)
