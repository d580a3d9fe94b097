"""A state machine that runs the real journal, dispatch, reconciliation and halt on a model of the exchange.

Hypothesis chooses the order of events. ``test_state_machine`` lists the invariants and where each is asserted.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar, cast

import pytest
import sqlalchemy as sa
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kalshi_pipelines.execution.audit.verification import verify
from kalshi_pipelines.execution.executor.dispatch import LiveDispatch, SimulatedDispatch
from kalshi_pipelines.execution.executor.session import TradeSession
from kalshi_pipelines.execution.journal.engine import open_journal
from kalshi_pipelines.execution.journal.errors import AlreadyPlanned, IdempotencyConflict
from kalshi_pipelines.execution.journal.records import Intent, Mode, NewIntent, ScopeKind, Sent
from kalshi_pipelines.execution.journal.tables import audit_log
from kalshi_pipelines.execution.kill.emergency import EmergencyFile
from kalshi_pipelines.execution.kill.halt import Halt
from kalshi_pipelines.execution.kill.switch import KillSwitch
from kalshi_pipelines.execution.orders.canonical_json import canonical_json
from kalshi_pipelines.execution.orders.checkpoints import Checkpoint
from kalshi_pipelines.execution.orders.fees import FeeTerms, fee_bound
from kalshi_pipelines.execution.orders.idempotency import client_order_id, idempotency_key
from kalshi_pipelines.execution.orders.proposals import ActorKind, Proposer, Signal
from kalshi_pipelines.execution.orders.request import OrderRequest
from kalshi_pipelines.execution.orders.states import OrderState
from kalshi_pipelines.execution.orders.terms import Contracts, MarketTicker, OrderId, Side, TimeInForce, YesPrice
from kalshi_pipelines.execution.reconciliation.reconciler import Reconciler
from kalshi_pipelines.execution.reconciliation.resolution import FenceTransport, ReconciliationLimits
from kalshi_pipelines.units import DOLLAR_CENTICENTS
from kalshi_pipelines_tests.support.execution import model_invariants as invariants
from kalshi_pipelines_tests.support.execution.model_exchange import FAULTS, Died, ModelAccount, ModelExchange
from kalshi_pipelines_tests.support.execution.order_steps import (
    ACCOUNT,
    EVENT,
    HOUR,
    MINUTE,
    SECOND,
    VERSION,
    OrderSteps,
    caps,
    new_session,
    order_steps,
)
from kalshi_pipelines_tests.support.execution.order_steps import next_session as open_next

MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108
#: Caps that are small enough for orders to reach.
CAPS = caps(
    session=(6, 10**15, 12 * invariants.DOLLARS),
    day=(12, 10**15, 25 * invariants.DOLLARS),
    rolling=(10**15, 10**15, 25 * invariants.DOLLARS),
    event=(10**15, 10**15, 15 * invariants.DOLLARS),
    account=(10**15, 10**15, 20 * invariants.DOLLARS),
)
#: Microseconds by which the exchange's clock is behind ours; the reconciliation tolerates this difference.
BEHIND = 1_900_000
PROPOSER = Proposer(ActorKind.PERSON, "ada")
TERMS = FeeTerms("quadratic", Decimal(1), 100)
POINTS = st.sampled_from(
    [None, None, None, None, Checkpoint.SENDING_COMMITTED, Checkpoint.ANSWERED, Checkpoint.ANSWER_COMMITTED]
)
RECOVERY = st.sampled_from(
    [
        None,
        None,
        None,
        Checkpoint.LEFTOVERS_MARKED,
        Checkpoint.FENCED,
        Checkpoint.FENCE_COMMITTED,
        Checkpoint.SWEPT,
        Checkpoint.RESOLVED,
    ]
)
QUICK = ReconciliationLimits(margin_us=SECOND, watermark_seconds=5, fence_attempts=1, pause_seconds=1, rounds=1)


def dying_at(point: Checkpoint | None) -> Callable[[Checkpoint], None]:
    def pass_on(checkpoint: Checkpoint) -> None:
        if checkpoint is point:
            raise Died

    return pass_on


class Trading(RuleBasedStateMachine):
    """One sub-account with two markets of one event, dying sessions, and an exchange that answers late or never."""

    template: ClassVar[Path]
    fences: ClassVar[bool] = True
    """Whether order groups are really fenced at the exchange. A test of wrong rules sets this to false."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="kalshi-model-", dir=MEMORY))
        shutil.copy(self.template, self.folder / "journal.db")
        self.engine: sa.Engine = open_journal(f"sqlite:///{self.folder / 'journal.db'}")
        self.steps: OrderSteps = order_steps(self.engine, CAPS, lives_us=12 * HOUR)
        self.exchange = ModelExchange(lambda: self.steps.clock() - BEHIND, self._is_recorded)
        self.ended: dict[str, OrderState] = {}
        self.sessions, self.rehearsals = 1, 0
        self.killed = self.halted = False
        self.signals: list[tuple[Signal, NewIntent]] = []
        self.markets = [f"{EVENT}-T1", f"{EVENT}-T2"]

    def teardown(self) -> None:
        if hasattr(self, "engine"):
            assert verify(self.engine).ok
            self._told_in_any_order()
            self.engine.dispose()
            shutil.rmtree(self.folder)

    # --- random events of the state machine

    @rule(
        side=st.sampled_from(Side),
        price=st.integers(5, 95),
        contracts=st.integers(1, 8),
        market=st.integers(0, 1),
        rests=st.booleans(),
        fault=st.sampled_from(("none",) * 8 + FAULTS),
        point=POINTS,
    )
    def order(
        self, side: Side, price: int, contracts: int, market: int, rests: bool, fault: str, point: Checkpoint | None
    ) -> None:
        """Plan a new order, and deny or reserve it. Send a reserved order; a fault or a dying process may interfere."""
        self._live_session()
        intent, request = self._planned(side, 100 * price, 100 * contracts, self.markets[market], rests)
        if intent is None:
            return
        self.exchange.fault = fault
        dispatch = LiveDispatch(self.steps.journal, self._session(), cast("Any", self.exchange), dying_at(point))
        posts = len(self.exchange.posts)
        try:
            moved = dispatch.dispatch(intent, request, (), lambda: None).intent
        except Died:
            pass
        else:
            assert not (self.killed and moved.state is not OrderState.ABANDONED)
        finally:
            self.exchange.fault = "none"
        assert not (self.killed and len(self.exchange.posts) > posts), "it was sent while the kill switch is engaged"

    @rule(
        price=st.integers(30, 60),
        market=st.integers(0, 1),
        fault=st.sampled_from(["late", "late", "lost_after", "taken_429"]),
    )
    def doubtful_order(self, price: int, market: int, fault: str) -> None:
        """Send an order of one contract whose outcome stays unknown."""
        self.order(Side.BID, price, 1, market, True, fault, None)

    @precondition(lambda self: self.rehearsals < 2)
    @rule(price=st.integers(5, 95), market=st.integers(0, 1))
    def rehearse(self, price: int, market: int) -> None:
        """Decide about an order in a dry run; nothing reaches the exchange, and live counters stay unchanged."""
        before, posts = self._rows(Mode.LIVE), len(self.exchange.posts)
        self.rehearsals += 1
        dry = f"rehearsal-{self.rehearsals:04}"
        with self.steps.journal.writing() as transaction:
            session = new_session(dry, now_us=self.steps.clock(), allowed=CAPS, mode=Mode.DRY_RUN)
            transaction.sessions.open(session)
        intent, request = self._planned(Side.BID, 100 * price, 100, self.markets[market], True, dry)
        if intent is not None:
            dispatch = SimulatedDispatch(self.steps.journal, self._session(dry))
            ended = dispatch.dispatch(intent, request, (), lambda: None).intent
            assert ended.state is (OrderState.ABANDONED if self.killed else OrderState.SIMULATED)
        assert (self._rows(Mode.LIVE), len(self.exchange.posts)) == (before, posts)

    @precondition(lambda self: self.exchange.made and not self.killed)
    @rule(price=st.integers(1, 99), market=st.integers(0, 1), more=st.sampled_from([0, 0, 300]))
    def leave(self, price: int, market: int, more: int) -> None:
        """Reduce a position to zero at any price, after its open orders ended. No cap may refuse that."""
        ticker = self.markets[market]
        for order in self.exchange.resting():
            if order.ticker == ticker:
                self.exchange.cancel_order(order.order_id)
        self.recover(None)
        position, _ = self.exchange.held(ticker)
        if not position:
            return
        self._live_session()
        side = Side.ASK if position > 0 else Side.BID
        intent, request = self._planned(
            side, 100 * price, abs(position) + more, ticker, rests=False, reduce_only=bool(more)
        )
        assert intent is not None, "a close was refused"
        assert (intent.only_closes, intent.count_centicontracts) == (True, abs(position))
        dispatch = LiveDispatch(self.steps.journal, self._session(), cast("Any", self.exchange))
        moved = dispatch.dispatch(intent, request, (), lambda: None).intent
        assert moved.state is OrderState.EXECUTED
        assert self.exchange.held(ticker)[0] == 0

    @precondition(lambda self: self.signals)
    @rule(number=st.integers(0, 100), dearer=st.booleans())
    def again(self, number: int, dearer: bool) -> None:
        """Propose an earlier signal again, with the same terms or a higher price."""
        signal, known = self.signals[number % len(self.signals)]
        key = idempotency_key(ACCOUNT, PROPOSER, signal)
        assert (key, client_order_id(key)) == (known.idempotency_key, known.request.client_order_id)
        price = YesPrice(known.request.price.centicents + 100) if dearer else known.request.price
        new = replace(known, request=replace(known.request, price=price))
        expected = IdempotencyConflict if dearer else AlreadyPlanned
        with pytest.raises(expected), self.steps.journal.writing() as transaction:
            transaction.orders.plan(new)

    @precondition(lambda self: self.exchange.on_the_way)
    @rule()
    def arrive(self) -> None:
        """Let a late request arrive at the exchange."""
        self.exchange.arrive(self.exchange.on_the_way.pop(0))

    @rule(number=st.integers(0, 100), share=st.integers(1, 4), better=st.integers(0, 3))
    def trade(self, number: int, share: int, better: int) -> None:
        """Fill a resting order at its price or a better one; the worst case does not grow."""
        rests = self.exchange.resting()
        if not rests:
            return
        order = rests[number % len(rests)]
        worst = self.exchange.worst()
        improved = order.price_centicents + (-better if order.side is Side.BID else better) * 100
        fees = sum(fill.fee_microdollars for fill in self.exchange.made)
        count = max(1, order.remaining_centicontracts // share)
        self.exchange.trade(order.order_id, count, min(9_900, max(100, improved)))
        more = sum(fill.fee_microdollars for fill in self.exchange.made) - fees
        assert self.exchange.worst() <= worst + more

    @rule(number=st.integers(0, 100))
    def expire(self, number: int) -> None:
        """Cancel a resting order at the exchange."""
        rests = self.exchange.resting()
        if rests:
            self.exchange.cancel_order(rests[number % len(rests)].order_id)

    @precondition(lambda self: len(self.exchange.made) > 1)
    @rule(market=st.integers(0, 1), pays=st.sampled_from([0, DOLLAR_CENTICENTS]))
    def settle(self, market: int, pays: int) -> None:
        """Settle a market; another market of the event takes its place."""
        self.exchange.settle(self.markets[market], pays)
        self.markets[market] = f"{EVENT}-T{2 + len(self.exchange.paid)}"

    @rule(point=RECOVERY)
    def recover(self, point: Checkpoint | None) -> None:
        """Reconcile in a new process, which may die. If it survives, a second reconciliation changes nothing."""
        self._end_session("its process is dead")
        worst = self._account_worst()
        try:
            report = self._reconciler(point).reconcile()
        except Died:
            return
        assert report.clean, str(report)
        assert report.unresolved == ()
        assert self._account_worst() <= worst
        with self.steps.journal.reading() as reading:
            invariants.ledger_is_the_truth(reading, self.exchange)
        invariants.what_ended_is_what_was_won(self.engine, self.exchange)
        before = self._rows(Mode.LIVE)
        again = self._reconciler(None).reconcile()
        assert (again.clean, again.resolved, self._rows(Mode.LIVE)) == (True, (), before), str(again)

    @precondition(lambda self: len(self.signals) > 5 and not self.killed)
    @rule()
    def kill(self) -> None:
        with self.steps.journal.writing() as transaction:
            transaction.halts.engage(1, "operator", "bob", "stop")
        self.killed = True

    @precondition(lambda self: len(self.signals) > 7)
    @rule()
    def halt(self) -> None:
        """Halt at level 2. All orders are fenced and canceled, and late requests leave no order resting."""
        emergency = EmergencyFile(self.folder / "kill.emergency.jsonl")
        clock, journal = self.steps.clock, self.steps.journal
        switch = KillSwitch(lambda: journal, emergency, (), account=ACCOUNT, clock_us=clock)
        account = ModelAccount(self.exchange)
        report = Halt(switch, emergency, self.exchange, account, self._groups, clock_us=clock, pause=self._pause).run(
            "bob", "enough", patience_seconds=0
        )
        assert report.flat, str(report)
        self.killed = self.halted = True
        while self.fences and self.exchange.on_the_way:
            self.exchange.arrive(self.exchange.on_the_way.pop(0))

    @precondition(lambda self: self.killed)
    @rule()
    def release(self) -> None:
        with self.steps.journal.writing() as transaction:
            transaction.halts.release("grace", "looked at it")
        self.killed = self.halted = False

    @rule(hours=st.sampled_from([1, 7, 25]))
    def pass_time(self, hours: int) -> None:
        """Let hours pass, so that a day may end while orders rest."""
        self.steps.clock.now_us += hours * HOUR

    # --- invariants after every step

    @invariant()
    def every_order_was_recorded_first_and_is_there_once(self) -> None:
        if hasattr(self, "engine"):
            with self.steps.journal.reading() as reading:
                invariants.each_was_recorded_once(reading, self.exchange)

    @invariant()
    def what_rests_is_reserved_and_what_ended_stays_ended(self) -> None:
        if hasattr(self, "engine"):
            with self.steps.journal.reading() as reading:
                invariants.what_rests_is_reserved(reading, self.exchange)
                self.ended |= invariants.ended_stays_ended(reading, self.exchange, self.ended)

    @invariant()
    def nothing_can_cost_more_than_the_caps_allow(self) -> None:
        if hasattr(self, "engine"):
            with self.steps.journal.reading() as reading:
                invariants.caps_hold(reading, self.exchange, CAPS)

    @invariant()
    def nothing_rests_after_a_halt(self) -> None:
        if hasattr(self, "engine") and self.halted and self.fences:
            assert self.exchange.resting() == []

    # --- helpers of the state machine

    def _is_recorded(self, sent: Sent) -> bool:
        with self.steps.journal.reading() as reading:
            tail = {record.seq: record for record in reading.audit_log.newest(3)}
            record = tail.get(sent.audit_seq)
            return record is not None and record.kind == "send" and reading.orders.sent(sent.intent_id) == sent

    def _planned(
        self,
        side: Side,
        price: int,
        count: int,
        ticker: str,
        rests: bool,
        dry: str | None = None,
        *,
        reduce_only: bool = False,
    ) -> tuple[Intent | None, OrderRequest]:
        """Plan a new order and reserve it if the caps allow that; check that a denial changes no counter.

        A reduce-only order is planned for what it can close, as the executor plans it.
        """
        signal = Signal("model", "1", dry or "", f"signal {len(self.signals)}")
        key = idempotency_key(ACCOUNT, PROPOSER, signal)
        tif = TimeInForce.GOOD_TILL_CANCELED if rests else TimeInForce.IMMEDIATE_OR_CANCEL
        group = OrderId(self.steps.group) if dry is None else None
        request = OrderRequest(
            client_order_id=client_order_id(key),
            ticker=MarketTicker(ticker),
            side=side,
            price=YesPrice(price),
            count=Contracts(count),
            time_in_force=tif,
            subaccount=0,
            exchange_index=0,
            order_group_id=group,
            expires_us=self.steps.clock() + 10 * MINUTE if rests else None,
            reduce_only=reduce_only,
        )
        proposed = request.count
        if reduce_only:
            held = abs(self.exchange.held(ticker)[0])
            request = replace(request, count=Contracts(min(count, held)))
        new = self.steps.intent(
            session_id=dry or self.steps.session_id,
            idempotency_key=key,
            request=request,
            proposed=proposed,
            fee_bound_microdollars=fee_bound(TERMS, side, request.price, request.count),
        )
        before = self._rows()
        with self.steps.journal.writing() as transaction:
            intent = transaction.orders.plan(new)
            refusal = transaction.ledger.refusal(intent)
            reserved = transaction.orders.reserve(intent) if refusal is None else None
            if refusal is not None:
                transaction.orders.deny(intent, refusal.reason, refusal.detail)
        if dry is None:
            self.signals.append((signal, new))
        if refusal is not None:
            assert self._rows() == before
        elif dry is None:
            with self.steps.journal.reading() as reading:
                invariants.the_day_has_all_that_is_outstanding(reading, self.steps.clock())
        return reserved, request

    def _live_session(self) -> None:
        """Open a new session if the last one has ended or was fenced."""
        with self.steps.journal.reading() as reading:
            held = reading.sessions.lease(ACCOUNT)
        if held is None or held.until_us <= self.steps.clock() + MINUTE or held.session_id != self.steps.session_id:
            self.sessions += 1
            open_next(self.steps, self.sessions, CAPS)
        self.steps.clock.now_us += SECOND

    def _end_session(self, why: str) -> None:
        with self.steps.journal.writing() as transaction:
            transaction.sessions.end(self.steps.session_id, why)

    def _session(self, session_id: str | None = None) -> TradeSession:
        values = {"session_id": session_id or self.steps.session_id, "code_version": VERSION}
        return cast("TradeSession", type("Session", (), values))

    def _reconciler(self, point: Checkpoint | None) -> Reconciler:
        self.steps.clock.now_us += SECOND
        return Reconciler(
            self.steps.journal,
            ModelAccount(self.exchange),
            self._transport(),
            ACCOUNT,
            clock_us=self.steps.clock,
            pause=self._pause,
            checkpoint=dying_at(point),
            limits=QUICK,
        )

    def _pause(self, seconds: float) -> None:
        self.steps.clock.now_us += int(seconds * SECOND)

    def _transport(self) -> FenceTransport:
        return self.exchange

    def _groups(self) -> list[tuple[OrderId, int]]:
        with self.steps.journal.reading() as reading:
            return [(OrderId(group), shard) for group, shard in reading.evidence.unfenced_groups(ACCOUNT, 0)]

    def _rows(self, mode: Mode | None = None) -> list[object]:
        return invariants.counters(self.engine, mode)

    def _account_worst(self) -> int:
        with self.steps.journal.reading() as reading:
            found = reading.ledger.standings(ACCOUNT, Mode.LIVE, {ScopeKind.ACCOUNT: "account"})
        return found[0].worst_microdollars if found else 0

    def _told_in_any_order(self) -> None:
        """Check that a record's text does not depend on the order of its members."""
        with self.engine.connect() as connection:
            bodies = connection.scalars(sa.select(audit_log.c.body)).all()
        for body in bodies:
            turned = json.loads(body, object_pairs_hook=lambda pairs: dict(reversed(pairs)))
            assert canonical_json(turned) == body
