"""Engage and release. Engaging never fails quietly: if neither journal nor file can be written, that is the error.

The file comes first, and the journal is waited for only so long: a database that hangs must not keep anybody from it.

A release takes another person than the engagement, a reason, a clean reconciliation begun since of every sub-account
that was ever traded live, a minute after the last cancel-all (the exchange may cancel orders placed in it), and no
other source that still says stop.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from kalshi_pipelines.errors import ExpectedError
from kalshi_pipelines.execution.journal.errors import (
    JournalOfAnotherEnvironment,
    JournalOutdated,
    JournalRefused,
    JournalUnavailable,
)
from kalshi_pipelines.execution.journal.journal import Journal
from kalshi_pipelines.execution.journal.reading.journal_reading import JournalReading
from kalshi_pipelines.execution.journal.records import KillState
from kalshi_pipelines.execution.journal.transaction import JournalTransaction
from kalshi_pipelines.execution.kill.bounded import BoundedWait
from kalshi_pipelines.execution.kill.emergency import EmergencyFile, EmergencyFileUnreadable, EmergencyLine
from kalshi_pipelines.execution.kill.sources import (
    EmergencySource,
    JournalSource,
    KillSource,
    KillStatus,
    read_sources,
)
from kalshi_pipelines.execution.orders.account import Account
from kalshi_pipelines.units import MINUTE_US, now_us

#: OpenAPI 3.34.0: "newly placed orders may also be cancelled during the minute after".
TAIL_OF_CANCEL_ALL_US: Final = MINUTE_US
CANCELS_EVERYTHING: Final = 2
#: What keeps an engagement out of the journal; ``TimeoutError`` if it hangs.
NOT_WRITTEN: Final = (JournalUnavailable, JournalOutdated, JournalOfAnotherEnvironment, JournalRefused, TimeoutError)
#: Longer than a lock is waited for; a journal or disk that takes longer hangs.
MOST_SECONDS: Final = 10.0


class NotReleased(ExpectedError):
    """The switch stays engaged; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class EngagementRecord:
    """Where an engagement is on record: number of the journal's event, or only the emergency file; or nowhere.

    ``problem`` tells what kept it out of the journal, or the file from being put away.
    """

    seq: int | None
    problem: str = ""
    is_on_record: bool = True


class KillSwitch:
    """The switch of one account.

    Args:
        journal: Opens the journal; may fail.
        emergency: Written before the journal, and put away once that has it.
        others: Sources beside these two.
        account: The account whose reconciliation a release needs.
        clock_us: The present instant in microseconds.
        most_seconds: How long the journal and the file's disk are waited for, each.
    """

    def __init__(
        self,
        journal: Callable[[], Journal],
        emergency: EmergencyFile,
        others: Sequence[KillSource],
        *,
        account: Account,
        clock_us: Callable[[], int] = now_us,
        most_seconds: float = MOST_SECONDS,
    ) -> None:
        self._journal, self._emergency, self._others = journal, emergency, tuple(others)
        self._account, self._clock_us = account, clock_us
        self._within_journal_limit = BoundedWait("the journal", most_seconds)
        self._within_disk_limit = BoundedWait(f"the disk of {emergency.path}", most_seconds)

    def status(self) -> KillStatus:
        """What every source says now."""
        return read_sources((JournalSource(self._journal), EmergencySource(self._emergency), *self._others))

    def is_on_record(self) -> bool:
        """Whether the journal or the emergency file says stop, or can not be read: that ends with a release only."""
        return read_sources((JournalSource(self._journal), EmergencySource(self._emergency))).engaged

    def why_engaged(self) -> str | None:
        """Who says stop and why, or None: what an executor asks before each step."""
        status = self.status()
        return status.why if status.engaged else None

    def engage(self, by: str, reason: str, level: int = 1, source: str = "operator") -> EngagementRecord:
        """Stop every new risk: in the file, then in the journal. Engaging again, or higher, is another record.

        Raises:
            OSError: Neither the emergency file nor the journal can be written.
        """
        line = EmergencyLine(by, reason, level, source, self._clock_us())
        try:
            self._within_disk_limit(lambda: self._emergency.append(line))
        except OSError as error:
            return self._engage_without_file(line, error)
        taken = self._try_import(line)
        return EngagementRecord(None, taken) if isinstance(taken, str) else taken

    def import_emergency_file(self, by: str) -> EngagementRecord:
        """Bring what the emergency file says into the journal, if that can be written; it stays in the file if not."""
        taken = self._try_import()
        if isinstance(taken, str):
            return EngagementRecord(None, f"{by} is on record in {self._emergency.path} only: {taken}")
        return taken

    def _try_import(self, written: EmergencyLine | None = None) -> EngagementRecord | str:
        """Where it is on record now, or why only in the file."""
        try:
            return self._within_journal_limit(lambda: self._import_lines(written))
        except Exception as error:  # noqa: BLE001  # whatever it is: the file says stop, and a halt goes on
            return str(error) or type(error).__name__

    def _import_lines(self, written: EmergencyLine | None) -> EngagementRecord:
        lines = self._emergency.lines()
        if written is not None and written not in lines:
            # Somebody took it in since, perhaps to release: it was said after that.
            lines = (*lines, written)
        with self._journal().writing() as transaction:
            seq = _record_lines(transaction, lines)
        try:
            self._emergency.put_away(lines)
        except (EmergencyFileUnreadable, OSError) as error:
            return EngagementRecord(seq, f"{self._emergency.path} could not be put away and says stop, too: {error}")
        return EngagementRecord(seq)

    def _engage_without_file(self, line: EmergencyLine, why: OSError) -> EngagementRecord:
        def engaged() -> int:
            with self._journal().writing() as transaction:
                return _engage(transaction, line, {})

        try:
            return EngagementRecord(self._within_journal_limit(engaged))
        except NOT_WRITTEN as error:
            raise OSError(
                f"{self._emergency.path} can not be written ({why}), the journal not either: {error}"
            ) from why

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
            _record_lines(transaction, lines)
        self._emergency.put_away(lines)
        try:
            with journal.writing() as transaction:
                engagements, now = transaction.reading.halts.engagements_since_release(), transaction.now_us
                if any(each.by_whom == by for each in engagements):
                    raise NotReleased(f"{by} engaged the switch: somebody else has to release it.")
                _require_tail_over(engagements, now)
                rests_on = self._reconciliations_since(transaction.reading, transaction.reading.halts.kill_state(), now)
                facts = {"reconciliations": [*rests_on.values()]} if len(rests_on) > 1 else {}
                first = rests_on.get(self._account.subaccount, next(iter(rests_on.values()), None))
                return transaction.halts.release(by, reason, first, facts)
        except JournalRefused as error:
            raise NotReleased(_problem_of(error)) from error

    def _reconciliations_since(self, reading: JournalReading, kill: KillState, now: int) -> dict[int, int]:
        """The clean reconciliation of each sub-account a release rests on; none while nothing was ever sent.

        The switch is that of the whole journal, so all that was traded from it has to be as the journal says.

        Raises:
            NotReleased: One is missing, or its time is not after the engagement, or is to come.
        """
        traded = reading.sessions.live_subaccounts(self._account.environment)
        if traded and kill.at_us > now:
            raise NotReleased(
                "The switch was engaged at a time that is yet to come, by a clock that was ahead, so nothing can be "
                "since then: look at the clock, engage again, then reconcile."
            )
        rests_on = {}
        for subaccount in traded:
            last = reading.reconciliations.newest(Account(self._account.environment, subaccount))
            if last is None or not last.clean or not kill.at_us <= last.started_us <= last.finished_us <= now:
                raise NotReleased(
                    "A release needs a clean reconciliation made since, as the newest and begun after the engagement, "
                    f"of every sub-account that was traded; that of {subaccount} is missing: run the `reconcile` job "
                    f"first, with KALSHI_TRADE_SUBACCOUNT={subaccount} and its key."
                )
            rests_on[subaccount] = last.reconciliation_id
        return rests_on


def _require_tail_over(engagements: Sequence[KillState], now: int) -> None:
    """Make sure that the exchange cancels nothing new any more.

    Raises:
        NotReleased: The last cancel-all is less than a minute ago.
    """
    later_us = None
    for each in reversed(engagements):
        # One of a clock that was ahead was at the latest when the next one was.
        at_us = later_us if each.at_us > now and later_us is not None else each.at_us
        if each.level >= CANCELS_EVERYTHING and now - at_us < TAIL_OF_CANCEL_ALL_US:
            raise NotReleased("The last cancel-all is less than a minute ago: its tail may cancel new orders. Wait.")
        later_us = at_us


def _record_lines(transaction: JournalTransaction, lines: Sequence[EmergencyLine]) -> int:
    for line in lines:
        _engage(transaction, line, {"emergency_at_us": line.at_us})
    return transaction.reading.halts.kill_state().seq


def _engage(transaction: JournalTransaction, line: EmergencyLine, facts: Mapping[str, object]) -> int:
    """Whatever somebody gave as name and reason, and in whatever encoding: it stops."""
    by, reason, source = _text(line.by, 200), _text(line.reason, 4_000), _text(line.source, 100)
    return transaction.halts.engage(max(1, min(3, line.level)), source, by, reason, facts)


def _text(given: str, longest: int) -> str:
    return given.encode("utf-8", "replace").decode().replace("\0", " ")[:longest] or "not told"


def _problem_of(error: JournalRefused) -> str:
    if error.rule == "kill_not_engaged":
        return "The switch is not engaged."
    return str(error)
