"""Tests of the ledger: each position, each foreign order and each settlement counts once, and is released in full."""

import pytest
import sqlalchemy as sa

from kalshi_pipelines.execution.audit.verification import verify
from kalshi_pipelines.execution.journal.errors import JournalRefused
from kalshi_pipelines.execution.journal.records import (
    CountedForeignOrder,
    Fill,
    ForeignOrder,
    MarketStanding,
    Mode,
    ScopeKind,
)
from kalshi_pipelines.execution.journal.tables import UNCAPPED, postings, scopes
from kalshi_pipelines.execution.orders.account import Account
from kalshi_pipelines.execution.orders.denials import DenialReason
from kalshi_pipelines.execution.orders.states import OrderState
from kalshi_pipelines.execution.orders.terms import Side
from kalshi_pipelines_tests.support.execution.order_steps import (
    ACCOUNT,
    EVENT,
    HOUR,
    NOON,
    TICKER,
    OrderSteps,
    caps,
    new_session,
    next_session,
    open_session,
    order_steps,
)

DAY = 24 * HOUR
TODAY, TOMORROW = "2026-11-23", "2026-11-24"


def markets(steps: OrderSteps) -> list[MarketStanding]:
    with steps.journal.reading() as reading:
        return reading.ledger.markets(ACCOUNT)


def scopes_of_posting(steps: OrderSteps, dedupe: str) -> set[tuple[str, str]]:
    """Return the scopes in which a fact was posted."""
    found = sa.select(scopes.c.kind, scopes.c.key).join(postings, postings.c.scope_id == scopes.c.scope_id)
    with steps.journal._engine.connect() as connection:
        return {(row[0], row[1]) for row in connection.execute(found.where(postings.c.dedupe == dedupe))}


def worst(steps: OrderSteps, kind: ScopeKind, key: str) -> int:
    with steps.journal.reading() as reading:
        (standing,) = reading.ledger.standings(ACCOUNT, Mode.LIVE, {kind: key})
    return standing.worst_microdollars


def record_fill(steps: OrderSteps, fill_id: str, side: Side, price: int, **of_whom: str) -> bool:
    fill = Fill(fill_id, f"order-{fill_id}", TICKER, side, price, 400, 0, steps.clock())
    with steps.journal.writing() as transaction:
        return transaction.fills.record_foreign(ACCOUNT, fill, of_whom.get("event", EVENT))


def settle(steps: OrderSteps, payoff: int = 10_000, event: str = EVENT) -> bool:
    with steps.journal.writing() as transaction:
        return transaction.settlements.record(ACCOUNT, TICKER, event, payoff_centicents=payoff, dedupe="once")


@pytest.mark.parametrize(
    ("side", "counted"),
    [
        (Side.BID, MarketStanding(TICKER, 0, 0, 700, 0, 2_800_000, 0)),
        (Side.ASK, MarketStanding(TICKER, 0, 0, 0, 700, 0, 4_200_000)),
    ],
)
def test_foreign_order_counts_until_it_no_longer_rests(steps: OrderSteps, side: Side, counted: MarketStanding) -> None:
    order = ForeignOrder("order-0009", TICKER, side, 4_000, 700, "by hand")
    counted_order = CountedForeignOrder("order-0009", TICKER, side, 4_000, 700)
    with steps.journal.writing() as transaction:
        assert transaction.foreign_orders.record(ACCOUNT, order, EVENT)
        assert not transaction.foreign_orders.record(ACCOUNT, order, EVENT)
        assert transaction.reading.foreign_orders.resting(ACCOUNT) == [counted_order]
        assert transaction.reading.foreign_orders.resting(Account("sandbox", 1)) == []
        assert transaction.reading.foreign_orders.resting(Account("demo", 0)) == []
    assert markets(steps) == [counted]
    assert scopes_of_posting(steps, "foreign:order-0009") == {("account", "account"), ("event", EVENT), ("day", TODAY)}
    with steps.journal.writing() as transaction:
        assert not transaction.foreign_orders.record_end(ACCOUNT, "order-0008", EVENT)
        assert transaction.foreign_orders.record_end(ACCOUNT, "order-0009", EVENT)
        assert not transaction.foreign_orders.record_end(ACCOUNT, "order-0009", EVENT)
        assert transaction.reading.foreign_orders.resting(ACCOUNT) == []
        assert '"gone":true' in transaction.reading.audit_log.newest(1)[0].body
    assert markets(steps) == []
    assert verify(steps.journal._engine).ok


def test_position_from_before_the_journal_counts_once(steps: OrderSteps) -> None:
    for is_new in (True, False):
        with steps.journal.writing() as transaction:
            assert is_new is transaction.positions.record_opening(
                ACCOUNT, TICKER, EVENT, position_centicontracts=-300, spent_microdollars=-900_000, dedupe="a"
            )
    assert markets(steps) == [MarketStanding(TICKER, -300, -900_000, 0, 0, -900_000, 2_100_000)]


def test_new_day_opened_by_a_fact_takes_over_outstanding_positions(steps: OrderSteps) -> None:
    assert record_fill(steps, "f-1", Side.BID, 5_000)
    assert worst(steps, ScopeKind.DAY, TODAY) == 2_000_000
    steps.clock.now_us += DAY
    assert record_fill(steps, "f-2", Side.BID, 6_000)
    assert not record_fill(steps, "f-2", Side.BID, 6_000)
    assert worst(steps, ScopeKind.DAY, TOMORROW) == 2_000_000 + 2_400_000
    assert worst(steps, ScopeKind.DAY, TODAY) == 2_000_000


def test_new_day_takes_over_more_markets_than_one_statement_stores(steps: OrderSteps) -> None:
    with steps.journal.writing() as transaction:
        for number in range(120):
            transaction.positions.record_opening(
                ACCOUNT,
                f"KXM-{number}",
                "KXM",
                position_centicontracts=100,
                spent_microdollars=number,
                dedupe=f"{number}",
            )
    steps.clock.now_us += DAY
    assert record_fill(steps, "f-1", Side.BID, 5_000)
    assert worst(steps, ScopeKind.DAY, TOMORROW) == sum(range(120)) + 2_000_000
    assert verify(steps.journal._engine).ok


def test_abandoned_order_holds_no_reservation(steps: OrderSteps) -> None:
    intent = steps.reserve()
    with steps.journal.writing() as transaction:
        transaction.orders.abandon(intent, DenialReason.KILL_SWITCH_ENGAGED, "too late")
    assert markets(steps) == []
    assert verify(steps.journal._engine).ok


def test_settlement_is_posted_in_each_scope_that_still_counts_the_market(steps: OrderSteps) -> None:
    first = steps.record_sent()
    with steps.journal.writing() as transaction:
        transaction.fills.record(Fill("f-1", "order-0001", TICKER, Side.BID, 5_000, 1_000, 0, NOON), first)
        transaction.orders.record_answer(
            transaction.reading.orders.intent(first.intent_id), OrderState.EXECUTED, filled_centicontracts=1_000
        )
    steps.clock.now_us += 25 * HOUR
    next_session(steps, 2)
    second = steps.record_sent(side=Side.ASK, price_centicents=6_000)
    with steps.journal.writing() as transaction:
        transaction.fills.record(Fill("f-2", "order-0002", TICKER, Side.ASK, 6_000, 400, 0, NOON), second)
    assert settle(steps, 2_500)
    assert not settle(steps, 2_500)
    assert scopes_of_posting(steps, "settle:once") == {("day", TOMORROW), ("event", EVENT), ("account", "account")}, (
        "the second session only closed what the first one bought"
    )
    assert verify(steps.journal._engine).ok
    with steps.journal.reading() as reading:
        (left,) = reading.ledger.markets(ACCOUNT)
    lost = 1_000 * 5_000 - 400 * 6_000 - 600 * 2_500
    assert (left.position_centicontracts, left.spent_microdollars) == (0, lost)
    assert not realise(steps), "600 asks are open, so the market is not flat"


def test_settlement_loss_stays_in_every_scope(steps: OrderSteps) -> None:
    record_fill(steps, "f-1", Side.BID, 5_000)
    assert settle(steps, 0)
    for _ in range(2):
        assert worst(steps, ScopeKind.DAY, TODAY) == 2_000_000
        assert worst(steps, ScopeKind.EVENT, EVENT) == 2_000_000
        assert worst(steps, ScopeKind.ACCOUNT, "account") == 2_000_000
        realise(steps)
    assert markets(steps) == []


def realise(steps: OrderSteps) -> bool:
    with steps.journal.writing() as transaction:
        return transaction.realised.realise_flat_markets(ACCOUNT)


def test_day_loses_the_part_that_the_settlement_did_not_pay(steps: OrderSteps) -> None:
    record_fill(steps, "f-1", Side.BID, 5_000)
    assert settle(steps, 3_000)
    assert worst(steps, ScopeKind.DAY, TODAY) == 400 * 2_000


@pytest.mark.parametrize(("position", "spent"), [(1, 0), (1, 1), (-1, 0), (-1, -1)])
def test_smallest_position_is_settled(steps: OrderSteps, position: int, spent: int) -> None:
    with steps.journal.writing() as transaction:
        transaction.positions.record_opening(
            ACCOUNT, TICKER, EVENT, position_centicontracts=position, spent_microdollars=spent, dedupe="a"
        )
    assert settle(steps)
    realise(steps)
    assert markets(steps) == []


def test_hour_counts_for_24_hours_from_any_minute(sqlite_journal: sa.Engine) -> None:
    steps = order_steps(sqlite_journal, lives_us=24 * HOUR)
    steps.clock.now_us += HOUR // 2
    hour = str(steps.clock() // HOUR)
    intent = steps.record_sent()
    with steps.journal.writing() as transaction:
        transaction.fills.record(Fill("f-1", "order-0001", TICKER, Side.BID, 5_000, 1_000, 0, NOON), intent)
    steps.clock.now_us += 24 * HOUR + HOUR // 4
    assert settle(steps, 0)
    assert ("rolling", hour) in scopes_of_posting(steps, "settle:once")


def test_facts_of_a_sub_account_without_a_live_session_are_refused(steps: OrderSteps) -> None:
    fill = Fill("f-1", "order-0001", TICKER, Side.BID, 5_000, 1_000, 0, NOON)
    refused = pytest.raises(JournalRefused, match="no live session of sandbox 1 was ever opened")
    with refused, steps.journal.writing() as transaction:
        transaction.fills.record_foreign(Account("sandbox", 1), fill, EVENT)


def test_settlement_of_a_market_without_a_position_posts_nothing(steps: OrderSteps) -> None:
    with steps.journal.reading() as reading:
        before = reading.audit_log.newest(1)
    assert not settle(steps)
    steps.reserve()
    assert not settle(steps)
    with steps.journal.reading() as reading:
        assert len(reading.audit_log.newest(100)) == before[0].seq + 3, "the plan and the reservation, no settlement"


def test_settlement_is_posted_in_its_own_event_only(steps: OrderSteps) -> None:
    record_fill(steps, "f-1", Side.BID, 5_000)
    record_fill(steps, "f-2", Side.BID, 5_000, event="KXOTHER")
    assert settle(steps)
    assert scopes_of_posting(steps, "settle:once") == {("account", "account"), ("day", TODAY), ("event", EVENT)}


def test_review_without_a_breach_records_nothing(steps: OrderSteps) -> None:
    with steps.journal.writing() as transaction:
        before = transaction.head
        assert transaction.ledger.clear_breaches(ACCOUNT, "grace", "looked") == 0
        assert transaction.head == before


def test_scope_can_be_reviewed_again(steps: OrderSteps) -> None:
    for number in (1, 2):
        with steps.journal.writing() as transaction:
            fill = Fill(f"f-{number}", "foreign-1", "KXOTHER-1", Side.BID, 9_000, 200_000, 0, NOON)
            transaction.fills.record_foreign(ACCOUNT, fill, "KXOTHER")
            seq = transaction.head[0] + 1
            assert transaction.ledger.clear_breaches(ACCOUNT, "grace", "known") == 3
        assert scopes_of_posting(steps, f"review:account:account:{seq}") == {("account", "account")}


def test_filled_part_of_an_ended_order_stays_reserved_until_posted(steps: OrderSteps) -> None:
    intent = steps.record_sent()
    with steps.journal.writing() as transaction:
        transaction.orders.record_answer(
            intent, OrderState.EXECUTED, order_id="order-0001", filled_centicontracts=1_000
        )
    (held,) = markets(steps)
    assert held.open_bids_centicontracts == 1_000
    assert scopes_of_posting(steps, f"release:{intent.intent_id}") == set()


@pytest.mark.parametrize(
    ("state", "reported", "charged"),
    [(OrderState.CANCELED, 0, 5_000_000), (OrderState.REJECTED, 0, 0), (OrderState.REJECTED, None, 0)],
)
def test_only_an_order_that_was_never_live_returns_its_notional(
    steps: OrderSteps, state: OrderState, reported: int | None, charged: int
) -> None:
    intent = steps.record_sent()
    with steps.journal.writing() as transaction:
        order_id = "order-0001" if state is OrderState.CANCELED else None
        ended = transaction.orders.record_answer(intent, state, order_id=order_id, filled_centicontracts=reported)
        assert ended.reserved_centicontracts == 0
        (session,) = transaction.reading.ledger.standings(ACCOUNT, Mode.LIVE, {ScopeKind.SESSION: "session-0001"})
    assert (session.notional_microdollars, session.worst_microdollars) == (charged, 0)


def test_rejection_returns_notional_only_where_it_was_charged(steps: OrderSteps) -> None:
    intent = steps.record_sent()
    steps.clock.now_us += DAY
    next_session(steps, 2)
    steps.reserve(ticker=f"{EVENT}-T2")
    with steps.journal.writing() as transaction:
        transaction.orders.record_answer(steps.reload(intent), OrderState.REJECTED)
        keys = {ScopeKind.DAY: TOMORROW, ScopeKind.ACCOUNT: "account"}
        standings = transaction.reading.ledger.standings(ACCOUNT, Mode.LIVE, keys)
    assert [(each.notional_microdollars, each.worst_microdollars) for each in standings] == [(5_000_000, 5_200_000)] * 2
    assert verify(steps.journal._engine).ok


def test_answer_without_an_order_id_keeps_the_known_id(steps: OrderSteps) -> None:
    intent = steps.record_sent()
    with steps.journal.writing() as transaction:
        resting = transaction.orders.record_answer(intent, OrderState.RESTING, order_id="order-0001")
        canceled = transaction.orders.record_answer(resting, OrderState.CANCELED, filled_centicontracts=0)
    assert canceled.order_id == "order-0001"


def test_day_of_a_dry_run_takes_nothing_over(steps: OrderSteps) -> None:
    record_fill(steps, "f-1", Side.BID, 5_000)
    with steps.journal.writing() as transaction:
        open_session(transaction, new_session("session-0002", mode=Mode.DRY_RUN))
    steps.session_id = "session-0002"
    steps.reserve(order_group_id=None)
    with steps.journal.reading() as reading:
        (day,) = reading.ledger.standings(ACCOUNT, Mode.DRY_RUN, {ScopeKind.DAY: TODAY})
    assert day.worst_microdollars == 5_200_000


def test_fill_counts_in_the_scopes_of_its_order_and_in_the_newest_day(steps: OrderSteps) -> None:
    hour = str(steps.clock() // HOUR)
    intent = steps.record_sent()
    steps.clock.now_us += DAY
    next_session(steps, 2)
    steps.reserve(ticker=f"{EVENT}-T2")
    with steps.journal.writing() as transaction:
        transaction.fills.record(Fill("f-1", "order-0001", TICKER, Side.BID, 5_000, 400, 0, NOON), steps.reload(intent))
    wanted = {("session", "session-0001"), ("rolling", hour), ("event", EVENT), ("account", "account")}
    assert scopes_of_posting(steps, "fill:f-1") == {*wanted, ("day", TOMORROW)}
    assert scopes_of_posting(steps, f"reserve:{intent.intent_id}") == {*wanted, ("day", TODAY)}
    assert verify(steps.journal._engine).ok


def test_fill_of_an_order_that_was_never_sent_halts_trading(steps: OrderSteps) -> None:
    reserved = steps.reserve()
    with steps.journal.writing() as transaction:
        assert transaction.fills.record(Fill("f-0", "o-0", TICKER, Side.BID, 5_000, 400, 0, NOON), reserved)
        assert transaction.reading.halts.kill_state().reason == f"fill f-0 of {TICKER}: the order is reserved"


def test_fill_of_an_order_without_a_reservation_halts_trading_and_counts_nowhere(steps: OrderSteps) -> None:
    steps.reserve()
    planned = steps.plan(ticker=f"{EVENT}-T2")
    with steps.journal.writing() as transaction:
        assert transaction.fills.record(Fill("f-1", "o-1", planned.ticker, Side.BID, 5_000, 400, 0, NOON), planned)
        assert transaction.reading.halts.kill_state().engaged
    assert scopes_of_posting(steps, "fill:f-1") == set()


def test_dry_run_releases_in_its_own_day(sqlite_journal: sa.Engine) -> None:
    steps = order_steps(sqlite_journal, mode=Mode.DRY_RUN, lives_us=24 * HOUR)
    intent = steps.reserve(order_group_id=None)
    steps.clock.now_us += 23 * HOUR
    later = steps.reserve(order_group_id=None)
    with steps.journal.writing() as transaction:
        transaction.orders.abandon(intent, DenialReason.KILL_SWITCH_ENGAGED, "late")
    reserved = scopes_of_posting(steps, f"reserve:{intent.intent_id}")
    assert scopes_of_posting(steps, f"release:{intent.intent_id}") == reserved
    assert reserved == {
        ("session", "session-0001"),
        ("day", TODAY),
        ("rolling", str(NOON // HOUR)),
        ("event", f"{EVENT} {TODAY}"),
        ("account", TODAY),
    }
    assert ("day", TOMORROW) in scopes_of_posting(steps, f"reserve:{later.intent_id}")


def test_ledger_never_returns_to_an_older_day(steps: OrderSteps) -> None:
    steps.clock.now_us += DAY
    record_fill(steps, "f-1", Side.BID, 5_000)
    steps.clock.now_us -= DAY
    record_fill(steps, "f-2", Side.BID, 5_000)
    assert scopes_of_posting(steps, "fill:f-2") == {("day", TOMORROW), ("event", EVENT), ("account", "account")}


@pytest.mark.parametrize("side", Side)
def test_refusal_has_a_check_with_the_new_total_of_every_cap(sqlite_journal: sa.Engine, side: Side) -> None:
    steps = order_steps(sqlite_journal, caps(session=(25, UNCAPPED, 1_000_000)))
    market = "5200000", "5000000", "1", "1000"
    assert observed_by_caps(steps, side) == market
    with steps.journal.writing() as transaction:
        fill = Fill("f-1", "o-1", TICKER, Side.BID, 3_000, 100, 0, NOON)
        transaction.fills.record_foreign(ACCOUNT, fill, EVENT)
        order = ForeignOrder("order-0009", TICKER, Side.ASK, 4_000, 700, "by hand")
        transaction.foreign_orders.record(ACCOUNT, order, EVENT)
    # One contract was bought at $0.30, and seven are offered at $0.40. Our order has 10 contracts at $0.50 and a fee
    # of at most $0.20. With our bid, the loss is 0.30 + 5.20 if NO wins. With our ask, the loss is 4.20 - 0.70 + 5.20
    # if YES wins.
    assert (
        observed_by_caps(steps, side)
        == {
            Side.BID: ("5500000", "5000000", "1", "1100"),
            Side.ASK: ("8700000", "5000000", "1", "1600"),
        }[side]
    )


def test_order_of_the_previous_hour_counts_once_in_every_scope(sqlite_journal: sa.Engine) -> None:
    steps = order_steps(sqlite_journal, caps(session=(25, UNCAPPED, 6_000_000)), lives_us=24 * HOUR)
    steps.reserve()
    for later_us in (0, HOUR):
        steps.clock.now_us += later_us
        with steps.journal.writing() as transaction:
            refusal = transaction.ledger.refusal(transaction.orders.plan(steps.intent()))
        assert refusal is not None
        observed = {check.code: check.observed for check in refusal.checks}
        for kind in ScopeKind:
            assert (observed[f"{kind}.orders"], observed[f"{kind}.notional"]) == ("2", "10000000")
            assert (observed[f"{kind}.worst"], observed[f"{kind}.breached"]) == ("10400000", "no")


def test_reserved_order_counts_for_the_next_order_of_the_same_transaction(steps: OrderSteps) -> None:
    with steps.journal.writing() as transaction:
        first, second = (
            transaction.orders.plan(steps.intent()),
            transaction.orders.plan(steps.intent(count_centicontracts=200_000)),
        )
        assert transaction.ledger.refusal(first) is None
        before = transaction.ledger.refusal(second)
        transaction.orders.reserve(first)
        after = transaction.ledger.refusal(second)
    assert before is not None
    assert after is not None
    orders = [{check.code: check.observed for check in each.checks}["account.orders"] for each in (before, after)]
    assert orders == ["1", "2"]


def test_intent_returned_by_a_step_equals_the_stored_intent(steps: OrderSteps) -> None:
    planned = steps.plan()
    assert planned == steps.reload(planned)
    with steps.journal.writing() as transaction:
        reserved = transaction.orders.reserve(planned)
    assert reserved == steps.reload(planned)
    steps.record_sending(reserved)
    with steps.journal.writing() as transaction:
        resting = transaction.orders.record_answer(
            transaction.reading.orders.intent(planned.intent_id),
            OrderState.RESTING,
            order_id="order-0001",
            filled_centicontracts=0,
        )
    assert resting == steps.reload(planned)
    with steps.journal.writing() as transaction:
        denied = transaction.orders.deny(transaction.orders.plan(steps.intent()), DenialReason.NOT_ARMED, "not armed")
    assert denied == steps.reload(denied)


def test_refusal_names_the_breached_scopes(steps: OrderSteps) -> None:
    fill = Fill("f-1", "foreign-1", "KXOTHER-1", Side.BID, 9_000, 200_000, 0, NOON)
    with steps.journal.writing() as transaction:
        transaction.fills.record_foreign(ACCOUNT, fill, "KXOTHER")
        refusal = transaction.ledger.refusal(transaction.orders.plan(steps.intent()))
    assert refusal is not None
    observed = {check.code: check.observed for check in refusal.checks if check.code.endswith("breached")}
    assert observed == {f"{kind}.breached": "yes" if kind in ("account", "day") else "no" for kind in ScopeKind}


def observed_by_caps(steps: OrderSteps, side: Side) -> tuple[str, str, str, str]:
    """Plan an order that a cap refuses. Return the denial's worst loss, notional, number of orders, and position."""
    with steps.journal.writing() as transaction:
        refusal = transaction.ledger.refusal(transaction.orders.plan(steps.intent(side=side)))
    assert refusal is not None
    assert refusal.reason is DenialReason.CAP_WORST_LOSS
    observed = {check.code: check.observed for check in refusal.checks}
    return (
        observed["account.worst"],
        observed["account.notional"],
        observed["account.orders"],
        observed["account.position"],
    )
