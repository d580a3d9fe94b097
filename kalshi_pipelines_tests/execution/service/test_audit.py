"""Verification of the configured journal: it reads the exchange where it can, and a corrupt journal stops trading."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa

from kalshi_pipelines.execution.audit.verification import AuditReport, AuditVerdict
from kalshi_pipelines.execution.configuration import TradeSettings
from kalshi_pipelines.execution.journal.journal import Journal
from kalshi_pipelines.execution.reconciliation.account import ExchangeAccount
from kalshi_pipelines.execution.service.account import audit as auditing
from kalshi_pipelines.execution.service.account.audit import verify_or_stop
from kalshi_pipelines.kalshi.errors import KalshiError
from kalshi_pipelines.settings import Settings
from kalshi_pipelines.warehouse.migrations import SchemaNotAtHead
from kalshi_pipelines_tests.support.execution.order_steps import NOON, OrderSteps, order_steps
from kalshi_pipelines_tests.support.execution.sandbox_member import ready_journal
from kalshi_pipelines_tests.support.execution.scripted_account import foreign_order, order_of

WITH_KEY = TradeSettings(api_key_id="a key", private_key_file=Path("key.pem"), url="http://127.0.0.1:1")


def engagements(engine: sa.Engine) -> list[tuple[str, str]]:
    """Return the person and reason of each engagement of the kill switch since its release."""
    with Journal(engine, "sandbox").reading() as reading:
        return [(each.by_whom, each.reason) for each in reading.halts.engagements_since_release()]


def verified(folder: Path, engine: sa.Engine, trade: TradeSettings | None = None) -> AuditReport:
    return verify_or_stop(Settings(data_dir=folder), trade or TradeSettings(), engine, lambda: engine)


@pytest.fixture
def replace_exchange(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[int]]:
    """A function that makes the exchange return given orders. The function returns a list of the reads' start times."""

    def make(*orders: Any, failure: Exception | None = None) -> list[int]:
        asked: list[int] = []

        @contextmanager
        def account(*_: object) -> Iterator[Any]:
            yield SimpleNamespace(client=SimpleNamespace(portfolio=None), subaccount=0)

        def since(_: ExchangeAccount, since_us: int) -> Any:
            asked.append(since_us)
            if failure:
                raise failure
            return SimpleNamespace(orders={each.order_id: each for each in orders})

        monkeypatch.setattr(auditing, "live_account", account)
        monkeypatch.setattr(ExchangeAccount, "orders", since)
        return asked

    return make


def test_clean_journal_does_not_engage_the_kill_switch(sqlite_journal: sa.Engine, tmp_path: Path) -> None:
    ready_journal(sqlite_journal)
    assert verified(tmp_path, sqlite_journal).verdict is AuditVerdict.CLEAN
    assert engagements(sqlite_journal) == []


def test_F25_corrupt_journal_engages_the_kill_switch_once(
    sqlite_journal: sa.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready_journal(sqlite_journal)
    made = AuditReport(AuditVerdict.CORRUPT, 1, "-", ("a row is gone" + "!" * 2_000, "another"))
    monkeypatch.setattr(auditing, "verify", lambda *_: made)
    for _ in range(2):
        assert verified(tmp_path, sqlite_journal) is made
    ((by, why),) = engagements(sqlite_journal)
    assert (by, why.rstrip("!"), len(why)) == (
        "verify-audit",
        "the journal is corrupt: a row is gone",
        1_000,
    )


def test_unverifiable_journal_does_not_engage_the_kill_switch(
    sqlite_journal: sa.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready_journal(sqlite_journal)
    monkeypatch.setattr(auditing, "verify", lambda *_: AuditReport(AuditVerdict.COULD_NOT_RUN, 0, "-", ("no disk",)))
    assert verified(tmp_path, sqlite_journal).verdict is AuditVerdict.COULD_NOT_RUN
    assert engagements(sqlite_journal) == []


def test_orders_are_read_since_the_first_live_session_with_a_key_only(
    sqlite_journal: sa.Engine, tmp_path: Path, replace_exchange: Callable[..., list[int]]
) -> None:
    steps: OrderSteps = order_steps(sqlite_journal)
    sent = steps.record_sent()
    asked = replace_exchange(order_of(sent), foreign_order("order-old", updated_us=NOON - 1))
    assert verified(tmp_path, sqlite_journal).ok
    assert asked == []
    assert verified(tmp_path, sqlite_journal, WITH_KEY).ok
    assert asked == [NOON]
    replace_exchange(foreign_order("order-new", updated_us=NOON))
    assert "order order-new of" in str(verified(tmp_path, sqlite_journal, WITH_KEY))


def test_sub_account_never_traded_live_reads_no_orders(
    sqlite_journal: sa.Engine, tmp_path: Path, replace_exchange: Callable[..., list[int]]
) -> None:
    ready_journal(sqlite_journal)
    asked = replace_exchange(foreign_order())
    assert verified(tmp_path, sqlite_journal, WITH_KEY).ok
    assert asked == []


def test_unreadable_exchange_leaves_the_journal_unverified(
    sqlite_journal: sa.Engine, tmp_path: Path, replace_exchange: Callable[..., list[int]]
) -> None:
    order_steps(sqlite_journal)
    replace_exchange(failure=KalshiError("down", "Wait."))
    report = verified(tmp_path, sqlite_journal, WITH_KEY)
    assert (report.verdict, report.problems) == (
        AuditVerdict.COULD_NOT_RUN,
        (f"the exchange's orders could not be read: {KalshiError('down', 'Wait.')}",),
    )
    assert engagements(sqlite_journal) == []


def test_F25_corrupt_journal_is_recorded_even_if_trading_is_stopped(
    sqlite_journal: sa.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order_steps(sqlite_journal)
    monkeypatch.setenv("KALSHI_TRADE_KILL", "1")
    monkeypatch.setattr(auditing, "verify", lambda *_: AuditReport(AuditVerdict.CORRUPT, 1, "-", ("a row is gone",)))
    for _ in range(2):
        verified(tmp_path, sqlite_journal)
    assert [by for by, _ in engagements(sqlite_journal)] == ["verify-audit"]


def test_F25_unusable_warehouse_does_not_prevent_the_verification(
    sqlite_journal: sa.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def warehouse() -> sa.Engine:
        raise SchemaNotAtHead("The warehouse is not at head.")

    order_steps(sqlite_journal)
    settings = Settings(data_dir=tmp_path)
    report = verify_or_stop(settings, WITH_KEY, sqlite_journal, warehouse)
    assert report.verdict is AuditVerdict.COULD_NOT_RUN
    assert engagements(sqlite_journal) == []
    monkeypatch.setattr(auditing, "verify", lambda *_: AuditReport(AuditVerdict.CORRUPT, 1, "-", ("a row is gone",)))
    report = verify_or_stop(settings, WITH_KEY, sqlite_journal, warehouse)
    assert report.problems == (
        "a row is gone",
        "the exchange's orders could not be read: The warehouse is not at head.",
    )
    assert [by for by, _ in engagements(sqlite_journal)] == ["verify-audit"]
