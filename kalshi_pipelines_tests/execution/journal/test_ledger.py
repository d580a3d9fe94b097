"""Tests of the ledger against brute force.

After any history of orders, fills, cancels and settlements, the ledger's worst case equals the true worst case.
"""

import datetime as dt
import itertools
import shutil
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from kalshi_pipelines.execution.audit.verification import verify
from kalshi_pipelines.execution.journal.engine import open_journal
from kalshi_pipelines.execution.journal.errors import JournalRefused
from kalshi_pipelines.execution.journal.records import Fill, Intent, Mode, ScopeKind
from kalshi_pipelines.execution.journal.tables import scopes
from kalshi_pipelines.execution.orders.denials import DenialReason
from kalshi_pipelines.execution.orders.states import OrderState
from kalshi_pipelines.execution.orders.terms import Side
from kalshi_pipelines.units import DOLLAR_CENTICENTS, trading_day
from kalshi_pipelines_tests.support.execution.order_steps import (
    ACCOUNT,
    EVENT,
    HOUR,
    MINUTE,
    NOON,
    OrderSteps,
    caps,
    next_session,
    order_steps,
)

MARKETS = (f"{EVENT}-A", f"{EVENT}-B")
CAP = 12_000_000


@dataclass
class Order:
    """An order as the exchange sees it. The test tracks the order without reading the journal.

    ``elsewhere`` are the centi-contracts that close a position which was not taken in the order's session.
    """

    intent: Intent
    open: int
    elsewhere: int
    fees: int = 0

    def counted(self, filled: int) -> int:
        """Return how many of the first filled centi-contracts the order's session counts."""
        return max(0, filled - self.elsewhere)

    @property
    def filled(self) -> int:
        return self.intent.count_centicontracts - self.open


@dataclass
class Books:
    """The test's own record of a scope: money spent and contracts held per market, open orders, results of days.

    A session counts only a part of some orders; the account counts them completely.
    """

    is_session: bool = False
    spent: dict[str, int] = field(default_factory=lambda: dict.fromkeys(MARKETS, 0))
    held: dict[str, int] = field(default_factory=lambda: dict.fromkeys(MARKETS, 0))
    realised: dict[dt.date, int] = field(default_factory=dict)
    orders: list[Order] = field(default_factory=list)

    def open_of(self, order: Order) -> int:
        """Return the open centi-contracts of an order that the scope counts."""
        if not self.is_session:
            return order.open
        return order.counted(order.intent.count_centicontracts) - order.counted(order.filled)

    def closable(self, ticker: str, side: Side) -> int:
        """Return what an order could close that no open order closes already."""
        offered = sum(
            self.open_of(order) for order in self.orders if (order.intent.ticker, order.intent.side) == (ticker, side)
        )
        return max(0, self.held[ticker] * (1 if side is Side.ASK else -1) - offered)

    def fill(self, order: Order, price: int, count: int, fee: int) -> None:
        if self.is_session:
            count = order.counted(order.filled + count) - order.counted(order.filled)
            fee = fee if order.intent.count_centicontracts > order.elsewhere else 0
        sign = 1 if order.intent.side is Side.BID else -1
        self.spent[order.intent.ticker] += sign * price * count + fee
        self.held[order.intent.ticker] += sign * count

    def settle(self, ticker: str, payoff: int, still_held: int) -> None:
        """Pay out what is still held. Contracts that were closed elsewhere count as a total loss."""
        position = self.held[ticker]
        paying = 0
        if position * still_held > 0:
            paying = min(position, still_held) if position > 0 else max(position, still_held)
        self.spent[ticker] -= paying * payoff + min(0, position - paying) * DOLLAR_CENTICENTS
        self.held[ticker] = 0

    def realise(self, today: dt.date) -> None:
        """Move the results of flat markets into the result of a day. In the account, old days leave."""
        for ticker in MARKETS:
            if self.held[ticker] or any(self.open_of(each) for each in self.orders if each.intent.ticker == ticker):
                continue
            self.realised[today] = self.realised.get(today, 0) + self.spent[ticker]
            self.spent[ticker] = 0
        if not self.is_session:
            self.realised = {day: won for day, won in self.realised.items() if day > today - dt.timedelta(days=2)}

    def worst(self) -> int:
        """Return the largest possible loss over all fills of the open orders and all outcomes of the markets."""
        return sum(self._worst_of(ticker) for ticker in MARKETS) + sum(max(0, won) for won in self.realised.values())

    def _worst_of(self, ticker: str) -> int:
        orders = [order for order in self.orders if order.intent.ticker == ticker and self.open_of(order)]
        most = 0
        # No fill, a fill of almost nothing that is charged the order's whole remaining fee, or a complete fill.
        for filled in itertools.product((None, False, True), repeat=len(orders)):
            spent, held = self.spent[ticker], self.held[ticker]
            for order, whole in zip(orders, filled, strict=True):
                if whole is not None:
                    sign = 1 if order.intent.side is Side.BID else -1
                    fee_left = order.intent.fee_bound_microdollars - order.fees
                    spent += sign * order.intent.price_centicents * self.open_of(order) * whole + fee_left
                    held += sign * self.open_of(order) * whole
            most = max(most, spent, spent - held * DOLLAR_CENTICENTS)
        return most


class Trading(RuleBasedStateMachine):
    """Random histories of orders, fills, cancels and settlements, with expected values that do not use the ledger."""

    template: Path

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.mkdtemp(dir=self.template.parent)
        path = Path(self.folder) / "journal.db"
        shutil.copy(self.template, path)
        self.engine = open_journal(f"sqlite:///{path}")
        sa.event.listen(self.engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous = OFF"))
        wide = (10**6, 10**15, CAP)
        self.steps = order_steps(self.engine, caps(session=(25, 10**15, CAP), day=(100, 10**15, CAP), account=wide))
        self.books, self.session = Books(), Books(is_session=True)
        self.number = itertools.count()
        self.fees = 0

    @rule(
        ticker=st.sampled_from(MARKETS),
        side=st.sampled_from(Side),
        price=st.integers(1, 9_999),
        count=st.integers(1, 800),
        fee=st.integers(0, 60_000),
    )
    def order(self, ticker: str, side: Side, price: int, count: int, fee: int) -> None:
        if len(self.books.orders) >= 5:
            return
        new = self.steps.intent(
            ticker=ticker, side=side, price_centicents=price, count_centicontracts=count, fee_bound_microdollars=fee
        )
        closing = min(count, self.books.closable(ticker, side))
        elsewhere = closing - min(closing, self.session.closable(ticker, side))
        with self.steps.journal.writing() as transaction:
            planned = transaction.orders.plan(new)
            refusal = transaction.ledger.refusal(planned)
        assert planned.closing_centicontracts == closing
        if closing == count:
            assert refusal is None, "no cap may refuse an order that only closes a position"
            self.fees += fee
        if refusal is None:
            with self.steps.journal.writing() as transaction:
                reserved = transaction.orders.reserve(planned)
            self.steps.record_sending(reserved)
            with self.steps.journal.writing() as transaction:
                transaction.orders.record_answer(
                    self.steps.reload(reserved), OrderState.RESTING, order_id=f"order-{next(self.number):06}"
                )
            order = Order(reserved, count, elsewhere)
            self.books.orders.append(order)
            self.session.orders.append(order)
            return
        with pytest.raises(JournalRefused), self.steps.journal.writing() as transaction:
            transaction.orders.reserve(planned)
        assert refusal.reason in {DenialReason.CAP_WORST_LOSS, DenialReason.CAP_ORDER_COUNT}

    @precondition(lambda self: self.books.orders)
    @rule(data=st.data())
    def fill(self, data: st.DataObject) -> None:
        order = data.draw(st.sampled_from(self.books.orders))
        intent = order.intent
        count = data.draw(st.integers(1, order.open))
        bid = intent.side is Side.BID
        limit = intent.price_centicents
        price = data.draw(st.integers(1, limit) if bid else st.integers(limit, 9_999))
        fee_left = intent.fee_bound_microdollars - order.fees
        fee = data.draw(st.integers(0, fee_left))
        fill = Fill(
            f"fill-{next(self.number)}",
            f"order-{intent.intent_id:06}",
            intent.ticker,
            intent.side,
            price,
            count,
            fee,
            NOON,
        )
        for times in (1, 2):
            with self.steps.journal.writing() as transaction:
                assert transaction.fills.record(fill, transaction.reading.orders.intent(intent.intent_id)) is (
                    times == 1
                )
        self.books.fill(order, price, count, fee)
        if order in self.session.orders:
            self.session.fill(order, price, count, fee)
        order.open -= count
        order.fees += fee
        if not order.open:
            self._forget(order)
            with self.steps.journal.writing() as transaction:
                ended = transaction.reading.orders.intent(intent.intent_id)
                transaction.orders.record_answer(
                    ended, OrderState.EXECUTED, filled_centicontracts=ended.count_centicontracts
                )

    @precondition(lambda self: self.books.orders)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        order = data.draw(st.sampled_from(self.books.orders))
        self._forget(order)
        with self.steps.journal.writing() as transaction:
            intent = transaction.reading.orders.intent(order.intent.intent_id)
            transaction.orders.record_answer(
                intent, OrderState.CANCELED, filled_centicontracts=intent.filled_centicontracts
            )

    @rule(ticker=st.sampled_from(MARKETS), payoff=st.sampled_from([0, 3_300, DOLLAR_CENTICENTS]))
    def settle(self, ticker: str, payoff: int) -> None:
        with self.steps.journal.writing() as transaction:
            transaction.settlements.record(
                ACCOUNT, ticker, EVENT, payoff_centicents=payoff, dedupe=f"{ticker}:{next(self.number)}"
            )
        self.session.settle(ticker, payoff, self.books.held[ticker])
        self.books.settle(ticker, payoff, self.books.held[ticker])

    def _forget(self, order: Order) -> None:
        for books in (self.books, self.session):
            if order in books.orders:
                books.orders.remove(order)

    @rule()
    def realise(self) -> None:
        with self.steps.journal.writing() as transaction:
            transaction.realised.realise_flat_markets(ACCOUNT)
        for books in (self.books, self.session):
            books.realise(trading_day(self.steps.clock()))

    @rule()
    def hours(self) -> None:
        """Let hours pass and begin a new session of the same day or of the next one."""
        self.steps.clock.now_us += 7 * HOUR
        self._next_session()

    @rule()
    def day(self) -> None:
        """Begin the next day in a new session. Outstanding orders and positions carry over."""
        self.steps.clock.now_us += 24 * HOUR
        self._next_session()

    def _next_session(self) -> None:
        wide = (10**6, 10**15, CAP)
        allowed = caps(session=(25, 10**15, CAP), day=(100, 10**15, CAP), account=wide)
        next_session(self.steps, next(self.number) + 100, allowed)
        self.session = Books(is_session=True)

    @invariant()
    def worst_case_is_true(self) -> None:
        if not hasattr(self, "books"):
            return
        with self.steps.journal.reading() as reading:
            keys = {ScopeKind.ACCOUNT: "account", ScopeKind.SESSION: self.steps.session_id, ScopeKind.EVENT: EVENT}
            found = {each.kind: each for each in reading.ledger.standings(ACCOUNT, Mode.LIVE, keys)}
            breached = reading.ledger.breached_scopes(ACCOUNT)
        for kind, books in (
            (ScopeKind.ACCOUNT, self.books),
            (ScopeKind.EVENT, self.books),
            (ScopeKind.SESSION, self.session),
        ):
            assert (found[kind].worst_microdollars if kind in found else 0) == books.worst(), kind
        assert not breached
        # The caps limit everything but the fees of orders that only close a position.
        assert self.books.worst() <= CAP + self.fees

    def teardown(self) -> None:
        if hasattr(self, "engine"):
            report = verify(self.engine)
            self.engine.dispose()
            shutil.rmtree(self.folder)
            assert report.ok, str(report)


def test_worst_case_equals_brute_force_over_all_fills_and_outcomes(migrated_journal_file: Path) -> None:
    Trading.template = migrated_journal_file
    run_state_machine_as_test(
        Trading,
        settings=settings(
            max_examples=25, stateful_step_count=12, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


def worst_of(steps: OrderSteps, kind: ScopeKind, key: str) -> int:
    with steps.journal.reading() as reading:
        (found,) = reading.ledger.standings(ACCOUNT, Mode.LIVE, {kind: key})
    return found.worst_microdollars


CAPS = {
    "order notional": (caps(order_notional=5_000_000), DenialReason.CAP_NOTIONAL, "order.notional"),
    "order worst": (caps(order_worst=5_200_000), DenialReason.CAP_WORST_LOSS, "order.worst"),
    "session orders": (caps(session=(1, 10**15, 10**8)), DenialReason.CAP_ORDER_COUNT, "session.orders"),
    "session notional": (caps(session=(9, 5_000_000, 10**8)), DenialReason.CAP_NOTIONAL, "session.notional"),
    "session worst": (caps(session=(9, 10**15, 5_200_000)), DenialReason.CAP_WORST_LOSS, "session.worst"),
    "day orders": (caps(day=(1, 10**15, 10**8)), DenialReason.CAP_ORDER_COUNT, "day.orders"),
    "day notional": (caps(day=(9, 5_000_000, 10**8)), DenialReason.CAP_NOTIONAL, "day.notional"),
    "day worst": (caps(day=(9, 10**15, 5_200_000)), DenialReason.CAP_WORST_LOSS, "day.worst"),
    "rolling orders": (caps(rolling=(1, 10**15, 10**8)), DenialReason.CAP_ORDER_COUNT, "rolling.orders"),
    "rolling notional": (caps(rolling=(9, 5_000_000, 10**8)), DenialReason.CAP_NOTIONAL, "rolling.notional"),
    "rolling worst": (caps(rolling=(9, 10**15, 5_200_000)), DenialReason.CAP_WORST_LOSS, "rolling.worst"),
    "event orders": (caps(event=(1, 10**15, 10**8)), DenialReason.CAP_ORDER_COUNT, "event.orders"),
    "event worst": (caps(event=(9, 10**15, 5_200_000)), DenialReason.CAP_WORST_LOSS, "event.worst"),
    "account worst": (caps(account=(9, 10**15, 5_200_000)), DenialReason.CAP_WORST_LOSS, "account.worst"),
    "position": (caps(position=1_000), DenialReason.CAP_POSITION, "account.position"),
    "attempts": (caps(attempts=1), DenialReason.CAP_MESSAGE_RATE, "attempts.minute"),
}


@pytest.mark.parametrize("cap", CAPS)
def test_order_that_reaches_a_cap_is_admitted_and_the_next_is_refused(journal_engine: sa.Engine, cap: str) -> None:
    """The database and Python agree: both refuse an order above a cap, and neither refuses an order that just fits."""
    allowed, reason, code = CAPS[cap]
    steps = order_steps(journal_engine, allowed)
    if cap.startswith("order"):
        steps.reserve()
        beyond = steps.plan(count_centicontracts=1_001)
    else:
        steps.clock.now_us += 0 if cap in {"attempts", "position"} or "day" in cap else MINUTE
        steps.reserve()
        if cap.startswith("rolling"):
            steps.clock.now_us += 30 * MINUTE
        beyond = steps.plan(as_of_us=steps.clock(), valid_until_us=steps.clock() + MINUTE)
    with steps.journal.reading() as reading:
        before = reading.ledger.standings(ACCOUNT, Mode.LIVE, {ScopeKind.ACCOUNT: "account"})
    with steps.journal.writing() as transaction:
        refusal = transaction.ledger.refusal(beyond)
    assert refusal is not None
    assert (refusal.reason, [check.code for check in refusal.checks if not check.ok]) == (reason, [code])
    with pytest.raises(JournalRefused, match=r"cap|guard"), steps.journal.writing() as transaction:
        transaction.orders.reserve(beyond)
    with steps.journal.writing() as transaction:
        transaction.orders.deny(beyond, reason, refusal.detail)
    with steps.journal.reading() as reading:
        assert reading.ledger.standings(ACCOUNT, Mode.LIVE, {ScopeKind.ACCOUNT: "account"}) == before
    assert steps.reload(beyond).denial is reason
    assert verify(journal_engine).ok


def test_orders_count_in_the_rolling_window_for_24_hours(sqlite_journal: sa.Engine) -> None:
    steps = order_steps(sqlite_journal, caps(rolling=(9, 10**15, 5_200_000)), lives_us=24 * HOUR)
    steps.clock.now_us += 30 * MINUTE
    steps.reserve()
    allowed = caps(rolling=(9, 10**15, 5_200_000))
    steps.clock.now_us += 24 * HOUR
    next_session(steps, 2, allowed)
    with steps.journal.writing() as transaction:
        refusal = transaction.ledger.refusal(transaction.orders.plan(steps.intent()))
    assert refusal is not None
    assert refusal.reason is DenialReason.CAP_WORST_LOSS
    steps.clock.now_us += HOUR
    next_session(steps, 3, allowed)
    steps.reserve()


def test_clock_that_goes_back_an_hour_frees_nothing_in_the_window(journal_engine: sa.Engine) -> None:
    steps = order_steps(journal_engine, caps(rolling=(9, 10**15, 5_200_000)), opened_us=NOON - HOUR)
    steps.reserve()
    steps.clock.now_us -= 1
    beyond = steps.plan()
    with steps.journal.writing() as transaction:
        refusal = transaction.ledger.refusal(beyond)
    assert refusal is not None
    assert [check.code for check in refusal.checks if not check.ok] == ["rolling.worst"]
    with pytest.raises(JournalRefused, match="cap_guard:worst_loss"), steps.journal.writing() as transaction:
        transaction.orders.reserve(beyond)


def test_breach_engages_the_kill_switch_in_the_same_transaction(steps: OrderSteps) -> None:
    fill = Fill("f-1", "foreign-1", "KXOTHER-1", Side.BID, 9_000, 200_000, 0, NOON)
    with steps.journal.writing() as transaction:
        assert transaction.fills.record_foreign(ACCOUNT, fill, "KXOTHER")
        assert transaction.reading.halts.kill_state().engaged
    with steps.journal.writing() as transaction:
        assert not transaction.fills.record_foreign(ACCOUNT, fill, "KXOTHER")
        assert set(transaction.reading.ledger.breached_scopes(ACCOUNT)) == {
            "day 2026-11-23",
            "event KXOTHER",
            "account account",
        }
        refusal = transaction.ledger.refusal(transaction.orders.plan(steps.intent()))
        assert refusal is not None
        assert refusal.reason is DenialReason.SCOPE_BREACHED
        assert transaction.ledger.clear_breaches(ACCOUNT, "grace", "known") == 3
        assert not transaction.reading.ledger.breached_scopes(ACCOUNT)
    assert verify(steps.journal._engine).ok


@pytest.mark.parametrize(
    ("wrong", "changed"),
    [
        ("a worse price", {"price_centicents": 5_001}),
        ("a higher fee", {"fee_microdollars": 200_001}),
        ("more than ordered", {"count_centicontracts": 1_001}),
        ("another side", {"side": Side.ASK}),
        ("another market", {"ticker": "KXOTHER-1"}),
    ],
)
def test_fill_that_contradicts_its_order_is_stored_and_halts_trading(
    sqlite_journal: sa.Engine, wrong: str, changed: dict[str, object]
) -> None:
    steps = order_steps(sqlite_journal)
    intent = steps.record_sent()
    usual = Fill("f-1", "order-0001", intent.ticker, Side.BID, 5_000, 1_000, 200_000, NOON)
    with steps.journal.writing() as transaction:
        assert transaction.fills.record(replace(usual, **changed), intent)  # type: ignore[arg-type]
        assert (transaction.reading.halts.kill_state().engaged, transaction.reading.halts.kill_state().level) == (
            True,
            1,
        ), wrong


def test_fill_at_the_limit_and_the_fee_bound_does_not_halt_trading(steps: OrderSteps) -> None:
    intent = steps.record_sent()
    with steps.journal.writing() as transaction:
        transaction.fills.record(Fill("f-1", "order-0001", intent.ticker, Side.BID, 5_000, 400, 200_000, NOON), intent)
        assert not transaction.reading.halts.kill_state().engaged
        (market,) = transaction.reading.ledger.markets(ACCOUNT)
    assert market.if_no_microdollars == 1_000 * 5_000 + 200_000, "no fee is left for the 600 that rest"
    assert market.if_yes_microdollars == 200_000 - 400 * 5_000


def test_reported_fills_stay_reserved_until_they_are_posted(steps: OrderSteps) -> None:
    intent = steps.record_sent()
    with steps.journal.writing() as transaction:
        transaction.orders.record_answer(intent, OrderState.CANCELED, order_id="order-0001", filled_centicontracts=400)
    assert worst_of(steps, ScopeKind.ACCOUNT, "account") == 400 * 5_000 + 200_000
    assert steps.reload(intent).reserved_centicontracts == 400
    with steps.journal.writing() as transaction:
        fill = Fill("f-1", "order-0001", intent.ticker, Side.BID, 4_900, 400, 70_000, NOON)
        transaction.fills.record(fill, transaction.reading.orders.intent(intent.intent_id))
    assert worst_of(steps, ScopeKind.ACCOUNT, "account") == 400 * 4_900 + 70_000
    with steps.journal.reading() as reading:
        (market,) = reading.ledger.markets(ACCOUNT)
    assert (market.position_centicontracts, market.open_bids_centicontracts) == (400, 0)
    assert verify(steps.journal._engine).ok


def test_dry_run_reserves_in_scopes_of_its_own(journal_engine: sa.Engine) -> None:
    steps = order_steps(journal_engine, caps(session=(25, 10**15, 10_400_000)), mode=Mode.DRY_RUN)
    for _ in range(2):
        intent = steps.reserve(order_group_id=None)
        with steps.journal.writing() as transaction:
            transaction.orders.record_simulation(intent, "1.0+test")
    with steps.journal.writing() as transaction:
        refusal = transaction.ledger.refusal(transaction.orders.plan(steps.intent(order_group_id=None)))
        assert refusal is not None
        assert refusal.reason is DenialReason.CAP_WORST_LOSS
        assert transaction.reading.ledger.markets(ACCOUNT) == []
    assert verify(journal_engine).ok


def test_counters_of_scopes_equal_the_sums_of_their_postings(steps: OrderSteps) -> None:
    steps.reserve()
    with steps.journal._engine.connect() as connection:
        held = connection.execute(sa.select(scopes.c.kind, scopes.c.worst_microdollars, scopes.c.orders)).all()
    assert sorted(map(tuple, held)) == [(str(kind), 5_200_000, 1) for kind in sorted(ScopeKind)]
