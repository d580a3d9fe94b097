"""A dry run uses nothing that a live session of the same account needs: no attempt, proposal, cap or read budget."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from kalshi_pipelines.execution.configuration import TradeSettings
from kalshi_pipelines.execution.executor.decisions import DecisionOutcome
from kalshi_pipelines.execution.journal.records import Mode
from kalshi_pipelines.execution.journal.tables import (
    fences,
    kill_events,
    leases,
    postings,
    reconciliations,
    scope_markets,
    scopes,
    session_groups,
)
from kalshi_pipelines.execution.orders.proposals import ActorKind
from kalshi_pipelines.execution.orders.terms import MarketTicker
from kalshi_pipelines.execution.service.cli import main
from kalshi_pipelines.settings import Settings
from kalshi_pipelines.units import trading_day
from kalshi_pipelines.warehouse.engine import open_engine
from kalshi_pipelines.warehouse.tables import rate_budgets
from kalshi_pipelines_tests.support.execution.inbox_sessions import context_of, hold, put_in, traded
from kalshi_pipelines_tests.support.execution.instants import INSTANT, MINUTE, NOW
from kalshi_pipelines_tests.support.execution.order_steps import ACCOUNT, HOUR
from kalshi_pipelines_tests.support.execution.sandbox_member import SandboxMember, sandbox_with_member
from kalshi_pipelines_tests.support.execution.scripted_exchange import (
    ScriptedExchange,
    ScriptedSession,
    first_session,
)
from kalshi_pipelines_tests.support.execution.trading_environment import prepare_trading

OTHER = MarketTicker("KXB-26-B")


def live_figures(made: ScriptedSession) -> dict[str, Any]:
    """Return everything that decides whether a live session of the account may place an order now."""
    now = made.clock()
    hour = now // HOUR
    with made.journal.reading() as reading:
        figures: dict[str, Any] = {
            "attempts": reading.orders.attempts_in_last_minute(ACCOUNT, Mode.LIVE, now),
            "scopes": reading.ledger.live_scopes(ACCOUNT, Mode.LIVE, trading_day(now).isoformat(), (hour - 24, hour)),
            "markets": reading.ledger.markets(ACCOUNT),
            "open": reading.orders.open_intents(ACCOUNT),
            "pending": [
                (row["proposal_id"], row["closes"]) for row in reading.inbox.pending(ACCOUNT, Mode.LIVE, now, 0)
            ],
            "counted": reading.inbox.count(Mode.LIVE, now),
            "breached": reading.ledger.breached_scopes(ACCOUNT),
        }
    live = sa.select(scopes.c.scope_id).where(scopes.c.mode == "live")
    tables = {
        "lease": sa.select(leases),
        "groups": sa.select(session_groups),
        "kills": sa.select(kill_events),
        "fences": sa.select(fences),
        "reconciliations": sa.select(reconciliations),
        "live scopes": sa.select(scopes).where(scopes.c.mode == "live"),
        "live counters": sa.select(scope_markets).where(scope_markets.c.scope_id.in_(live)),
        "live postings": sa.select(postings).where(postings.c.scope_id.in_(live)),
    }
    with made.journal._engine.connect() as connection:
        return figures | {name: sorted(map(repr, connection.execute(query))) for name, query in tables.items()}


def dry_run_of(made: ScriptedSession, **settings: Any) -> ScriptedSession:
    values = {"series": "KXA", "approval_dollars": 50, "mode": Mode.DRY_RUN, **settings}
    return ScriptedSession(made.journal, made.clock, ScriptedExchange(), TradeSettings(**values), Mode.DRY_RUN)


def fill_inbox(made: ScriptedSession) -> None:
    """Store orders of every kind of result: simulated, denied before and after planning, expired, repeated."""
    put_in(made, *(made.order(actor=kind, actor_name=f"{kind} {number}") for kind in ActorKind for number in range(5)))
    put_in(made, *(made.order(actor=ActorKind.PERSON, ticker=OTHER) for _ in range(30)))
    put_in(made, *(made.order(as_of=NOW - MINUTE, valid_until=NOW - INSTANT) for _ in range(20)))
    again = made.order(actor=ActorKind.PERSON)
    put_in(made, again, again)


def test_F81_dry_run_changes_nothing_that_a_live_session_needs(journal_engine: sa.Engine) -> None:
    made = first_session(journal_engine, lambda *_: None)
    hold(made, 5)
    fill_inbox(made)
    before = live_figures(made)
    simulated = []
    for _ in range(2):
        dry = dry_run_of(made)
        simulated.append(traded(dry, context_of(dry)).count(DecisionOutcome.SIMULATED))
    # The first run reaches its cap on orders and uses the attempts of the minute, so that the second decides nothing.
    assert simulated == [25, 0]
    assert live_figures(made) == before


def test_F81_dry_run_leaves_every_proposal_to_a_live_session(journal_engine: sa.Engine) -> None:
    made = first_session(journal_engine, lambda *_: None)
    hold(made, 5)
    numbers = put_in(made, *(made.order(actor=ActorKind.PERSON) for _ in range(10)))
    dry = dry_run_of(made, session_orders=10, day_orders=10)
    assert traded(dry, context_of(dry)).count(DecisionOutcome.SIMULATED) == 10
    run = traded(made, context_of(made))
    assert [each.proposal_id for each in run.decisions if each.outcome is DecisionOutcome.PLACED] == list(numbers)


def test_F81_dry_run_uses_up_no_attempt_of_the_minute(sqlite_journal: sa.Engine) -> None:
    made = first_session(sqlite_journal, lambda *_: None)
    hold(made, 5)
    put_in(made, *(made.order(actor=ActorKind.PERSON, ticker=OTHER) for _ in range(60)))
    dry = dry_run_of(made)
    assert len(traded(dry, context_of(dry)).decisions) > 40
    with made.journal.reading() as reading:
        assert reading.orders.attempts_in_last_minute(ACCOUNT, Mode.LIVE, made.clock()) == 0
        assert reading.orders.attempts_in_last_minute(ACCOUNT, Mode.DRY_RUN, made.clock()) > 40


@pytest.fixture
def member(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SandboxMember]:
    """A sandbox, and the environment of a dry run in which a trade key is set."""
    monkeypatch.chdir(tmp_path)
    with sandbox_with_member(tmp_path) as made:
        prepare_trading(made, tmp_path, monkeypatch)
        monkeypatch.setenv("KALSHI_TRADE_MODE", "dry_run")
        yield made


@pytest.mark.parametrize("reads_with_the_trade_key", [False, True])
def test_F81_dry_run_spends_no_read_budget_of_the_trade_key(
    member: SandboxMember, monkeypatch: pytest.MonkeyPatch, reads_with_the_trade_key: bool
) -> None:
    if reads_with_the_trade_key:
        monkeypatch.setenv("KALSHI_API_KEY_ID", member.key_id)
        monkeypatch.setenv("KALSHI_PRIVATE_KEY_FILE", str(member.key_file))
    settings = Settings.from_environment()
    market = member.tradable()
    assert main(["release", "--by", "ann", "--why", "ready"]) == 0
    assert main(["propose", "buy", "yes", market["ticker"], "1", market["yes_ask_dollars"], "--signal", "x"]) == 0
    warehouse = open_engine(settings.resolved_warehouse_url)
    before = budgets(warehouse)
    assert main(["trade", "--by", "ann", "--why", "a look"]) == 0
    after = budgets(warehouse)
    warehouse.dispose()
    spent = {key for key in after if after[key] != before.get(key)}
    assert spent == {"sandbox:anonymous"}


def budgets(warehouse: sa.Engine) -> dict[str, int]:
    with warehouse.connect() as connection:
        found = connection.execute(sa.select(rate_budgets.c.budget_key, rate_budgets.c.theoretical_arrival_us))
        return {row.budget_key: row.theoretical_arrival_us for row in found}
