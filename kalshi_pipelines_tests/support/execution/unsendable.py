"""Reserved orders that the journal must refuse to send, each with the rule that refuses it."""

from collections.abc import Callable

from kalshi_pipelines.execution.journal.records import Fill, Intent
from kalshi_pipelines.execution.orders.proposals import ActorKind
from kalshi_pipelines.execution.orders.states import OrderState
from kalshi_pipelines.execution.orders.terms import Side
from kalshi_pipelines_tests.support.execution.trading import ACCOUNT, GROUP, HOUR, MINUTE, NOON, SECOND, Desk


def unknown_order(desk: Desk) -> Intent:
    intent = desk.sent()
    with desk.journal.writing() as transaction:
        return transaction.orders.record_answer(intent, OrderState.UNKNOWN)


SENDING: dict[str, tuple[Callable[[Desk], Intent], str]] = {}


def sends(rule: str) -> Callable[[Callable[[Desk], Intent]], Callable[[Desk], Intent]]:
    """Register how a reserved order comes to where it must not be sent any more."""

    def register(make: Callable[[Desk], Intent]) -> Callable[[Desk], Intent]:
        SENDING[f"{make.__name__} is {rule}"] = (make, rule)
        return make

    return register


@sends("kill")
def kill_engaged(desk: Desk) -> Intent:
    intent = desk.reserved()
    with desk.journal.writing() as transaction:
        transaction.halts.engage(1, "operator", "ada", "stop")
    return intent


@sends("killed_since_opened")
def kill_released_again(desk: Desk) -> Intent:
    intent = kill_engaged(desk)
    desk.released_by("grace")
    return intent


@sends("session_expired")
def session_over(desk: Desk) -> Intent:
    desk.clock.now_us += HOUR - 1
    intent = desk.reserved()
    desk.clock.now_us += 1
    return intent


@sends("session_ended")
def session_closed(desk: Desk) -> Intent:
    intent = desk.reserved()
    with desk.journal.writing() as transaction:
        transaction.sessions.end(desk.session_id, "done")
    return intent


@sends("lease")
def lease_lost(desk: Desk) -> Intent:
    intent = desk.reserved()
    with desk.journal.writing() as transaction:
        transaction.sessions.renew_lease(desk.session_id, desk.clock())
    return intent


@sends("stale")
def too_late(desk: Desk) -> Intent:
    intent = desk.reserved(valid_until_us=desk.clock() + SECOND)
    desk.clock.now_us += SECOND + 1
    return intent


@sends("stale")
def known_in_the_future(desk: Desk) -> Intent:
    return desk.reserved(as_of_us=desk.clock() + 1)


@sends("clock")
def clock_set_back(desk: Desk) -> Intent:
    desk.clock.now_us += MINUTE
    intent = desk.reserved(as_of_us=NOON)
    desk.clock.now_us -= 1
    return intent


@sends("unresolved")
def another_is_unknown(desk: Desk) -> Intent:
    unknown_order(desk)
    return desk.reserved()


@sends("no_group")
def no_group(desk: Desk) -> Intent:
    return desk.reserved(order_group_id=None)


@sends("fenced")
def group_fenced(desk: Desk) -> Intent:
    intent = desk.reserved()
    with desk.journal.writing() as transaction:
        transaction.evidence.record_fence(GROUP, desk.clock())
    return intent


@sends("approval")
def nobody_approved(desk: Desk) -> Intent:
    return desk.reserved(actor=ActorKind.AGENT, approval_required=True)


@sends("approval")
def approved_by_itself(desk: Desk) -> Intent:
    intent = desk.reserved(actor=ActorKind.AGENT, actor_name="bot", approval_required=True)
    with desk.journal.writing() as transaction:
        transaction.orders.approve(intent.request_sha256, "bot", desk.clock() + MINUTE)
    return intent


@sends("approval")
def approval_expired(desk: Desk) -> Intent:
    intent = desk.reserved(approval_required=True)
    with desk.journal.writing() as transaction:
        transaction.orders.approve(intent.request_sha256, "grace", desk.clock() + SECOND)
    desk.clock.now_us += SECOND
    return intent


@sends("approval")
def other_bytes_approved(desk: Desk) -> Intent:
    intent = desk.reserved(approval_required=True)
    with desk.journal.writing() as transaction:
        transaction.orders.approve("f" * 64, "grace", desk.clock() + MINUTE)
    return intent


@sends("breached")
def scope_breached(desk: Desk) -> Intent:
    intent = desk.reserved()
    with desk.journal.writing() as transaction:
        fill = Fill("f-1", "foreign-1", "KXOTHER-1", Side.BID, 9_999, 300_000, 0, NOON)
        transaction.fills.record_foreign(ACCOUNT, fill, "KXOTHER")
    desk.released_by("grace")
    return intent
