"""A fixed session that writes the kinds of audit record which the golden session does not write."""

from dataclasses import replace
from pathlib import Path
from typing import Final

from kalshi_pipelines.execution.journal.engine import open_journal
from kalshi_pipelines.execution.journal.records import (
    Arming,
    ArmingKind,
    EvidenceItem,
    Fill,
    ForeignOrder,
    Intent,
    Mode,
    Signature,
)
from kalshi_pipelines.execution.orders.denials import DenialReason
from kalshi_pipelines.execution.orders.states import OrderState
from kalshi_pipelines.execution.orders.terms import Side
from kalshi_pipelines_tests.support.execution.order_steps import (
    ACCOUNT,
    EVENT,
    NOON,
    VERSION,
    OrderSteps,
    new_session,
    open_session,
    order_steps,
)

_DRY: Final = "session-dry0"
_ARMED: Final = "session-armed"
_GROUP_OF_ARMED: Final = "order-group-of-armed"


def write_remaining_kinds(url: str) -> None:
    """Run the session at fixed instants in a new journal."""
    engine = open_journal(url)
    steps = order_steps(engine)
    with steps.journal.writing() as transaction:
        open_session(transaction, new_session(_DRY, mode=Mode.DRY_RUN))
        transaction.sessions.end(steps.session_id, "another is opened by an armed run")
        armings = (Arming(ArmingKind.TOKEN, "a" * 64), Arming(ArmingKind.RUN, "b" * 64))
        open_session(transaction, new_session(_ARMED, armings=armings), _GROUP_OF_ARMED)
    steps = replace(steps, session_id=_ARMED, group=_GROUP_OF_ARMED)
    given_up, filled, refused = (steps.reserve(ticker=f"{EVENT}-T{number}") for number in range(3))
    for intent in (filled, refused):
        steps.record_sending(intent)
        with steps.journal.writing() as transaction:
            state = OrderState.EXECUTED if intent is filled else OrderState.REJECTED
            order_id, count = ("order-0001", 1_000) if intent is filled else (None, 0)
            transaction.orders.record_answer(
                transaction.reading.orders.intent(intent.intent_id),
                state,
                order_id=order_id,
                filled_centicontracts=count,
            )
    rests = steps.record_sent(ticker=f"{EVENT}-T4")
    with steps.journal.writing() as transaction:
        transaction.orders.abandon(given_up, DenialReason.PROPOSAL_EXPIRED, "it expired")
        rests = transaction.orders.record_answer(rests, OrderState.RESTING, order_id="order-0002")
        transaction.orders.record_answer(rests, OrderState.PENDING_CANCEL, order_id="order-0002")
        fill = Fill("f-9", "foreign-1", "KXOTHER-1", Side.BID, 9_000, 300_000, 0, NOON)
        transaction.fills.record_foreign(ACCOUNT, fill, "KXOTHER")
        transaction.ledger.clear_breaches(ACCOUNT, "grace", "another program bought them")
        signature = Signature("grace", "another program bought them")
        transaction.acknowledgements.sign(ACCOUNT, "acknowledge", "e" * 64, signature)
        item = EvidenceItem("foreign_fill", "f-9", "bought 3,000.00 contracts of KXOTHER-1 by order foreign-1")
        transaction.acknowledgements.record(
            ACCOUNT, "acknowledge", "e" * 64, [item], signature, None, needs_second=False
        )
    _write_what_happened_meanwhile(steps, filled)
    with steps.journal.writing() as transaction:
        bought = Fill("f-10", "order-0001", filled.ticker, Side.BID, 5_000, 1_000, 0, NOON)
        transaction.fills.record(bought, transaction.reading.orders.intent(filled.intent_id))
        transaction.settlements.record(ACCOUNT, filled.ticker, EVENT, payoff_centicents=0, dedupe="lost")
        transaction.realised.realise_flat_markets(ACCOUNT)
    dry = replace(steps, session_id=_DRY)
    with steps.journal.writing() as transaction:
        planned = transaction.orders.plan(dry.intent(order_group_id=None))
        transaction.orders.record_simulation(transaction.orders.reserve(planned), VERSION)
    with steps.journal.writing() as transaction:
        file = Path("/disk/journal.anchors")
        transaction.anchor_events.record_failure(file, "[Errno 28] No space left on device")
        number = transaction.reconciliations.record(ACCOUNT, NOON, NOON, differences=0, clean=True, report="clean")
        transaction.anchor_events.record_review(file, "grace", "the disk was full", number)
    engine.dispose()


def _write_what_happened_meanwhile(steps: OrderSteps, sent: Intent) -> None:
    """Record an order of another program that rests and then ends, and an answer of the exchange that came too late."""
    order = ForeignOrder("order-0003", f"{EVENT}-T5", Side.ASK, 6_000, 200, "rests, and the journal never sent it")
    with steps.journal.writing() as transaction:
        transaction.foreign_orders.record(ACCOUNT, order, EVENT, fee_bound_microdollars=10_000)
        transaction.foreign_orders.record_end(ACCOUNT, order.order_id, EVENT)
        transaction.audit.append("answer", {"intent_id": sent.intent_id, "said": "executed", "status": 201})
