"""A state machine of incidents: persons act elsewhere, orders vanish, journals are restored, and trading comes back.

It uses the sessions, faults and dying processes of ``model_machine``. The invariants of that machine do not hold while
an incident is open, so this machine asserts them only after the documented way back.
"""

import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from typing import Any, ClassVar, cast

from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from kalshi_pipelines.execution.audit.verification import verify
from kalshi_pipelines.execution.executor.dispatch import LiveDispatch
from kalshi_pipelines.execution.journal.engine import open_journal
from kalshi_pipelines.execution.journal.journal import Journal
from kalshi_pipelines.execution.journal.records import Signature
from kalshi_pipelines.execution.orders.evidence import ExchangeOrder, OrderStatus
from kalshi_pipelines.execution.orders.states import OrderState
from kalshi_pipelines.execution.orders.terms import Side
from kalshi_pipelines.execution.reconciliation.evidence import NothingToAcknowledge
from kalshi_pipelines_tests.support.execution.model_machine import Trading
from kalshi_pipelines_tests.support.execution.order_steps import ACCOUNT, EVENT, HOUR, MINUTE, SECOND, WIDE, order_steps
from kalshi_pipelines_tests.support.execution.order_steps import next_session as open_next

#: The procedure may have to be repeated, because an acknowledgement can reveal a further difference.
_MOST_ROUNDS = 4


class ComingBack(Trading):
    """One sub-account that is also traded elsewhere, with a journal that may be restored from a backup."""

    # Rules and invariants of an account that only the journal trades.
    rehearse: ClassVar[Any] = None
    leave: ClassVar[Any] = None
    again: ClassVar[Any] = None
    settle: ClassVar[Any] = None
    recover: ClassVar[Any] = None
    kill: ClassVar[Any] = None
    halt: ClassVar[Any] = None
    release: ClassVar[Any] = None
    every_order_was_recorded_first_and_is_there_once: ClassVar[Any] = None
    what_rests_is_reserved_and_what_ended_stays_ended: ClassVar[Any] = None
    nothing_can_cost_more_than_the_caps_allow: ClassVar[Any] = None
    nothing_rests_after_a_halt: ClassVar[Any] = None

    @initialize()
    def begin(self) -> None:
        super().begin()
        self.engine.dispose()
        shutil.copy(self.template, self.folder / "journal.db")
        self.engine = open_journal(f"sqlite:///{self.folder / 'journal.db'}")
        self.steps = order_steps(self.engine, WIDE, lives_us=12 * HOUR)
        self.backup: tuple[str, str] | None = None
        self.comebacks = self.elsewhere = 0

    def teardown(self) -> None:
        if hasattr(self, "comebacks"):
            self.come_back()
        super().teardown()

    @rule(number=st.integers(0, 100), price=st.integers(1, 99), more=st.integers(-3, 5))
    def amend_by_hand(self, number: int, price: int, more: int) -> None:
        """Change price and count of a resting order, as a person does on the web site."""
        rests = self._resting()
        if rests:
            order = rests[number % len(rests)]
            left = max(100, order.remaining_centicontracts + 100 * more)
            self.exchange.orders[order.order_id] = replace(
                order,
                price_centicents=100 * price,
                count_centicontracts=order.filled_centicontracts + left,
                remaining_centicontracts=left,
            )

    @rule(side=st.sampled_from(Side), price=st.integers(5, 95), contracts=st.integers(1, 5), rests=st.booleans())
    def order_elsewhere(self, side: Side, price: int, contracts: int, rests: bool) -> None:
        """Let another program order in the sub-account."""
        self.elsewhere += 1
        order_id, count = f"elsewhere-{self.elsewhere:06}", 100 * contracts
        self.exchange.orders[order_id] = ExchangeOrder(
            order_id,
            "",
            self.markets[self.elsewhere % 2],
            side,
            100 * price,
            count,
            0,
            count if rests else 0,
            OrderStatus.RESTING if rests else OrderStatus.CANCELED,
            None,
            self.exchange.now_us(),
        )
        if not rests:
            self.exchange.trade(order_id, count, 100 * price)

    @rule(number=st.integers(0, 100))
    def vanish(self, number: int) -> None:
        """Let the exchange lose an order from its lists."""
        rests = self._resting()
        if rests:
            del self.exchange.orders[rests[number % len(rests)].order_id]

    @rule()
    def reconcile(self) -> None:
        """Reconcile as the schedule does, which may find differences and stop trading."""
        self._end_session("its process is dead")
        self._reconciler(None).reconcile()

    @rule()
    def back_up(self) -> None:
        """Copy the journal, for a later ``restore``."""
        with (
            closing(sqlite3.connect(self.folder / "journal.db")) as journal,
            closing(sqlite3.connect(self.folder / "backup.db")) as copy,
        ):
            journal.backup(copy)
        self.backup = (self.steps.session_id, self.steps.group)

    @rule()
    def restore(self) -> None:
        """Replace the journal by its backup."""
        if self.backup is not None:
            self.engine.dispose()
            for file in self.folder.glob("journal.db*"):
                file.unlink()
            shutil.copy(self.folder / "backup.db", self.folder / "journal.db")
            self.engine = open_journal(f"sqlite:///{self.folder / 'journal.db'}")
            self.steps.journal = Journal(self.engine, "sandbox", clock_us=self.steps.clock)
            self.steps.session_id, self.steps.group = self.backup

    @rule()
    def come_back(self) -> None:
        """Take the documented way back, and place an order at its end."""
        self._end_session("its process is dead")
        for _ in range(_MOST_ROUNDS):
            report = self._reconciler(None).reconcile()
            if report.clean:
                break
            self._acknowledge()
        assert report.clean, str(report)
        again = self._reconciler(None).reconcile()
        assert again.clean, str(again)
        with self.steps.journal.writing() as transaction:
            if transaction.reading.halts.kill_state().engaged:
                transaction.halts.release("carol", "the account is as the journal says")
        self._counts_are_the_truth()
        self._place()
        found = verify(self.engine, exchange_orders=self.exchange.orders.values())
        assert found.ok or self._only_restored(found.problems), str(found)

    def _resting(self) -> list[ExchangeOrder]:
        """Return the resting orders. If there is none and trading is not stopped, send one first."""
        if not self.exchange.resting():
            self.order(Side.BID, 40, 4, 0, rests=True, fault="none", point=None)
        return self.exchange.resting()

    def _acknowledge(self) -> None:
        try:
            evidence = self._reconciler(None).show_evidence()
        except NothingToAcknowledge:
            return
        work = self._reconciler(None)
        done = work.acknowledge(evidence.sha256, Signature("ann", "seen"))
        if done.number is None:
            assert work.acknowledge(evidence.sha256, Signature("bob", "seen, too")).number is not None

    def _counts_are_the_truth(self) -> None:
        with self.steps.journal.reading() as reading:
            counted = {market.ticker: market for market in reading.ledger.markets(ACCOUNT)}
        for ticker in self.exchange.tickers():
            market = counted.get(ticker)
            position = market.position_centicontracts if market else 0
            assert position == self.exchange.held(ticker)[0], ticker
            opens = market.open_bids_centicontracts + market.open_asks_centicontracts if market else 0
            # An order that a person made smaller is counted as it was sent until it ends.
            rests = [order for order in self.exchange.resting() if order.ticker == ticker]
            assert opens >= sum(order.remaining_centicontracts for order in rests), ticker

    def _place(self) -> None:
        self.comebacks += 1
        self.steps.clock.now_us += SECOND
        self._live_session()
        ticker = f"{EVENT}-B{self.comebacks}"
        intent, request = self._planned(Side.BID, 5_000, 100, ticker, rests=False)
        assert intent is not None, "a cap denies the order"
        dispatch = LiveDispatch(self.steps.journal, self._session(), cast("Any", self.exchange))
        moved = dispatch.dispatch(intent, request, (), lambda: None).intent
        assert moved.state is OrderState.EXECUTED, moved

    def _only_restored(self, problems: tuple[str, ...]) -> bool:
        """Return whether the only problem is that a restored journal lacks orders that nobody adopted yet."""
        return self.backup is not None and all("was sent by this program" in problem for problem in problems)

    def _live_session(self) -> None:
        with self.steps.journal.reading() as reading:
            held = reading.sessions.lease(ACCOUNT)
        if held is None or held.until_us <= self.steps.clock() + MINUTE or held.session_id != self.steps.session_id:
            self.sessions += 1
            open_next(self.steps, self.sessions, WIDE)
        self.steps.clock.now_us += SECOND
