"""The steps to a live session, each with its state, the reason and the next command.

Every step asks the gate that a live session has to pass, so a step is done exactly if the gate would let the session
pass. The steps change nothing.
"""

import os
import shlex
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Final, TypeVar

import sqlalchemy as sa

from kalshi_pipelines.errors import ExpectedError
from kalshi_pipelines.execution.configuration import PREFIX, TradeSettings
from kalshi_pipelines.execution.executor.session import journal_checks
from kalshi_pipelines.execution.gates.arming import ArmBinding, arm_expires_us, arming_checks, token_arming
from kalshi_pipelines.execution.gates.order_checks import MOST_CLOCK_DIFFERENCE_MS
from kalshi_pipelines.execution.gates.vendor import vendor_checks
from kalshi_pipelines.execution.journal.journal import Journal
from kalshi_pipelines.execution.journal.records import Check, Mode, ScopeKind
from kalshi_pipelines.execution.journal.tables import CEILINGS, MOST_ORDER_WORST_MICRODOLLARS
from kalshi_pipelines.execution.kill.sources import FolderSource
from kalshi_pipelines.execution.orders.amounts import money
from kalshi_pipelines.execution.orders.denials import BY_CODE, DenialReason
from kalshi_pipelines.execution.service.account.kill_switch import kill_switch
from kalshi_pipelines.execution.service.account.live_account import LiveAccount, require_private_key_file
from kalshi_pipelines.execution.service.command_context import CommandContext
from kalshi_pipelines.execution.service.setup.setup_texts import export_line, missing_texts
from kalshi_pipelines.execution.text import format_instant, safe_line
from kalshi_pipelines.settings import Environment

_PROGRAM: Final = "python -m kalshi_pipelines.execution"
_MIGRATE: Final = "dagster job execute -m kalshi_pipelines -j migrate"
_CONTRACT_CHECKS: Final = "dagster job execute -m kalshi_pipelines -j contract_checks"
_KEY: Final = ("KALSHI_TRADE_API_KEY_ID", "KALSHI_TRADE_PRIVATE_KEY_FILE", "KALSHI_TRADE_URL")
_LONGEST: Final = 400
T = TypeVar("T")


class Standing(StrEnum):
    """The state of a step: done, missing, wrong, or done with advice."""

    DONE = "done"
    MISSING = "missing"
    WRONG = "wrong"
    ADVICE = "advice"


@dataclass(frozen=True, slots=True)
class SetupStep:
    """A step to a live session: its state, what was found, and the commands that come next."""

    title: str
    standing: Standing
    found: str
    commands: tuple[str, ...] = ()

    @property
    def is_open(self) -> bool:
        """Whether no live session can open before this step is done."""
        return self.standing in (Standing.MISSING, Standing.WRONG)


@dataclass(frozen=True)
class SetupSteps:
    """All steps to a live session, checked with the settings and databases of one command."""

    context: CommandContext
    now_us: int

    @cached_property
    def trade(self) -> TradeSettings:
        """The settings of trading, which ``all`` has checked."""
        return self.context.trade

    @cached_property
    def journal(self) -> Journal | ExpectedError:
        """The journal, or the reason why it cannot be used."""
        return _attempt(self.context.journal)

    @cached_property
    def warehouse(self) -> sa.Engine | ExpectedError:
        """The warehouse, or the reason why it cannot be used."""
        return _attempt(self.context.warehouse)

    @cached_property
    def account(self) -> LiveAccount | ExpectedError:
        """The traded account, opened with the trade key, or the reason why it cannot be opened."""
        warehouse = self.warehouse
        if isinstance(warehouse, ExpectedError):
            return warehouse
        return _attempt(lambda: self.context.live_account(warehouse))

    @cached_property
    def journal_checks(self) -> tuple[Check, ...] | ExpectedError:
        """The checks of the journal and its anchors, or the reason why they cannot be made."""
        journal = self.journal
        return journal if isinstance(journal, ExpectedError) else _attempt(lambda: journal_checks(journal))

    def all(self) -> Iterator[SetupStep]:
        """Yield every step in the order in which a person does them."""
        try:
            self.context.trade  # noqa: B018  (reading the property checks the settings)
        except ExpectedError as error:
            yield SetupStep("settings", Standing.WRONG, str(error))
            return
        yield self._mode()
        yield self._folder()
        yield self._databases()
        yield self._key()
        yield self._key_at_exchange()
        yield self._from_arming("series", DenialReason.TICKER_NOT_ALLOWED, "KALSHI_TRADE_SERIES")
        if self.context.settings.environment is Environment.PROD:
            yield self._from_arming("consent", DenialReason.ENVIRONMENT_MISMATCH, "KALSHI_TRADE_PRODUCTION")
        yield self._caps()
        yield self._contract_checks()
        yield self._clock()
        yield self._anchors()
        yield self._kill_switch()
        yield self._other_session()
        yield self._other_traders()
        yield self._arming()

    def _mode(self) -> SetupStep:
        environment = self.context.settings.environment.value
        if self.trade.mode is Mode.LIVE:
            return SetupStep("mode", Standing.DONE, f"live, on {environment}")
        commands = (export_line(self.context.settings, "KALSHI_TRADE_MODE"),)
        return SetupStep("mode", Standing.MISSING, missing_texts(["KALSHI_TRADE_MODE"]), commands)

    def _folder(self) -> SetupStep:
        folder = self.context.settings.environment_dir
        is_real = self.context.settings.environment is not Environment.SANDBOX
        read = FolderSource(folder, needs_absolute_path=is_real).read()
        if not read.engaged:
            return SetupStep("data folder", Standing.DONE, str(folder.absolute()))
        if is_real and not folder.is_absolute():
            return SetupStep("data folder", Standing.WRONG, read.why, ('export KALSHI_DATA_DIR="$PWD/data"',))
        return SetupStep("data folder", Standing.MISSING, f"{folder.absolute()} does not exist.", (_MIGRATE,))

    def _databases(self) -> SetupStep:
        checks = self.journal_checks
        problems = [str(made) for made in (self.warehouse, checks) if isinstance(made, ExpectedError)]
        if not isinstance(checks, ExpectedError):
            problems += [_told(each) for each in _failed(checks, DenialReason.SCHEMA_NOT_AT_HEAD)]
        if problems:
            return SetupStep("databases", Standing.MISSING, " ".join(problems), (_MIGRATE,))
        return SetupStep("databases", Standing.DONE, "the warehouse and the journal are at their newest migration")

    def _key(self) -> SetupStep:
        settings, trade = self.context.settings, self.trade
        values = (trade.api_key_id, trade.private_key_file, trade.url)
        unset = [name for name, value in zip(_KEY, values, strict=True) if value is None]
        if unset:
            commands = tuple(export_line(settings, name) for name in unset)
            if settings.environment is Environment.SANDBOX and trade.api_key_id is None:
                commands = (f"{_PROGRAM} setup --sandbox-key trade-key.pem --write-env .env", *commands)
            return SetupStep("trade key", Standing.MISSING, missing_texts(unset), commands)
        transport = _attempt(self.context.live_transport)
        if isinstance(transport, ExpectedError):
            return SetupStep("trade key", Standing.WRONG, str(transport), self._key_commands())
        exposed = _attempt(lambda: require_private_key_file(trade))
        if exposed is not None:
            return SetupStep("trade key", Standing.WRONG, str(exposed), self._key_commands())
        found = f"{transport.key_fingerprint} in {trade.private_key_file}, for {transport.host}"
        return SetupStep("trade key", Standing.DONE, found)

    def _key_commands(self) -> tuple[str, ...]:
        """Return a command that repairs an existing key file. The path of no file may be the private key itself."""
        file = self.trade.private_key_file
        return (f"chmod 600 {shlex.quote(str(file))}",) if file is not None and _attempt_os(file.is_file) else ()

    def _key_at_exchange(self) -> SetupStep:
        if isinstance(self.account, ExpectedError):
            return SetupStep("key at the exchange", Standing.MISSING, "needs the trade key and the databases")
        failed = _failed(self.account.key_checks())
        if failed:
            return SetupStep("key at the exchange", Standing.WRONG, _told(failed[0]))
        found = f"scopes `read` and `write::trade`, sub-account {self.trade.subaccount}"
        return SetupStep("key at the exchange", Standing.DONE, found)

    def _from_arming(self, title: str, reason: DenialReason, variable: str) -> SetupStep:
        failed = _failed(self._arming_checks(), reason)
        if not failed:
            return SetupStep(title, Standing.DONE, os.environ.get(variable, "set"))
        commands = (export_line(self.context.settings, variable),)
        return SetupStep(title, Standing.MISSING, missing_texts([variable]), commands)

    def _caps(self) -> SetupStep:
        caps = self.trade.caps
        found = (
            f"largest possible loss: {money(caps.order_worst_microdollars)} in an order, "
            f"{money(caps.scopes[ScopeKind.SESSION].worst_microdollars)} in a session, "
            f"{money(caps.scopes[ScopeKind.DAY].worst_microdollars)} in a day, "
            f"{money(caps.scopes[ScopeKind.ACCOUNT].worst_microdollars)} in the account"
        )
        highest = {
            "ORDER_DOLLARS": (caps.order_worst_microdollars, MOST_ORDER_WORST_MICRODOLLARS, 5),
            "SESSION_LOSS_DOLLARS": (caps.scopes[ScopeKind.SESSION].worst_microdollars, CEILINGS["session"][2], 10),
            "DAY_LOSS_DOLLARS": (caps.scopes[ScopeKind.DAY].worst_microdollars, CEILINGS["day"][2], 20),
        }
        commands = tuple(
            f"export {PREFIX}{name}={dollars}"
            for name, (value, ceiling, dollars) in highest.items()
            if value >= ceiling
        )
        if commands:
            text = f"{found}. These are the highest caps of this version; lower them to what you want to risk."
            return SetupStep("caps", Standing.ADVICE, text, commands)
        return SetupStep("caps", Standing.DONE, found)

    def _contract_checks(self) -> SetupStep:
        if isinstance(self.warehouse, ExpectedError):
            return SetupStep("contract checks", Standing.MISSING, "needs the databases", (_CONTRACT_CHECKS,))
        failed = _failed(vendor_checks(self.warehouse, self.context.settings.environment.value, self.now_us))
        if not failed:
            return SetupStep("contract checks", Standing.DONE, "the exchange's API was checked in the last 24 hours")
        standing = Standing.WRONG if failed[0].code == DenialReason.CONTRACTS_BROKEN.code else Standing.MISSING
        return SetupStep("contract checks", standing, _told(failed[0]), (self._contract_command(),))

    def _contract_command(self) -> str:
        """Return the command that checks the exchange's API. Other exchanges than the sandbox need consent."""
        is_sandbox = self.context.settings.environment is Environment.SANDBOX
        return _CONTRACT_CHECKS if is_sandbox else f"KALSHI_RUN_LIVE_API=true {_CONTRACT_CHECKS}"

    def _clock(self) -> SetupStep:
        account = self.account
        if isinstance(account, ExpectedError):
            return SetupStep("clock", Standing.MISSING, "needs the trade key and the databases")
        answer = _attempt(account.client.exchange_status)
        difference = account.client.clock_difference_ms
        if isinstance(answer, ExpectedError) or difference is None:
            return SetupStep("clock", Standing.WRONG, f"The exchange's clock cannot be read: {answer}")
        found = f"{abs(difference):,} ms from the exchange's clock; at most {MOST_CLOCK_DIFFERENCE_MS:,} ms are allowed"
        if abs(difference) > MOST_CLOCK_DIFFERENCE_MS:
            return SetupStep("clock", Standing.WRONG, found, ("timedatectl set-ntp true",))
        return SetupStep("clock", Standing.DONE, found)

    def _anchors(self) -> SetupStep:
        file = self.context.settings.resolved_journal_anchors.absolute()
        if isinstance(self.journal_checks, ExpectedError):
            return SetupStep("anchors", Standing.MISSING, f"needs the journal; the file will be {file}")
        schema = DenialReason.SCHEMA_NOT_AT_HEAD.code
        failed = [each for each in _failed(self.journal_checks) if each.code != schema]
        if failed:
            return SetupStep("anchors", Standing.WRONG, _told(failed[0]))
        place = Path(self.context.place_of_journal())
        if _is_on_same_disk(file, place):
            text = f"{file} is on the same disk as the journal. A backup of the disk restores both, unnoticed."
            return SetupStep("anchors", Standing.ADVICE, text, ("export KALSHI_JOURNAL_ANCHORS=/other/disk/anchors",))
        return SetupStep("anchors", Standing.DONE, f"{file}, on another disk than the journal")

    def _kill_switch(self) -> SetupStep:
        if isinstance(self.journal, ExpectedError):
            return SetupStep("kill switch", Standing.MISSING, "needs the journal")
        status = kill_switch(self.context.settings, self.trade, self.context.journal).status()
        if not status.engaged:
            return SetupStep("kill switch", Standing.DONE, "released; `kill` engages it")
        commands = [f'{_PROGRAM} release --why "..."']
        for reading in status.readings:
            if reading.engaged and reading.source == "environment":
                commands.insert(0, "unset KALSHI_TRADE_KILL")
        return SetupStep(
            "kill switch", Standing.MISSING, f"engaged by {safe_line(status.why, _LONGEST)}", tuple(commands)
        )

    def _other_session(self) -> SetupStep:
        if isinstance(self.journal, ExpectedError):
            return SetupStep("other session", Standing.MISSING, "needs the journal")
        account = self.trade.account(self.context.settings.environment)
        with self.journal.reading() as reading:
            lease = reading.sessions.lease(account)
        if lease is None or lease.until_us <= self.now_us:
            return SetupStep("other session", Standing.DONE, f"no session trades {account}")
        found = f"session {lease.session_id} trades {account} until {format_instant(lease.until_us)}"
        return SetupStep("other session", Standing.WRONG, found, (f'{_PROGRAM} close-session --why "..."',))

    def _other_traders(self) -> SetupStep:
        journal, account = self.journal, self.account
        if isinstance(journal, ExpectedError) or isinstance(account, ExpectedError):
            return SetupStep("other traders", Standing.MISSING, "needs the trade key and the databases")
        made = _attempt(lambda: account.other_traders(journal).check())
        if isinstance(made, ExpectedError):
            return SetupStep("other traders", Standing.WRONG, str(made))
        if not made.ok:
            return SetupStep("other traders", Standing.WRONG, _told(made))
        return SetupStep("other traders", Standing.DONE, "no other journal trades this account")

    def _arming(self) -> SetupStep:
        failed = _failed(self._arming_checks(), DenialReason.NOT_ARMED, DenialReason.ARM_TOKEN_INVALID)
        commands = (f"eval \"$({_PROGRAM} arm --minutes 60 --why '...')\"",)
        if failed:
            standing = Standing.MISSING if failed[0].code == DenialReason.NOT_ARMED.code else Standing.WRONG
            return SetupStep("arming", standing, _told(failed[0]), commands)
        if self._is_arming_used():
            return SetupStep("arming", Standing.MISSING, DenialReason.ARMING_USED.cause, commands)
        until = arm_expires_us(self.trade)
        return SetupStep("arming", Standing.DONE, f"armed until {format_instant(until)}" if until else "armed")

    def _is_arming_used(self) -> bool:
        arming = token_arming(self.trade)
        if arming is None or isinstance(self.journal, ExpectedError):
            return False
        with self.journal.reading() as reading:
            return reading.sessions.session_of_arming([arming.sha256]) is not None

    def _arming_checks(self) -> tuple[Check, ...]:
        transport = _attempt(self.context.live_transport)
        fingerprint = "" if isinstance(transport, ExpectedError) else transport.key_fingerprint
        bound = ArmBinding(self.context.settings.environment, fingerprint, self.trade.limits_sha256)
        return arming_checks(self.trade, bound, self.now_us)


def _attempt(make: Callable[[], T]) -> T | ExpectedError:
    """Return the result of a function, or the expected error that it raised."""
    try:
        return make()
    except ExpectedError as error:
        return error


def _attempt_os(ask: Callable[[], bool]) -> bool:
    try:
        return ask()
    except OSError:
        return False


def _failed(checks: Iterable[Check], *reasons: DenialReason) -> list[Check]:
    """Return the failed checks, or only those with one of the given reasons."""
    codes = {reason.code for reason in reasons}
    return [each for each in checks if not each.ok and (not codes or each.code in codes)]


def _told(failed: Check) -> str:
    """Return a failed check as people read it: the cause, what was found, what is wanted, and the remedy."""
    reason = BY_CODE[failed.code]
    return f"{reason.cause} {safe_line(failed.observed, _LONGEST)}; wanted: {failed.limit}. {reason.remedy}"


def _is_on_same_disk(file: Path, other: Path) -> bool:
    """Return whether two files are on the same disk. A file that does not exist yet counts by its folder."""

    def device(path: Path) -> int | None:
        for each in (path, *path.parents):
            try:
                return each.stat().st_dev
            except OSError:
                continue
        return None

    return other.is_absolute() and device(file) == device(other)
