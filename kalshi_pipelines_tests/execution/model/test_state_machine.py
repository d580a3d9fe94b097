"""The invariants of the executor in every order of events, and three wrong rules that the same machine has to break.

``machine`` is what happens, ``exchange`` the model of the exchange, ``invariants`` what is asserted. Each line: what
holds, and where that is asserted; what no machine can see is proved beside it, in the files named.

=== ============================================== ====================================================================
I1  one order at most for an intent                ``each_was_recorded_once``, after every step
I2  each was recorded and audited before it        ``ModelExchange.place`` looks into the journal when bytes arrive
I3  what rests is reserved                         ``what_rests_is_reserved``, after every step
I4  the true worst case is within every cap        ``caps_hold``, after every step
I5  counters are the sum of their postings         ``verify`` at the end of every run
I6  what ended stays ended                         ``ended_stays_ended``, after every step
I7  no sending after a kill, cancels succeed       ``order``, ``halt``
I8  recovery ends, and twice is once               ``recover``
I9  after a halt nothing rests, whatever arrives   ``halt``, and ``nothing_rests_after_a_halt`` after every step
I10 a dry run sends nothing                        ``rehearse``; that no key is in reach: ``test_session``
I11 a signal is one id and one request             ``again``, ``each_was_recorded_once``
I12 the tables are the audit replayed              ``verify`` at the end of every run
I13 an edited or cut audit is noticed              ``threats/test_journal_threats``, ``audit/test_anchors``
I14 a record has one text                          the end of every run, in another order; else ``audit/test_canonical``
I15 facts in any order, any number: one ledger     all facts come twice and backwards; ``ledger_is_the_truth``
I16 a fill never raises the worst case             ``trade`` by the exchange, ``recover`` by the ledger
I17 what paid out is what was won or lost          ``settle``, ``what_ended_is_what_was_won``
I18 in doubt an answer is unknown                  taken, lost, refused: ``FAULTS``; else ``orders/test_answers``
I19 midnight frees nothing                         ``pass_time``, ``the_day_has_all_that_is_outstanding``
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
from kalshi_pipelines.execution.reconciliation.resolution import Fencing
from kalshi_pipelines_tests.support.execution.model_exchange import FenceThenReset, NotFoundMeansRejected
from kalshi_pipelines_tests.support.execution.model_machine import Trading
from kalshi_pipelines_tests.support.execution.order_steps import NOON


class WithoutFence(Trading):
    """The machine with the first wrong rule."""

    fences = False

    def _fencing(self) -> Fencing:
        return NotFoundMeansRejected(self.exchange)


class WithReset(Trading):
    """The machine with the second wrong rule."""

    fences = False

    def _fencing(self) -> Fencing:
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


def test_F07_F48_the_invariants_hold_in_every_order_of_events() -> None:
    run_state_machine_as_test(
        Trading, settings=settings(max_examples=100, stateful_step_count=25, phases=(Phase.generate,), **QUIETLY)
    )


def test_F18_with_a_clock_ahead_of_the_exchange_s_the_fills_of_the_very_first_order_are_found() -> None:
    state = Trading()
    state.begin()
    state.order(Side.BID, 48, 1, 0, rests=False, fault="none", point=None)
    assert state.exchange.made[0].at_us < NOON
    state.recover(point=None)
    state.teardown()


@pytest.mark.timeout(900)
@pytest.mark.parametrize("wrong", [WithoutFence, WithReset])
def test_the_same_machine_breaks_a_wrong_rule(wrong: type[Trading]) -> None:
    _breaks(wrong)


def test_F11_the_same_machine_breaks_the_rule_that_429_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "REFUSING_STATUSES", answers.REFUSING_STATUSES | {429})
    _breaks(Trading)


def _breaks(machine: type[Trading]) -> None:
    looking = settings(
        max_examples=4_000, stateful_step_count=15, phases=(Phase.generate,), report_multiple_bugs=False, **QUIETLY
    )
    with pytest.raises(AssertionError, match=r"rests, and 0 are reserved|is beyond a cap"):
        run_state_machine_as_test(machine, settings=looking)
