"""Tests of whole trading sessions, which decide about every proposal in the inbox."""

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa

from kalshi_pipelines.execution.configuration import TradeSettings
from kalshi_pipelines.execution.executor import session as sessions
from kalshi_pipelines.execution.executor.decisions import DecisionOutcome
from kalshi_pipelines.execution.executor.session import Opening, SessionRefused
from kalshi_pipelines.execution.gates.market_snapshot import UnreadableMarket
from kalshi_pipelines.execution.gates.order_checks import check, fee_bound_check
from kalshi_pipelines.execution.inbox.proposals import propose
from kalshi_pipelines.execution.journal.errors import JournalUnavailable
from kalshi_pipelines.execution.journal.records import Mode, Origin
from kalshi_pipelines.execution.journal.tables import attempts, leases, proposals, session_ends
from kalshi_pipelines.execution.journal.writing.orders import OrderWriter
from kalshi_pipelines.execution.orders.answers import OrderAnswer
from kalshi_pipelines.execution.orders.canonical_json import NotCanonical
from kalshi_pipelines.execution.orders.columns import from_columns
from kalshi_pipelines.execution.orders.denials import DenialReason
from kalshi_pipelines.execution.orders.evidence import Holding
from kalshi_pipelines.execution.orders.proposals import ActorKind, ProposedOrder
from kalshi_pipelines.execution.orders.terms import Action, Contracts, Leg, Outcome, TimeInForce, YesPrice
from kalshi_pipelines.execution.reconciliation.account import UnreadableAccount
from kalshi_pipelines.execution.reconciliation.reconciler import Reconciler
from kalshi_pipelines.execution.service.sessions import trading_session
from kalshi_pipelines.execution.service.sessions.decision_text import format_decision
from kalshi_pipelines.execution.service.sessions.session_registration import Registration
from kalshi_pipelines.execution.service.sessions.trading_session import TradingContext, trade
from kalshi_pipelines.execution.text import proposal_row
from kalshi_pipelines.settings import InvalidSettings, Settings
from kalshi_pipelines.variables import precedence
from kalshi_pipelines.variables.process_tree import ShellEnvironment
from kalshi_pipelines.warehouse.engine import WarehouseUnavailable
from kalshi_pipelines_tests.support.execution.inbox_sessions import context_of, put_in, traded
from kalshi_pipelines_tests.support.execution.instants import INSTANT, MINUTE, NOW, NOW_US
from kalshi_pipelines_tests.support.execution.order_steps import ACCOUNT
from kalshi_pipelines_tests.support.execution.order_steps import MINUTE as MINUTE_US
from kalshi_pipelines_tests.support.execution.sandbox_member import proposed, ready_journal, sandbox_with_member
from kalshi_pipelines_tests.support.execution.scripted_account import ScriptedAccount
from kalshi_pipelines_tests.support.execution.scripted_exchange import (
    ScriptedSession,
    armed,
    first_session,
    scripted_session,
)

#: Changed values of a stored proposal. The database accepts these values, but no order can have them.
IMPOSSIBLE: list[dict[str, Any]] = [
    {"ticker": "no ticker\x1b[2J\n; at all"},
    {"count_centicontracts": 10**12},
    {"as_of_us": 10**18, "valid_until_us": 10**18 + 1},
    {"time_in_force": "good_till_canceled", "expires_us": 10**18},
]


def test_F39_impossible_rows_are_denied_once_and_block_no_other_order(
    journal_engine: sa.Engine, tmp_path: Path
) -> None:
    journal = ready_journal(journal_engine)
    with sandbox_with_member(tmp_path) as member:
        now = dt.datetime.now(dt.UTC)
        good = proposed(member.tradable(), as_of=now, valid_until=now + dt.timedelta(minutes=5))
        (number,) = propose(journal_engine, [good], "a test")
        with journal_engine.execution_options(kalshi_writes=True).begin() as connection:
            row = dict(connection.execute(sa.select(proposals)).mappings().one())
            del row["proposal_id"]
            for wrong in IMPOSSIBLE:
                connection.execute(sa.insert(proposals).values({**row, **wrong}))
            connection.execute(sa.insert(proposals).values({**row, "signal": "the last"}))
        with journal.reading() as reading:
            shown = [proposal_row(each) for each in reading.inbox.pending(ACCOUNT, Mode.DRY_RUN, 0, 0)]
        said: list[str] = []
        settings = Settings(data_dir=tmp_path)
        settings.environment_dir.mkdir()
        context = TradingContext(settings, TradeSettings(), journal, journal_engine, member.client, said.append)
        run = trade(context, Opening("ann", Origin.BY_HAND))
        again = trade(context, Opening("ann", Origin.BY_HAND))
    assert len(shown) == len(IMPOSSIBLE) + 2
    assert all(text.isprintable() for row in shown for text in row.values())
    assert [each.outcome for each in run.decisions] == [DecisionOutcome.SIMULATED] * 2
    assert again.decisions == ()
    assert sum("invalid_proposal" in line for line in said) == len(IMPOSSIBLE)
    with journal_engine.connect() as connection:
        denials = connection.execute(sa.select(attempts.c.proposal_id, attempts.c.denial)).all()
    assert [denial for proposal, denial in denials if proposal != number].count("invalid_proposal") == len(IMPOSSIBLE)


def ended(made: ScriptedSession) -> str:
    """Return the reason why the session ended, or an empty text while it is open."""
    with made.journal._engine.connect() as connection:
        found = connection.execute(sa.select(session_ends.c.reason)).scalars().all()
    return ", ".join(found)


@dataclass
class ScriptedReconciler:
    """A reconciler with a fixed result or a fixed failure."""

    clean: bool = True
    failure: Exception | None = None
    asked: list[str | None] = field(default_factory=list)

    def reconcile(self, *, own_session: str | None = None) -> Any:
        self.asked.append(own_session)
        if self.failure:
            raise self.failure
        return SimpleNamespace(clean=self.clean)


@pytest.mark.parametrize("clean", [True, False])
def test_session_ends_with_a_reconciliation_and_is_closed(sqlite_journal: sa.Engine, clean: bool) -> None:
    made, said, reconciler = scripted_session(sqlite_journal), list[str](), ScriptedReconciler(clean)
    put_in(made, made.order())
    run = traded(made, context_of(made, said), reconciler)
    assert [each.outcome for each in run.decisions] == [DecisionOutcome.PLACED]
    assert reconciler.asked == [made.session.session_id]
    assert run.is_clean is clean
    assert said == [
        "placed: buy 1.00 YES KXA-26-B at 0.5200 (201, 1.00 contracts filled, 0.00 contracts remaining)",
        f"after the session: {run.reconciliations[0]}",
    ]
    assert ended(made) == "done"


def test_failed_session_is_closed_and_its_error_is_raised(sqlite_journal: sa.Engine) -> None:
    made = scripted_session(sqlite_journal)
    with pytest.raises(WarehouseUnavailable, match="locked"):
        traded(made, context_of(made), ScriptedReconciler(failure=WarehouseUnavailable("locked")))
    assert ended(made) == "failed: WarehouseUnavailable"


def test_unavailable_journal_does_not_hide_the_first_error(
    sqlite_journal: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object) -> None:
        raise JournalUnavailable("no disk")

    made = scripted_session(sqlite_journal)
    monkeypatch.setattr(sessions, "close", gone)
    with pytest.raises(WarehouseUnavailable, match="locked"):
        traded(made, context_of(made), ScriptedReconciler(failure=WarehouseUnavailable("locked")))
    with pytest.raises(JournalUnavailable, match="no disk"):
        traded(made, context_of(made))


def test_proposal_that_expired_over_an_hour_ago_is_ignored(sqlite_journal: sa.Engine) -> None:
    made = scripted_session(sqlite_journal)
    hour = dt.timedelta(hours=1)
    forgotten, late, good = (
        made.order(as_of=end - MINUTE, valid_until=end) for end in (NOW - hour - INSTANT, NOW - hour, NOW + MINUTE)
    )
    numbers = put_in(made, forgotten, late, good)
    run = traded(made, context_of(made))
    assert [(each.proposal_id, each.outcome) for each in run.decisions] == [
        (numbers[2], DecisionOutcome.PLACED),
        (numbers[1], DecisionOutcome.DENIED),
    ]


def test_waiting_order_is_sent_after_approval_and_denied_after_expiry(
    sqlite_journal: sa.Engine,
) -> None:
    made, said, waited = scripted_session(sqlite_journal), list[str](), list[float]()
    approved, ignored, plain = made.order(actor=ActorKind.AGENT), made.order(actor=ActorKind.AGENT), made.order()
    numbers = put_in(made, approved, ignored, plain)
    until: list[int] = []

    def pause(seconds: float) -> None:
        with made.journal._engine.connect() as connection:
            until.append(connection.execute(sa.select(leases.c.until_us)).scalar_one())
        waited.append(seconds)
        made.clock.now_us += int(seconds * 1_000_000)
        if len(waited) == 5:
            with made.journal.writing() as transaction:
                first = transaction.reading.orders.open_intents(ACCOUNT)[0]
                transaction.orders.approve(first.request_sha256, "bob", made.clock() + MINUTE_US)

    run = traded(made, context_of(made, said, pause=pause))
    decided = {each.proposal_id: (each.outcome, each.reason) for each in run.decisions}
    assert decided == {
        numbers[0]: (DecisionOutcome.PLACED, None),
        numbers[1]: (DecisionOutcome.DENIED, DenialReason.PROPOSAL_EXPIRED),
        numbers[2]: (DecisionOutcome.PLACED, None),
    }
    assert waited == [1.0] * 61
    assert until == sorted(until)
    assert min(end - (NOW_US + second * 1_000_000) for second, end in enumerate(until)) >= 45_000_000
    assert len(set(until)) == 5, "the lease is written only every 15 seconds"
    assert len(made.exchange.orders) == 2
    assert [line.partition(" ")[0] for line in said] == [
        *("placed:", "awaits", "awaits"),
        *("intent", "intent"),
        *("placed:", "denied:"),
    ]
    with made.journal.reading() as reading:
        waiting = [decision.intent for decision in run.decisions if decision.order.actor is ActorKind.AGENT]
        digests = [reading.orders.intent(each.intent_id).request_sha256[:12] for each in waiting if each]
    assert [line.rpartition(" ")[2] for line in said if line.startswith("intent")] == digests


@pytest.mark.parametrize("seconds", [2, 14, 44])
def test_F14_minutes_of_denials_do_not_lose_the_lease(sqlite_journal: sa.Engine, seconds: int) -> None:
    made = scripted_session(sqlite_journal, attempts_per_minute=60)
    far = {"as_of": NOW, "valid_until": NOW + 10 * MINUTE}
    number = 180 // seconds
    put_in(made, *(made.order(**far) for _ in range(number)), made.order(**far))

    def unreadable(_: object) -> None:
        made.clock.now_us += seconds * 1_000_000
        made.unreadable = None if len(made.asked) > number else UnreadableMarket("no grid")

    made.on_market = unreadable
    run = traded(made, context_of(made))
    assert [each.outcome for each in run.decisions] == [DecisionOutcome.DENIED] * number + [DecisionOutcome.PLACED]
    assert len(made.exchange.orders) == 1


def test_kill_ends_the_wait_for_approval(sqlite_journal: sa.Engine) -> None:
    made, waited = scripted_session(sqlite_journal), list[float]()
    put_in(made, made.order(actor=ActorKind.AGENT), made.order(actor=ActorKind.AGENT))

    def pause(seconds: float) -> None:
        waited.append(seconds)
        made.clock.now_us += int(seconds * 1_000_000)
        made.killed = "bob: panic" if len(waited) == 2 else None

    decisions = traded(made, context_of(made, pause=pause)).decisions
    assert [(each.outcome, each.reason) for each in decisions] == [
        (DecisionOutcome.DENIED, DenialReason.KILL_SWITCH_ENGAGED)
    ] * 2
    assert waited == [1.0, 1.0]
    assert made.exchange.orders == []


def test_approved_order_with_an_unreadable_market_is_denied_as_stale(sqlite_journal: sa.Engine) -> None:
    made = scripted_session(sqlite_journal)
    put_in(made, made.order(actor=ActorKind.AGENT))

    def pause(seconds: float) -> None:
        made.clock.now_us += int(seconds * 20_000_000)
        made.unreadable = UnreadableMarket("no grid")
        with made.journal.writing() as transaction:
            (intent,) = transaction.reading.orders.open_intents(ACCOUNT)
            transaction.orders.approve(intent.request_sha256, "bob", made.clock() + MINUTE_US)

    (decision,) = traded(made, context_of(made, pause=pause)).decisions
    assert (decision.outcome, decision.reason) == (DecisionOutcome.DENIED, DenialReason.MARKET_DATA_STALE)
    assert made.exchange.orders == []


def test_stored_proposal_is_the_order_that_was_proposed(sqlite_journal: sa.Engine) -> None:
    made = scripted_session(sqlite_journal)
    orders = (
        made.order(reduce_only=True, reason="a look", actor=ActorKind.PERSON, actor_name="ann"),
        made.order(time_in_force=TimeInForce.GOOD_TILL_CANCELED, expires=NOW + 5 * MINUTE, post_only=True),
        made.order(leg=Leg(Action.SELL, Outcome.NO, YesPrice(4_400)), count=Contracts(250)),
    )
    put_in(made, *orders)
    with made.journal.reading() as reading:
        assert (
            tuple(from_columns(ProposedOrder, row) for row in reading.inbox.pending(ACCOUNT, Mode.LIVE, 0, 0)) == orders
        )


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("origin", Origin)
def test_F16_only_a_live_run_by_hand_opens_the_account(
    sqlite_journal: sa.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: Mode, origin: Origin
) -> None:
    journal, opened = ready_journal(sqlite_journal), list[object]()

    @contextmanager
    def account(*parts: object) -> Iterator[None]:
        opened.extend(parts)
        raise InvalidSettings("no key")
        yield

    monkeypatch.setattr(trading_session, "live_account", account)
    nothing: Any = None
    context = TradingContext(Settings(data_dir=tmp_path), TradeSettings(mode=mode), journal, nothing, nothing)
    if mode is Mode.LIVE and origin is Origin.BY_HAND:
        with pytest.raises(InvalidSettings, match="no key"):
            trade(context, Opening("ann", origin))
        assert opened == [context.settings, context.trade, None]
    else:
        run = trade(context, Opening("ann", origin))
        assert (run.session.mode, run.session.origin, run.reconciliations) == (Mode.DRY_RUN, origin, ())
        assert str(run) == f"session {run.session.session_id} (dry_run): no proposals"
        assert opened == []


def test_run_is_shown_with_counts_and_a_decision_with_its_reason(sqlite_journal: sa.Engine) -> None:
    made, said = scripted_session(sqlite_journal), list[str]()
    put_in(made, made.order(), made.order(as_of=NOW - MINUTE, valid_until=NOW - INSTANT), made.order())
    run = traded(made, context_of(made, said))
    assert str(run) == f"session {made.session.session_id} (live): 2 placed, 1 denied"
    placed, _, denied = run.decisions
    assert format_decision(denied) == f"denied: buy 1.00 YES KXA-26-B at 0.5200 (proposal_expired: {denied.detail})"
    assert format_decision(replace(placed, detail="")) == "placed: buy 1.00 YES KXA-26-B at 0.5200"
    assert format_decision(replace(denied, detail="")) == "denied: buy 1.00 YES KXA-26-B at 0.5200 (proposal_expired)"


@pytest.mark.parametrize(
    ("of_vendor", "of_key", "killed", "alone", "reason"),
    [
        (True, True, False, True, None),
        (False, True, False, True, DenialReason.CONTRACTS_NOT_CHECKED),
        (True, False, False, True, DenialReason.KEY_NOT_FIT),
        (True, True, True, True, DenialReason.KILL_SWITCH_ENGAGED),
        (True, True, True, False, DenialReason.ANOTHER_JOURNAL_TRADES),
    ],
)
def test_live_session_opens_only_if_vendor_key_and_kill_switch_pass(
    sqlite_journal: sa.Engine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    of_vendor: bool,
    of_key: bool,
    killed: bool,
    alone: bool,
    reason: DenialReason | None,
) -> None:
    made, reconciler, said = scripted_session(sqlite_journal), ScriptedReconciler(), list[str]()
    sessions.close(made.journal, made.session, "another begins")
    others = SimpleNamespace(
        check=lambda: check(DenialReason.ANOTHER_JOURNAL_TRADES, alone, "", ""),
        count=lambda say: say("counted"),
        newcomer=lambda: None,
        client_order_ids=frozenset(),
    )
    made.settings = armed(made.settings)
    if killed:
        made.engage_kill()
    monkeypatch.setattr(
        trading_session, "vendor_checks", lambda *_: (check(DenialReason.CONTRACTS_NOT_CHECKED, of_vendor, "", ""),)
    )
    account: Any = SimpleNamespace(
        reconciler=lambda _: reconciler,
        other_traders=lambda _: others,
        key_checks=lambda: (check(DenialReason.KEY_NOT_FIT, of_key, "", ""),),
        transport=made.exchange,
        client=None,
        available_balance=made._available,
    )
    context = replace(context_of(made, said), settings=Settings(data_dir=tmp_path))
    context.settings.environment_dir.mkdir()
    if reason is not None:
        with pytest.raises(SessionRefused) as refused:
            trading_session._trade_live(context, Opening("ann", Origin.BY_HAND), account, Registration((), None))
        assert refused.value.reason is reason
        assert reconciler.asked == [None]
        return
    run = trading_session._trade_live(context, Opening("ann", Origin.BY_HAND), account, Registration((), None))
    assert (run.session.mode, run.decisions, len(run.reconciliations)) == (Mode.LIVE, (), 2)
    assert reconciler.asked == [None, run.session.session_id]
    before, after = run.reconciliations
    assert said == [f"before the session: {before}", "counted", f"after the session: {after}"]


def test_impossible_row_is_denied_and_the_next_one_is_decided(sqlite_journal: sa.Engine) -> None:
    made, said = scripted_session(sqlite_journal), list[str]()
    put_in(made, made.order())
    with sqlite_journal.execution_options(kalshi_writes=True).begin() as connection:
        row = dict(connection.execute(sa.select(proposals)).mappings().one())
        del row["proposal_id"]
        for changes in (*IMPOSSIBLE, {"signal": "the last"}):
            connection.execute(sa.insert(proposals).values({**row, **changes}))
    run = traded(made, context_of(made, said))
    assert [each.outcome for each in run.decisions] == [DecisionOutcome.PLACED] * 2
    assert [line.partition(" (")[0] for line in said[1:-1]] == [f"denied: proposal {number}" for number in (2, 3, 4, 5)]
    assert said[1].startswith("denied: proposal 2 (invalid_proposal: ")
    with sqlite_journal.connect() as connection:
        denied = connection.execute(sa.select(attempts.c.proposal_id).where(attempts.c.denial == "invalid_proposal"))
        assert denied.scalars().all() == [2, 3, 4, 5]


def _holder(made: ScriptedSession, contracts: int) -> Reconciler:
    """Return a reconciler of an account that holds this many contracts, bought at $0.50."""
    account = ScriptedAccount(made.clock)
    account.held = {"KXA-26-B": Holding("KXA-26-B", contracts * 100, contracts * 500_000)}
    return Reconciler(made.journal, account, account, ACCOUNT, clock_us=made.clock, pause=lambda seconds: None)


@pytest.mark.parametrize(
    ("contracts", "denied"), [(400, None), (401, "event EVENT-KXA-26-B"), (2_001, "position KXA-26-B")]
)
def test_F54_first_session_counts_held_positions_before_it_decides(
    sqlite_journal: sa.Engine, contracts: int, denied: str | None
) -> None:
    made = first_session(sqlite_journal, lambda *_: None)
    assert made.decide().reason is DenialReason.RECONCILIATION_NOT_CLEAN, "by itself, too"
    put_in(made, made.order(leg=Leg(Action.SELL, Outcome.YES, YesPrice(5_200))), made.order())
    run = traded(made, context_of(made), _holder(made, contracts))
    with made.journal.reading() as reading:
        assert [each.position_centicontracts for each in reading.ledger.markets(ACCOUNT)] == [contracts * 100]
        assert reading.halts.kill_state().engaged is (denied is not None)
    if denied:
        assert (run.decisions, run.is_clean, len(run.reconciliations)) == ((), False, 1)
        assert denied in {each.subject for each in run.reconciliations[0].differences}
    else:
        assert len(run.decisions) == 2
    assert ended(made) == "done"


def test_repeated_signal_and_capped_order_are_shown_and_not_sent(
    sqlite_journal: sa.Engine,
) -> None:
    made, said = scripted_session(sqlite_journal, session_orders=1), list[str]()
    order = made.order()
    put_in(made, order, order, made.order())
    run = traded(made, context_of(made, said))
    assert [(each.outcome, each.reason) for each in run.decisions] == [
        (DecisionOutcome.PLACED, None),
        (DecisionOutcome.KNOWN, None),
        (DecisionOutcome.DENIED, DenialReason.CAP_ORDER_COUNT),
    ]
    assert [line.partition(":")[0] for line in said] == ["placed", "known", "denied"]
    assert len(made.exchange.orders) == 1


def test_F54_failed_first_reconciliation_decides_nothing_and_is_repeated(
    sqlite_journal: sa.Engine,
) -> None:
    made = first_session(sqlite_journal, lambda *_: None)
    put_in(made, made.order())
    account = ScriptedAccount(made.clock)
    account.failing = {"holdings": [UnreadableAccount("no page")] * 4}
    reconciler = Reconciler(made.journal, account, account, ACCOUNT, clock_us=made.clock, pause=lambda seconds: None)
    run = traded(made, context_of(made), reconciler)
    assert (run.decisions, run.is_clean) == ((), False)
    with made.journal.reading() as reading:
        assert not reading.reconciliations.has_any_since_first_session(ACCOUNT)
        assert not reading.halts.kill_state().engaged
    made.clock.now_us += 1_000_000
    account.held = {"KXA-26-B": Holding("KXA-26-B", 100, 500_000)}
    again = replace(made)
    (first, _) = traded(again, context_of(again), reconciler).reconciliations
    assert (first.clean, first.figures["positions_adopted"]) == (True, 1)


def test_F39_proposal_that_cannot_be_planned_is_denied_with_an_attempt(
    sqlite_journal: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = scripted_session(sqlite_journal)
    poison, good = made.order(actor=ActorKind.AGENT), made.order()
    numbers = put_in(made, poison, good)

    def fee(order: ProposedOrder, *parts: Any) -> Any:
        if order.actor is ActorKind.AGENT:
            raise NotCanonical("a number\x1b[2J too large")
        return fee_bound_check(order, *parts)

    monkeypatch.setattr("kalshi_pipelines.execution.executor.planning.fee_bound_check", fee)
    run = traded(made, context_of(made))
    decided = {each.proposal_id: (each.outcome, each.reason, each.detail) for each in run.decisions}
    why = "the order cannot be planned: NotCanonical: a number [2J too large"
    assert decided[numbers[0]] == (DecisionOutcome.DENIED, DenialReason.CHECK_FAILED, why)
    assert decided[numbers[1]][0] is DecisionOutcome.PLACED
    assert traded(made, context_of(made)).decisions == ()


def test_F39_order_that_cannot_be_stored_is_denied_with_an_attempt(
    sqlite_journal: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = scripted_session(sqlite_journal)
    put_in(made, made.order())

    def plan(*_: object) -> None:
        raise OverflowError("too large an integer")

    monkeypatch.setattr(OrderWriter, "plan", plan)
    (decision,) = traded(made, context_of(made)).decisions
    assert (decision.outcome, decision.reason) == (DecisionOutcome.DENIED, DenialReason.CHECK_FAILED)
    assert traded(made, context_of(made)).decisions == ()


def test_F39_flood_of_proposals_leaves_attempts_for_a_person_s_order(
    sqlite_journal: sa.Engine,
) -> None:
    made = scripted_session(sqlite_journal, attempts_per_minute=20)
    old = {"as_of": NOW - 2 * MINUTE, "valid_until": NOW - MINUTE, "actor": ActorKind.AGENT}
    put_in(made, *(made.order(**old) for _ in range(60)))
    agents = put_in(made, *(made.order(actor=ActorKind.AGENT, valid_until=NOW + MINUTE) for _ in range(150)))
    (person,) = put_in(made, made.order(actor=ActorKind.PERSON, actor_name="ann"))

    def pause(seconds: float) -> None:
        made.clock.now_us += int(seconds * 10_000_000)

    run = traded(made, context_of(made, pause=pause))
    assert (run.decisions[0].proposal_id, run.decisions[0].outcome) == (person, DecisionOutcome.PLACED)
    late = [each.proposal_id for each in run.decisions if each.reason is DenialReason.PROPOSAL_EXPIRED]
    assert len([number for number in late if number is not None and number < agents[0]]) == 5


def test_failed_session_still_reconciles(sqlite_journal: sa.Engine) -> None:
    made, reconciler, said = scripted_session(sqlite_journal), ScriptedReconciler(), list[str]()
    put_in(made, made.order())

    def broken(_: object) -> OrderAnswer:
        raise ZeroDivisionError

    made.exchange.answer = broken
    with pytest.raises(ZeroDivisionError):
        traded(made, context_of(made, said), reconciler)
    assert reconciler.asked == [made.session.session_id]
    assert said[-1].startswith("after the failure: ")
    assert ended(made) == "failed: ZeroDivisionError"


def test_F78_live_session_stays_closed_if_the_shell_s_variables_are_unknown(
    sqlite_journal: sa.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("OTHER=1\nKALSHI_TRADE_MODE=live\n")
    monkeypatch.setattr(precedence, "shell_environment", lambda: ShellEnvironment({}, is_known=False))
    made = scripted_session(sqlite_journal)
    context = replace(context_of(made), settings=Settings(data_dir=tmp_path))
    with pytest.raises(InvalidSettings, match=r"Dagster has read KALSHI_TRADE_MODE from \.env"):
        trade(context, Opening("ann", Origin.BY_HAND))
    assert made.exchange.orders == []
