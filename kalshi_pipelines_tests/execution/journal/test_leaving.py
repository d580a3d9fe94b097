"""Tests that an order which only closes a position is charged no risk in any scope of the ledger."""

import pytest
import sqlalchemy as sa

from kalshi_pipelines.execution.audit.verification import verify
from kalshi_pipelines.execution.journal.caps import Scope
from kalshi_pipelines.execution.journal.errors import JournalRefused
from kalshi_pipelines.execution.journal.records import Fill, ForeignOrder, Intent, Mode, ScopeKind
from kalshi_pipelines.execution.journal.tables import postings, scopes
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
    order_steps,
)

#: Caps that a position of 1,600 contracts at $0.03 uses up completely: $48.00 and the fee bound of $0.20.
TIGHT = caps(
    order_notional=48_000_000,
    order_worst=48_200_000,
    position=160_000,
    session=(1, 48_000_000, 48_200_000),
    day=(1, 48_000_000, 48_200_000),
    rolling=(1, 48_000_000, 48_200_000),
    event=(1, 48_000_000, 48_200_000),
    account=(1, 48_000_000, 48_200_000),
)


def fill(steps: OrderSteps, intent: Intent, price: int, count: int, fee: int = 0, number: str = "") -> None:
    """Record a fill of an order."""
    made = Fill(f"fill-{intent.intent_id}{number}", f"order-{intent.intent_id:06}", intent.ticker, intent.side, price,
                count, fee, steps.clock())  # fmt: skip
    with steps.journal.writing() as transaction:
        transaction.fills.record(made, transaction.reading.orders.intent(intent.intent_id))


def end(steps: OrderSteps, intent: Intent, state: OrderState = OrderState.EXECUTED) -> None:
    """Record the end of an order with the fills that were recorded."""
    with steps.journal.writing() as transaction:
        present = transaction.reading.orders.intent(intent.intent_id)
        transaction.orders.record_answer(present, state, filled_centicontracts=present.filled_centicontracts)


def hold(steps: OrderSteps, price: int = 5_000, count: int = 1_000, side: Side = Side.BID, fee: int = 0) -> None:
    """Buy a position of YES, or of NO with an ask, and record its only fill."""
    bought = steps.record_sent(side=side, price_centicents=price, count_centicontracts=count)
    fill(steps, bought, price, count, fee)
    end(steps, bought)


def charged(steps: OrderSteps, intent: Intent) -> dict[str, tuple[int, ...]]:
    """Return the amounts that an order reserved: if NO wins, if YES wins, open contracts, orders and notional."""
    amounts = (
        postings.c.d_if_no_microdollars,
        postings.c.d_if_yes_microdollars,
        postings.c.d_open_bids_centicontracts + postings.c.d_open_asks_centicontracts,
        postings.c.d_orders,
        postings.c.d_notional_microdollars,
    )
    found = (
        sa.select(scopes.c.kind, *amounts)
        .join(scopes, scopes.c.scope_id == postings.c.scope_id)
        .where(postings.c.dedupe == f"reserve:{intent.intent_id}")
    )
    with steps.journal._engine.connect() as connection:
        return {kind: tuple(rest) for kind, *rest in connection.execute(found)}


def worst(steps: OrderSteps, kind: ScopeKind, key: str) -> int:
    with steps.journal.reading() as reading:
        (found,) = reading.ledger.standings(ACCOUNT, Mode.LIVE, {kind: key})
    return found.worst_microdollars


def refusal_of(steps: OrderSteps, intent: Intent) -> DenialReason | None:
    with steps.journal.writing() as transaction:
        refused = transaction.ledger.refusal(intent)
    return None if refused is None else refused.reason


def test_F72_whole_position_is_sold_at_a_loss_although_it_used_up_every_cap(journal_engine: sa.Engine) -> None:
    steps = order_steps(journal_engine, TIGHT)
    hold(steps, 300, 160_000)
    sale = steps.plan(side=Side.ASK, price_centicents=200, count_centicontracts=160_000)
    assert (sale.closing_centicontracts, sale.notional_microdollars) == (160_000, 0)
    assert refusal_of(steps, sale) is None
    with steps.journal.writing() as transaction:
        transaction.orders.reserve(sale)
    sale_now = steps.reload(sale)
    steps.record_sending(sale_now)
    fill(steps, sale_now, 200, 160_000, 200_000)
    end(steps, steps.reload(sale))
    assert worst(steps, ScopeKind.ACCOUNT, "account") == 16_000_000 + 200_000
    assert refusal_of(steps, steps.plan()) is DenialReason.CAP_ORDER_COUNT
    assert verify(journal_engine).ok


@pytest.mark.parametrize(("held", "side", "price"), [(Side.BID, Side.ASK, 200), (Side.ASK, Side.BID, 9_800)])
def test_F72_close_of_an_older_position_charges_session_and_hour_nothing(
    steps: OrderSteps, held: Side, side: Side, price: int
) -> None:
    hold(steps, side=held)
    steps.clock.now_us += 2 * HOUR
    next_session(steps, 2)
    closing = steps.record_sent(side=side, price_centicents=price)
    lost = 200_000 + 1_000 * (10_000 - 200)
    whole = (200_000, lost, 1_000, 0, 0) if side is Side.ASK else (lost, 200_000, 1_000, 0, 0)
    nothing = (0, 0, 0, 0, 0)
    assert charged(steps, closing) == {
        "session": nothing, "rolling": nothing, "day": whole, "event": whole, "account": whole
    }  # fmt: skip
    assert worst(steps, ScopeKind.ACCOUNT, "account") == 5_000_000 + 200_000
    fill(steps, closing, price, 1_000, 200_000)
    end(steps, closing)
    assert worst(steps, ScopeKind.SESSION, "session-0002") == 0
    assert worst(steps, ScopeKind.ACCOUNT, "account") == 4_800_000 + 200_000
    assert verify(steps.journal._engine).ok


def test_contracts_that_close_an_older_position_are_filled_first(steps: OrderSteps) -> None:
    hold(steps, count=600)
    steps.clock.now_us += 2 * HOUR
    next_session(steps, 2)
    hold(steps, count=300)
    flip = steps.record_sent(side=Side.ASK, price_centicents=4_000)
    assert (flip.closing_centicontracts, flip.notional_microdollars) == (900, 100 * 6_000)
    amounts = charged(steps, flip)
    assert amounts["session"] == amounts["rolling"] == (200_000, 200_000 + 400 * 6_000, 400, 1, 600_000)
    assert amounts["account"] == (200_000, 200_000 + 1_000 * 6_000, 1_000, 1, 600_000)
    fill(steps, flip, 4_000, 600, 50_000, "a")
    assert worst(steps, ScopeKind.SESSION, "session-0002") == 300 * 5_000 + 200_000, "the 600 were held before"
    fill(steps, flip, 4_000, 400, 50_000, "b")
    end(steps, flip)
    bought, sold = 300 * 5_000, 400 * 4_000
    assert worst(steps, ScopeKind.SESSION, "session-0002") == bought - sold + 100_000 + 100 * 10_000
    assert verify(steps.journal._engine).ok


def test_order_that_ends_without_a_fill_returns_what_each_scope_counted(steps: OrderSteps) -> None:
    hold(steps, count=600)
    before = {kind: worst(steps, kind, key) for kind, key in SCOPES.items()}
    steps.clock.now_us += 2 * HOUR
    next_session(steps, 2)
    for state in (OrderState.CANCELED, OrderState.REJECTED):
        flip = steps.record_sent(side=Side.ASK, price_centicents=4_000)
        end(steps, flip, state)
    after = {kind: worst(steps, kind, key) for kind, key in SCOPES.items()}
    assert after == before
    assert worst(steps, ScopeKind.SESSION, "session-0002") == 0
    assert verify(steps.journal._engine).ok


SCOPES = {ScopeKind.DAY: "2026-11-23", ScopeKind.EVENT: EVENT, ScopeKind.ACCOUNT: "account"}


def test_F73_second_close_of_the_same_contracts_opens_a_position(steps: OrderSteps) -> None:
    hold(steps)
    first, second = (steps.reserve(side=Side.ASK, count_centicontracts=count) for count in (700, 700))
    assert (first.closing_centicontracts, second.closing_centicontracts) == (700, 300)
    assert [charged(steps, each)["account"][3] for each in (first, second)] == [0, 1]


def test_F73_foreign_resting_order_uses_up_what_can_be_closed(steps: OrderSteps) -> None:
    hold(steps)
    with steps.journal.writing() as transaction:
        transaction.foreign_orders.record(ACCOUNT, ForeignOrder("o-1", TICKER, Side.ASK, 6_000, 900, "by hand"), EVENT)
    assert steps.plan(side=Side.ASK).closing_centicontracts == 100


def test_F73_database_refuses_an_order_that_claims_to_close_too_much(
    journal_engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = order_steps(journal_engine)
    hold(steps, count=600)
    short = order_steps_of_no(steps)
    monkeypatch.setattr(Scope, "closable", lambda scope, side: 601)
    for terms in ({"side": Side.ASK, "count_centicontracts": 601}, {**short, "count_centicontracts": 601}):
        with pytest.raises(JournalRefused, match="cap_guard:closing"):
            steps.reserve(**terms)
    monkeypatch.setattr(Scope, "closable", lambda scope, side: 600)
    for terms in ({"side": Side.ASK, "count_centicontracts": 600}, {**short, "count_centicontracts": 600}):
        assert steps.reserve(**terms).only_closes


def order_steps_of_no(steps: OrderSteps) -> dict[str, object]:
    """Hold 6 NO in another market, and return the terms of a bid that closes them."""
    other = f"{EVENT}-T2"
    sold = steps.record_sent(side=Side.ASK, ticker=other, count_centicontracts=600)
    fill(steps, sold, 5_000, 600)
    end(steps, sold)
    return {"side": Side.BID, "ticker": other}


def test_F73_breach_stops_even_an_order_that_only_closes(steps: OrderSteps) -> None:
    hold(steps)
    huge = Fill("f-1", "foreign-1", "KXOTHER-1", Side.BID, 9_000, 200_000, 0, NOON)
    with steps.journal.writing() as transaction:
        transaction.fills.record_foreign(ACCOUNT, huge, "KXOTHER")
    sale = steps.plan(side=Side.ASK)
    assert refusal_of(steps, sale) is DenialReason.SCOPE_BREACHED
    with pytest.raises(JournalRefused, match="scope_breached"), steps.journal.writing() as transaction:
        transaction.orders.reserve(sale)


def test_dry_run_closes_what_the_live_account_holds_once(journal_engine: sa.Engine) -> None:
    live = order_steps(journal_engine)
    hold(live)
    with live.journal.writing() as transaction:
        transaction.sessions.open(new_session("rehearsal", mode=Mode.DRY_RUN))
    terms = {"session_id": "rehearsal", "order_group_id": None, "side": Side.ASK}
    first = live.reserve(**terms, count_centicontracts=800)
    with live.journal.writing() as transaction:
        transaction.orders.record_simulation(first, "1.0+test")
    second = live.reserve(**terms, count_centicontracts=800)
    assert (first.closing_centicontracts, second.closing_centicontracts) == (800, 200)
    assert set(charged(live, first).values()) == {(0, 0, 0, 0, 0)}
    assert set(charged(live, second).values()) == {(200_000, 200_000 + 600 * 5_000, 600, 1, 600 * 5_000)}
    assert verify(journal_engine).ok
