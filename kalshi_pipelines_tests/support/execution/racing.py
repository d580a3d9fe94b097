"""Races of several processes on one journal, and processes that are killed in the middle of an order.

``python -m kalshi_pipelines_tests.support.execution.racing CASE URL NUMBER`` prints the result of each process as JSON.
The program forks: starting sixteen Python interpreters would take longer than the races themselves.
"""

import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from itertools import count

from kalshi_pipelines.execution.journal.engine import open_journal
from kalshi_pipelines.execution.journal.errors import AlreadyPlanned, JournalRefused
from kalshi_pipelines.execution.journal.journal import Journal
from kalshi_pipelines.execution.orders.terms import ClientOrderId
from kalshi_pipelines_tests.support.execution.order_steps import ACCOUNT, VERSION, Clock, OrderSteps

#: Longest time a process waits for the journal's lock. Every process must get the lock even on a slow machine.
PATIENCE_SECONDS = 60


def steps_of(url: str, number: int) -> OrderSteps:
    """Return the steps of orders on a connection of this process to the journal of the test."""
    clock = Clock()
    engine = open_journal(url, PATIENCE_SECONDS)
    first = 1_000 * (number + 1)
    return OrderSteps(Journal(engine, "sandbox", clock_us=clock), clock, numbers=count(first).__next__)


def send_the_same(url: str, number: int) -> str:
    """Send the only reserved order of the journal."""
    steps = steps_of(url, number)
    with steps.journal.reading() as reading:
        (intent,) = reading.orders.open_intents(ACCOUNT)
    try:
        steps.record_sending(intent)
    except JournalRefused as refusal:
        return refusal.rule
    return "sent"


def order_the_same_signal(url: str, number: int) -> str:
    """Plan and reserve the same signal as every other process."""
    steps = steps_of(url, number)
    new = steps.intent(idempotency_key="5" * 64, client_order_id=ClientOrderId("kx1-the-same"))
    try:
        with steps.journal.writing() as transaction:
            transaction.orders.reserve(transaction.orders.plan(new))
    except AlreadyPlanned as earlier:
        return f"intent {earlier.intent.intent_id}"
    return "reserved"


def order_what_others_do_not(url: str, number: int) -> str:
    """Reserve three orders of this process alone. All processes share one cap."""
    steps = steps_of(url, number)
    got = 0
    for _ in range(3):
        with steps.journal.writing() as transaction:
            intent = transaction.orders.plan(steps.intent())
        try:
            with steps.journal.writing() as transaction:
                transaction.orders.reserve(intent)
        except JournalRefused:
            continue
        got += 1
    return str(got)


def send_until_stopped(url: str, number: int) -> str:
    """Send four orders as fast as possible. The first process engages the kill switch after its second order.

    Every process tries its last order only after the switch is engaged.
    """
    steps = steps_of(url, number)
    one = {"event_ticker": f"KXRACE{number}", "count_centicontracts": 1, "fee_bound_microdollars": 0}
    intents = [steps.reserve(ticker=f"KXRACE{number}-{market}", **one) for market in range(4)]
    sent = 0
    try:
        for turn, intent in enumerate(intents):
            while turn == len(intents) - 1 and not is_stopped(steps):
                pass
            steps.record_sending(intent)
            sent += 1
            if number == 0 and turn == 1:
                with steps.journal.writing() as transaction:
                    transaction.halts.engage(1, "operator", "ada", "stop")
    except JournalRefused as refusal:
        return f"{sent} {refusal.rule}"
    return f"{sent} sent after all were stopped"


def is_stopped(steps: OrderSteps) -> bool:
    with steps.journal.reading() as reading:
        return reading.halts.kill_state().engaged


def die_at(point: str) -> Callable[[str, int], str]:
    """Return a case whose process is killed at a point of an order's life."""

    def die(url: str, number: int) -> str:
        steps = steps_of(url, number)
        if point == "inside":
            with steps.journal.writing() as transaction:
                transaction.orders.reserve(transaction.orders.plan(steps.intent()))
                os.kill(os.getpid(), signal.SIGKILL)
        intent = steps.plan()
        if point == "planned":
            os.kill(os.getpid(), signal.SIGKILL)
        with steps.journal.writing() as transaction:
            intent = transaction.orders.reserve(intent)
        if point == "reserved":
            os.kill(os.getpid(), signal.SIGKILL)
        with steps.journal.writing() as transaction:
            transaction.orders.record_sending(intent, VERSION)
            if point == "about to send":
                os.kill(os.getpid(), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)
        return ""

    return die


CASES: dict[str, Callable[[str, int], str]] = {
    "send_the_same": send_the_same,
    "order_the_same_signal": order_the_same_signal,
    "order_what_others_do_not": order_what_others_do_not,
    "send_until_stopped": send_until_stopped,
    **{f"die_{point}": die_at(point) for point in ("inside", "planned", "reserved", "about to send", "sending")},
}


def race(case: str, url: str, processes: int) -> list[str]:
    """Run a case in several processes that begin together. Return what each wrote, or the signal that killed it."""
    gate_read, gate_write = os.pipe()
    children = []
    for number in range(processes):
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(gate_write)
            try:
                os.read(gate_read, 1)
                said = CASES[case](url, number)
            except BaseException:  # noqa: BLE001
                said = traceback.format_exc()
            os.write(write, said.encode()[-4_000:])
            os._exit(0)
        os.close(write)
        children.append((child, read))
    os.close(gate_read)
    os.close(gate_write)
    results = []
    for child, read in children:
        with os.fdopen(read) as pipe:
            said = pipe.read()
        status = os.waitpid(child, 0)[1]
        results.append(signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else said)
    return results


if __name__ == "__main__":
    sys.stdout.write(json.dumps(race(sys.argv[1], sys.argv[2], int(sys.argv[3]))))
