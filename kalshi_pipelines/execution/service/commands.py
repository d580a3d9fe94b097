"""What the command line does: each command opens what it needs, does one thing and tells it in a few lines.

Which arguments there are is said by ``__main__``.
"""

import argparse
import datetime as dt
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final, Self

import sqlalchemy as sa
import yaml

from kalshi_pipelines.errors import ExpectedError
from kalshi_pipelines.execution.audit.verification import AuditVerdict
from kalshi_pipelines.execution.configuration import TradeSettings
from kalshi_pipelines.execution.executor.decisions import DecisionOutcome
from kalshi_pipelines.execution.executor.session import Opening
from kalshi_pipelines.execution.gates.arming import LONGEST_US, Bound, arm_token
from kalshi_pipelines.execution.inbox.files import read_proposals
from kalshi_pipelines.execution.inbox.proposals import ProposalTexts, Proposer, propose, read_proposal
from kalshi_pipelines.execution.journal.engine import journal_url, open_journal
from kalshi_pipelines.execution.journal.errors import JournalOutdated, JournalUnavailable
from kalshi_pipelines.execution.journal.guards import HOURS_AHEAD
from kalshi_pipelines.execution.journal.journal import Journal
from kalshi_pipelines.execution.journal.ledger import WINDOW_HOURS
from kalshi_pipelines.execution.journal.records import Intent, Mode, Origin, ScopeKind
from kalshi_pipelines.execution.journal.transaction import JournalTransaction
from kalshi_pipelines.execution.kill.switch import NotReleased
from kalshi_pipelines.execution.orders.amounts import money
from kalshi_pipelines.execution.orders.proposals import ActorKind
from kalshi_pipelines.execution.orders.states import OrderState
from kalshi_pipelines.execution.reconciliation.acceptance import NotAccepted
from kalshi_pipelines.execution.service.audit import verify_or_stop
from kalshi_pipelines.execution.service.kill_switch import engage, halt, halt_now, kill_switch
from kalshi_pipelines.execution.service.live_account import live_account, live_transport
from kalshi_pipelines.execution.service.trading_session import FORGOTTEN_AFTER_US, Desk, trade
from kalshi_pipelines.execution.text import (
    counted,
    moment,
    plain,
    position_lines,
    proposal_row,
    standing_lines,
    status_lines,
)
from kalshi_pipelines.kalshi.client import KalshiClient
from kalshi_pipelines.settings import Environment, InvalidSettings, Settings
from kalshi_pipelines.units import HOUR_US, MINUTE_US, instant, now_us, trading_day
from kalshi_pipelines.warehouse.engine import (
    WarehouseUnavailable,
    explained_failures,
    open_engine,
    place_of,
    warehouse_url,
)
from kalshi_pipelines.warehouse.migrations import require_head

#: The status of what was ended with Ctrl-C, as shells have it.
INTERRUPTED: Final = 130
APPROVED_FOR: Final = dt.timedelta(minutes=10)
#: What an armed run and a session take of who and why.
LONGEST_TEXT: Final = 200
_SHORTEST_DIGEST: Final = 12


class CanNotBeDone(ExpectedError):
    """A command that makes no sense as things are; the message says why and what would."""


@dataclass(frozen=True)
class Office:
    """What commands work with; databases are opened when they are first asked for, and closed at the end."""

    settings: Settings
    _open: ExitStack

    @classmethod
    @contextmanager
    def of_environment(cls) -> Iterator[Self]:
        """With the settings of the present environment variables.

        Raises:
            InvalidSettings: One can not be used.
        """
        with ExitStack() as opened:
            yield cls(Settings.from_environment(), opened)

    @cached_property
    def trade(self) -> TradeSettings:
        """The settings of trading.

        Raises:
            InvalidSettings: One can not be used.
        """
        return TradeSettings.from_environment()

    def whereabouts(self) -> str:
        """What a command acts on. Nothing is opened for it, and nothing that is wrong keeps a kill from its work."""
        try:
            subaccount = str(self.trade.subaccount)
        except InvalidSettings:
            subaccount = "not known"
        return f"{self.settings.environment.value}, sub-account {subaccount}, journal {self.place_of_journal()}"

    def place_of_journal(self) -> str:
        """Where the journal is, for people."""
        try:
            url = warehouse_url(journal_url(self.settings))
            place = place_of(url)
            return str(Path(place).absolute()) if url.get_backend_name() == "sqlite" else place
        except (OSError, WarehouseUnavailable):
            return "not known"

    def journal_engine(self) -> sa.Engine:
        """The journal's database."""
        engine = open_journal(journal_url(self.settings))
        self._open.callback(engine.dispose)
        return engine

    def journal(self) -> Journal:
        """The journal, at head and of this environment."""
        return Journal(
            self.journal_engine(), self.settings.environment, anchor_file=self.settings.resolved_journal_anchors
        )

    def warehouse(self) -> sa.Engine:
        """The warehouse, at head."""
        engine = open_engine(self.settings.resolved_warehouse_url)
        self._open.callback(engine.dispose)
        with explained_failures(engine):
            require_head(engine)
        return engine

    def client(self, warehouse: sa.Engine) -> KalshiClient:
        """Reads the exchange."""
        if self.settings.sandbox_url is None and self.trade.url is not None:
            client = KalshiClient.from_settings(self.settings, warehouse, self.trade.url, "KALSHI_TRADE_URL")
        else:
            client = KalshiClient.from_settings(self.settings, warehouse)
        return self._open.enter_context(client)


def propose_order(office: Office, given: argparse.Namespace) -> int:
    """Put one order into the inbox."""
    now = dt.datetime.now(dt.UTC)
    rests = None if given.rest_minutes is None else now + dt.timedelta(minutes=given.rest_minutes)
    texts = ProposalTexts(
        ticker=given.ticker,
        action=given.action,
        outcome=given.outcome,
        price=given.price,
        count=given.count,
        strategy=given.strategy,
        signal=given.signal,
        as_of=now.isoformat(),
        valid_until=(now + dt.timedelta(minutes=given.valid_minutes)).isoformat(),
        time_in_force=given.time_in_force,
        expires="" if rests is None else rests.isoformat(),
        post_only=str(given.post_only).lower(),
        reduce_only=str(given.reduce_only).lower(),
        reason=given.reason,
    )
    order = read_proposal(texts, Proposer(ActorKind(given.kind), given.name))
    print(office.whereabouts())
    (number,) = propose(office.journal_engine(), [order], "command line")
    print(f"Proposal {number} is in the inbox until {order.valid_until:%H:%M:%S} UTC; nothing was sent.")
    return 0


def import_file(office: Office, given: argparse.Namespace) -> int:
    """Put the orders of a file into the inbox."""
    print(office.whereabouts())
    orders = read_proposals(given.file, Proposer(ActorKind(given.kind), given.name), instant(now_us()))
    numbers = propose(office.journal_engine(), orders, given.file.name)
    these = f"{numbers[0]} to {numbers[-1]}" if len(numbers) > 1 else str(numbers[0])
    are = "is" if len(numbers) == 1 else "are"
    print(f"{counted(len(numbers), 'proposal')} {are} in the inbox ({these}); nothing was sent.")
    return 0


def trade_inbox(office: Office, given: argparse.Namespace) -> int:
    """Decide what is in the inbox, in one session."""
    _require_by_and_why(given)
    print(f"{office.whereabouts()}, mode {office.trade.mode.value}")
    warehouse = office.warehouse()
    desk = Desk(office.settings, office.trade, office.journal(), warehouse, office.client(warehouse), print)
    try:
        run = trade(desk, Opening(given.by, Origin.BY_HAND, given.why))
    except KeyboardInterrupt:
        print(f"Interrupted. {_left_open(office)}", file=sys.stderr)
        return INTERRUPTED
    print(run)
    done = {DecisionOutcome.PLACED, DecisionOutcome.SIMULATED, DecisionOutcome.KNOWN}
    return 0 if run.is_clean and all(decision.outcome in done for decision in run.decisions) else 1


def _left_open(office: Office) -> str:
    """What is open after a session that somebody interrupted, in one sentence."""
    of = (office.settings.environment.value, office.trade.subaccount)
    try:
        with office.journal().reading() as reading:
            session, orders = reading.live_session(*of), len(reading.open_intents(*of))
    except (JournalUnavailable, JournalOutdated) as error:
        return f"What was left open can not be told, so see `status` and `reconcile`: {error}"
    lives = "No live session is open" if session is None else f"Session {session} is open (`close-session` ends it)"
    if not orders:
        return f"{lives}, and no order."
    return f"{lives}, and {counted(orders, 'order')} may rest or be unknown: see `status`, and run `reconcile`."


def approve(office: Office, given: argparse.Namespace) -> int:
    """Approve the exact bytes of a request."""
    print(office.whereabouts())
    with office.journal().writing() as transaction:
        try:
            intent = transaction.intent(given.intent)
        except LookupError as error:
            raise CanNotBeDone(f"{error}: see `status`.") from None
        _require_countable(transaction, intent, given.by)
        digest = given.sha256.lower()
        if not intent.request_sha256.startswith(digest):
            raise CanNotBeDone(
                f"The request of intent {intent.intent_id} has another SHA-256 ({intent.request_sha256}); nothing was "
                f"approved. Its request is {intent.request_json}"
            )
        if len(digest) < _SHORTEST_DIGEST:
            raise CanNotBeDone(
                f"{len(digest)} digits of the SHA-256 are too few, {_SHORTEST_DIGEST} or more are wanted; nothing was "
                f"approved. Compare them with those that were shown for intent {intent.intent_id}."
            )
        transaction.approve(
            intent.request_sha256, given.by, transaction.now_us + APPROVED_FOR // dt.timedelta(microseconds=1)
        )
    print(f"Approved by {plain(given.by)} for 10 minutes, this request and no other:\n{intent.request_json}")
    return 0


def _require_countable(transaction: JournalTransaction, intent: Intent, by: str) -> None:
    """An approval is only taken down if it will count.

    Raises:
        CanNotBeDone: It would not.
    """
    if intent.state is not OrderState.RESERVED:
        raise CanNotBeDone(
            f"Intent {intent.intent_id} is {intent.state.value.replace('_', ' ')} and waits for no approval; nothing "
            "was approved. See `status` for what waits."
        )
    if transaction.now_us > intent.valid_until_us:
        raise CanNotBeDone(
            f"Intent {intent.intent_id} was valid until {moment(intent.valid_until_us)}; nothing was approved. "
            "Propose it anew."
        )
    if transaction.actor_of(intent) == by:
        raise CanNotBeDone(
            f"Intent {intent.intent_id} was proposed by {plain(by)}; nothing was approved. Somebody else has to: let "
            "them run this, or say with --by who you are."
        )


def arm(office: Office, given: argparse.Namespace) -> int:
    """Make the operator's token, and the config of a run."""
    _require_by_and_why(given)
    minutes_us = given.minutes * MINUTE_US
    if not 0 < minutes_us <= LONGEST_US:
        raise CanNotBeDone(f"A token is good for 1 minute to a day, not for {given.minutes} minutes.")
    now = now_us()
    with live_transport(office.settings, office.trade) as transport:
        key, host = transport.key_fingerprint, transport.host
    token = arm_token(Bound(office.settings.environment, key, office.trade.limits_sha256), now + minutes_us)
    worst = office.trade.caps.scopes[ScopeKind.SESSION].worst_microdollars
    print(
        f"# Armed by {plain(given.by)}: {plain(given.why)}\n"
        f"# {office.settings.environment.value}, {host}, sub-account {office.trade.subaccount}, key {key}\n"
        f"# until {instant(now + minutes_us):%Y-%m-%d %H:%M:%S} UTC; worst loss of a session {money(worst)}\n"
        f"export KALSHI_TRADE_ARM={token}"
    )
    if given.run is not None:
        _write_run(given.run, given.by, given.why, now)
        print(
            f"# The run in {given.run} is armed for 15 minutes: "
            f"dagster job execute -m kalshi_pipelines -j trade -c {given.run}"
        )
    return 0


def _require_by_and_why(given: argparse.Namespace) -> None:
    """Who and why can be stored: an armed run takes no other.

    Raises:
        CanNotBeDone: One of them can not.
    """
    for option, text in (("--by", given.by), ("--why", given.why)):
        if not (text.strip() and text.isprintable() and len(text) <= LONGEST_TEXT):
            raise CanNotBeDone(f"{option}: write one line of 1 to {LONGEST_TEXT} characters, not {len(text)}.")


def _write_run(file: Path, by: str, why: str, now: int) -> None:
    config = {"armed_by": by, "why": why, "armed_at": instant(now).isoformat(timespec="seconds")}
    file.write_text(yaml.safe_dump({"ops": {"executed_orders": {"config": config}}}, sort_keys=False))


def status(office: Office, given: argparse.Namespace) -> int:
    """How things stand."""
    del given
    now, environment, subaccount = now_us(), office.settings.environment, office.trade.subaccount
    switch = kill_switch(office.settings, office.trade, office.journal).status()
    with office.journal().reading() as reading:
        print(f"environment      {environment.value}, sub-account {subaccount}, mode {office.trade.mode.value}")
        print(f"journal          {office.place_of_journal()}")
        print(f"trading          {f'stopped by {plain(switch.why)}' if switch.engaged else 'not stopped'}")
        for line in status_lines(reading, environment, subaccount, now):
            print(line)
        pending = reading.pending_proposals(office.trade.mode, now - FORGOTTEN_AFTER_US)
        print(f"inbox            {counted(len(pending), 'proposal')}")
        for row in pending:
            told = proposal_row(row)
            print(f"  {told['proposal']:>6}  {told['order']}  by {told['by']}, valid until {told['valid until']}")
        print("caps")
        day = trading_day(now).isoformat()
        hours = (now // HOUR_US - WINDOW_HOURS, now // HOUR_US + HOURS_AHEAD)
        for mode in (Mode.LIVE, Mode.DRY_RUN):
            for line in standing_lines(reading.live_scopes(environment.value, subaccount, mode, day, hours)):
                print(line)
        markets = reading.markets(environment.value, subaccount)
        for line in position_lines(markets, office.trade.position_contracts):
            print(line)
    return 0


def reconcile(office: Office, given: argparse.Namespace) -> int:
    """Compare the account with the journal."""
    del given
    print(office.whereabouts())
    journal = office.journal()
    with live_account(office.settings, office.trade, office.warehouse()) as account:
        report = account.reconciler(journal).reconcile()
    print(report)
    return 0 if report.clean else 1


def accept(office: Office, given: argparse.Namespace) -> int:
    """Take positions of the exchange as the journal's own and clear breached caps, after a person looked into them."""
    print(office.whereabouts())
    journal = office.journal()
    with live_account(office.settings, office.trade, office.warehouse()) as account:
        reconciler = account.reconciler(journal)
        try:
            print(reconciler.accept(reconciler.reconcile(), given.tickers, given.by, given.why))
        except NotAccepted as error:
            raise CanNotBeDone(f"Nothing was accepted. {error}") from None
        report = reconciler.reconcile()
    print(report)
    return 0 if report.clean else 1


def kill(office: Office, given: argparse.Namespace) -> int:
    """Stop all new risk; at level 2 cancel everything, too, and go on until nothing is proved to rest."""
    print(office.whereabouts(), flush=True)
    if given.level == 1:
        engaged = engage(office.settings, office.journal, given.by, given.why)
        print("The kill switch is engaged: nothing new is sent. Orders that rest are left alone; level 2 cancels them.")
        if engaged.seq is None:
            print(f"It is on record in the emergency file only: {engaged.problem}", file=sys.stderr)
        return 0
    report = halt_now(office.settings, office.journal, given.by, given.why, given.patience)
    if report.engaged.is_on_record:
        print("The kill switch is engaged: nothing new is sent.")
    else:
        print(f"New orders may be sent: {report.engaged.problem}. End the trading process.", file=sys.stderr)
    print(report)
    if not report.flat:
        print("Orders may rest. Run it again, or delete the trade key on the exchange's page.", file=sys.stderr)
    return 0 if report.flat and report.engaged.is_on_record else 1


def drill(office: Office, given: argparse.Namespace) -> int:
    """Halt for practice, never on the real exchange; the switch stays engaged until it is released."""
    if office.settings.environment is Environment.PROD:
        raise CanNotBeDone("A drill cancels every order: it is for the sandbox and demo, not for the real exchange.")
    print(office.whereabouts())
    began = time.monotonic()
    with halt(office.settings, office.trade, office.journal) as halting:
        report = halting.run(given.by, f"drill: {given.why}", given.patience)
    print(
        f"{report}\nThe drill took {time.monotonic() - began:.1f} seconds. Reconcile, then let another person release."
    )
    return 0 if report.flat else 1


def release(office: Office, given: argparse.Namespace) -> int:
    """Let sessions that are opened from now on trade again."""
    print(office.whereabouts())
    try:
        seq = kill_switch(office.settings, office.trade, office.journal).release(given.by, given.why)
    except NotReleased as error:
        print(f"The kill switch stays engaged. {error}", file=sys.stderr)
        return 1
    print(f"The kill switch is released by {plain(given.by)} (event {seq}); open a new session to trade.")
    return 0


def close_session(office: Office, given: argparse.Namespace) -> int:
    """End the live session of the sub-account."""
    print(office.whereabouts())
    journal = office.journal()
    with journal.writing() as transaction:
        session = transaction.live_session(office.settings.environment.value, office.trade.subaccount)
        if session is None:
            raise CanNotBeDone("There is no live session on this sub-account.")
        transaction.end_session(session, f"by {given.by}: {given.why}")
    journal.anchor()
    print(f"Session {session} is closed: it can send nothing more. Its resting orders are looked after by `reconcile`.")
    return 0


def verify_audit(office: Office, given: argparse.Namespace) -> int:
    """Verify the journal."""
    del given
    report = verify_or_stop(office.settings, office.trade, office.journal_engine(), office.warehouse)
    print(report, file=sys.stdout if report.ok else sys.stderr)
    if report.verdict is AuditVerdict.CORRUPT:
        print("The kill switch is engaged: nothing new is sent.", file=sys.stderr)
    return int(report.verdict)
