"""The command `cancel` against a sandbox: what it proves and records of each order, and that nothing refuses it."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import sqlalchemy as sa

from kalshi_pipelines.execution.audit.verification import AuditVerdict, verify
from kalshi_pipelines.execution.journal.engine import open_journal
from kalshi_pipelines.execution.journal.journal import Journal
from kalshi_pipelines.execution.journal.records import Intent
from kalshi_pipelines.execution.orders.account import Account
from kalshi_pipelines.execution.orders.states import OrderState
from kalshi_pipelines.execution.service.cli import main
from kalshi_pipelines.sandbox.process import SandboxProcess
from kalshi_pipelines.settings import Settings
from kalshi_pipelines.warehouse.engine import open_engine
from kalshi_pipelines_tests.support.execution.member_reconciler import by_hand, markets, new_member, reconciler
from kalshi_pipelines_tests.support.execution.sandbox_member import (
    Row,
    SandboxMember,
    Trader,
    live_trader,
    price_near,
    ready_journal,
    resting,
)
from kalshi_pipelines_tests.support.migrated import upgrade_to_head

ORDERS = "/portfolio/events/orders"
CANCEL = f"DELETE {ORDERS}/{{order_id}}"
PLACE = f"POST {ORDERS}"
ACCOUNT = Account("sandbox", 0)
#: Marks tests whose outcome does not depend on the journal's database.
sqlite_only = pytest.mark.parametrize("journal_url", ["sqlite"], indirect=True)


@pytest.fixture
def member(
    sandbox: SandboxProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, journal_url: str
) -> Iterator[SandboxMember]:
    """A sandbox member, and the variables of its operator. No contract is checked, and no variable arms a session."""
    monkeypatch.chdir(tmp_path)
    with ExitStack() as stack:
        made = new_member(sandbox, tmp_path, stack)
        for name, value in {
            "DATA_DIR": str(tmp_path / "data"),
            "JOURNAL_URL": journal_url,
            "TRADE_API_KEY_ID": made.key_id,
            "TRADE_PRIVATE_KEY_FILE": str(made.key_file),
            "TRADE_URL": sandbox.url,
        }.items():
            monkeypatch.setenv(f"KALSHI_{name}", value)
        settings = Settings.from_environment()
        settings.environment_dir.mkdir(parents=True)
        warehouse = open_engine(settings.resolved_warehouse_url)
        upgrade_to_head(warehouse)
        warehouse.dispose()
        yield made
        made.steer("DELETE", "/faults")


@pytest.fixture
def trader(member: SandboxMember, journal_engine: sa.Engine) -> Trader:
    """A trader whose live session holds the lease while a test runs."""
    journal = ready_journal(journal_engine)
    return live_trader(member, journal, reconcile=lambda own: reconciler(member, journal).reconcile(own_session=own))


def rest(trader: Trader, price: str | None = None, count: int = 100, market: Row | None = None) -> Intent:
    """Let an order rest, far below the bid by default, and return its intent."""
    market = market or markets(trader.member, 1)[0]
    decision = trader.executor.decide(resting(market, price or "0.0500", count))
    assert decision.intent, decision
    return present(trader.journal, decision.intent.intent_id)


def best_bid(trader: Trader) -> tuple[Row, str]:
    """Return a market and a price between its bid and ask, at which an order is first to be filled."""
    for market in markets(trader.member, 20):
        price = price_near(market["yes_bid_dollars"], "0.01")
        if price < market["yes_ask_dollars"]:
            return market, price
    raise AssertionError("no market has a spread of two cents")


def sell_to(trader: Trader, market: Row, price: str, count: str, folder: Path) -> None:
    """Let another member sell contracts to the best bid."""
    with ExitStack() as stack:
        other = new_member(trader.member.sandbox, folder, stack)
        order = {"ticker": market["ticker"], "side": "ask", "count": count, "price": price}
        terms = {"time_in_force": "immediate_or_cancel", "self_trade_prevention_type": "taker_at_cross"}
        assert by_hand(other, "POST", ORDERS, **order, **terms).json()["fill_count"] == count


def present(journal: Journal, intent_id: int) -> Intent:
    with journal.reading() as reading:
        return reading.orders.intent(intent_id)


def states(journal: Journal, intent: Intent) -> list[str]:
    with journal._engine.connect() as connection:
        found = sa.text(f"SELECT to_state FROM order_events WHERE intent_id = {intent.intent_id} ORDER BY seq")
        return list(connection.execute(found).scalars())


def is_live(trader: Trader) -> bool:
    with trader.journal.reading() as reading:
        return reading.sessions.live_session(ACCOUNT) == trader.session.session_id


def output_of(capsys: pytest.CaptureFixture[str], status: int, *arguments: object) -> str:
    capsys.readouterr()
    ended = main(["cancel", *map(str, arguments), "--by", "ann", "--why", "leaving"])
    captured = capsys.readouterr()
    assert ended == status, captured
    return captured.out + captured.err


def test_F72_cancel_of_a_resting_order_is_proved_and_recorded(
    trader: Trader, capsys: pytest.CaptureFixture[str], journal_engine: sa.Engine
) -> None:
    intent, other = rest(trader), rest(trader)
    said = output_of(capsys, 0, intent.intent_id)
    assert f"{intent.intent_id}  {intent.ticker}: canceled, 0.00 contracts filled before\nENDED: 1 order.\n" in said
    assert states(trader.journal, intent)[-3:] == ["resting", "pending_cancel", "canceled"]
    assert present(trader.journal, other.intent_id).state is OrderState.RESTING
    with trader.journal.reading() as reading:
        (asked,) = (row for row in reading.audit_log.newest(20) if '"kind":"cancel"' in row.body)
    assert '"canceled_by":"ann"' in asked.body
    assert '"reason":"leaving"' in asked.body
    assert is_live(trader)
    assert reconciler(trader.member, trader.journal).reconcile().clean
    assert verify(journal_engine).verdict is AuditVerdict.CLEAN
    assert "already ended: canceled, 0.00 contracts filled\nENDED: 1 order." in output_of(capsys, 0, intent.intent_id)


def test_cancel_of_a_partly_filled_order_records_its_fills(
    trader: Trader, capsys: pytest.CaptureFixture[str], tmp_path: Path, journal_engine: sa.Engine
) -> None:
    market, price = best_bid(trader)
    intent = rest(trader, price, 300, market)
    sell_to(trader, market, price, "1.00", tmp_path)
    assert ": canceled, 1.00 contracts filled before\n" in output_of(capsys, 0, intent.intent_id)
    now = present(trader.journal, intent.intent_id)
    assert (now.state, now.filled_centicontracts, now.reserved_centicontracts) == (OrderState.CANCELED, 100, 0)
    assert reconciler(trader.member, trader.journal).reconcile().clean
    assert verify(journal_engine).verdict is AuditVerdict.CLEAN


@sqlite_only
def test_cancel_of_an_executed_order_reports_that_it_had_ended(
    trader: Trader, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    market, price = best_bid(trader)
    intent = rest(trader, price, 100, market)
    sell_to(trader, market, price, "1.00", tmp_path)
    assert ": already ended: executed, 1.00 contracts filled\n" in output_of(capsys, 0, intent.intent_id)
    assert present(trader.journal, intent.intent_id).state is OrderState.EXECUTED
    assert reconciler(trader.member, trader.journal).reconcile().clean


@sqlite_only
def test_cancel_of_an_unknown_number_still_cancels_the_other_orders(
    trader: Trader, capsys: pytest.CaptureFixture[str]
) -> None:
    intent = rest(trader)
    said = output_of(capsys, 1, 99_999, intent.intent_id, intent.intent_id)
    assert "99999: UNKNOWN NUMBER" in said
    assert "canceled, 0.00 contracts filled before" in said
    assert said.endswith("NOT ENDED: 1 of 2 orders.\n")
    assert "No order is named" in output_of(capsys, 2)


def test_F42_cancel_while_the_kill_switch_is_engaged_works(trader: Trader, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = rest(trader), rest(trader)
    with trader.journal.writing() as transaction:
        transaction.halts.engage(1, "bob", "operator", "odd")
        transaction.sessions.end(trader.session.session_id, "killed")
    said = output_of(capsys, 0, "--all")
    assert said.endswith("ENDED: 2 orders.\n")
    assert {present(trader.journal, each.intent_id).state for each in (first, second)} == {OrderState.CANCELED}
    with trader.journal.reading() as reading:
        assert reading.halts.kill_state().reason == "odd"
    assert output_of(capsys, 0, "--all").endswith("NOTHING TO CANCEL: no order rests in the journal.\n")


def test_F20_cancel_while_the_journal_is_locked_is_sent_and_says_so(
    trader: Trader, capsys: pytest.CaptureFixture[str], journal_url: str
) -> None:
    intent = rest(trader)
    locking = open_journal(journal_url)
    with Journal(locking, "sandbox").writing():
        said = output_of(capsys, 0, intent.intent_id)
    locking.dispose()
    assert "canceled, 0.00 contracts filled before" in said
    assert "NOT RECORDED in the journal: the request: The journal" in said
    assert "NOT RECORDED in the journal: the outcome: The journal" in said
    assert present(trader.journal, intent.intent_id).state is OrderState.RESTING
    report = reconciler(trader.member, trader.journal).reconcile()
    assert report.clean, report
    assert present(trader.journal, intent.intent_id).state is OrderState.CANCELED


def test_cancel_by_another_process_leaves_the_live_session_trading(
    trader: Trader, capsys: pytest.CaptureFixture[str]
) -> None:
    del capsys
    intent = rest(trader)
    command = [sys.executable, "-m", "kalshi_pipelines.execution", "cancel", str(intent.intent_id), "--why", "leaving"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.endswith("ENDED: 1 order.\n")
    assert is_live(trader)
    assert present(trader.journal, rest(trader).intent_id).state is OrderState.RESTING


@sqlite_only
def test_cancel_of_an_unknown_order_names_reconcile_and_fences_nothing(
    trader: Trader, capsys: pytest.CaptureFixture[str]
) -> None:
    trader.member.steer("POST", "/faults", endpoint=PLACE, kind="drop_after_apply")
    decision = trader.executor.decide(resting(markets(trader.member, 1)[0], "0.0500"))
    assert decision.intent
    assert present(trader.journal, decision.intent.intent_id).state is OrderState.UNKNOWN
    for arguments in ((decision.intent.intent_id,), ("--all",)):
        assert "its outcome is unknown; `reconcile` fences its order group" in output_of(capsys, 1, *arguments)
    assert is_live(trader)


@sqlite_only
@pytest.mark.parametrize("kind", ["drop_after_apply", "rate_limit", "server_error"])
def test_cancel_without_a_usable_answer_is_repeated(
    trader: Trader, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    intent = rest(trader)
    trader.member.steer("POST", "/faults", endpoint=CANCEL, kind=kind)
    assert "canceled, 0.00 contracts filled before" in output_of(capsys, 0, intent.intent_id)
    assert present(trader.journal, intent.intent_id).state is OrderState.CANCELED


def test_cancel_that_the_exchange_refuses_reports_that_the_order_rests(
    trader: Trader, capsys: pytest.CaptureFixture[str]
) -> None:
    intent = rest(trader)
    trader.member.steer("POST", "/faults", endpoint=CANCEL, kind="rate_limit", times=3)
    said = output_of(capsys, 1, intent.intent_id)
    assert "STILL RESTS with 1.00 contracts, 0.00 contracts filled: the exchange refused the cancel (429" in said
    assert said.endswith("NOT ENDED: 1 of 1 order.\n")
    assert states(trader.journal, intent)[-3:] == ["resting", "pending_cancel", "resting"]
    assert output_of(capsys, 0, intent.intent_id).endswith("ENDED: 1 order.\n")


def remove_warehouse() -> None:
    Path(Settings.from_environment().resolved_warehouse_url.removeprefix("sqlite:///")).unlink()


@sqlite_only
def test_cancel_without_a_warehouse_is_sent_but_not_proved(trader: Trader, capsys: pytest.CaptureFixture[str]) -> None:
    intent = rest(trader)
    remove_warehouse()
    said = output_of(capsys, 1, intent.intent_id)
    assert "NOT PROVED, run `reconcile`: the exchange " in said
    report = reconciler(trader.member, trader.journal).reconcile()
    assert report.clean, report
    assert present(trader.journal, intent.intent_id).state is OrderState.CANCELED


@sqlite_only
@pytest.mark.parametrize(
    ("name", "value"),
    [("KALSHI_TRADE_SESSION_ORDERS", "many"), ("KALSHI_TRADE_SESION_ORDERS", "5"), ("KALSHI_TRADE_MODE", "dry_run")],
)
def test_cancel_with_settings_that_only_concern_new_orders_works(
    trader: Trader, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    intent = rest(trader)
    monkeypatch.setenv(name, value)
    assert output_of(capsys, 0, intent.intent_id).rstrip().find("ENDED: 1 order.") > 0


@sqlite_only
def test_cancel_for_another_sub_account_is_not_sent(
    trader: Trader, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    intent = rest(trader)
    monkeypatch.setenv("KALSHI_TRADE_SUBACCOUNT", "3")
    assert "NOT CANCELED: it belongs to sandbox, sub-account 0" in output_of(capsys, 1, intent.intent_id)
    assert present(trader.journal, intent.intent_id).state is OrderState.RESTING


@sqlite_only
def test_cancel_without_a_readable_journal_names_kill(
    member: SandboxMember, capsys: pytest.CaptureFixture[str]
) -> None:
    del member
    assert "`kill --level 2` cancels all orders" in output_of(capsys, 2, 7)
