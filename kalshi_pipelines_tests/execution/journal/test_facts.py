"""Facts are counted once, where they belong, and given back whole: positions, other people's orders, settlements."""

import pytest
import sqlalchemy as sa

from kalshi_pipelines.execution.audit.verification import verify
from kalshi_pipelines.execution.journal.errors import JournalRefused
from kalshi_pipelines.execution.journal.records import Fill, ForeignOrder, MarketStanding, Mode, ScopeKind
from kalshi_pipelines.execution.journal.tables import UNCAPPED, postings, scopes
from kalshi_pipelines.execution.orders.account import Account
from kalshi_pipelines.execution.orders.denials import DenialReason
from kalshi_pipelines.execution.orders.states import OrderState
from kalshi_pipelines.execution.orders.terms import Side
from kalshi_pipelines_tests.support.execution.trading import (
    ACCOUNT,
    EVENT,
    HOUR,
    NOON,
    TICKER,
    Desk,
    caps,
    desk_at,
    new_session,
    next_session,
    open_session,
)

DAY = 24 * HOUR
TODAY, TOMORROW = "2026-11-23", "2026-11-24"


def markets(desk: Desk) -> list[MarketStanding]:
    with desk.journal.reading() as reading:
        return reading.ledger.markets(ACCOUNT)


def posted_in(desk: Desk, dedupe: str) -> set[tuple[str, str]]:
    """The scopes a fact was posted in."""
    found = sa.select(scopes.c.kind, scopes.c.key).join(postings, postings.c.scope_id == scopes.c.scope_id)
    with desk.journal._engine.connect() as connection:
        return {(row[0], row[1]) for row in connection.execute(found.where(postings.c.dedupe == dedupe))}


def worst(desk: Desk, kind: ScopeKind, key: str) -> int:
    with desk.journal.reading() as reading:
        (standing,) = reading.ledger.standings(ACCOUNT, Mode.LIVE, {kind: key})
    return standing.worst_microdollars


def filled(desk: Desk, fill_id: str, side: Side, price: int, **of_whom: str) -> bool:
    fill = Fill(fill_id, f"order-{fill_id}", TICKER, side, price, 400, 0, desk.clock())
    with desk.journal.writing() as transaction:
        return transaction.fills.record_foreign(ACCOUNT, fill, of_whom.get("event", EVENT))


def settled(desk: Desk, payoff: int = 10_000, event: str = EVENT) -> bool:
    with desk.journal.writing() as transaction:
        return transaction.settlements.record(ACCOUNT, TICKER, event, payoff_centicents=payoff, dedupe="once")


@pytest.mark.parametrize(
    ("side", "counted"),
    [
        (Side.BID, MarketStanding(TICKER, 0, 0, 700, 0, 2_800_000, 0)),
        (Side.ASK, MarketStanding(TICKER, 0, 0, 0, 700, 0, 4_200_000)),
    ],
)
def test_somebody_s_order_counts_until_it_is_gone(desk: Desk, side: Side, counted: MarketStanding) -> None:
    order = ForeignOrder("order-0009", TICKER, side, 4_000, 700, "by hand")
    with desk.journal.writing() as transaction:
        assert transaction.foreign_orders.record(ACCOUNT, order, EVENT)
        assert not transaction.foreign_orders.record(ACCOUNT, order, EVENT)
        assert transaction.reading.ledger.foreign_orders(ACCOUNT) == [order]
        assert transaction.reading.ledger.foreign_orders(Account("sandbox", 1)) == []
        assert transaction.reading.ledger.foreign_orders(Account("demo", 0)) == []
    assert markets(desk) == [counted]
    assert posted_in(desk, "foreign:order-0009") == {("account", "account"), ("event", EVENT), ("day", TODAY)}
    with desk.journal.writing() as transaction:
        assert not transaction.foreign_orders.record_end(ACCOUNT, "order-0008", EVENT)
        assert transaction.foreign_orders.record_end(ACCOUNT, "order-0009", EVENT)
        assert not transaction.foreign_orders.record_end(ACCOUNT, "order-0009", EVENT)
        assert transaction.reading.ledger.foreign_orders(ACCOUNT) == []
        assert '"gone":true' in transaction.reading.audit_log.newest(1)[0].body
    assert markets(desk) == []
    assert verify(desk.journal._engine).ok


def test_a_position_from_before_counts_once(desk: Desk) -> None:
    for is_new in (True, False):
        with desk.journal.writing() as transaction:
            assert is_new is transaction.positions.record_opening(
                ACCOUNT, TICKER, EVENT, position_centicontracts=-300, spent_microdollars=-900_000, dedupe="a"
            )
    assert markets(desk) == [MarketStanding(TICKER, -300, -900_000, 0, 0, -900_000, 2_100_000)]


def test_a_new_day_that_begins_with_a_fact_takes_over_what_is_outstanding(desk: Desk) -> None:
    assert filled(desk, "f-1", Side.BID, 5_000)
    assert worst(desk, ScopeKind.DAY, TODAY) == 2_000_000
    desk.clock.now_us += DAY
    assert filled(desk, "f-2", Side.BID, 6_000)
    assert not filled(desk, "f-2", Side.BID, 6_000)
    assert worst(desk, ScopeKind.DAY, TOMORROW) == 2_000_000 + 2_400_000
    assert worst(desk, ScopeKind.DAY, TODAY) == 2_000_000


def test_a_day_takes_over_more_markets_than_one_statement_stores(desk: Desk) -> None:
    with desk.journal.writing() as transaction:
        for number in range(120):
            transaction.positions.record_opening(
                ACCOUNT,
                f"KXM-{number}",
                "KXM",
                position_centicontracts=100,
                spent_microdollars=number,
                dedupe=f"{number}",
            )
    desk.clock.now_us += DAY
    assert filled(desk, "f-1", Side.BID, 5_000)
    assert worst(desk, ScopeKind.DAY, TOMORROW) == sum(range(120)) + 2_000_000
    assert verify(desk.journal._engine).ok


def test_an_abandoned_order_holds_nothing(desk: Desk) -> None:
    intent = desk.reserved()
    with desk.journal.writing() as transaction:
        transaction.orders.abandon(intent, DenialReason.KILL_SWITCH_ENGAGED, "too late")
    assert markets(desk) == []
    assert verify(desk.journal._engine).ok


def test_a_settlement_is_posted_where_the_market_still_counts(desk: Desk) -> None:
    first = desk.sent()
    with desk.journal.writing() as transaction:
        transaction.fills.record(Fill("f-1", "order-0001", TICKER, Side.BID, 5_000, 1_000, 0, NOON), first)
        transaction.orders.record_answer(
            transaction.reading.orders.intent(first.intent_id), OrderState.EXECUTED, filled_centicontracts=1_000
        )
    desk.clock.now_us += 25 * HOUR
    next_session(desk, 2)
    second = desk.sent(side=Side.ASK, price_centicents=6_000)
    with desk.journal.writing() as transaction:
        transaction.fills.record(Fill("f-2", "order-0002", TICKER, Side.ASK, 6_000, 400, 0, NOON), second)
    assert settled(desk, 2_500)
    assert not settled(desk, 2_500)
    hour = desk.clock() // HOUR
    assert posted_in(desk, "settle:once") == {
        ("session", "session-0002"),
        ("day", TOMORROW),
        ("rolling", str(hour)),
        ("event", EVENT),
        ("account", "account"),
    }
    assert verify(desk.journal._engine).ok
    with desk.journal.reading() as reading:
        (left,) = reading.ledger.markets(ACCOUNT)
    assert (left.position_centicontracts, left.spent_microdollars) == (0, 0), "600 asks are open, and nothing else"


def test_a_day_remembers_what_a_settlement_lost_and_the_account_forgets_it(desk: Desk) -> None:
    filled(desk, "f-1", Side.BID, 5_000)
    assert settled(desk, 0)
    assert markets(desk) == []
    assert worst(desk, ScopeKind.DAY, TODAY) == 2_000_000
    assert worst(desk, ScopeKind.EVENT, EVENT) == 0
    assert worst(desk, ScopeKind.ACCOUNT, "account") == 0


def test_a_day_s_loss_is_what_the_settlement_did_not_pay(desk: Desk) -> None:
    filled(desk, "f-1", Side.BID, 5_000)
    assert settled(desk, 3_000)
    assert worst(desk, ScopeKind.DAY, TODAY) == 400 * 2_000


@pytest.mark.parametrize(("position", "spent"), [(1, 0), (0, 1), (-1, 0), (0, -1)])
def test_the_smallest_position_or_rest_of_money_is_settled(desk: Desk, position: int, spent: int) -> None:
    with desk.journal.writing() as transaction:
        transaction.positions.record_opening(
            ACCOUNT, TICKER, EVENT, position_centicontracts=position, spent_microdollars=spent, dedupe="a"
        )
    assert settled(desk)
    assert markets(desk) == []


def test_an_hour_counts_for_a_day_whatever_the_minute(sqlite_journal: sa.Engine) -> None:
    desk = desk_at(sqlite_journal, lives_us=24 * HOUR)
    desk.clock.now_us += HOUR // 2
    hour = str(desk.clock() // HOUR)
    intent = desk.sent()
    with desk.journal.writing() as transaction:
        transaction.fills.record(Fill("f-1", "order-0001", TICKER, Side.BID, 5_000, 1_000, 0, NOON), intent)
    desk.clock.now_us += 24 * HOUR + HOUR // 4
    assert settled(desk, 0)
    assert ("rolling", hour) in posted_in(desk, "settle:once")


def test_facts_of_a_sub_account_that_was_never_traded_are_refused(desk: Desk) -> None:
    fill = Fill("f-1", "order-0001", TICKER, Side.BID, 5_000, 1_000, 0, NOON)
    refused = pytest.raises(JournalRefused, match="no live session of sandbox 1 was ever opened")
    with refused, desk.journal.writing() as transaction:
        transaction.fills.record_foreign(Account("sandbox", 1), fill, EVENT)


def test_nothing_is_settled_of_what_nobody_holds(desk: Desk) -> None:
    with desk.journal.reading() as reading:
        before = reading.audit_log.newest(1)
    assert not settled(desk)
    desk.reserved()
    assert not settled(desk)
    with desk.journal.reading() as reading:
        assert len(reading.audit_log.newest(100)) == before[0].seq + 3, "the plan and the reservation, no settlement"


def test_a_settlement_is_of_its_own_event(desk: Desk) -> None:
    filled(desk, "f-1", Side.BID, 5_000)
    filled(desk, "f-2", Side.BID, 5_000, event="KXOTHER")
    assert settled(desk)
    assert posted_in(desk, "settle:once") == {("account", "account"), ("day", TODAY), ("event", EVENT)}


def test_a_review_without_a_breach_is_no_record(desk: Desk) -> None:
    with desk.journal.writing() as transaction:
        before = transaction.head
        assert transaction.ledger.clear_breaches(ACCOUNT, "grace", "looked") == 0
        assert transaction.head == before


def test_a_scope_can_be_reviewed_again(desk: Desk) -> None:
    for number in (1, 2):
        with desk.journal.writing() as transaction:
            fill = Fill(f"f-{number}", "foreign-1", "KXOTHER-1", Side.BID, 9_000, 200_000, 0, NOON)
            transaction.fills.record_foreign(ACCOUNT, fill, "KXOTHER")
            seq = transaction.head[0] + 1
            assert transaction.ledger.clear_breaches(ACCOUNT, "grace", "known") == 3
        assert posted_in(desk, f"review:account:account:{seq}") == {("account", "account")}


def test_what_an_ended_order_was_filled_of_stays_held_until_it_is_posted(desk: Desk) -> None:
    intent = desk.sent()
    with desk.journal.writing() as transaction:
        transaction.orders.record_answer(
            intent, OrderState.EXECUTED, order_id="order-0001", filled_centicontracts=1_000
        )
    (held,) = markets(desk)
    assert held.open_bids_centicontracts == 1_000
    assert posted_in(desk, f"release:{intent.intent_id}") == set()


@pytest.mark.parametrize(
    ("state", "told", "charged"),
    [(OrderState.CANCELED, 0, 5_000_000), (OrderState.REJECTED, 0, 0), (OrderState.REJECTED, None, 0)],
)
def test_only_an_order_that_never_was_gives_its_notional_back(
    desk: Desk, state: OrderState, told: int | None, charged: int
) -> None:
    intent = desk.sent()
    with desk.journal.writing() as transaction:
        order_id = "order-0001" if state is OrderState.CANCELED else None
        ended = transaction.orders.record_answer(intent, state, order_id=order_id, filled_centicontracts=told)
        assert ended.reserved_centicontracts == 0
        (session,) = transaction.reading.ledger.standings(ACCOUNT, Mode.LIVE, {ScopeKind.SESSION: "session-0001"})
    assert (session.notional_microdollars, session.worst_microdollars) == (charged, 0)


def test_a_rejection_gives_notional_back_where_it_was_charged_only(desk: Desk) -> None:
    intent = desk.sent()
    desk.clock.now_us += DAY
    next_session(desk, 2)
    desk.reserved(ticker=f"{EVENT}-T2")
    with desk.journal.writing() as transaction:
        transaction.orders.record_answer(desk.look(intent), OrderState.REJECTED)
        keys = {ScopeKind.DAY: TOMORROW, ScopeKind.ACCOUNT: "account"}
        standings = transaction.reading.ledger.standings(ACCOUNT, Mode.LIVE, keys)
    assert [(each.notional_microdollars, each.worst_microdollars) for each in standings] == [(5_000_000, 5_200_000)] * 2
    assert verify(desk.journal._engine).ok


def test_an_answer_without_an_order_id_keeps_the_one_that_is_known(desk: Desk) -> None:
    intent = desk.sent()
    with desk.journal.writing() as transaction:
        resting = transaction.orders.record_answer(intent, OrderState.RESTING, order_id="order-0001")
        canceled = transaction.orders.record_answer(resting, OrderState.CANCELED, filled_centicontracts=0)
    assert canceled.order_id == "order-0001"


def test_a_dry_run_s_day_takes_nothing_over(desk: Desk) -> None:
    filled(desk, "f-1", Side.BID, 5_000)
    with desk.journal.writing() as transaction:
        open_session(transaction, new_session("session-0002", mode=Mode.DRY_RUN))
    desk.session_id = "session-0002"
    desk.reserved(order_group_id=None)
    with desk.journal.reading() as reading:
        (day,) = reading.ledger.standings(ACCOUNT, Mode.DRY_RUN, {ScopeKind.DAY: TODAY})
    assert day.worst_microdollars == 5_200_000


def test_a_fill_counts_where_its_order_was_reserved_and_in_the_newest_day(desk: Desk) -> None:
    hour = str(desk.clock() // HOUR)
    intent = desk.sent()
    desk.clock.now_us += DAY
    next_session(desk, 2)
    desk.reserved(ticker=f"{EVENT}-T2")
    with desk.journal.writing() as transaction:
        transaction.fills.record(Fill("f-1", "order-0001", TICKER, Side.BID, 5_000, 400, 0, NOON), desk.look(intent))
    wanted = {("session", "session-0001"), ("rolling", hour), ("event", EVENT), ("account", "account")}
    assert posted_in(desk, "fill:f-1") == {*wanted, ("day", TOMORROW)}
    assert posted_in(desk, f"reserve:{intent.intent_id}") == {*wanted, ("day", TODAY)}
    assert verify(desk.journal._engine).ok


def test_a_fill_of_an_order_that_was_never_sent_stops_trading(desk: Desk) -> None:
    reserved = desk.reserved()
    with desk.journal.writing() as transaction:
        assert transaction.fills.record(Fill("f-0", "o-0", TICKER, Side.BID, 5_000, 400, 0, NOON), reserved)
        assert transaction.reading.halts.kill_state().reason == f"fill f-0 of {TICKER}: the order is reserved"


def test_a_fill_of_an_order_that_was_never_reserved_counts_nowhere_and_stops_trading(desk: Desk) -> None:
    desk.reserved()
    planned = desk.planned(ticker=f"{EVENT}-T2")
    with desk.journal.writing() as transaction:
        assert transaction.fills.record(Fill("f-1", "o-1", planned.ticker, Side.BID, 5_000, 400, 0, NOON), planned)
        assert transaction.reading.halts.kill_state().engaged
    assert posted_in(desk, "fill:f-1") == set()


def test_a_dry_run_gives_back_on_its_own_day(sqlite_journal: sa.Engine) -> None:
    desk = desk_at(sqlite_journal, mode=Mode.DRY_RUN, lives_us=24 * HOUR)
    intent = desk.reserved(order_group_id=None)
    desk.clock.now_us += 23 * HOUR
    later = desk.reserved(order_group_id=None)
    with desk.journal.writing() as transaction:
        transaction.orders.abandon(intent, DenialReason.KILL_SWITCH_ENGAGED, "late")
    reserved = posted_in(desk, f"reserve:{intent.intent_id}")
    assert posted_in(desk, f"release:{intent.intent_id}") == reserved
    assert reserved == {
        ("session", "session-0001"),
        ("day", TODAY),
        ("rolling", str(NOON // HOUR)),
        ("event", f"{EVENT} {TODAY}"),
        ("account", TODAY),
    }
    assert ("day", TOMORROW) in posted_in(desk, f"reserve:{later.intent_id}")


def test_no_day_comes_back_whatever_the_clock_says(desk: Desk) -> None:
    desk.clock.now_us += DAY
    filled(desk, "f-1", Side.BID, 5_000)
    desk.clock.now_us -= DAY
    filled(desk, "f-2", Side.BID, 5_000)
    assert posted_in(desk, "fill:f-2") == {("day", TOMORROW), ("event", EVENT), ("account", "account")}


@pytest.mark.parametrize("side", Side)
def test_a_refusal_tells_what_every_cap_would_come_to(sqlite_journal: sa.Engine, side: Side) -> None:
    desk = desk_at(sqlite_journal, caps(session=(25, UNCAPPED, 1_000_000)))
    market = "5200000", "5000000", "1", "1000"
    assert told_by_caps(desk, side) == market
    with desk.journal.writing() as transaction:
        fill = Fill("f-1", "o-1", TICKER, Side.BID, 3_000, 100, 0, NOON)
        transaction.fills.record_foreign(ACCOUNT, fill, EVENT)
        order = ForeignOrder("order-0009", TICKER, Side.ASK, 4_000, 700, "by hand")
        transaction.foreign_orders.record(ACCOUNT, order, EVENT)
    # Bought at 0.30 and asked at 0.40: 0.30 + 5.20 may be lost with a bid, and 4.20 - 0.70 + 5.20 with an ask.
    assert (
        told_by_caps(desk, side)
        == {
            Side.BID: ("5500000", "5000000", "1", "1100"),
            Side.ASK: ("8700000", "5000000", "1", "1600"),
        }[side]
    )


def test_an_order_of_an_hour_before_counts_once_in_every_scope(sqlite_journal: sa.Engine) -> None:
    desk = desk_at(sqlite_journal, caps(session=(25, UNCAPPED, 6_000_000)), lives_us=24 * HOUR)
    desk.reserved()
    for later_us in (0, HOUR):
        desk.clock.now_us += later_us
        with desk.journal.writing() as transaction:
            refusal = transaction.ledger.refusal(transaction.orders.plan(desk.intent()))
        assert refusal is not None
        told = {check.code: check.observed for check in refusal.checks}
        for kind in ScopeKind:
            assert (told[f"{kind}.orders"], told[f"{kind}.notional"]) == ("2", "10000000")
            assert (told[f"{kind}.worst"], told[f"{kind}.breached"]) == ("10400000", "no")


def test_an_order_that_was_reserved_counts_for_the_next_of_the_same_transaction(desk: Desk) -> None:
    with desk.journal.writing() as transaction:
        first, second = (
            transaction.orders.plan(desk.intent()),
            transaction.orders.plan(desk.intent(count_centicontracts=200_000)),
        )
        assert transaction.ledger.refusal(first) is None
        before = transaction.ledger.refusal(second)
        transaction.orders.reserve(first)
        after = transaction.ledger.refusal(second)
    assert before is not None
    assert after is not None
    orders = [{check.code: check.observed for check in each.checks}["account.orders"] for each in (before, after)]
    assert orders == ["1", "2"]


def test_what_a_step_answers_is_what_is_read_afterwards(desk: Desk) -> None:
    planned = desk.planned()
    assert planned == desk.look(planned)
    with desk.journal.writing() as transaction:
        reserved = transaction.orders.reserve(planned)
    assert reserved == desk.look(planned)
    desk.sending(reserved)
    with desk.journal.writing() as transaction:
        resting = transaction.orders.record_answer(
            transaction.reading.orders.intent(planned.intent_id),
            OrderState.RESTING,
            order_id="order-0001",
            filled_centicontracts=0,
        )
    assert resting == desk.look(planned)
    with desk.journal.writing() as transaction:
        denied = transaction.orders.deny(transaction.orders.plan(desk.intent()), DenialReason.NOT_ARMED, "not armed")
    assert denied == desk.look(denied)


def test_a_refusal_tells_which_scopes_are_breached(desk: Desk) -> None:
    fill = Fill("f-1", "foreign-1", "KXOTHER-1", Side.BID, 9_000, 200_000, 0, NOON)
    with desk.journal.writing() as transaction:
        transaction.fills.record_foreign(ACCOUNT, fill, "KXOTHER")
        refusal = transaction.ledger.refusal(transaction.orders.plan(desk.intent()))
    assert refusal is not None
    told = {check.code: check.observed for check in refusal.checks if check.code.endswith("breached")}
    assert told == {f"{kind}.breached": "yes" if kind in ("account", "day") else "no" for kind in ScopeKind}


def told_by_caps(desk: Desk, side: Side) -> tuple[str, str, str, str]:
    """What the account's worst loss, notional, orders and position would be."""
    with desk.journal.writing() as transaction:
        refusal = transaction.ledger.refusal(transaction.orders.plan(desk.intent(side=side)))
    assert refusal is not None
    assert refusal.reason is DenialReason.CAP_WORST_LOSS
    told = {check.code: check.observed for check in refusal.checks}
    return told["account.worst"], told["account.notional"], told["account.orders"], told["account.position"]
