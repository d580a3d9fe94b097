"""Engage and release. Engaging never fails quietly: if neither journal nor file can be written, that is the error.

A release takes another person than the engagement, a reason, a clean reconciliation made since, a minute after the last
cancel-all (the exchange may cancel orders placed in it), and no other source that still says stop.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from kalshi_pipelines.execution.journal.errors import (
    JournalOfAnotherEnvironment,
    JournalOutdated,
    JournalRefused,
    JournalUnavailable,
)
from kalshi_pipelines.execution.journal.journal import Journal
from kalshi_pipelines.execution.journal.reading import JournalReading
from kalshi_pipelines.execution.journal.records import KillState
from kalshi_pipelines.execution.journal.transaction import JournalTransaction
from kalshi_pipelines.execution.kill.emergency import EmergencyFile, EmergencyFileUnreadable, EmergencyLine
from kalshi_pipelines.execution.kill.sources import (
    EmergencySource,
    JournalSource,
    KillSource,
    KillStatus,
    read_sources,
)
from kalshi_pipelines.units import MICROSECONDS_PER_SECOND, now_us

#: OpenAPI 3.34.0: "newly placed orders may also be cancelled during the minute after".
TAIL_OF_CANCEL_ALL_US: Final = 60 * MICROSECONDS_PER_SECOND
CANCELS_EVERYTHING: Final = 2
#: What keeps an engagement out of the journal.
NOT_WRITTEN: Final = (JournalUnavailable, JournalOutdated, JournalOfAnotherEnvironment, JournalRefused)


class NotReleased(Exception):
    """The switch stays engaged; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class Engaged:
    """Where an engagement is on record: number of the journal's event, or only the emergency file; or nowhere."""

    seq: int | None
    problem: str = ""
    is_on_record: bool = True


class KillSwitch:
    """The switch of one environment and sub-account.

    Args:
        journal: Opens the journal; may fail.
        emergency: Written when the journal can not be.
        others: Sources beside these two.
        environment: Whose reconciliation a release needs.
        subaccount: Likewise.
        clock_us: The present instant in microseconds.
    """

    def __init__(
        self,
        journal: Callable[[], Journal],
        emergency: EmergencyFile,
        others: Sequence[KillSource],
        *,
        environment: str,
        subaccount: int,
        clock_us: Callable[[], int] = now_us,
    ) -> None:
        self._journal, self._emergency, self._others = journal, emergency, tuple(others)
        self._environment, self._subaccount, self._clock_us = environment, subaccount, clock_us

    def status(self) -> KillStatus:
        """What every source says now."""
        return read_sources((JournalSource(self._journal), EmergencySource(self._emergency), *self._others))

    def why_engaged(self) -> str | None:
        """Who says stop and why, or None: what an executor asks before each step."""
        status = self.status()
        return status.why if status.engaged else None

    def engage(self, by: str, reason: str, level: int = 1, source: str = "operator") -> Engaged:
        """Stop every new risk. Engaging again, or higher, is another record.

        Raises:
            OSError: Neither the journal nor the emergency file can be written.
        """
        try:
            with self._journal().writing() as transaction:
                return Engaged(_engage(transaction, EmergencyLine(by, reason, level, source, self._clock_us()), {}))
        except NOT_WRITTEN as error:
            self._emergency.append(EmergencyLine(by, reason, level, source, self._clock_us()))
            return Engaged(None, str(error))

    def take_in(self, by: str) -> Engaged:
        """Bring what the emergency file says into the journal, if that can be written; it stays in the file if not."""
        try:
            lines = self._emergency.lines()
            with self._journal().writing() as transaction:
                seq = _take_in(transaction, lines)
            self._emergency.put_away(lines)
        except (*NOT_WRITTEN, EmergencyFileUnreadable, OSError) as error:
            return Engaged(None, f"{by} is on record in {self._emergency.path} only: {error}")
        return Engaged(seq)

    def release(self, by: str, reason: str) -> int:
        """Let sessions that are opened from now on trade again; number of the event.

        Raises:
            NotReleased: Something of what it takes is missing.
            JournalUnavailable: The journal can not be written; a release has no other place.
        """
        if not reason.strip() or not by.strip():
            raise NotReleased("A release needs a name and a reason.")
        still = read_sources(self._others) if self._others else None
        if still is not None and still.engaged:
            raise NotReleased(f"Other sources still say stop: {still.why}. End them first.")
        journal = self._journal()
        lines = self._emergency.lines()
        with journal.writing() as transaction:
            _take_in(transaction, lines)
        self._emergency.put_away(lines)
        try:
            with journal.writing() as transaction:
                if any(each.by_whom == by for each in transaction.engagements_since_release()):
                    raise NotReleased(f"{by} engaged the switch: somebody else has to release it.")
                reconciliation = self._reconciled_since(transaction, transaction.kill(), transaction.now_us)
                return transaction.release_kill(by, reason, reconciliation)
        except JournalRefused as error:
            raise NotReleased(_refused(error)) from error

    def _reconciled_since(self, reading: JournalReading, kill: KillState, now: int) -> int | None:
        """The clean reconciliation a release rests on; None while nothing was ever sent.

        Raises:
            NotReleased: There is none, or the last cancel-all is less than a minute ago.
        """
        halts = [each for each in reading.engagements_since_release() if each.level >= CANCELS_EVERYTHING]
        if any(now - each.at_us < TAIL_OF_CANCEL_ALL_US for each in halts):
            raise NotReleased("The last cancel-all is less than a minute ago: its tail may cancel new orders. Wait.")
        if reading.first_live_session_us(self._environment, self._subaccount) is None:
            return None
        last = reading.last_reconciliation(self._environment, self._subaccount)
        if last is None or not last.clean or last.finished_us < kill.at_us:
            raise NotReleased("A release needs a clean reconciliation made since: run the `reconcile` job first.")
        return last.reconciliation_id


def _take_in(transaction: JournalTransaction, lines: Sequence[EmergencyLine]) -> int:
    for line in lines:
        _engage(transaction, line, {"emergency_at_us": line.at_us})
    return transaction.kill().seq


def _engage(transaction: JournalTransaction, line: EmergencyLine, facts: Mapping[str, object]) -> int:
    """Whatever somebody gave as name and reason, and in whatever encoding: it stops."""
    by, reason, source = _text(line.by, 200), _text(line.reason, 4_000), _text(line.source, 100)
    return transaction.engage_kill(max(1, min(3, line.level)), source, by, reason, facts)


def _text(given: str, longest: int) -> str:
    return given.encode("utf-8", "replace").decode().replace("\0", " ")[:longest] or "not told"


def _refused(error: JournalRefused) -> str:
    if error.rule == "kill_not_engaged":
        return "The switch is not engaged."
    return str(error)
