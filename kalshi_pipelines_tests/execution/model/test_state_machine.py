"""The invariants of the executor in every order of events, and two wrong rules that the same machine has to break."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar, cast

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from kalshi_pipelines.execution.audit.verification import verify
from kalshi_pipelines.execution.checkpoints import Checkpoint
from kalshi_pipelines.execution.dispatch import LiveDispatch
from kalshi_pipelines.execution.journal.engine import open_journal
from kalshi_pipelines.execution.journal.errors import AlreadyPlanned, JournalRefused
from kalshi_pipelines.execution.journal.records import Intent, Mode, ScopeKind
from kalshi_pipelines.execution.orders.fees import FeeTerms, fee_bound
from kalshi_pipelines.execution.orders.request import OrderRequest, request_sha256
from kalshi_pipelines.execution.orders.states import FINAL_STATES, OrderState
from kalshi_pipelines.execution.orders.terms import (
    ClientOrderId,
    Contracts,
    MarketTicker,
    OrderId,
    Side,
    TimeInForce,
    YesPrice,
)
from kalshi_pipelines.execution.reconciliation.reconciler import Reconciler
from kalshi_pipelines.execution.reconciliation.resolution import Fencing, Limits
from kalshi_pipelines.execution.session import TradeSession
from kalshi_pipelines_tests.execution.journal.trading import EVENT, HOUR, MINUTE, SECOND, VERSION, Desk, caps, desk_at
from kalshi_pipelines_tests.execution.journal.trading import next_session as open_next
from kalshi_pipelines_tests.execution.model.exchange import (
    FAULTS,
    Died,
    FenceThenReset,
    ModelAccount,
    ModelExchange,
    NotFoundMeansRejected,
)

DOLLARS = 1_000_000
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108
#: Small enough that orders meet them.
CAPS = caps(
    session=(12, 10**15, 12 * DOLLARS),
    day=(30, 10**15, 25 * DOLLARS),
    rolling=(10**15, 10**15, 25 * DOLLARS),
    event=(10**15, 10**15, 15 * DOLLARS),
    account=(10**15, 10**15, 20 * DOLLARS),
)
ACCOUNT_CAP = 15 * DOLLARS
TERMS = FeeTerms("quadratic", Decimal(1), 100)
POINTS = st.sampled_from([None, None, Checkpoint.SENDING_COMMITTED, Checkpoint.ANSWERED, Checkpoint.ANSWER_COMMITTED])
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
QUICK = Limits(margin_us=SECOND, watermark_seconds=5, fence_attempts=1, pause_seconds=1, rounds=1)


def dying_at(point: Checkpoint | None) -> Callable[[Checkpoint], None]:
    def pass_on(checkpoint: Checkpoint) -> None:
        if checkpoint is point:
            raise Died

    return pass_on


class Trading(RuleBasedStateMachine):
    """One sub-account, two markets of one event, sessions that die, and an exchange that answers late or not at all."""

    template: ClassVar[Path]

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="kalshi-model-", dir=MEMORY))
        shutil.copy(self.template, self.folder / "journal.db")
        self.engine: sa.Engine = open_journal(f"sqlite:///{self.folder / 'journal.db'}")
        self.desk: Desk = desk_at(self.engine, CAPS, lives_us=12 * HOUR)
        self.exchange = ModelExchange(self.desk.clock)
        self.ended: dict[str, OrderState] = {}
        self.sessions = 1
        self.killed = False
        self.signals: list[Any] = []

    def teardown(self) -> None:
        if hasattr(self, "engine"):
            assert verify(self.engine).ok
            self.engine.dispose()
            shutil.rmtree(self.folder)

    # --- what happens

    @rule(
        side=st.sampled_from(Side),
        price=st.integers(5, 95),
        contracts=st.integers(1, 12),
        market=st.integers(1, 2),
        rests=st.booleans(),
        fault=st.sampled_from(FAULTS),
        point=POINTS,
    )
    def order(
        self, side: Side, price: int, contracts: int, market: int, rests: bool, fault: str, point: Checkpoint | None
    ) -> None:
        """A new signal: planned, and denied or reserved; then sent into a fault, or into a death."""
        self._live_session()
        before = self._counters()
        intent, request = self._planned(side, 100 * price, 100 * contracts, f"{EVENT}-T{market}", rests)
        if intent is None:
            assert self._counters() == before
            return
        self.exchange.fault = fault
        dispatch = LiveDispatch(self.desk.journal, self._session(), cast("Any", self.exchange), dying_at(point))
        try:
            moved = dispatch.dispatch(intent, request, ()).intent
        except Died:
            return
        finally:
            self.exchange.fault = "none"
        assert not (self.killed and moved.state is not OrderState.ABANDONED)

    @rule(price=st.integers(30, 60), market=st.integers(1, 2), fault=st.sampled_from(["late", "late", "lost_after"]))
    def doubtful_order(self, price: int, market: int, fault: str) -> None:
        """One contract, of which nobody knows afterwards."""
        self.order(Side.BID, price, 1, market, True, fault, None)

    @precondition(lambda self: self.signals)
    @rule(number=st.integers(0, 100))
    def again(self, number: int) -> None:
        """A signal that was proposed before comes again."""
        new = self.signals[number % len(self.signals)]
        with pytest.raises((AlreadyPlanned, JournalRefused)), self.desk.journal.writing() as transaction:
            transaction.plan(new)

    @precondition(lambda self: self.exchange.on_the_way)
    @rule()
    def arrive(self) -> None:
        """A late request arrives."""
        self.exchange.arrive(self.exchange.on_the_way.pop(0))

    @rule(number=st.integers(0, 100), share=st.integers(1, 4), better=st.integers(0, 3))
    def trade(self, number: int, share: int, better: int) -> None:
        """Somebody trades with an order that rests, at its price or a better one; the worst case never grows."""
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
        """An order that rests ends at the exchange."""
        rests = self.exchange.resting()
        if rests:
            self.exchange.cancel_order(rests[number % len(rests)].order_id)

    @rule(point=RECOVERY)
    def recover(self, point: Checkpoint | None) -> None:
        """A new process reconciles, and may die of it; if not, once more changes nothing."""
        self._end_session("its process is dead")
        try:
            report = self._reconciler(point).reconcile()
        except Died:
            return
        assert report.clean, str(report)
        assert report.unresolved == ()
        before = self._ledger()
        again = self._reconciler(None).reconcile()
        assert (again.clean, again.resolved, self._ledger()) == (True, (), before), str(again)

    @precondition(lambda self: len(self.signals) > 3)
    @rule()
    def kill(self) -> None:
        with self.desk.journal.writing() as transaction:
            if not transaction.kill().engaged:
                transaction.engage_kill(1, "operator", "bob", "stop")
        self.killed = True

    @precondition(lambda self: len(self.signals) > 4)
    @rule()
    def cancel_all(self) -> None:
        """Level 2: everything is fenced and canceled; nothing rests, whatever is still on its way."""
        self.kill()
        with self.desk.journal.reading() as reading:
            groups = reading.unfenced_groups("sandbox", 0, 0)
        for group, shard in groups:
            self.exchange.trigger_order_group(OrderId(group), shard)
        self.exchange.cancel_all()
        if type(self) is Trading:
            while self.exchange.on_the_way:
                self.exchange.arrive(self.exchange.on_the_way.pop(0))
            assert self.exchange.resting() == []

    @precondition(lambda self: self.killed)
    @rule()
    def release(self) -> None:
        with self.desk.journal.writing() as transaction:
            if transaction.kill().engaged:
                transaction.release_kill("grace", "looked at it")
        self.killed = False

    @rule(hours=st.sampled_from([1, 7, 25]))
    def pass_time(self, hours: int) -> None:
        """The day ends while orders rest; the worst case that is outstanding is not less for it."""
        self.desk.clock.now_us += hours * HOUR

    # --- what has to be true

    @invariant()
    def every_order_was_recorded_first_and_is_there_once(self) -> None:
        if not hasattr(self, "engine"):
            return
        clients = [order.client_order_id for order in self.exchange.orders.values()]
        assert len(clients) == len(set(clients))
        assert all(number == 1 for number in self.exchange.posts.values())
        with self.desk.journal.reading() as reading:
            for client in self.exchange.posts:
                intent = reading.intent_of_client_order_id(Mode.LIVE, client)
                assert intent is not None
                assert reading.sent(intent.intent_id).client_order_id == client

    @invariant()
    def what_rests_is_reserved_and_what_ended_stays_ended(self) -> None:
        if not hasattr(self, "engine"):
            return
        with self.desk.journal.reading() as reading:
            for order in self.exchange.orders.values():
                intent = reading.intent_of_client_order_id(Mode.LIVE, order.client_order_id)
                assert intent is not None
                if order.is_resting:
                    held = intent.reserved_centicontracts
                    assert held >= order.remaining_centicontracts, f"{order} rests, and {held} are reserved"
            for client, state in self.ended.items():
                found = reading.intent_of_client_order_id(Mode.LIVE, client)
                assert found is not None
                assert found.state is state
            for client in self.exchange.posts:
                found = reading.intent_of_client_order_id(Mode.LIVE, client)
                if found is not None and found.state in FINAL_STATES:
                    self.ended[client] = found.state

    @invariant()
    def nothing_can_cost_more_than_the_caps_allow(self) -> None:
        if hasattr(self, "engine"):
            assert self.exchange.worst() <= ACCOUNT_CAP

    # --- the steps

    def _planned(
        self, side: Side, price: int, count: int, ticker: str, rests: bool
    ) -> tuple[Intent | None, OrderRequest]:
        number = len(self.signals)
        tif = TimeInForce.GOOD_TILL_CANCELED if rests else TimeInForce.IMMEDIATE_OR_CANCEL
        expires = self.desk.clock() + 10 * MINUTE if rests else None
        request = OrderRequest(
            client_order_id=ClientOrderId(f"kx1-model-{number:06}"),
            ticker=MarketTicker(ticker),
            side=side,
            price=YesPrice(price),
            count=Contracts(count),
            time_in_force=tif,
            subaccount=0,
            exchange_index=0,
            order_group_id=OrderId(self.desk.group),
            expires_us=expires,
        )
        new = self.desk.intent(
            idempotency_key=hashlib.sha256(f"signal {number}".encode()).hexdigest(),
            client_order_id=request.client_order_id,
            ticker=ticker,
            side=side,
            price_centicents=price,
            count_centicontracts=count,
            time_in_force=tif,
            expires_us=expires,
            fee_bound_microdollars=fee_bound(TERMS, side, request.price, request.count),
            request_json=request.json,
            request_sha256=request_sha256(request.json),
        )
        self.signals.append(new)
        with self.desk.journal.writing() as transaction:
            intent = transaction.plan(new)
            refusal = transaction.refusal(intent)
            if refusal is not None:
                transaction.deny(intent, refusal.reason, refusal.detail)
                return None, request
            return transaction.reserve(intent), request

    def _live_session(self) -> None:
        """A new session if the last has ended: its group was fenced, or its time is over."""
        with self.desk.journal.reading() as reading:
            held = reading.lease("sandbox", 0)
        if held is None or held.until_us <= self.desk.clock() + MINUTE or held.session_id != self.desk.session_id:
            self.sessions += 1
            open_next(self.desk, self.sessions, CAPS)
        self.desk.clock.now_us += SECOND

    def _end_session(self, why: str) -> None:
        with self.desk.journal.writing() as transaction:
            transaction.end_session(self.desk.session_id, why)

    def _session(self) -> TradeSession:
        return cast("TradeSession", type("Session", (), {"session_id": self.desk.session_id, "code_version": VERSION}))

    def _reconciler(self, point: Checkpoint | None) -> Reconciler:
        self.desk.clock.now_us += SECOND

        def pause(seconds: float) -> None:
            self.desk.clock.now_us += int(seconds * SECOND)

        return Reconciler(
            self.desk.journal,
            ModelAccount(self.exchange),
            self._fencing(),
            "sandbox",
            0,
            clock_us=self.desk.clock,
            pause=pause,
            checkpoint=dying_at(point),
            limits=QUICK,
        )

    def _fencing(self) -> Fencing:
        return self.exchange

    def _counters(self) -> list[object]:
        kinds = {ScopeKind.ACCOUNT: "account", ScopeKind.SESSION: self.desk.session_id, ScopeKind.EVENT: EVENT}
        with self.desk.journal.reading() as reading:
            return [*reading.standings("sandbox", 0, Mode.LIVE, kinds)]

    def _ledger(self) -> list[object]:
        with self.desk.journal.reading() as reading:
            return [*self._counters(), *reading.markets("sandbox", 0), *reading.open_intents("sandbox", 0)]


class WithoutFence(Trading):
    """The machine with the first wrong rule."""

    def _fencing(self) -> Fencing:
        return NotFoundMeansRejected(self.exchange)


class WithReset(Trading):
    """The machine with the second wrong rule."""

    def _fencing(self) -> Fencing:
        return FenceThenReset(self.exchange)


QUIETLY: dict[str, Any] = {
    "deadline": None,
    "database": None,
    "suppress_health_check": list(HealthCheck),
    "derandomize": True,
}


@pytest.fixture(autouse=True)
def _template(migrated_journal_file: Path) -> None:
    Trading.template = migrated_journal_file


def test_F07_F48_the_invariants_hold_in_every_order_of_events() -> None:
    run_state_machine_as_test(
        Trading, settings=settings(max_examples=30, stateful_step_count=25, phases=(Phase.generate,), **QUIETLY)
    )


@pytest.mark.parametrize("wrong", [WithoutFence, WithReset])
def test_the_same_machine_breaks_a_wrong_rule(wrong: type[Trading]) -> None:
    looking = settings(
        max_examples=4_000, stateful_step_count=15, phases=(Phase.generate,), report_multiple_bugs=False, **QUIETLY
    )
    with pytest.raises(AssertionError, match="rests, and 0 are reserved"):
        run_state_machine_as_test(wrong, settings=looking)
