"""A trading session: its mode, account, key, caps and end, and the gates that a live session must pass.

A session never changes after it is opened. The session's row in the journal decides what the session may do; arguments
of later calls do not.
"""

import hashlib
import os
import platform
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Final

from kalshi_pipelines import execution
from kalshi_pipelines.errors import ExpectedError
from kalshi_pipelines.execution.configuration import TradeSettings, caps_sha256
from kalshi_pipelines.execution.gates.arming import ArmBinding, arm_expires_us, arming_checks, token_arming
from kalshi_pipelines.execution.gates.order_checks import Denial, check, first_denial
from kalshi_pipelines.execution.journal.errors import (
    AnchorsNotTrusted,
    JournalHasTwoPaths,
    JournalOutdated,
    JournalRefused,
    JournalRestored,
)
from kalshi_pipelines.execution.journal.journal import Journal
from kalshi_pipelines.execution.journal.records import (
    Arming,
    Binding,
    Check,
    Lease,
    Mode,
    NewSession,
    Origin,
    SessionCaps,
)
from kalshi_pipelines.execution.orders.account import Account
from kalshi_pipelines.execution.orders.denials import DenialReason
from kalshi_pipelines.execution.transport.order_transport import OrderTransport
from kalshi_pipelines.settings import Environment
from kalshi_pipelines.units import MINUTE_US, instant, now_us

#: How long a lease lasts. A live session that does not renew its lease in time has lost its sub-account.
LEASE_US: Final = MINUTE_US


class SessionRefused(ExpectedError):
    """A trading session could not be opened.

    ``checks`` holds every check that was made; ``reason`` names the first failure.
    """

    def __init__(self, denied: Denial, checks: tuple[Check, ...]) -> None:
        super().__init__(f"{denied.reason.cause} {denied.detail}.", denied.reason.remedy)
        self.reason = denied.reason
        self.detail = denied.detail
        self.checks = checks


@dataclass(frozen=True, slots=True)
class TradeSession:
    """An open trading session. ``host`` and ``key_fingerprint`` are set only in a live session."""

    session_id: str
    account: Account
    mode: Mode
    origin: Origin
    caps: SessionCaps
    expires_us: int
    code_version: str
    host: str | None = None
    key_fingerprint: str | None = None


@dataclass(frozen=True, slots=True)
class Opening:
    """The circumstances in which a session is opened: the person, the kind of run and the reason.

    ``armed_run`` is set if a person armed a run by its config. A live session uses it up, as it uses up the arm token.
    """

    opened_by: str
    origin: Origin
    why: str = ""
    armed_run: Arming | None = None


@cache
def code_version() -> str:
    """Return the package's version and a digest of every file below ``execution/``.

    The journal refuses to send an order if its session was opened with another code version.
    """
    return f"{version('kalshi-pipelines')}+{digest_of_files(Path(execution.__file__).parent)[:16]}"


def digest_of_files(folder: Path) -> str:
    """Return a SHA-256 of the names and contents of all files below a folder, except Python's compiled caches.

    Files of every suffix count, because SQL templates and data also change what the code does.
    """
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def open_dry_run(
    journal: Journal,
    settings: TradeSettings,
    environment: Environment,
    opening: Opening,
    clock_us: Callable[[], int] = now_us,
) -> TradeSession:
    """Open a session that decides, reserves and records but sends nothing.

    Such a session (a dry run) has neither a trade key nor the exchange's address.
    """
    session = _build_session(settings, environment, Mode.DRY_RUN, opening.origin, clock_us())
    with journal.writing() as transaction:
        transaction.sessions.open(_new_session(session, settings, opening, clock_us()))
    return session


def open_live(
    journal: Journal,
    settings: TradeSettings,
    environment: Environment,
    opening: Opening,
    transport: OrderTransport,
    other_checks: tuple[Check, ...],
    clock_us: Callable[[], int] = now_us,
) -> TradeSession:
    """Open a session that sends orders.

    ``other_checks`` are the checks of the key, the vendor's contracts and the kill switch, made by the caller.

    Raises:
        SessionRefused: A check failed, the arming has opened a session before, or another live session holds the
            sub-account.
    """
    now = clock_us()
    bound = ArmBinding(environment, transport.key_fingerprint, settings.limits_sha256)
    checks = (
        *_origin_checks(settings, opening),
        *arming_checks(settings, bound, now, is_run_armed=opening.armed_run is not None),
        *journal_checks(journal),
        *other_checks,
    )
    denied = first_denial(checks)
    if denied is not None:
        raise SessionRefused(denied, checks)
    session = _build_session(settings, environment, Mode.LIVE, opening.origin, now, transport)
    binding = Binding(session.account, transport.host, transport.key_fingerprint)
    new = _new_session(session, settings, opening, now, binding)
    claim_journal(journal)
    try:
        with journal.writing() as transaction:
            transaction.sessions.bind_key(binding, opening.opened_by)
            transaction.realised.realise_flat_markets(new.account)
            transaction.sessions.open(new, Lease(f"{platform.node()}:{os.getpid()}", transaction.now_us + LEASE_US))
    except JournalRefused as error:
        journal.release_path()
        raise SessionRefused(_explain_refusal(journal, new, error), checks) from error
    return session


def _explain_refusal(journal: Journal, new: NewSession, error: JournalRefused) -> Denial:
    """Return the reason for which the journal refused to open a live session."""
    if "used_armings" in error.rule:
        return Denial(DenialReason.ARMING_USED, _describe_used_arming(journal, new))
    if "leases" in error.rule:
        return Denial(DenialReason.SESSION_NOT_EXCLUSIVE, _describe_lease_holder(journal, new))
    return Denial(DenialReason.ENVIRONMENT_MISMATCH, str(error))


def _describe_used_arming(journal: Journal, new: NewSession) -> str:
    """Return a sentence about the session that has used up an arming of the new session."""
    with journal.reading() as reading:
        session = reading.sessions.session_of_arming([arming.sha256 for arming in new.armings])
    if session is None:
        return "Another session has used it"
    return f"Session {session['session_id']} used it at {instant(session['opened_us']):%Y-%m-%d %H:%M:%S} UTC"


def _describe_lease_holder(journal: Journal, new: NewSession) -> str:
    """Return a sentence that tells which live session holds the sub-account."""
    with journal.reading() as reading:
        lease = reading.sessions.lease(new.account)
        if lease is None:
            return "The other session ended a moment ago"
        holder = reading.sessions.lease_holder(lease.session_id)
    until = f"{instant(lease.until_us):%Y-%m-%d %H:%M:%S} UTC"
    return (
        f"Session {lease.session_id} of process {holder} holds the sub-account until {until}, and may renew its lease"
    )


def renew_lease(journal: Journal, session: TradeSession) -> bool:
    """Renew a live session's lease for a minute. Return False if the session had lost the lease."""
    with journal.writing() as transaction:
        return transaction.sessions.renew_lease(session.session_id, transaction.now_us + LEASE_US)


def close(journal: Journal, session: TradeSession, reason: str) -> None:
    """End a session, and anchor the newest audit record."""
    with journal.writing() as transaction:
        transaction.sessions.end(session.session_id, reason)
    journal.release_path()
    journal.anchor()


def claim_journal(journal: Journal) -> None:
    """Claim the path of the journal, so that no process can trade with the same journal by another path.

    The caller ends the claim with ``journal.release_path``.

    Raises:
        SessionRefused: The journal has another hard link, or another process uses it by another path.
    """
    try:
        journal.claim_path()
    except (JournalHasTwoPaths, OSError) as error:
        observed = (error.problem if isinstance(error, JournalHasTwoPaths) else str(error)).rstrip(".")
        failed = check(DenialReason.JOURNAL_HAS_TWO_PATHS, False, "one path", observed)
        raise SessionRefused(Denial(DenialReason.JOURNAL_HAS_TWO_PATHS, observed), (failed,)) from error


def _origin_checks(settings: TradeSettings, opening: Opening) -> tuple[Check, ...]:
    return (
        check(
            DenialReason.NOT_ARMED, settings.mode is Mode.LIVE, "live", f"KALSHI_TRADE_MODE is {settings.mode.value}"
        ),
        check(DenialReason.ORIGIN_NOT_LIVE, opening.origin is Origin.BY_HAND, "by hand", opening.origin.value),
    )


def journal_checks(journal: Journal) -> tuple[Check, ...]:
    """Check that the journal has the tables and guards of this code, and every record that was anchored."""
    try:
        journal.require_head()
        journal.require_trusted_anchors()
    except JournalOutdated as error:
        observed = str(error).rstrip(".")
        return (check(DenialReason.SCHEMA_NOT_AT_HEAD, False, "tables and guards of this code", observed),)
    except JournalRestored as error:
        observed = error.problem.rstrip(".")
        return (check(DenialReason.JOURNAL_RESTORED, False, "every record that was anchored", observed),)
    except AnchorsNotTrusted as error:
        observed = error.problem.rstrip(".")
        return (check(DenialReason.ANCHORS_NOT_TRUSTED, False, "an anchor file that keeps every anchor", observed),)
    return ()


def _build_session(
    settings: TradeSettings,
    environment: Environment,
    mode: Mode,
    origin: Origin,
    now: int,
    transport: OrderTransport | None = None,
) -> TradeSession:
    expires = now + settings.session_minutes * MINUTE_US
    armed_until = arm_expires_us(settings)
    if mode is Mode.LIVE and armed_until is not None:
        expires = min(expires, armed_until)
    return TradeSession(
        session_id=uuid.uuid4().hex,
        account=settings.account(environment),
        mode=mode,
        origin=origin,
        caps=settings.caps,
        expires_us=expires,
        code_version=code_version(),
        host=transport.host if transport else None,
        key_fingerprint=transport.key_fingerprint if transport else None,
    )


def _new_session(
    session: TradeSession, settings: TradeSettings, opening: Opening, now: int, binding: Binding | None = None
) -> NewSession:
    return NewSession(
        session_id=session.session_id,
        account=session.account,
        mode=session.mode,
        origin=session.origin,
        opened_by=opening.opened_by,
        opened_us=now,
        expires_us=session.expires_us,
        code_version=session.code_version,
        config_sha256=settings.config_sha256,
        caps_sha256=caps_sha256(settings.caps),
        caps=session.caps,
        binding=binding,
        armed_by=opening.opened_by if binding else None,
        why=opening.why,
        armings=tuple(each for each in (token_arming(settings), opening.armed_run) if each) if binding else (),
    )
