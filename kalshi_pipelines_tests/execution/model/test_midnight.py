"""A case that the state machine found: an order reserved yesterday is abandoned today."""

from kalshi_pipelines.execution.journal.records import Mode, ScopeKind
from kalshi_pipelines.execution.orders.denials import DenialReason
from kalshi_pipelines_tests.support.execution.order_steps import ACCOUNT, HOUR, MINUTE, OrderSteps, next_session


def test_F19_order_of_yesterday_is_abandoned_after_the_new_day_counts_it(steps: OrderSteps) -> None:
    old = steps.reserve()
    steps.clock.now_us += 25 * HOUR
    next_session(steps, 2)
    steps.clock.now_us += MINUTE
    steps.reserve()
    with steps.journal.writing() as transaction:
        transaction.orders.abandon(
            transaction.reading.orders.intent(old.intent_id), DenialReason.CRASHED_BEFORE_SENDING, "left behind"
        )
    with steps.journal.reading() as reading:
        (day,) = reading.ledger.standings(ACCOUNT, Mode.LIVE, {ScopeKind.DAY: "2026-11-24"})
        (account,) = reading.ledger.standings(ACCOUNT, Mode.LIVE, {ScopeKind.ACCOUNT: "account"})
    assert (day.notional_microdollars, day.worst_microdollars) == (5_000_000, 5_200_000)
    assert (account.notional_microdollars, account.worst_microdollars) == (5_000_000, 5_200_000)
