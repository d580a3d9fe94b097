"""A scripted exchange and a session on it, in this process, for fast tests of the executor."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any, cast

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from kalshi_pipelines.execution.configuration import TradeSettings
from kalshi_pipelines.execution.executor import session as sessions
from kalshi_pipelines.execution.executor.decisions import AdmittedOrder, Decision
from kalshi_pipelines.execution.executor.dispatch import LiveDispatch, SimulatedDispatch
from kalshi_pipelines.execution.executor.executor import TradeExecutor
from kalshi_pipelines.execution.executor.planning import ExecutorInputs
from kalshi_pipelines.execution.executor.session import Opening
from kalshi_pipelines.execution.gates.arming import ArmBinding, arm_token
from kalshi_pipelines.execution.gates.market_snapshot import MarketSnapshot
from kalshi_pipelines.execution.journal.journal import Journal, initialise
from kalshi_pipelines.execution.journal.records import Intent, Mode, Origin
from kalshi_pipelines.execution.orders.account import Account
from kalshi_pipelines.execution.orders.answers import OrderAnswer, SendFailure
from kalshi_pipelines.execution.orders.checkpoints import Checkpoint
from kalshi_pipelines.execution.orders.proposals import ActorKind, ProposedOrder, Signal
from kalshi_pipelines.execution.orders.terms import MarketTicker
from kalshi_pipelines.execution.transport.order_transport import OrderTransport
from kalshi_pipelines.execution.transport.permits import SendPermit
from kalshi_pipelines.settings import Environment
from kalshi_pipelines.units import MINUTE_US, instant
from kalshi_pipelines_tests.support.execution.exchange_answers import refusal
from kalshi_pipelines_tests.support.execution.good_order import MARKET, ORDER
from kalshi_pipelines_tests.support.execution.instants import MINUTE, NOW_US
from kalshi_pipelines_tests.support.execution.order_steps import ACCOUNT, Clock
from kalshi_pipelines_tests.support.execution.sandbox_member import ProcessEnded, end_process

HOST, KEY = "127.0.0.1:8765", "SHA256:0123456789abcdef"
_numbers = count(1)


def accepted(filled: str = "1.00", left: str = "0.00") -> Callable[[dict[str, Any]], OrderAnswer]:
    """Return a function that answers an order as accepted, with these filled and remaining counts."""

    def answer(request: dict[str, Any]) -> OrderAnswer:
        fields = {
            "order_id": f"09cb3de3-aacb-4446-b98b-{next(_numbers):012}",
            "client_order_id": request["client_order_id"],
            "fill_count": filled,
            "remaining_count": left,
            "ts_ms": 1,
        }
        return OrderAnswer(201, json.dumps(fields).encode())

    return answer


def refused(request: dict[str, Any]) -> OrderAnswer:
    """Return the answer to an order that the exchange refuses."""
    del request
    return refusal(400, "no")


@dataclass
class ScriptedExchange:
    """A stand-in for the transport of a live session; ``orders`` and ``groups`` hold the requests it received."""

    answer: Callable[[dict[str, Any]], OrderAnswer] = field(default_factory=accepted)
    of_group: OrderAnswer | None = None
    has_tokens: bool = True
    host: str = HOST
    key_fingerprint: str = KEY
    connect: Callable[[], object] = lambda: None
    orders: list[dict[str, Any]] = field(default_factory=list)
    groups: list[tuple[int, int]] = field(default_factory=list)

    def take_order_tokens(self) -> bool:
        return self.has_tokens

    def create_order_group(self, exchange_index: int, contracts_limit: int) -> OrderAnswer:
        self.groups.append((exchange_index, contracts_limit))
        made = f'{{"order_group_id":"9b2f2c4e-0000-4000-8000-{next(_numbers):012}"}}'
        return self.of_group or OrderAnswer(201, made.encode())

    def place(self, permit: SendPermit) -> OrderAnswer:
        body = permit.sent.request_json.encode()
        permit.consume(host=self.host, key_fingerprint=self.key_fingerprint, body=body)
        self.connect()
        stopped = permit.last_look()
        if stopped is not None:
            return OrderAnswer(None, failure=SendFailure.NOT_SENT, detail=stopped)
        self.orders.append(json.loads(body))
        return self.answer(self.orders[-1])


@dataclass
class ScriptedSession:
    """A session on a scripted exchange, with a fixed clock and market that a test may change."""

    journal: Journal
    clock: Clock
    exchange: ScriptedExchange
    settings: TradeSettings
    mode: Mode = Mode.LIVE
    market: MarketSnapshot = MARKET
    killed: str | None = None
    on_market: Callable[[MarketTicker], object] = lambda _: None
    read_kill: Callable[[], str | None] | None = None
    unreadable: Exception | None = None
    available: int | None = 10**9
    asked: list[object] = field(default_factory=list)
    passed: list[Checkpoint] = field(default_factory=list)
    at: dict[Checkpoint, Callable[[], None]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.mode is Mode.LIVE:
            # Each arming opens one session, so each session of a test is armed again.
            self.settings = armed(self.settings, self.exchange.key_fingerprint)
        opening = Opening("ann", Origin.BY_HAND)
        transport = cast("OrderTransport", self.exchange)
        arguments = (self.journal, self.settings, Environment.SANDBOX, opening)
        live = self.mode is Mode.LIVE
        self.session = (
            sessions.open_live(*arguments, transport, (), self.clock)
            if live
            else sessions.open_dry_run(*arguments, self.clock)
        )
        self.dispatch = (
            LiveDispatch(self.journal, self.session, transport, self._pass)
            if live
            else SimulatedDispatch(self.journal, self.session)
        )
        self.executor = TradeExecutor(
            self.session,
            self.journal,
            self.settings,
            ExecutorInputs(self._market, self._kill, self._available if live else None),
            self.dispatch,
            checkpoint=self._pass,
            clock_us=self.clock,
        )

    def order(self, **changes: Any) -> ProposedOrder:
        """Return an order with a new signal: buy one contract at $0.52, valid for a minute."""
        now = instant(self.clock())
        signal = Signal("s", "1", "", f"signal {next(_numbers)}")
        return replace(ORDER, **{"signal": signal, "as_of": now, "valid_until": now + MINUTE, **changes})

    def decide(self, **changes: Any) -> Decision:
        return self.executor.decide(self.order(**changes))

    def once(self, checkpoint: Checkpoint, act: Callable[[], object]) -> None:
        """Call ``act`` when the next order passes a checkpoint, and only then."""

        def act_once() -> None:
            del self.at[checkpoint]
            act()

        self.at[checkpoint] = act_once

    def reserve(self, **changes: Any) -> Intent:
        """Reserve an order in a process that then ends; return the order's intent."""
        self.once(Checkpoint.ADMITTED, end_process)
        with pytest.raises(ProcessEnded):
            self.decide(**changes)
        return self.open_intents()[-1]

    def wait(self, **changes: Any) -> AdmittedOrder:
        """Decide about an agent's order, and return it while it waits for a person's approval."""
        waiting = self.decide(actor=ActorKind.AGENT, **changes).waiting
        assert waiting is not None
        return waiting

    def approve(self, waiting: AdmittedOrder) -> AdmittedOrder:
        """Approve a waiting order for ten minutes, and return it."""
        with self.journal.writing() as transaction:
            transaction.orders.approve(waiting.intent.request_sha256, "bob", self.clock() + 10 * MINUTE_US)
        return waiting

    def open_intents(self) -> list[Intent]:
        """Return the orders of this sub-account that are still open, oldest first."""
        with self.journal.reading() as reading:
            return reading.orders.open_intents(Account("sandbox", self.settings.subaccount), mode=self.mode)

    def facts(self) -> dict[str, Any]:
        """Return the body of the newest audit record."""
        with self.journal.reading() as reading:
            fields: dict[str, Any] = json.loads(reading.audit_log.newest(1)[-1].body)
        return fields

    def engage_kill(self) -> None:
        with self.journal.writing() as transaction:
            transaction.halts.engage(1, "operator", "bob", "stop")

    def _pass(self, checkpoint: Checkpoint) -> None:
        self.passed.append(checkpoint)
        self.at.get(checkpoint, lambda: None)()

    def _kill(self) -> str | None:
        return self.killed if self.read_kill is None else self.read_kill()

    def _market(self, ticker: MarketTicker) -> MarketSnapshot:
        self.asked.append(str(ticker))
        self.on_market(ticker)
        if self.unreadable:
            raise self.unreadable
        return replace(self.market, read_us=self.clock())

    def _available(self, shard: int) -> int | None:
        self.asked.append(shard)
        return self.available


def armed(settings: TradeSettings, key_fingerprint: str = KEY) -> TradeSettings:
    """Return the settings with a new arm token that is valid for an hour."""
    bound = ArmBinding(Environment.SANDBOX, key_fingerprint, settings.limits_sha256)
    return settings.model_copy(update={"arm": SecretStr(arm_token(bound, NOW_US + 3_600_000_000))})


def first_session(engine: sa.Engine, before: Callable[[Journal, Clock], object]) -> ScriptedSession:
    """Let ``before`` change a journal; one second later, open the first live session of the journal's account."""
    made = scripted_session(engine, live=False)
    before(made.journal, made.clock)
    made.clock.now_us += 1_000_000
    values: dict[str, Any] = {"series": "KXA", "approval_dollars": 50, "mode": Mode.LIVE}
    return ScriptedSession(made.journal, made.clock, ScriptedExchange(), TradeSettings(**values))


def scripted_session(
    engine: sa.Engine, exchange: ScriptedExchange | None = None, *, live: bool = True, **settings: Any
) -> ScriptedSession:
    """Open a session in a journal with a released kill switch and a clean reconciliation."""
    clock, transport = Clock(NOW_US), exchange or ScriptedExchange()
    initialise(engine, "sandbox", clock_us=clock)
    journal = Journal(engine, "sandbox", clock_us=clock)
    with journal.writing() as transaction:
        if transaction.reading.halts.kill_state().engaged:
            transaction.halts.release("ann", "the test begins")
        transaction.reconciliations.record(
            ACCOUNT, NOW_US, NOW_US, differences=0, clean=True, report="the test says so"
        )
    values = {"series": "KXA", "approval_dollars": 50, "mode": Mode.LIVE if live else Mode.DRY_RUN, **settings}
    return ScriptedSession(journal, clock, transport, TradeSettings(**values), Mode.LIVE if live else Mode.DRY_RUN)
