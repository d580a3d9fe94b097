"""A sandbox exchange and a member with a trade key, for tests that trade over real HTTP."""

import datetime as dt
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from kalshi_pipelines.execution.configuration import TradeSettings
from kalshi_pipelines.execution.executor import session as sessions
from kalshi_pipelines.execution.executor.dispatch import KillReader, LiveDispatch, OrderDispatch, SimulatedDispatch
from kalshi_pipelines.execution.executor.executor import TradeExecutor
from kalshi_pipelines.execution.executor.planning import ExecutorInputs
from kalshi_pipelines.execution.executor.session import Opening, TradeSession
from kalshi_pipelines.execution.gates.arming import ArmBinding, arm_token
from kalshi_pipelines.execution.gates.key import available_balance
from kalshi_pipelines.execution.gates.market_snapshot import ExchangeMarkets
from kalshi_pipelines.execution.journal.journal import Journal, initialise
from kalshi_pipelines.execution.journal.records import Mode, Origin
from kalshi_pipelines.execution.orders.account import Account
from kalshi_pipelines.execution.orders.checkpoints import Checkpoint, PassCheckpoint, ignore_checkpoint
from kalshi_pipelines.execution.orders.proposals import ActorKind, ProposedOrder, Signal
from kalshi_pipelines.execution.orders.terms import (
    Action,
    Contracts,
    Leg,
    MarketTicker,
    Outcome,
    TimeInForce,
    YesPrice,
)
from kalshi_pipelines.execution.transport.order_transport import OrderTransport
from kalshi_pipelines.execution.transport.write_budget import WriteBudget
from kalshi_pipelines.kalshi.client import KalshiClient
from kalshi_pipelines.kalshi.portfolio import PortfolioClient
from kalshi_pipelines.kalshi.rate_budget import Bucket, RateBudget, documented_rates
from kalshi_pipelines.kalshi.signing import Signer
from kalshi_pipelines.kalshi.transport import Transport
from kalshi_pipelines.sandbox.process import SandboxOptions, SandboxProcess, running_sandbox
from kalshi_pipelines.settings import Environment, RateTier
from kalshi_pipelines.units import HOUR_US, now_us

MEMBER = "ann"
SUBACCOUNT = 0
QUIET = SandboxOptions(markets=60, combos=0, tick_seconds=0, tier="unlimited")
Row = dict[str, Any]

_numbers = count(1)


class Budget(RateBudget):
    """A rate budget without a limit, so that tests never wait for it."""

    def acquire(self, cost: int, bucket: Bucket = Bucket.READ) -> float:
        del cost, bucket
        return 0.0


@dataclass
class SandboxMember:
    """A member of a running sandbox, with key, client and admin access."""

    sandbox: SandboxProcess
    http: httpx.Client
    signer: Signer
    key_id: str
    key_file: Path
    client: KalshiClient
    portfolio: PortfolioClient
    member: str
    stack: ExitStack = field(repr=False, default_factory=ExitStack)

    def steer(self, method: str, path: str, **body: Any) -> Any:
        """Send a request to the sandbox's admin API."""
        answer = self.http.request(method, self.sandbox.admin_url + "/sandbox" + path, json=body or None)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def truth(self) -> list[Row]:
        """Return all events of the exchange from its truth log."""
        events: list[Row] = []
        while True:
            page = self.http.get(
                f"{self.sandbox.admin_url}/sandbox/truth", params={"after": len(events), "limit": 10_000}
            ).json()
            events += page["events"]
            if not page["events"]:
                return events

    def orders_on_exchange(self) -> list[Row]:
        """Return the orders of this member that the exchange accepted, from the truth log."""
        return [event for event in self.truth() if event["event"] == "OrderAccepted" and event["member"] == self.member]

    def tradable(self) -> Row:
        """Return an open binary market with a two-sided book and prices between $0.15 and $0.85."""
        markets = self.http.get(
            f"{self.sandbox.url}/markets", params={"status": "open", "mve_filter": "exclude", "limit": 1000}
        ).json()["markets"]
        for market in markets:
            if market["yes_bid_size_fp"] != "0.00" and market["yes_ask_size_fp"] != "0.00":
                bid, ask = Decimal(market["yes_bid_dollars"]), Decimal(market["yes_ask_dollars"])
                if Decimal("0.15") < bid < ask < Decimal("0.85") and market["market_type"] == "binary":
                    chosen: Row = market
                    return chosen
        raise AssertionError("the sandbox has no market to trade")

    def settings(self, **changes: Any) -> TradeSettings:
        """Return settings of a live session that is armed for an hour."""
        values: Row = {
            "mode": Mode.LIVE,
            "api_key_id": self.key_id,
            "private_key_file": self.key_file,
            "url": self.sandbox.url,
            "series": "*",
            "approval_dollars": 50,
            **changes,
        }
        plain = TradeSettings(**values)
        bound = ArmBinding(Environment.SANDBOX, self.signer.fingerprint, plain.limits_sha256)
        token = arm_token(bound, now_us() + HOUR_US)
        return TradeSettings(**{"arm": token, **values})

    def transport(self, settings: TradeSettings) -> OrderTransport:
        """Return a transport that never runs out of write tokens."""
        made = OrderTransport(
            settings.account(Environment.SANDBOX),
            self.sandbox.url,
            self.signer,
            budget=WriteBudget(100_000, 100_000),
        )
        return self.stack.enter_context(made)

    def inputs(self, kill: KillReader) -> ExecutorInputs:
        """Return the inputs of an executor: this sandbox's markets, the member's balance, and a kill-switch reader."""
        return ExecutorInputs(
            ExchangeMarkets(self.client), kill, lambda shard: available_balance(self.portfolio, SUBACCOUNT, shard)
        )


@dataclass
class Trader:
    """A session of a sandbox member, with its executor and its journal."""

    member: SandboxMember
    journal: Journal
    settings: TradeSettings
    session: TradeSession
    dispatch: OrderDispatch
    executor: TradeExecutor


class ProcessEnded(BaseException):
    """An exception that stands for the end of a process at a checkpoint. Product code never catches it."""


def end_process() -> None:
    """Raise the error that stands for the end of the process."""
    raise ProcessEnded


def at(checkpoint: Checkpoint, act: Callable[[], object]) -> PassCheckpoint:
    """Return a function to be called at every checkpoint; it calls ``act`` only at the given ``checkpoint``."""

    def pass_by(passed_by: Checkpoint) -> None:
        if passed_by is checkpoint:
            act()

    return pass_by


@contextmanager
def sandbox_with_member(folder: Path, options: SandboxOptions = QUIET, **key: Any) -> Iterator[SandboxMember]:
    """Run a new sandbox, and yield its one member, whose key may read and trade."""
    with running_sandbox(options) as sandbox, ExitStack() as stack:
        yield join_sandbox(sandbox, folder, stack, **key)


def join_sandbox(
    sandbox: SandboxProcess, folder: Path, stack: ExitStack, member: str = MEMBER, **key: Any
) -> SandboxMember:
    """Create a member with a new key at a running sandbox."""
    private = Ed25519PrivateKey.generate()
    key_id = f"00000000-0000-4000-8000-{next(_numbers):012}"
    key_file = folder / f"{key_id}.pem"
    key_file.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    key_file.chmod(0o600)
    http = stack.enter_context(httpx.Client(trust_env=False, timeout=30))
    pem = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    asked = {"key_id": key_id, "public_key_pem": pem, "scopes": ["read", "write::trade"], "member": member, **key}
    http.post(f"{sandbox.admin_url}/sandbox/keys", json=asked).raise_for_status()
    signer = Signer.from_file(key_id, key_file)
    budget_file = Path(tempfile.mkdtemp(dir=folder)) / "unused.db"
    budget = Budget(sa.create_engine(f"sqlite:///{budget_file}"), "unused", documented_rates(RateTier.BASIC))
    transport = Transport(sandbox.url, budget, signer=signer, trust_proxies=False)
    client = KalshiClient(transport)
    stack.callback(client.close)
    return SandboxMember(sandbox, http, signer, key_id, key_file, client, PortfolioClient(transport), member, stack)


def ready_journal(engine: sa.Engine, environment: str = "sandbox") -> Journal:
    """Return a journal whose kill switch is released."""
    initialise(engine, environment)
    journal = Journal(engine, environment)
    with journal.writing() as transaction:
        if transaction.reading.halts.kill_state().engaged:
            transaction.halts.release("ann", "the test begins")
    return journal


def record_reconciliation(journal: Journal, *, clean: bool = True) -> None:
    """Record a reconciliation in the journal without reading the account."""
    with journal.writing() as transaction:
        now = transaction.now_us
        transaction.reconciliations.record(
            Account("sandbox", SUBACCOUNT),
            now,
            now,
            differences=0 if clean else 1,
            clean=clean,
            report="the test says so",
        )


def live_trader(
    member: SandboxMember,
    journal: Journal,
    checkpoint: PassCheckpoint = ignore_checkpoint,
    reconcile: Callable[[str], object] | None = None,
    **changes: Any,
) -> Trader:
    """Open a live session, record a clean reconciliation or call ``reconcile``, and return the session's trader."""
    settings = member.settings(**changes)
    transport = member.transport(settings)
    session = sessions.open_live(journal, settings, Environment.SANDBOX, Opening("ann", Origin.BY_HAND), transport, ())
    record_reconciliation(journal) if reconcile is None else reconcile(session.session_id)
    dispatch = LiveDispatch(journal, session, transport, checkpoint)
    return _trader(member, journal, settings, session, dispatch, checkpoint)


def dry_trader(
    member: SandboxMember, journal: Journal, checkpoint: PassCheckpoint = ignore_checkpoint, **changes: Any
) -> Trader:
    """Open a dry-run session, and return its trader."""
    settings = TradeSettings(**{"approval_dollars": 50, **changes})
    session = sessions.open_dry_run(journal, settings, Environment.SANDBOX, Opening("ann", Origin.BY_HAND))
    return _trader(member, journal, settings, session, SimulatedDispatch(journal, session), checkpoint)


def _trader(
    member: SandboxMember,
    journal: Journal,
    settings: TradeSettings,
    session: TradeSession,
    dispatch: OrderDispatch,
    checkpoint: PassCheckpoint,
) -> Trader:
    inputs = member.inputs(lambda: _killed(journal))
    executor = TradeExecutor(session, journal, settings, inputs, dispatch, checkpoint=checkpoint)
    return Trader(member, journal, settings, session, dispatch, executor)


def _killed(journal: Journal) -> str | None:
    with journal.reading() as reading:
        kill = reading.halts.kill_state()
    return kill.reason if kill.engaged else None


def price_near(price: str, dollars: str) -> str:
    """Return a price that differs by so many dollars, as the exchange writes prices."""
    return f"{Decimal(price) + Decimal(dollars):.4f}"


def proposed(market: Row, **changes: Any) -> ProposedOrder:
    """Return an order to buy one YES contract at the ask at once; each call makes a new signal by default."""
    now = dt.datetime.now(dt.UTC)
    values: Row = {
        "signal": Signal("test", "1", "", f"signal {next(_numbers)}"),
        "ticker": MarketTicker(market["ticker"]),
        "leg": Leg(Action.BUY, Outcome.YES, YesPrice.from_text(market["yes_ask_dollars"])),
        "count": Contracts(100),
        "time_in_force": TimeInForce.IMMEDIATE_OR_CANCEL,
        "as_of": now,
        "valid_until": now + dt.timedelta(minutes=5),
        "actor": ActorKind.PERSON,
        "actor_name": "calibration",
        **changes,
    }
    return ProposedOrder(**values)


def resting(market: Row, price: str, count: int = 100, **changes: Any) -> ProposedOrder:
    """Return a bid that rests for ten minutes."""
    now = dt.datetime.now(dt.UTC)
    return proposed(
        market,
        leg=Leg(Action.BUY, Outcome.YES, YesPrice.from_text(price)),
        count=Contracts(count),
        time_in_force=TimeInForce.GOOD_TILL_CANCELED,
        expires=now + dt.timedelta(minutes=10),
        **changes,
    )
