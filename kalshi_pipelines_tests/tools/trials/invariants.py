"""Rules that the journal and the exchange's own log must satisfy after every trial of the executor."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from kalshi_pipelines.execution.audit.verification import verify
from kalshi_pipelines.execution.journal.tables import (
    audit_log,
    intents,
    kill_events,
    order_events,
    scope_markets,
    scopes,
    session_groups,
)
from kalshi_pipelines.execution.orders.states import FINAL_STATES, OrderState
from kalshi_pipelines_tests.tools.trials.plans import Plan
from kalshi_pipelines_tests.tools.trials.risk import RiskTaken
from kalshi_pipelines_tests.tools.trials.truth import TruthOrder, TruthReader


@dataclass
class TrialVerdict:
    """Figures of a finished trial, and a sentence for each broken rule."""

    duplicates: int = 0
    beyond_caps: int = 0
    unrecorded: int = 0
    unresolved: int = 0
    held_unknown: int = 0
    orders: int = 0
    sent: int = 0
    most_worst: int = 0
    after_kill: int = 0
    wrong: list[str] = field(default_factory=list)


@dataclass
class JournalRows:
    """The rows of a trial's journal that the checks of the rules need."""

    states: dict[str, tuple[str, str, int | None]]
    """The last state, the session and the filled count of each live order, by client order id."""
    sendings: dict[str, tuple[int, int]]
    """The audit record and the instant of each recorded sending, by client order id."""
    audited: dict[int, tuple[str, str]]
    groups: dict[str, str]
    kills: list[tuple[int, int]]
    """Changes of the kill switch: the number of the audit record, and whether the switch was engaged."""
    positions: dict[str, int]
    account_open: int
    """Centi-contracts that the ledger of the account reserves for open orders."""


def read_journal(engine: sa.Engine) -> JournalRows:
    """Read the rows of a trial's journal that the checks of the rules need."""
    with engine.connect() as connection:
        states: dict[str, tuple[str, str, int | None]] = {}
        sendings: dict[str, tuple[int, int]] = {}
        for row in connection.execute(
            sa.select(intents.c.client_order_id, intents.c.session_id, order_events)
            .join(order_events, order_events.c.intent_id == intents.c.intent_id)
            .order_by(order_events.c.intent_id, order_events.c.seq)
        ).mappings():
            states[row["client_order_id"]] = (row["to_state"], row["session_id"], row["filled_centicontracts"])
            if row["to_state"] == OrderState.SENDING:
                sendings[row["client_order_id"]] = (row["audit_seq"], row["at_us"])
        audited = {
            row.seq: (row.kind, row.body)
            for row in connection.execute(sa.select(audit_log.c.seq, audit_log.c.kind, audit_log.c.body))
        }
        groups = {row.order_group_id: row.session_id for row in connection.execute(sa.select(session_groups))}
        kills = [
            (row.audit_seq, row.engaged)
            for row in connection.execute(sa.select(kill_events).order_by(kill_events.c.seq))
        ]
        account = connection.execute(
            sa.select(scope_markets)
            .join(scopes, scopes.c.scope_id == scope_markets.c.scope_id)
            .where(scopes.c.kind == "account")
        ).mappings()
        positions, held = {}, 0
        for row in account:
            if row["position_centicontracts"]:
                positions[row["ticker"]] = row["position_centicontracts"]
            held += row["open_bids_centicontracts"] + row["open_asks_centicontracts"]
    return JournalRows(states, sendings, audited, groups, kills, positions, held)


def judge(
    engine: sa.Engine, truth: TruthReader, member: str, plan: Plan, lost: Sequence[sa.Engine] = ()
) -> TrialVerdict:
    """Compare a journal and the journals lost before it with the exchange's log, and all with the caps of the plan."""
    journal, verdict = read_journal(engine), TrialVerdict()
    before = [read_journal(each) for each in lost]
    orders = truth.orders(member)
    verdict.orders = len(orders)
    verdict.sent = len({client for each in (journal, *before) for client in each.sendings})
    _check_duplicates(orders, verdict)
    _check_sendings([journal, *before], orders, verdict)
    groups = {group: session for each in (*before, journal) for group, session in each.groups.items()}
    _check_caps(groups, truth, member, plan, verdict)
    _check_states(journal, orders, verdict)
    for each in (journal, *before):
        _check_kills(each, verdict)
    audit = verify(engine)
    if not audit.ok:
        verdict.wrong.append(f"the audit does not verify: {audit}")
    return verdict


def _check_duplicates(orders: dict[str, TruthOrder], verdict: TrialVerdict) -> None:
    counts = Counter(order.client_order_id for order in orders.values() if order.is_ours)
    twice = {client: number for client, number in counts.items() if number > 1 or not client}
    verdict.duplicates = sum(number - 1 for number in twice.values())
    verdict.wrong += [f"{number} orders for {client!r}" for client, number in twice.items()]


def _check_sendings(journals: Sequence[JournalRows], orders: dict[str, TruthOrder], verdict: TrialVerdict) -> None:
    """Check that each order has an audit record of its sending, made before the exchange accepted the order."""
    for order in (order for order in orders.values() if order.is_ours):
        problems = [_sending_problem(journal, order) for journal in journals]
        if all(problems):
            verdict.unrecorded += 1
            verdict.wrong.append(f"order {order.client_order_id} {problems[0]}")


def _sending_problem(journal: JournalRows, order: TruthOrder) -> str | None:
    record = journal.sendings.get(order.client_order_id)
    if record is None:
        return "was never recorded as being sent"
    seq, at_us = record
    kind, body = journal.audited.get(seq, ("", "{}"))
    record_body: dict[str, Any] = json.loads(body)
    if kind != "send" or record_body.get("client_order_id") != order.client_order_id:
        return "has no audit record of being sent"
    return "was accepted before it was recorded" if at_us > order.at_us else None


def _check_caps(groups: Mapping[str, str], truth: TruthReader, member: str, plan: Plan, verdict: TrialVerdict) -> None:
    """Check after each event of the exchange that account, sessions and events are within their caps.

    A person's acts on the exchange's page may exceed a cap. From then on, the executor must not exceed it further.
    """
    risk, excused = RiskTaken(groups), Counter[str]()
    for event, orders in truth.states(member):
        risk.take(event, orders)
        by_person = any(not orders[each].is_ours or orders[each].is_amended for each in _orders_of(event, orders))
        for name, scope, cap_orders, cap_dollars in _scopes(truth, orders, risk, plan):
            worst = truth.worst(scope)
            verdict.most_worst = max(verdict.most_worst, worst)
            if by_person:
                excused[name] = max(excused[name], worst)
            opening = [order for order in scope if order.is_ours and order.order_id not in risk.closes]
            if len(opening) > cap_orders or worst > max(cap_dollars * 1_000_000, excused[name]):
                verdict.beyond_caps += 1
                verdict.wrong.append(
                    f"{name}: {len(opening)} orders (cap {cap_orders}), {worst} micro-dollars (cap {cap_dollars} "
                    f"dollars), {excused[name]} by a person"
                )


def _orders_of(event: Mapping[str, Any], orders: Mapping[str, TruthOrder]) -> list[str]:
    named = (event.get(name) for name in ("order_id", "maker_order", "taker_order"))
    return [each for each in named if isinstance(each, str) and each in orders]


def _scopes(
    truth: TruthReader, orders: Mapping[str, TruthOrder], risk: RiskTaken, plan: Plan
) -> Iterator[tuple[str, list[TruthOrder], int, int]]:
    yield "account", list(orders.values()), plan.day_orders, plan.account_loss_dollars
    for session, mine in risk.counted.items():
        yield f"session {session}", list(mine.values()), plan.session_orders, plan.session_loss_dollars
    for event in {truth.events_of[order.ticker] for order in orders.values()}:
        mine_of_event = [order for order in orders.values() if truth.events_of[order.ticker] == event]
        yield f"event {event}", mine_of_event, 10**6, min(200, plan.account_loss_dollars)


def _check_states(journal: JournalRows, orders: dict[str, TruthOrder], verdict: TrialVerdict) -> None:
    """Check that each order has the same state in the journal and on the exchange, or is ``unknown`` in the journal."""
    there = {order.client_order_id: order for order in orders.values() if order.is_ours}
    for client, (state, _, filled) in journal.states.items():
        order = there.get(client)
        if state == OrderState.UNKNOWN:
            verdict.held_unknown += 1
        elif order is not None and order.is_amended:
            # A person made it another order. The acknowledgement counts what rests of it as a foreign order.
            continue
        elif (wrong := _wrong_state(OrderState(state), filled, order)) is not None:
            verdict.unresolved += 1
            verdict.wrong.append(f"{client} is {state} in the journal, but {wrong}")
    if verdict.held_unknown == 0:
        still_open = sum(order.open for order in orders.values())
        if journal.account_open != still_open:
            verdict.wrong.append(f"{journal.account_open} centi-contracts are reserved, {still_open} rest")
        held: dict[str, int] = {}
        for order in orders.values():
            held[order.ticker] = held.get(order.ticker, 0) + order.filled * order.sign
        if {ticker: count for ticker, count in held.items() if count} != journal.positions:
            verdict.wrong.append(f"positions are {held}, the journal has {journal.positions}")


def _wrong_state(state: OrderState, filled: int | None, order: TruthOrder | None) -> str | None:
    if state not in FINAL_STATES and state is not OrderState.RESTING:
        return "this is not a final state"
    if state not in (OrderState.EXECUTED, OrderState.CANCELED, OrderState.RESTING):
        return "the exchange has it" if order is not None and (order.open or order.filled) else None
    if order is None:
        return "the exchange never accepted it"
    if (state is OrderState.RESTING) != (order.open > 0):
        return f"{order.open} centi-contracts are open"
    if state is not OrderState.RESTING and filled != order.filled:
        return f"{order.filled} centi-contracts were filled, not {filled}"
    return None


def _check_kills(journal: JournalRows, verdict: TrialVerdict) -> None:
    """Check that no order was recorded as sent while the kill switch was engaged. Audit numbers show the sequence."""
    sends = sorted(seq for seq, _ in journal.sendings.values())
    for number, (seq, engaged) in enumerate(journal.kills):
        if not engaged:
            continue
        until = journal.kills[number + 1][0] if number + 1 < len(journal.kills) else 10**12
        late = [each for each in sends if seq < each < until]
        verdict.after_kill += len(late)
        verdict.wrong += [f"record {each} was sent after the kill of record {seq}" for each in late]
