"""The stop of all trading that this computer's user can reach, for the command ``kill`` and the job ``halt_trading``.

A stop engages the kill switch of the configured journal and of every registered one, and reports what it proved. It
needs no warehouse, no usable setting and no database library: what is missing only narrows what can be proved. Every
step has a time limit, and the emergency files are written first.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Final

from kalshi_pipelines.errors import ExpectedError
from kalshi_pipelines.execution.kill.bounded import BoundedWait
from kalshi_pipelines.execution.kill.emergency import EmergencyFile, EmergencyLine
from kalshi_pipelines.execution.kill.registry import RegistryReading, SessionEntry, read_registry, remove_entry
from kalshi_pipelines.execution.orders.persons import clean_name
from kalshi_pipelines.execution.service.stopping.journal_file import lacks_journal
from kalshi_pipelines.execution.service.stopping.stop_report import StopReport, TargetStop
from kalshi_pipelines.execution.service.stopping.stop_settings import ENVIRONMENTS, StopKey, StopSettings, StopTarget

#: Level 2 of the kill switch, which also cancels all orders.
_CANCELS: Final = 2
#: The mode of sessions that send no order.
_DRY_RUN: Final = "dry_run"
_MOST_SECONDS_FOR_REGISTRY: Final = 5.0
_MOST_SECONDS_TO_WRITE: Final = 5.0
#: The longest wait for all journals together, in seconds. A single journal is given up earlier.
_MOST_SECONDS_FOR_JOURNALS: Final = 50.0
_MOST_SECONDS_TO_CANCEL: Final = 20.0

if TYPE_CHECKING:
    from kalshi_pipelines.execution.kill.halt import HaltReport
    from kalshi_pipelines.execution.service.stopping.stop_journal import JournalStop


@dataclass(frozen=True, slots=True)
class StopRequest:
    """A request to stop trading: the person, the reason, and how much to stop.

    Attributes:
        by: The name of the person.
        why: The reason.
        level: 1 stops new orders; 2 also cancels all orders.
        patience_seconds: How long level 2 keeps trying to prove that no order rests.
        only_this_journal: Whether the registered journals are left alone.
    """

    by: str
    why: str
    level: int = 1
    patience_seconds: float = 300.0
    only_this_journal: bool = False


@dataclass(slots=True)
class _Work:
    """One target of a stop, with the proofs that were made so far."""

    target: StopTarget
    is_needed: bool = True
    is_absent: bool = False
    is_foreign: bool = False
    under_way: int = 0
    unread: str = "it was not read"
    registered: list[SessionEntry] = field(default_factory=list)
    running: list[SessionEntry] = field(default_factory=list)
    file_problem: OSError | None = None
    seq: int | None = None
    problem: str = ""
    seen: dict[str, str] = field(default_factory=dict)
    ended: frozenset[str] = frozenset()

    def result(self) -> TargetStop:
        known = {each.session_id or each.name: str(each) for each in self.running}
        return TargetStop(
            self.target,
            self.seq,
            is_in_file=self.file_problem is None,
            problem=self.problem,
            is_absent=self.is_absent,
            is_foreign=self.is_foreign,
            under_way=self.under_way,
            unread=self.unread if self._may_have_sent() else "",
            is_needed=self.is_needed,
            sessions=tuple({**self.seen, **known}.values()),
            has_running_session=bool(known),
        )

    def _may_have_sent(self) -> bool:
        """Return whether a session was seen whose process is not proved gone.

        Sessions on other computers use a journal on a server. This computer sees them only in the journal.
        """
        gone = {each.session_id for each in self.registered if not each.is_running}
        is_on_server = self.target.sqlite_file is None and self.seq is not None
        return (
            is_on_server
            or len(gone & self.seen.keys()) < len(self.seen)
            or any(each.is_running and each.mode != _DRY_RUN for each in self.running)
        )


@dataclass(slots=True)
class _Exchange:
    """The proof about the orders at the exchange."""

    flat: dict[str, str] = field(default_factory=dict)
    canceled: list[str] = field(default_factory=list)
    unflat: list[str] = field(default_factory=list)


def stop(settings: StopSettings, request: StopRequest) -> StopReport:
    """Engage every kill switch that can be found. At level 2, also cancel all orders of the configured account."""
    registry, problems, notes = RegistryReading(), list(settings.problems), list(settings.notes)
    folders = settings.registry_folders
    if not request.only_this_journal:
        try:
            registry = BoundedWait("the registry", _MOST_SECONDS_FOR_REGISTRY)(lambda: read_registry(folders))
        except Exception as error:  # noqa: BLE001  # an unreadable registry must not prevent the stop
            problems.append(f"the registry of sessions cannot be read: {error}")
        problems += registry.problems
    work, absent = _targets(settings, registry)
    notes += absent
    line = EmergencyLine(
        clean_name(request.by, "not given"), request.why, request.level, "operator", time.time_ns() // 1_000
    )
    exchange = _Exchange()
    _write_files(work, line)
    journals = _start(lambda each: _engage(each, line), [each for each in work if not each.is_absent])
    # The exchange and the journals are asked at the same time, so that neither delays the other if it hangs.
    halting = _halt_target(settings, exchange) if request.level >= _CANCELS else None
    if halting is not None and settings.key is not None:
        _halt(halting, settings.key, request, exchange)
    _finish(work, journals)
    if not any(each.result().is_engaged for each in work) and request.level < _CANCELS and settings.key is not None:
        _cancel_all(settings, settings.key, exchange)
    if request.level >= _CANCELS:
        exchange.unflat += _unproved_accounts(settings, work, exchange)
    _forget_ended(folders, work, registry)
    return StopReport(
        request.level,
        tuple(each.result() for each in work),
        tuple(problems),
        tuple(notes),
        tuple(exchange.flat.values()),
        tuple(exchange.canceled),
        tuple(exchange.unflat),
    )


def _targets(settings: StopSettings, registry: RegistryReading) -> tuple[list[_Work], list[str]]:
    """Return the journals to stop, and notes about journals that do not exist."""
    configured = [_Work(target, is_absent=_is_absent(target)) for target in settings.targets]
    here = [each for each in configured if not each.is_absent]
    if here or settings.names_a_place:
        found, notes = {each.target.key: each for each in here or configured}, []
    else:
        found, notes = {}, [f"There is no journal {each.target.place}." for each in configured]
    for session in registry.sessions:
        target = settings.target_of(session.place)
        if target.key not in found:
            found[target.key] = _Work(target, is_needed=False, is_absent=_is_absent(target))
        work = found[target.key]
        work.registered.append(session)
        # A session that ends because of this stop was seen all the same.
        if session.is_running:
            work.running.append(session)
        work.is_needed = bool(work.is_needed or work.running or not work.is_absent)
    # A journal in which no session runs now is stopped only if the settings lead to no journal. The person may be in
    # another folder or terminal, and a session may be started a moment later. A stopped journal is also stopped in
    # every other data folder that it was used with.
    is_lost = not here or bool(settings.problems)
    stopped = {each.target.key[:2] for each in found.values()}
    for target in map(settings.target_of, registry.journals):
        if target.key in found or not (is_lost or target.key[:2] in stopped):
            continue
        if not _is_absent(target):
            found[target.key] = _Work(target)
        elif target.environment != ENVIRONMENTS[0]:
            notes.append(f"The journal {target.place}, in which sessions ran earlier, does not exist now.")
    return list(found.values()), notes


def _is_absent(target: StopTarget) -> bool:
    """Return whether the file of a journal is missing, empty or was never set up as a journal.

    A journal in a server's database counts as existing.
    """
    file = target.sqlite_file
    if file is None:
        return False
    try:
        return BoundedWait(f"the disk of {file}", _MOST_SECONDS_TO_WRITE)(lambda: lacks_journal(file))
    except OSError:
        return False


def _write_files(work: Sequence[_Work], line: EmergencyLine) -> None:
    """Write every emergency file at once, so that one hanging disk does not delay the others."""
    for each in work:
        each.file_problem = OSError("it was not written yet")

    def write(each: _Work) -> None:
        file = EmergencyFile(each.target.emergency_file)
        BoundedWait(f"the disk of {file.path}", _MOST_SECONDS_TO_WRITE)(lambda: file.append(line))

    for each, written in _start(write, work):
        try:
            written.result(2 * _MOST_SECONDS_TO_WRITE)
            each.file_problem = None
        except Exception as error:  # noqa: BLE001  # one file must not prevent the others
            each.file_problem = error if isinstance(error, OSError) else OSError(str(error))


def _engage(work: _Work, line: EmergencyLine) -> None:
    # The import is here, so that a broken database library does not prevent a stop.
    from kalshi_pipelines.execution.service.stopping.stop_journal import engage_in_journal  # noqa: PLC0415

    done = engage_in_journal(work.target, line, work.file_problem, _in_question(work))
    _take(work, done)


def _take(work: _Work, done: "JournalStop") -> None:
    work.seq, work.problem, work.ended = done.record.seq, done.record.problem, done.ended
    work.is_foreign, work.under_way, work.unread = done.is_foreign, done.under_way, done.unread
    work.seen = {each.session_id: f"{each}, {work.target.environment}" for each in done.sessions}


def _in_question(work: _Work) -> list[str]:
    return [each.session_id for each in work.registered if each.session_id]


def _finish(work: Sequence[_Work], journals: Sequence[tuple[_Work, "Future[None]"]]) -> None:
    """Wait for the journals, and note why a journal could not be used."""
    wait([each for _, each in journals], _MOST_SECONDS_FOR_JOURNALS)
    for each, engaged in journals:
        try:
            engaged.result(0)
        except TimeoutError:
            each.problem = each.problem or f"it did not answer within {_MOST_SECONDS_FOR_JOURNALS:g} seconds"
        except Exception as error:  # noqa: BLE001  # one journal must not prevent the others
            each.problem = each.problem or f"{type(error).__name__}: {error}"
    for each in work:
        if each.is_absent:
            each.problem = "it does not exist"


def _start(do: Callable[[_Work], None], work: Sequence[_Work]) -> list[tuple[_Work, "Future[None]"]]:
    """Start one thread for each target. Daemon threads do not keep the process alive if a disk or server hangs."""
    started = []
    for each in work:
        done: Future[None] = Future()

        def run(each: _Work = each, done: "Future[None]" = done) -> None:
            try:
                do(each)
                done.set_result(None)
            except BaseException as error:  # noqa: BLE001  # the waiting thread raises this error
                done.set_exception(error)

        try:
            Thread(target=run, daemon=True).start()
        except RuntimeError:
            # The system has no thread left. The targets are stopped one after the other.
            run()
        started.append((each, done))
    return started


def _halt_target(settings: StopSettings, exchange: _Exchange) -> StopTarget | None:
    """Return the configured target that the trade key belongs to, for the halt of level 2; None without a key."""
    if settings.key is None:
        exchange.unflat.append(
            "nothing was canceled: KALSHI_TRADE_API_KEY_ID, KALSHI_TRADE_PRIVATE_KEY_FILE and KALSHI_TRADE_URL are "
            "not all set"
        )
        return None
    try:
        from kalshi_pipelines.execution.service.stopping.stop_exchange import environment_of  # noqa: PLC0415

        environment = environment_of(settings.key, settings.environments)
    except Exception as error:  # noqa: BLE001  # the kill switch is engaged without the exchange
        exchange.unflat.append(f"nothing was canceled: {error}")
        return None
    return next(each for each in settings.targets if each.environment == environment)


def _halt(target: StopTarget, key: StopKey, request: StopRequest, exchange: _Exchange) -> None:
    """Cancel all orders of the trade key's account until it is proved that no order rests."""
    account = f"{target.environment}, sub-account {key.subaccount}"

    def halt() -> "HaltReport":
        from kalshi_pipelines.execution.service.stopping.stop_exchange import cancel_until_flat  # noqa: PLC0415

        return cancel_until_flat(target, key, request.patience_seconds)

    try:
        report = BoundedWait("the exchange", request.patience_seconds + _MOST_SECONDS_TO_CANCEL)(halt)
    except ExpectedError as error:
        exchange.unflat.append(f"nothing was canceled in {account}: {error}")
        return
    except Exception as error:  # noqa: BLE001  # the kill switch is engaged without the exchange
        exchange.unflat.append(f"nothing was proved in {account}: {error}")
        return
    if report.flat:
        exchange.flat[account] = f"{account} (proved in round {report.rounds})"
    else:
        exchange.unflat.append(f"{account}: {report}")


def _cancel_all(settings: StopSettings, key: StopKey, exchange: _Exchange) -> None:
    """Cancel all orders at the exchange, because no kill switch could be engaged."""

    def cancel() -> None:
        from kalshi_pipelines.execution.service.stopping.stop_exchange import cancel_all, environment_of  # noqa: PLC0415

        environment = environment_of(key, settings.environments)
        account = f"{environment}, sub-account {key.subaccount}"
        problem = cancel_all(environment, key)
        if problem:
            exchange.unflat.append(f"{account}: {problem}")
        else:
            exchange.canceled.append(account)

    try:
        BoundedWait("the exchange", _MOST_SECONDS_TO_CANCEL)(cancel)
    except Exception as error:  # noqa: BLE001  # the report tells that nothing was canceled
        exchange.unflat.append(f"nothing was canceled: {error}")


def _unproved_accounts(settings: StopSettings, work: Sequence[_Work], exchange: _Exchange) -> list[str]:
    """Return the accounts of running live sessions that the trade key does not reach."""
    accounts = {
        f"{session.place.environment}, sub-account {session.subaccount}"
        for each in work
        for session in each.running
        if session.mode == "live"
    }
    missed = [f"{each}: this terminal has no trade key for it" for each in sorted(accounts - {*exchange.flat})]
    if not settings.has_clear_subaccount:
        missed.append("KALSHI_TRADE_SUBACCOUNT cannot be used, so other sub-accounts were not looked at")
    return missed


def _forget_ended(folders: Sequence[Path], work: Sequence[_Work], registry: RegistryReading) -> None:
    """Remove the entries of ended sessions, and of journals of the sandbox that were deleted.

    A session whose process is gone counts as ended once its journal has recorded the end, or is gone itself.
    """
    gone = [
        session.name
        for each in work
        for session in each.registered
        if not session.is_running and (each.is_absent or not session.session_id or session.session_id in each.ended)
    ]
    gone += [
        place.name
        for place in registry.journals
        if place.environment == ENVIRONMENTS[0] and not Path(place.folder).exists()
    ]

    def remove() -> None:
        for name in gone:
            remove_entry(folders, name)

    with suppress(Exception):
        BoundedWait("the registry", _MOST_SECONDS_FOR_REGISTRY)(remove)
