"""Reserved orders that the journal must refuse to send, each with the rule that refuses it."""

from collections.abc import Callable

from kalshi_pipelines.execution.journal.records import Fill, Intent
from kalshi_pipelines.execution.orders.proposals import ActorKind
from kalshi_pipelines.execution.orders.states import OrderState
from kalshi_pipelines.execution.orders.terms import Side
from kalshi_pipelines_tests.support.execution.order_steps import (
    ACCOUNT,
    GROUP,
    HOUR,
    MINUTE,
    NOON,
    SECOND,
    OrderSteps,
)


def unknown_order(steps: OrderSteps) -> Intent:
    intent = steps.record_sent()
    with steps.journal.writing() as transaction:
        return transaction.orders.record_answer(intent, OrderState.UNKNOWN)


SENDING: dict[str, tuple[Callable[[OrderSteps], Intent], str]] = {}


def sends(rule: str) -> Callable[[Callable[[OrderSteps], Intent]], Callable[[OrderSteps], Intent]]:
    """Register a function that reserves an order and brings it into a state in which it must not be sent."""

    def register(make: Callable[[OrderSteps], Intent]) -> Callable[[OrderSteps], Intent]:
        SENDING[f"{make.__name__} is {rule}"] = (make, rule)
        return make

    return register


@sends("kill")
def kill_engaged(steps: OrderSteps) -> Intent:
    intent = steps.reserve()
    with steps.journal.writing() as transaction:
        transaction.halts.engage(1, "operator", "ada", "stop")
    return intent


@sends("killed_since_opened")
def kill_released_again(steps: OrderSteps) -> Intent:
    intent = kill_engaged(steps)
    steps.release_kill_switch("grace")
    return intent


@sends("session_expired")
def session_over(steps: OrderSteps) -> Intent:
    steps.clock.now_us += HOUR - 1
    intent = steps.reserve()
    steps.clock.now_us += 1
    return intent


@sends("session_ended")
def session_closed(steps: OrderSteps) -> Intent:
    intent = steps.reserve()
    with steps.journal.writing() as transaction:
        transaction.sessions.end(steps.session_id, "done")
    return intent


@sends("lease")
def lease_lost(steps: OrderSteps) -> Intent:
    intent = steps.reserve()
    with steps.journal.writing() as transaction:
        transaction.sessions.renew_lease(steps.session_id, steps.clock())
    return intent


@sends("stale")
def too_late(steps: OrderSteps) -> Intent:
    intent = steps.reserve(valid_until_us=steps.clock() + SECOND)
    steps.clock.now_us += SECOND + 1
    return intent


@sends("stale")
def known_in_the_future(steps: OrderSteps) -> Intent:
    return steps.reserve(as_of_us=steps.clock() + 1)


@sends("clock")
def clock_set_back(steps: OrderSteps) -> Intent:
    steps.clock.now_us += MINUTE
    intent = steps.reserve(as_of_us=NOON)
    steps.clock.now_us -= 1
    return intent


@sends("unresolved")
def another_is_unknown(steps: OrderSteps) -> Intent:
    unknown_order(steps)
    return steps.reserve()


@sends("no_group")
def no_group(steps: OrderSteps) -> Intent:
    return steps.reserve(order_group_id=None)


@sends("fenced")
def group_fenced(steps: OrderSteps) -> Intent:
    intent = steps.reserve()
    with steps.journal.writing() as transaction:
        transaction.evidence.record_fence(GROUP, steps.clock())
    return intent


@sends("approval")
def nobody_approved(steps: OrderSteps) -> Intent:
    return steps.reserve(actor=ActorKind.AGENT, approval_required=True)


@sends("approval")
def approved_by_itself(steps: OrderSteps) -> Intent:
    intent = steps.reserve(actor=ActorKind.AGENT, actor_name="bot", approval_required=True)
    with steps.journal.writing() as transaction:
        transaction.orders.approve(intent.request_sha256, "bot", steps.clock() + MINUTE)
    return intent


@sends("approval")
def approval_expired(steps: OrderSteps) -> Intent:
    intent = steps.reserve(approval_required=True)
    with steps.journal.writing() as transaction:
        transaction.orders.approve(intent.request_sha256, "grace", steps.clock() + SECOND)
    steps.clock.now_us += SECOND
    return intent


@sends("approval")
def other_bytes_approved(steps: OrderSteps) -> Intent:
    intent = steps.reserve(approval_required=True)
    with steps.journal.writing() as transaction:
        transaction.orders.approve("f" * 64, "grace", steps.clock() + MINUTE)
    return intent


@sends("breached")
def scope_breached(steps: OrderSteps) -> Intent:
    intent = steps.reserve()
    with steps.journal.writing() as transaction:
        fill = Fill("f-1", "foreign-1", "KXOTHER-1", Side.BID, 9_999, 300_000, 0, NOON)
        transaction.fills.record_foreign(ACCOUNT, fill, "KXOTHER")
    steps.release_kill_switch("grace")
    return intent
