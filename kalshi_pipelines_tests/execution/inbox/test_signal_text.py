"""A signal is one order, in each spelling of its text and through each entrance of the inbox."""

import csv
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from kalshi_pipelines.execution.audit.former_keys import check_former_keys
from kalshi_pipelines.execution.audit.verification import verify
from kalshi_pipelines.execution.executor.decisions import DecisionOutcome
from kalshi_pipelines.execution.inbox.files import read_proposals
from kalshi_pipelines.execution.inbox.proposals import InvalidProposals, ProposalTexts, propose, read_proposal
from kalshi_pipelines.execution.inbox.stored import stored_order
from kalshi_pipelines.execution.journal.engine import open_journal
from kalshi_pipelines.execution.journal.journal import Journal
from kalshi_pipelines.execution.journal.migrations import upgrade_journal
from kalshi_pipelines.execution.journal.records import Mode
from kalshi_pipelines.execution.journal.tables import attempts, proposals
from kalshi_pipelines.execution.orders.columns import to_columns
from kalshi_pipelines.execution.orders.denials import DenialReason
from kalshi_pipelines.execution.orders.idempotency import client_order_id, former_idempotency_key, idempotency_key
from kalshi_pipelines.execution.orders.proposals import ActorKind, ProposedOrder, Proposer
from kalshi_pipelines.execution.orders.signal_text import is_normal, normalise
from kalshi_pipelines_tests.support.execution.good_order import ORDER
from kalshi_pipelines_tests.support.execution.inbox_sessions import context_of, put_in, traded
from kalshi_pipelines_tests.support.execution.instants import NOW
from kalshi_pipelines_tests.support.execution.older_journal import fill_older_journal
from kalshi_pipelines_tests.support.execution.order_steps import ACCOUNT
from kalshi_pipelines_tests.support.execution.scripted_exchange import ScriptedSession, scripted_session
from kalshi_pipelines_tests.support.execution.tampering import tamper

ANN = Proposer(ActorKind.PERSON, "ann")
#: One word in five spellings: composed, decomposed, and with white space around it.
SPELLINGS = ("caf\u00e9", "cafe\u0301", "  caf\u00e9\t", "cafe\u0301\n", "\u2003caf\u00e9\u00a0")
IDENTITY = ("strategy", "strategy_version", "partition", "signal", "leg", "actor_name")
#: Characters that cannot be seen: control, zero width, direction of writing, selector, filler, line and odd space.
HIDDEN = ("\x00", "\x1b", "\u200b", "\u202e", "\u2066", "\ufeff", "\ufe0f", "\u034f", "\u3164", "\u2028", "\u00a0")


def written(**changes: str) -> ProposalTexts:
    return ProposalTexts(
        **{
            "ticker": "KXA-26-B",
            "action": "buy",
            "outcome": "yes",
            "price": "0.5200",
            "count": "1",
            "strategy": "s",
            "signal": "x",
            "as_of": NOW.isoformat(),
            "valid_until": f"{NOW:%Y-%m-%dT%H}:59:00Z" if NOW.minute >= 50 else f"{NOW:%Y-%m-%dT%H:%M}:30Z",
            **changes,
        }
    )


def from_command(text: str, folder: Path) -> ProposedOrder:
    del folder
    return read_proposal(written(strategy=text, signal=text, leg=text), replace(ANN, name=text))


def from_json(text: str, folder: Path) -> ProposedOrder:
    file = folder / "orders.json"
    rows = {name: value for name, value in asdict(written(strategy=text, signal=text, leg=text)).items() if value}
    file.write_text(json.dumps([rows]))
    return read_proposals(file, replace(ANN, name=text))[0]


def from_csv(text: str, folder: Path) -> ProposedOrder:
    file = folder / "orders.csv"
    rows = {name: value for name, value in asdict(written(strategy=text, signal=text, leg=text)).items() if value}
    with file.open("w", newline="") as opened:
        csv.writer(opened).writerows([rows, rows.values()])
    return read_proposals(file, replace(ANN, name=text))[0]


def from_program(text: str, folder: Path) -> ProposedOrder:
    del folder
    plain = read_proposal(written(), ANN)
    return replace(plain, actor_name=text, signal=replace(plain.signal, strategy=text, signal=text, leg=text))


ENTRANCES = (from_command, from_json, from_csv, from_program)


@pytest.mark.parametrize("entrance", ENTRANCES)
def test_F71_signal_in_any_spelling_and_way_is_one_order(
    journal_engine: sa.Engine, tmp_path: Path, entrance: Any
) -> None:
    made = scripted_session(journal_engine)
    put_in(made, from_command(SPELLINGS[0], tmp_path), *(entrance(text, tmp_path) for text in SPELLINGS))
    with journal_engine.connect() as connection:
        for name in ("strategy", "signal", "leg", "actor_name"):
            assert set(connection.scalars(sa.select(proposals.c[name]))) == {"caf\u00e9"}, name
    run = traded(made, context_of(made))
    assert [each.outcome for each in run.decisions] == [DecisionOutcome.PLACED, *[DecisionOutcome.KNOWN] * 5]
    assert len(made.exchange.orders) == 1


@pytest.mark.parametrize("entrance", ENTRANCES)
@pytest.mark.parametrize("hidden", HIDDEN)
def test_F71_hidden_character_in_a_signal_is_refused_at_each_entrance(
    sqlite_journal: sa.Engine, tmp_path: Path, entrance: Any, hidden: str
) -> None:
    with pytest.raises(InvalidProposals, match=r"characters that cannot be printed|not valid JSON|line 2"):
        propose(sqlite_journal, [entrance(f"ca{hidden}fe", tmp_path)], "a test")
    with sqlite_journal.connect() as connection:
        assert connection.execute(sa.select(proposals)).all() == []


def test_white_space_inside_a_signal_makes_another_order(tmp_path: Path) -> None:
    assert from_json("a b", tmp_path).signal.signal == "a b"
    assert from_json("a  b", tmp_path).signal.signal == "a  b"


def test_file_with_two_spellings_of_one_signal_is_refused(tmp_path: Path) -> None:
    rows = [{name: value for name, value in asdict(written(signal=text)).items() if value} for text in SPELLINGS[:2]]
    (tmp_path / "a.json").write_text(json.dumps(rows))
    with pytest.raises(InvalidProposals, match="proposal 2, signal: the same order as proposal 1"):
        read_proposals(tmp_path / "a.json", ANN)


@pytest.mark.parametrize("name", IDENTITY)
@pytest.mark.parametrize("text", ["cafe\u0301", " cafe", "cafe\u200b"])
def test_F71_row_in_another_form_is_denied_and_not_traded(journal_engine: sa.Engine, name: str, text: str) -> None:
    made = scripted_session(journal_engine)
    row = stored_row(made)
    with journal_engine.execution_options(kalshi_writes=True).begin() as connection:
        odd = connection.execute(sa.insert(proposals).values({**row, name: text}).returning(proposals.c.proposal_id))
        number = odd.scalar_one()
    run = traded(made, context_of(made))
    assert [each.outcome for each in run.decisions] == [DecisionOutcome.PLACED]
    with journal_engine.connect() as connection:
        denied = connection.execute(sa.select(attempts.c.denial).where(attempts.c.proposal_id == number)).scalars()
        assert list(denied) == [DenialReason.INVALID_PROPOSAL.code]


def stored_row(made: ScriptedSession) -> dict[str, Any]:
    """Put an order into the inbox, and return its row without its number."""
    put_in(made, made.order())
    with made.journal.reading() as reading:
        (row,) = reading.inbox.pending(ACCOUNT, Mode.LIVE, 0, 0)
    assert stored_order(row).actor is ActorKind.STRATEGY
    return {column.name: row[column.name] for column in proposals.columns if column is not proposals.c.proposal_id}


@given(st.text(max_size=30))
def test_normal_form_does_not_change_when_it_is_taken_again(text: str) -> None:
    assert normalise(normalise(text)) == normalise(text)
    assert not is_normal(text) or normalise(text) == text


def plan_as_before(made: ScriptedSession, order: ProposedOrder, number: int | None = None) -> None:
    """Plan an order under the key of earlier versions, as a journal from before the upgrade holds it."""
    key = former_idempotency_key(ACCOUNT, order.signal)
    intent = made.executor.decide(replace(order, signal=replace(order.signal, leg="a copy"))).intent
    assert intent is not None
    columns = {"idempotency_key": key, "client_order_id": str(client_order_id(key)), "proposal_id": number}
    changes = ", ".join(f"{name} = {'NULL' if value is None else repr(value)}" for name, value in columns.items())
    tamper(made.journal._engine, f"UPDATE intents SET {changes} WHERE intent_id = {intent.intent_id}")


def test_F71_signal_planned_before_the_upgrade_is_found_for_every_proposer(journal_engine: sa.Engine) -> None:
    made = scripted_session(journal_engine)
    order = made.order(actor_name="ann")
    plan_as_before(made, order)
    assert made.executor.decide(order).outcome is DecisionOutcome.KNOWN
    assert made.executor.decide(replace(order, actor_name="bob")).outcome is DecisionOutcome.KNOWN
    second = replace(order, signal=replace(order.signal, attempt=2))
    assert made.executor.decide(second).reason is DenialReason.ATTEMPT_NOT_DUE
    assert len(made.exchange.orders) == 1


def test_upgrade_keeps_orders_whose_signal_had_another_spelling(empty_database_url: str) -> None:
    engine = open_journal(empty_database_url)
    intent_id = fill_older_journal(engine)["intents"][0]["intent_id"]
    odd = replace(ORDER, signal=replace(ORDER.signal, signal="cafe\u0301 "))
    row = {**to_columns(odd), "proposal_id": 99, "proposed_us": 1, "source": "before"}
    del row["open_short"]
    with engine.execution_options(kalshi_writes=True).begin() as connection:
        connection.execute(sa.table("proposals", *map(sa.column, row)).insert(), row)
    key = former_idempotency_key(ACCOUNT, odd.signal)
    tamper(engine, f"UPDATE intents SET proposal_id = 99, idempotency_key = '{key}' WHERE intent_id = {intent_id}")
    upgrade_journal(engine)
    normal = replace(odd.signal, signal="caf\u00e9")
    keys = idempotency_key(ACCOUNT, odd.proposer, normal), former_idempotency_key(ACCOUNT, normal)
    with Journal(engine, "sandbox").reading() as reading:
        known = reading.orders.intent(intent_id)
        assert reading.orders.intent_of_key(known.mode, *keys) == known
        assert reading.orders.intent_of_key(known.mode, keys[0]) is None
    with engine.connect() as connection:
        assert list(check_former_keys(connection)) == []
    tamper(engine, f"UPDATE former_keys SET idempotency_key = '{'a' * 64}'")
    with engine.connect() as connection:
        assert list(check_former_keys(connection)) == [
            f"intent {intent_id}: the former key of its signal is missing",
            f"intent {intent_id}: the stored former key is not of its signal",
        ]
    tamper(engine, "DELETE FROM former_keys")
    assert f"intent {intent_id}: the former key of its signal is missing" in str(verify(engine))
    engine.dispose()


def test_F71_agent_cannot_take_the_name_of_a_person_s_order(journal_engine: sa.Engine) -> None:
    made = scripted_session(journal_engine)
    order = made.order(actor=ActorKind.PERSON, actor_name="ann")
    dearer = made.order(signal=order.signal, actor=ActorKind.AGENT, actor_name="ann", count=order.count)
    assert made.executor.decide(dearer).outcome is DecisionOutcome.AWAITS_APPROVAL
    assert made.executor.decide(order).outcome is DecisionOutcome.PLACED
    assert idempotency_key(ACCOUNT, order.proposer, order.signal) != idempotency_key(
        ACCOUNT, dearer.proposer, dearer.signal
    )
