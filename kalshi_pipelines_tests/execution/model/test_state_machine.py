"""Tests that twenty invariants of trading hold in random orders of events, and that wrong rules break them.

``model_machine`` makes the events, ``model_exchange`` is the exchange, and ``model_invariants`` holds the assertions.
The following table names each invariant, and the function or the test file that asserts it.

=== ============================================== ====================================================================
I1  an intent has at most one order                ``each_was_recorded_once``, after every step
I2  an order is recorded before it is sent         ``ModelExchange.place`` reads the journal when a request arrives
I3  every resting order is reserved                ``what_rests_is_reserved``, after every step
I4  the true worst loss is within every cap        ``caps_hold``, after every step
I5  counters are the sum of their postings         ``verify`` at the end of every run
I6  an ended order stays ended                     ``ended_stays_ended``, after every step
I7  no order is sent after a kill; cancels work    ``order``, ``halt``
I8  a second reconciliation changes nothing        ``recover``
I9  after a halt no order rests                    ``halt``, and ``nothing_rests_after_a_halt`` after every step
I10 a dry run sends nothing and has no key         ``rehearse``, ``executor/test_session``
I11 a signal has one id and one request            ``again``, ``each_was_recorded_once``
I12 replaying the audit gives the tables           ``verify`` at the end of every run
I13 an edited or shortened audit is detected       ``threats/test_journal_threats``, ``audit/test_anchors``
I14 a record has exactly one text                  the end of every run, ``orders/test_canonical_json``
I15 order and repetition of facts do not matter    all facts come twice and reversed; ``ledger_is_the_truth``
I16 a fill never raises the worst loss             ``trade`` for the exchange, ``recover`` for the ledger
I17 a settled market counts its realized loss      ``settle``, ``what_ended_is_what_was_won``
I18 a doubtful answer means an unknown order       ``FAULTS``, ``orders/test_answers``
I19 midnight releases no reservation               ``pass_time``, ``the_day_has_all_that_is_outstanding``
I20 a denial changes no counter                    ``_planned``
=== ============================================== ====================================================================
"""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from kalshi_pipelines.execution.orders import answers
from kalshi_pipelines.execution.orders.terms import Side
from kalshi_pipelines.execution.reconciliation.resolution import FenceTransport
from kalshi_pipelines_tests.support.execution.model_exchange import FenceThenReset, NotFoundMeansRejected
from kalshi_pipelines_tests.support.execution.model_machine import Trading
from kalshi_pipelines_tests.support.execution.order_steps import NOON


class WithoutFence(Trading):
    """The state machine with a reconciliation that does not fence."""

    fences = False

    def _transport(self) -> FenceTransport:
        return NotFoundMeansRejected(self.exchange)


class WithReset(Trading):
    """The state machine with a reconciliation that opens fenced groups again."""

    fences = False

    def _transport(self) -> FenceTransport:
        return FenceThenReset(self.exchange)


QUIETLY: dict[str, Any] = {
    "deadline": None,
    "database": None,
    "suppress_health_check": list(HealthCheck),
    "derandomize": True,
}


@pytest.fixture(autouse=True)
def _template(migrated_journal_file: Path) -> None:
    Trading.template = migrated_journal_file


def test_F07_F48_invariants_hold_in_random_orders_of_events() -> None:
    run_state_machine_as_test(
        Trading, settings=settings(max_examples=100, stateful_step_count=25, phases=(Phase.generate,), **QUIETLY)
    )


def test_F18_fills_of_the_first_order_are_found_with_a_clock_ahead() -> None:
    state = Trading()
    state.begin()
    state.order(Side.BID, 48, 1, 0, rests=False, fault="none", point=None)
    assert state.exchange.made[0].at_us < NOON
    state.recover(point=None)
    state.teardown()


@pytest.mark.timeout(900)
@pytest.mark.parametrize("wrong", [WithoutFence, WithReset])
def test_state_machine_detects_a_wrong_rule_of_fencing(wrong: type[Trading]) -> None:
    _breaks(wrong)


def test_F11_state_machine_detects_that_429_is_no_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "REFUSING_STATUSES", answers.REFUSING_STATUSES | {429})
    _breaks(Trading)


def _breaks(machine: type[Trading]) -> None:
    looking = settings(
        max_examples=4_000, stateful_step_count=15, phases=(Phase.generate,), report_multiple_bugs=False, **QUIETLY
    )
    with pytest.raises(AssertionError, match=r"rests, and 0 are reserved|is beyond a cap"):
        run_state_machine_as_test(machine, settings=looking)
