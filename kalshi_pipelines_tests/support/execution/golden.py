"""A fixed session that writes every kind of audit record.

``python -m kalshi_pipelines_tests.support.execution.golden URL`` runs the session and prints its audit log.
"""

import sys
from dataclasses import replace
from typing import Final

import sqlalchemy as sa

from kalshi_pipelines.execution.journal.engine import open_journal
from kalshi_pipelines.execution.journal.records import Check, Details, Fill, SweepReading
from kalshi_pipelines.execution.journal.tables import audit_log
from kalshi_pipelines.execution.orders.denials import DenialReason
from kalshi_pipelines.execution.orders.states import OrderState, Writer
from kalshi_pipelines.execution.orders.terms import Side
from kalshi_pipelines_tests.support.execution.order_steps import (
    ACCOUNT,
    EVENT,
    GROUP,
    HOUR,
    NOON,
    TICKER,
    next_session,
    order_steps,
)

#: SHA-256 of the fixed session's audit log. It may change only with the log's form, together with ``BODY_VERSION``.
GOLDEN: Final = "b9915f8eb741610b70dbc2fe250d54dc5a700201f1ea66fe4e1c434d48d3823a"


def audit_of_a_session(url: str) -> str:
    """Run the session at fixed instants. Return its audit log, a line for each record: number, hash and body."""
    engine = open_journal(url)
    steps = order_steps(engine)
    checks = (Check("kill", True, "clear", "clear"), Check("band", True, "500", "20"))
    details = Details(checks, {"note": "naïve – ünïcode \U0001f600", "nested": {"b": 1, "a": [True, False]}})
    with steps.journal.writing() as transaction:
        filled = transaction.orders.reserve(transaction.orders.plan(steps.intent(), details), details)
        transaction.orders.deny(transaction.orders.plan(steps.intent()), DenialReason.NOT_ARMED, "not armed", details)
        transaction.orders.record_attempt(steps.session_id, denial=DenialReason.INVALID_PROPOSAL)
        transaction.orders.approve(filled.request_sha256, "grace", steps.clock() + HOUR)
    steps.record_sending(filled)
    with steps.journal.writing() as transaction:
        filled = transaction.orders.record_answer(
            transaction.reading.orders.intent(filled.intent_id), OrderState.RESTING, order_id="order-0001"
        )
        transaction.fills.record(Fill("f-1", "order-0001", TICKER, Side.BID, 4_900, 400, 70_000, NOON), filled)
        filled = transaction.reading.orders.intent(filled.intent_id)
        transaction.orders.record_answer(filled, OrderState.CANCELED, filled_centicontracts=400)
    lost = steps.record_sent(ticker=f"{EVENT}-T2", side=Side.ASK)
    with steps.journal.writing() as transaction:
        lost = transaction.orders.record_answer(lost, OrderState.UNKNOWN, writer=Writer.RECONCILER)
        fence = transaction.evidence.record_fence(GROUP, NOON)
        sweep = transaction.evidence.record_sweep(SweepReading(fence, lost.ticker, NOON, NOON + 1, 2, "e" * 64, True))
        transaction.orders.record_absence(lost, transaction.evidence.record_resolution(lost, fence, sweep))
        transaction.reconciliations.record(ACCOUNT, NOON, NOON, differences=0, clean=True, report="nothing")
    steps.clock.now_us += 24 * HOUR
    next_session(steps, 2)
    steps.reserve()
    with steps.journal.writing() as transaction:
        transaction.settlements.record(ACCOUNT, TICKER, EVENT, payoff_centicents=10_000, dedupe="once")
        fill = Fill("f-2", "foreign-1", TICKER, Side.BID, 9_000, 300_000, 0, NOON)
        transaction.fills.record_foreign(ACCOUNT, replace(fill, ticker="KXOTHER-1"), "KXOTHER")
        assert transaction.reading.halts.kill_state().engaged
    with engine.connect() as connection:
        rows = connection.execute(sa.select(audit_log.c.seq, audit_log.c.hash, audit_log.c.body).order_by("seq")).all()
    engine.dispose()
    return "".join(f"{row.seq} {row.hash} {row.body}\n" for row in rows)


if __name__ == "__main__":
    sys.stdout.buffer.write(audit_of_a_session(sys.argv[1]).encode())
