"""Tests of the places for agents' orders that wait for a person's approval."""

from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from kalshi_pipelines.execution.executor.decisions import DecisionOutcome
from kalshi_pipelines.execution.orders.denials import DenialReason
from kalshi_pipelines.execution.orders.proposals import ActorKind
from kalshi_pipelines.execution.orders.states import OrderState
from kalshi_pipelines.execution.orders.terms import Action, Leg, Outcome, YesPrice
from kalshi_pipelines_tests.support.execution.inbox_sessions import context_of, hold, put_in, traded
from kalshi_pipelines_tests.support.execution.instants import MINUTE, NOW
from kalshi_pipelines_tests.support.execution.order_steps import MINUTE as MINUTE_US
from kalshi_pipelines_tests.support.execution.scripted_exchange import ScriptedSession, first_session, scripted_session

LONG: dict[str, Any] = {"actor": ActorKind.AGENT, "as_of": NOW, "valid_until": NOW + 10 * MINUTE}
SALE = Leg(Action.SELL, Outcome.YES, YesPrice(5_300))


def holder(engine: sa.Engine) -> ScriptedSession:
    made = first_session(engine, lambda *_: None)
    hold(made, 5)
    return made


def reserved(made: ScriptedSession) -> list[int | None]:
    return [intent.proposal_id for intent in made.open_intents()]


def test_session_reserves_few_orders_of_agents_that_wait(journal_engine: sa.Engine) -> None:
    made, seen = scripted_session(journal_engine), list[list[int | None]]()
    agents = put_in(made, *(made.order(**LONG) for _ in range(20)))

    def pause(seconds: float) -> None:
        seen.append(reserved(made))
        made.clock.now_us += 11 * MINUTE_US if len(seen) == 3 else 1_000_000

    run = traded(made, context_of(made, pause=pause))
    assert seen == [list(agents[:5])] * 3
    assert made.exchange.orders == []
    assert [each.proposal_id for each in run.decisions][:5] == list(agents[:5])


def test_next_order_of_an_agent_is_decided_when_a_place_is_free(journal_engine: sa.Engine) -> None:
    made, seen = scripted_session(journal_engine), list[list[int | None]]()
    agents = put_in(made, *(made.order(**LONG) for _ in range(7)))

    def pause(seconds: float) -> None:
        seen.append(reserved(made))
        made.clock.now_us += int(seconds * 1_000_000)
        with made.journal.writing() as transaction:
            waiting = [intent for intent in made.open_intents() if intent.state is OrderState.RESERVED]
            for intent in waiting[:2]:
                transaction.orders.approve(intent.request_sha256, "bob", made.clock() + MINUTE_US)

    run = traded(made, context_of(made, pause=pause))
    assert seen[0] == list(agents[:5])
    assert len(seen) < 10
    assert {each.proposal_id: each.outcome for each in run.decisions} == dict.fromkeys(agents, DecisionOutcome.PLACED)
    assert run.left == ()


def test_agents_take_turns_at_the_places_that_become_free(journal_engine: sa.Engine) -> None:
    made, seen = scripted_session(journal_engine), list[list[int | None]]()
    flood = put_in(made, *(made.order(**LONG) for _ in range(12)))
    few = put_in(made, *(made.order(**{**LONG, "actor_name": "other"}) for _ in range(3)))

    def pause(seconds: float) -> None:
        seen.append(reserved(made))
        made.clock.now_us += int(seconds * 1_000_000)
        if len(seen) == 6:
            made.clock.now_us += 11 * MINUTE_US
            return
        with made.journal.writing() as transaction:
            waiting = [intent for intent in made.open_intents() if intent.state is OrderState.RESERVED]
            transaction.orders.approve(waiting[0].request_sha256, "bob", made.clock() + MINUTE_US)

    traded(made, context_of(made, pause=pause))
    assert set(seen[0]) == {flood[0], few[0], flood[1], few[1], flood[2]}
    assert few[2] in seen[2]


def test_denied_order_of_an_agent_takes_no_place(sqlite_journal: sa.Engine) -> None:
    made, seen = scripted_session(sqlite_journal), list[list[int | None]]()
    dear = made.order(**LONG, leg=Leg(Action.BUY, Outcome.YES, YesPrice(9_900)))
    denied = put_in(made, *(replace(dear, signal=made.order().signal) for _ in range(6)))
    agents = put_in(made, *(made.order(**LONG) for _ in range(6)))

    def pause(seconds: float) -> None:
        seen.append(reserved(made))
        made.clock.now_us += 11 * MINUTE_US

    run = traded(made, context_of(made, pause=pause))
    assert seen[0] == list(agents[:5])
    outcomes = {each.proposal_id: each.reason for each in run.decisions}
    assert {outcomes[number] for number in denied} == {DenialReason.PRICE_OUTSIDE_BAND}


@pytest.mark.parametrize("closing", [{"leg": SALE}, {"leg": SALE, "reduce_only": True}])
def test_closing_order_of_an_agent_needs_no_place(journal_engine: sa.Engine, closing: dict[str, Any]) -> None:
    made, seen = holder(journal_engine), list[list[int | None]]()
    opening = put_in(made, *(made.order(**LONG) for _ in range(6)))
    first: list[int] = []

    def pause(seconds: float) -> None:
        if not first:
            first.extend(put_in(made, made.order(**LONG, **closing)))
        seen.append(reserved(made))
        made.clock.now_us += 1_000_000 if len(seen) < 3 else 11 * MINUTE_US

    traded(made, context_of(made, pause=pause))
    assert seen[:2] == [list(opening[:5]), [*opening[:5], *first]]


def test_sale_that_may_turn_the_position_needs_a_place(sqlite_journal: sa.Engine) -> None:
    made, seen = holder(sqlite_journal), list[list[int | None]]()
    sales = put_in(made, *(made.order(**LONG, leg=SALE, open_short=True) for _ in range(20)))

    def pause(seconds: float) -> None:
        seen.append(reserved(made))
        made.clock.now_us += 11 * MINUTE_US

    traded(made, context_of(made, pause=pause))
    assert set(seen[0]) <= set(sales)
    assert len(seen[0]) == 10, "five that close the position, and five that open another"
