"""A journal, a scripted account, and a reconciliation of both, for tests of single rules."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from kalshi_pipelines.execution.journal.records import Intent
from kalshi_pipelines.execution.orders.answers import OrderAnswer, SendFailure
from kalshi_pipelines.execution.orders.checkpoints import Checkpoint
from kalshi_pipelines.execution.orders.evidence import ExchangeOrder
from kalshi_pipelines.execution.orders.states import OrderState
from kalshi_pipelines.execution.orders.terms import TimeInForce
from kalshi_pipelines.execution.reconciliation.reconciler import Reconciler
from kalshi_pipelines.execution.reconciliation.report import DifferenceKind, ReconciliationReport
from kalshi_pipelines.execution.reconciliation.resolution import ReconciliationLimits
from kalshi_pipelines_tests.support.execution.order_steps import ACCOUNT, GROUP, MINUTE, NOON, SECOND, OrderSteps
from kalshi_pipelines_tests.support.execution.scripted_account import ScriptedAccount, order_of

LIMITS = ReconciliationLimits(margin_us=SECOND, watermark_seconds=2, fence_attempts=4, pause_seconds=0.5, rounds=3)
LOST = OrderAnswer(None, failure=SendFailure.LOST, detail="gone")
GTC: dict[str, Any] = {"time_in_force": TimeInForce.GOOD_TILL_CANCELED, "expires_us": NOON + 10 * MINUTE}


@dataclass
class Bench:
    """A journal, a scripted account, and a reconciliation of both."""

    steps: OrderSteps
    paused: list[float] = field(default_factory=list)
    passed: list[Checkpoint] = field(default_factory=list)
    at: dict[Checkpoint, Callable[[], None]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.account = ScriptedAccount(self.steps.clock)
        self.work = Reconciler(
            self.steps.journal,
            self.account,
            self.account,
            ACCOUNT,
            clock_us=self.steps.clock,
            pause=self.paused.append,
            checkpoint=self._pass,
            limits=LIMITS,
        )

    def _pass(self, checkpoint: Checkpoint) -> None:
        self.passed.append(checkpoint)
        self.at.pop(checkpoint, lambda: None)()

    def reconcile(self, own_session: str | None = None) -> ReconciliationReport:
        return self.work.reconcile(own_session=own_session)

    def end_session(self) -> None:
        """End the session, so that evidence can be acknowledged."""
        with self.steps.journal.writing() as transaction:
            transaction.sessions.end(self.steps.session_id, "done")

    def kinds(self, own_session: str | None = None) -> list[DifferenceKind]:
        return [each.kind for each in self.reconcile(own_session).differences]

    def unknown(self, **changed: Any) -> Intent:
        """Record an order whose answer was lost, and return its intent."""
        sent = self.steps.record_sent(**changed)
        with self.steps.journal.writing() as transaction:
            return transaction.orders.record_answer(sent, OrderState.UNKNOWN)

    def resting(self, **changed: Any) -> tuple[Intent, ExchangeOrder]:
        """Record an order that rests in the journal and at the exchange, and return its intent."""
        sent = self.steps.record_sent(**{**GTC, **changed})
        order = order_of(sent)
        with self.steps.journal.writing() as transaction:
            intent = transaction.orders.record_answer(
                sent, OrderState.RESTING, order_id=order.order_id, filled_centicontracts=0
            )
        self.account.listed.append(order)
        return intent, order

    def state(self, intent: Intent) -> OrderState:
        return self.steps.reload(intent).state

    def kill(self) -> str | None:
        with self.steps.journal.reading() as reading:
            kill = reading.halts.kill_state()
        return kill.reason if kill.engaged else None

    def fence_us(self, group: str = GROUP) -> int:
        with self.steps.journal.reading() as reading:
            fence = reading.evidence.fence_of(group)
        assert fence is not None
        return fence[1]
