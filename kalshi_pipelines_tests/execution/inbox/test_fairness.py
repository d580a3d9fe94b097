"""No number of proposals of one proposer hides or starves another proposer's order."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from kalshi_pipelines.execution.executor.decisions import DecisionOutcome
from kalshi_pipelines.execution.executor.session import TradeSession
from kalshi_pipelines.execution.gates.market_snapshot import UnreadableMarket
from kalshi_pipelines.execution.journal.reading.inbox import PendingCount
from kalshi_pipelines.execution.journal.records import Mode
from kalshi_pipelines.execution.orders.denials import DenialReason
from kalshi_pipelines.execution.orders.proposals import ActorKind
from kalshi_pipelines.execution.orders.terms import Action, Contracts, Leg, MarketTicker, Outcome, YesPrice
from kalshi_pipelines.execution.service.sessions.inbox_selection import MOST_PROPOSALS, describe_left, select_proposals
from kalshi_pipelines_tests.support.execution.inbox_sessions import context_of, hold, put_in, traded
from kalshi_pipelines_tests.support.execution.instants import INSTANT, MINUTE, NOW
from kalshi_pipelines_tests.support.execution.order_steps import ACCOUNT
from kalshi_pipelines_tests.support.execution.order_steps import MINUTE as MINUTE_US
from kalshi_pipelines_tests.support.execution.scripted_exchange import ScriptedSession, first_session, scripted_session

PERSON: dict[str, Any] = {"actor": ActorKind.PERSON, "actor_name": "ann"}
AGENT: dict[str, Any] = {"actor": ActorKind.AGENT, "actor_name": "reader"}
STRATEGY: dict[str, Any] = {"actor": ActorKind.STRATEGY, "actor_name": "momentum"}
SALE = Leg(Action.SELL, Outcome.YES, YesPrice(5_000))


def turns(made: ScriptedSession) -> list[int]:
    """Return the numbers of the pending proposals in the order in which a session decides about them."""
    with made.journal.reading() as reading:
        return [row["proposal_id"] for row in reading.inbox.pending(ACCOUNT, made.mode, made.clock(), 0)]


def selected(made: ScriptedSession) -> Sequence[int]:
    with made.journal.reading() as reading:
        return [row["proposal_id"] for row in select_proposals(reading, made.session, made.clock()).valid]


def expire(made: ScriptedSession) -> None:
    made.clock.now_us += 2 * MINUTE_US


def holder(engine: sa.Engine, contracts: int = 5) -> ScriptedSession:
    made = first_session(engine, lambda *_: None)
    hold(made, contracts)
    return made


@pytest.mark.parametrize("kind", [ActorKind.AGENT, ActorKind.STRATEGY])
def test_F69_person_behind_a_thousand_proposals_is_served_first(journal_engine: sa.Engine, kind: ActorKind) -> None:
    made = scripted_session(journal_engine)
    put_in(made, *(made.order(actor=kind, actor_name="flood") for _ in range(1_000)))
    (person,) = put_in(made, made.order(**PERSON))
    assert selected(made)[0] == person
    assert turns(made)[0] == person


def test_F69_persons_come_before_strategies_before_agents(journal_engine: sa.Engine) -> None:
    made = scripted_session(journal_engine)
    agent, strategy, person = put_in(made, made.order(**AGENT), made.order(**STRATEGY), made.order(**PERSON))
    assert turns(made) == [person, strategy, agent]


def test_F69_proposers_of_one_kind_take_turns(journal_engine: sa.Engine) -> None:
    made = scripted_session(journal_engine)
    flood = put_in(made, *(made.order(**STRATEGY) for _ in range(150)))
    few = put_in(made, *(made.order(actor=ActorKind.STRATEGY, actor_name="value") for _ in range(2)))
    assert turns(made)[:5] == [flood[0], few[0], flood[1], few[1], flood[2]]
    assert set(few) <= set(selected(made))


def test_expired_proposals_come_last(journal_engine: sa.Engine) -> None:
    made = scripted_session(journal_engine)
    (late,) = put_in(made, made.order(**PERSON, as_of=NOW - MINUTE, valid_until=NOW - INSTANT))
    (agent,) = put_in(made, made.order(**AGENT))
    assert turns(made) == [agent, late]
    assert selected(made) == [agent]


@pytest.mark.parametrize(
    ("held", "order", "closes"),
    [
        (5, {"leg": SALE, "count": Contracts(500)}, True),
        (5, {"leg": SALE, "count": Contracts(501)}, False),
        (5, {"leg": SALE, "count": Contracts(501), "reduce_only": True}, True),
        (5, {"leg": Leg(Action.BUY, Outcome.NO, YesPrice(5_000))}, True),
        (5, {"leg": SALE, "ticker": MarketTicker("KXA-26-C"), "reduce_only": True}, False),
        (5, {}, False),
        (-5, {"leg": SALE}, False),
        (-5, {}, True),
        (-5, {"leg": Leg(Action.SELL, Outcome.NO, YesPrice(5_000))}, True),
    ],
)
@pytest.mark.parametrize("kind", ActorKind)
def test_order_that_only_reduces_a_position_comes_first_of_its_kind(
    journal_engine: sa.Engine, kind: ActorKind, held: int, order: dict[str, Any], closes: bool
) -> None:
    made = holder(journal_engine, held)
    opening, other = put_in(
        made,
        made.order(actor=kind, ticker=MarketTicker("KXA-26-C")),
        made.order(actor=kind, actor_name="other", **order),
    )
    assert turns(made) == ([other, opening] if closes or order.get("reduce_only") else [opening, other])
    with made.journal.reading() as reading:
        found = reading.inbox.pending(ACCOUNT, Mode.LIVE, made.clock(), 0)
    assert {row["proposal_id"]: bool(row["closes"]) for row in found} == {opening: False, other: closes}


def test_flag_alone_gives_an_agent_no_priority_over_another(journal_engine: sa.Engine) -> None:
    made = scripted_session(journal_engine)
    put_in(made, *(made.order(**AGENT, leg=SALE, reduce_only=True) for _ in range(200)))
    (other,) = put_in(made, made.order(actor=ActorKind.AGENT, actor_name="other"))
    assert turns(made)[1] == other


@pytest.mark.parametrize(
    ("kind", "opening", "closing"),
    [(ActorKind.PERSON, 7, 8), (ActorKind.STRATEGY, 6, 8), (ActorKind.AGENT, 4, 7)],
)
def test_F69_attempts_are_kept_for_closing_orders_and_for_persons(
    journal_engine: sa.Engine, kind: ActorKind, opening: int, closing: int
) -> None:
    made = holder(journal_engine)
    made.session = session_with_attempts(made, 8)
    opened = put_in(made, *(made.order(actor=kind, actor_name="a") for _ in range(10)))
    assert selected(made) == list(opened[:opening])
    closed = put_in(made, *(made.order(actor=kind, actor_name="b", leg=SALE) for _ in range(10)))
    assert selected(made) == list(closed[:closing])
    for number in opened[:opening]:
        deny(made, number)
    assert selected(made) == list(closed[: closing - opening])


def session_with_attempts(made: ScriptedSession, attempts: int) -> TradeSession:
    return replace(made.session, caps=replace(made.session.caps, attempts_per_minute=attempts))


def deny(made: ScriptedSession, number: int) -> None:
    with made.journal.writing() as transaction:
        transaction.orders.record_attempt(made.session.session_id, proposal_id=number, denial=DenialReason.CHECK_FAILED)


@pytest.mark.parametrize("attempts", range(1, 10))
def test_every_kind_of_proposer_can_trade_with_the_smallest_caps(sqlite_journal: sa.Engine, attempts: int) -> None:
    made = scripted_session(sqlite_journal, attempts_per_minute=attempts)
    for kind in ActorKind:
        (number,) = put_in(made, made.order(actor=kind))
        assert selected(made) == [number]
        deny(made, number)
        made.clock.now_us += MINUTE_US


def test_F69_denied_junk_of_an_agent_leaves_attempts_for_a_person(journal_engine: sa.Engine) -> None:
    made = scripted_session(journal_engine, attempts_per_minute=20)
    put_in(made, *(made.order(**AGENT, ticker=MarketTicker("KXB-26-B")) for _ in range(100)))
    for _ in range(3):
        deny_selected(made)
    (person,) = put_in(made, made.order(**PERSON))
    run = traded(made, context_of(made))
    assert {each.proposal_id: each.outcome for each in run.decisions}[person] is DecisionOutcome.PLACED
    assert DenialReason.CAP_MESSAGE_RATE not in {each.reason for each in run.decisions}


def deny_selected(made: ScriptedSession) -> None:
    """Deny what a session selects now, as the executor does with orders of a market that is not allowed."""
    for number in selected(made):
        deny(made, number)


def test_F69_what_is_left_undecided_is_counted_by_proposer(journal_engine: sa.Engine) -> None:
    made, said = scripted_session(journal_engine, attempts_per_minute=4), list[str]()
    put_in(made, *(made.order(**STRATEGY) for _ in range(1_000)))
    put_in(made, made.order(**PERSON))
    run = traded(made, context_of(made, said))
    assert len(run.decisions) == 3
    assert run.left == (PendingCount("strategy", "momentum", 998),)
    assert said[-1] == "left undecided for the next session: 998 of strategy momentum"
    assert str(run).endswith("(live): 3 placed; left undecided: 998 of strategy momentum")


def test_count_of_undecided_proposals_names_few_proposers() -> None:
    left = [PendingCount("agent", f"a{number}\x1b[2J", 1_000 - number) for number in range(10)]
    text = describe_left(left)
    assert text.isprintable()
    assert text.startswith("1,000 of agent a0")
    assert text.endswith("4,965 of 5 others")


def test_session_decides_a_bounded_number_of_proposals(sqlite_journal: sa.Engine) -> None:
    made = scripted_session(sqlite_journal, attempts_per_minute=60)
    late = {"as_of": NOW, "valid_until": NOW + 10 * MINUTE}
    put_in(made, *(made.order(**PERSON, **late) for _ in range(MOST_PROPOSALS + 20)))
    made.unreadable = UnreadableMarket("no grid")
    made.on_market = lambda _: setattr(made.clock, "now_us", made.clock.now_us + 2_000_000)
    run = traded(made, context_of(made))
    assert len(run.decisions) == MOST_PROPOSALS
    assert sum(each.count for each in run.left) == 20


def test_person_s_new_order_is_decided_while_an_agent_s_waits(journal_engine: sa.Engine) -> None:
    made, new = scripted_session(journal_engine), list[int]()
    (agent,) = put_in(made, made.order(**AGENT))

    def pause(seconds: float) -> None:
        if not new:
            new.extend(put_in(made, made.order(**AGENT, valid_until=NOW + 10 * MINUTE), made.order(**PERSON)))
        made.clock.now_us += int(seconds * 10_000_000)

    run = traded(made, context_of(made, pause=pause))
    assert [(each.proposal_id, each.outcome) for each in run.decisions] == [
        (agent, DecisionOutcome.DENIED),
        (new[1], DecisionOutcome.PLACED),
    ]
    assert len(made.exchange.orders) == 1
    assert run.left == (PendingCount("agent", "reader", 1),)


def test_F69_agent_with_many_names_fills_only_the_agents_share(journal_engine: sa.Engine) -> None:
    made = scripted_session(journal_engine)
    put_in(made, *(made.order(actor=ActorKind.AGENT, actor_name=f"a{number % 50}") for number in range(5_000)))
    assert len(selected(made)) == 30
