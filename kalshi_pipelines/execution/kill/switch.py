"""The kill switch: engaging it stops new orders, releasing it permits new sessions.

Engaging writes the emergency file first and then the journal. The wait for the journal is limited, so a database that
hangs cannot prevent a halt. If neither can be written, engaging raises an error.

A release needs:

- a second person and a reason,
- a clean reconciliation, newer than the engagement, of every sub-account ever traded live,
- a minute since the last cancel-all, because the exchange may cancel orders placed in that minute,
- no other source that is still engaged.
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
from kalshi_pipelines.execution.orders.persons import UnusableName, clean_name, is_same_person, person_name
from kalshi_pipelines.units import MINUTE_US, now_us

#: The exchange may cancel orders that are placed within this time after a cancel-all. OpenAPI 3.34.0: "newly placed
#: orders may also be cancelled during the minute after".
TAIL_OF_CANCEL_ALL_US: Final = MINUTE_US
CANCELS_EVERYTHING: Final = 2
#: Errors that prevent the journal from recording an engagement. ``TimeoutError`` means that the journal hangs.
NOT_WRITTEN: Final = (JournalUnavailable, JournalOutdated, JournalOfAnotherEnvironment, JournalRefused, TimeoutError)
#: The longest wait for the journal or a disk, in seconds. It is longer than the wait for a lock in the database.
MOST_SECONDS: Final = 10.0


class NotReleased(ExpectedError):
    """A precondition for releasing the kill switch is not met, so the switch stays engaged."""


@dataclass(frozen=True, slots=True)
class EngagementRecord:
    """The place where an engagement of the kill switch is recorded: the journal, only the emergency file, or nowhere.

    Attributes:
        seq: The number of the kill event in the journal; None if the journal has not recorded the engagement.
        problem: Why the journal could not be written, or why the emergency file could not be emptied.
        is_on_record: Whether the journal or the emergency file has the engagement.
    """

    seq: int | None
    problem: str = ""
    is_on_record: bool = True


class KillSwitch:
    """The kill switch of one journal.

    Args:
        journal: Opens the journal, and may fail.
        emergency: The emergency file. It is written before the journal, and emptied once the journal has recorded its
            lines.
        others: The sources of the switch besides the journal and the emergency file.
        account: The account whose reconciliation is named first in the record of a release.
        clock_us: Returns the present instant in microseconds.
        most_seconds: The longest wait for the journal. The wait for the emergency file's disk has the same limit.
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
        """Return the present state of every kill-switch source."""
        return read_sources((JournalSource(self._journal), EmergencySource(self._emergency), *self._others))

    def is_on_record(self) -> bool:
        """Return whether the journal or the emergency file stops trading. Only a release ends such a stop."""
        return read_sources((JournalSource(self._journal), EmergencySource(self._emergency))).engaged

    def why_engaged(self) -> str | None:
        """Return the engaged sources and their reasons, or None if the kill switch is clear.

        The executor calls this before each step of an order.
        """
        status = self.status()
        return status.why if status.engaged else None

    def engage(self, by: str, reason: str, level: int = 1, source: str = "operator") -> EngagementRecord:
        """Engage the kill switch: record the engagement in the emergency file, then in the journal.

        Each call adds another record.

        Raises:
            OSError: Neither the emergency file nor the journal can be written.
        """
        line = EmergencyLine(by, reason, level, source, self._clock_us())
        try:
            self._within_disk_limit(lambda: self._emergency.append(line))
        except OSError as error:
            return self.engage_without_file(line, error)
        return self.record_written(line)

    def record_written(self, line: EmergencyLine) -> EngagementRecord:
        """Record in the journal an engagement that the emergency file already has. If that fails, the file keeps it."""
        taken = self._try_import(line)
        return EngagementRecord(None, taken) if isinstance(taken, str) else taken

    def import_emergency_file(self, by: str) -> EngagementRecord:
        """Record the lines of the emergency file in the journal. If that fails, the lines stay in the file."""
        taken = self._try_import()
        if isinstance(taken, str):
            return EngagementRecord(None, f"only {self._emergency.path} has the engagement by {by}: {taken}")
        return taken

    def _try_import(self, written: EmergencyLine | None = None) -> EngagementRecord | str:
        """Record the emergency file's lines in the journal.

        Returns:
            Where the engagement is recorded, or the text of the error that prevented the record in the journal.
        """
        try:
            return self._within_journal_limit(lambda: self._import_lines(written))
        except Exception as error:  # noqa: BLE001  # the file stops trading, so no error may end the halt
            return str(error) or type(error).__name__

    def _import_lines(self, written: EmergencyLine | None) -> EngagementRecord:
        lines = self._emergency.lines()
        if written is not None and written not in lines:
            # The emergency file no longer has the written line, so another process has recorded it in the journal. A
            # person may have released the switch after that. The line is recorded again to engage the switch again.
            lines = (*lines, written)
        with self._journal().writing() as transaction:
            seq = _record_lines(transaction, lines)
        try:
            self._emergency.put_away(lines)
        except (EmergencyFileUnreadable, OSError) as error:
            return EngagementRecord(
                seq, f"{self._emergency.path} could not be emptied, so it stops trading as well: {error}"
            )
        return EngagementRecord(seq)

    def engage_without_file(self, line: EmergencyLine, why: OSError) -> EngagementRecord:
        """Record an engagement in the journal only, because the emergency file cannot be written.

        Raises:
            OSError: The journal cannot be written, either.
        """

        def engaged() -> int:
            with self._journal().writing() as transaction:
                return _engage(transaction, line, {})

        try:
            return EngagementRecord(self._within_journal_limit(engaged))
        except NOT_WRITTEN as error:
            raise OSError(
                f"{self._emergency.path} cannot be written ({why}), and neither can the journal: {error}"
            ) from why

    def release(self, by: str, reason: str) -> int:
        """Release the kill switch for new sessions, and return the number of the release's event in the journal.

        Sessions that were stopped stay stopped.

        Raises:
            NotReleased: A precondition of the release is not met.
            JournalUnavailable: The journal cannot be written. Only the journal can record a release.
        """
        if not reason.strip() or not by.strip():
            raise NotReleased("A release needs a name and a reason.", "Give both.")
        try:
            by = person_name(by)
        except UnusableName as error:
            raise NotReleased(error.problem, error.remedy) from error
        still = read_sources(self._others) if self._others else None
        if still is not None and still.engaged:
            raise NotReleased(f"Other sources are still engaged: {still.why}.", "Clear them, then release again.")
        journal = self._journal()
        lines = self._emergency.lines()
        with journal.writing() as transaction:
            _record_lines(transaction, lines)
        self._emergency.put_away(lines)
        try:
            with journal.writing() as transaction:
                engagements, now = transaction.reading.halts.engagements_since_release(), transaction.now_us
                if any(is_same_person(each.by_whom, by) for each in engagements):
                    raise NotReleased(f"{by} engaged the kill switch.", "Let another person release it.")
                _require_tail_over(engagements, now)
                rests_on = self._reconciliations_since(transaction.reading, transaction.reading.halts.kill_state(), now)
                facts = {"reconciliations": [*rests_on.values()]} if len(rests_on) > 1 else {}
                first = rests_on.get(self._account.subaccount, next(iter(rests_on.values()), None))
                return transaction.halts.release(by, reason, first, facts)
        except JournalRefused as error:
            raise NotReleased(_problem_of(error)) from error

    def _reconciliations_since(self, reading: JournalReading, kill: KillState, now: int) -> dict[int, int]:
        """Return the id of the newest clean reconciliation of each sub-account ever traded live.

        The kill switch stops trading in every sub-account of the journal, so each of them must match the journal.

        Raises:
            NotReleased: A reconciliation is missing, began before the engagement, or has a time in the future.
        """
        traded = reading.sessions.live_subaccounts(self._account.environment)
        if traded and kill.at_us > now:
            raise NotReleased(
                "A clock that was ahead engaged the switch at a time in the future, so no reconciliation can be newer.",
                "Check the clock, engage the switch again, then run the `reconcile` job.",
            )
        rests_on = {}
        for subaccount in traded:
            last = reading.reconciliations.newest(Account(self._account.environment, subaccount))
            if last is None or not last.clean or not kill.at_us <= last.started_us <= last.finished_us <= now:
                raise NotReleased(
                    "A release needs a clean reconciliation, newer than the engagement, of every sub-account ever "
                    f"traded live. The newest one of sub-account {subaccount} is missing, older or not clean.",
                    f"Run the `reconcile` job with KALSHI_TRADE_SUBACCOUNT={subaccount} and its key.",
                )
            rests_on[subaccount] = last.reconciliation_id
        return rests_on


def _require_tail_over(engagements: Sequence[KillState], now: int) -> None:
    """Check that the exchange can no longer cancel new orders because of the last cancel-all.

    Raises:
        NotReleased: The last cancel-all is less than a minute ago.
    """
    later_us = None
    for each in reversed(engagements):
        # Treat an event with a future timestamp as no later than the event after it.
        at_us = later_us if each.at_us > now and later_us is not None else each.at_us
        if each.level >= CANCELS_EVERYTHING and now - at_us < TAIL_OF_CANCEL_ALL_US:
            raise NotReleased(
                "The last cancel-all is less than a minute ago and may still cancel new orders.",
                "Wait a minute, then release again.",
            )
        later_us = at_us


def _record_lines(transaction: JournalTransaction, lines: Sequence[EmergencyLine]) -> int:
    for line in lines:
        _engage(transaction, line, {"emergency_at_us": line.at_us})
    return transaction.reading.halts.kill_state().seq


def _engage(transaction: JournalTransaction, line: EmergencyLine, facts: Mapping[str, object]) -> int:
    """Record an engagement of the kill switch in the journal.

    The person's name, the reason and the source are shortened and cleaned, so that no text can prevent the record.
    """
    by, reason, source = clean_name(line.by, "not given"), _text(line.reason, 4_000), _text(line.source, 100)
    return transaction.halts.engage(max(1, min(3, line.level)), source, by, reason, facts)


def _text(given: str, longest: int) -> str:
    return given.encode("utf-8", "replace").decode().replace("\0", " ")[:longest] or "not given"


def _problem_of(error: JournalRefused) -> str:
    if error.rule == "kill_not_engaged":
        return "The kill switch is not engaged, so there is nothing to release."
    return str(error)
