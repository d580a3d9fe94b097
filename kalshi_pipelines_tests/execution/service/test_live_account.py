"""Tests of the traded account: it opens only if all three settings of the trade key are given."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa

from kalshi_pipelines.execution.configuration import TradeSettings
from kalshi_pipelines.execution.orders.account import Account
from kalshi_pipelines.execution.reconciliation.account import ExchangeAccount
from kalshi_pipelines.execution.service.account.live_account import (
    LiveAccount,
    has_trade_key,
    live_account,
    live_transport,
)
from kalshi_pipelines.kalshi.errors import KalshiError
from kalshi_pipelines.settings import InvalidSettings, Settings
from kalshi_pipelines.warehouse.engine import open_engine
from kalshi_pipelines_tests.support.execution.sandbox_member import ready_journal, sandbox_with_member
from kalshi_pipelines_tests.support.migrated import upgrade_to_head

WHOLE: dict[str, Any] = {"api_key_id": "a key", "private_key_file": Path("nowhere.pem"), "url": "http://127.0.0.1:1"}


def test_trade_key_with_all_settings_opens_its_file() -> None:
    assert has_trade_key(TradeSettings(**WHOLE))
    with pytest.raises(KalshiError, match=r"nowhere\.pem"):
        live_transport(Settings(), TradeSettings(**WHOLE))


@pytest.mark.parametrize("missing", sorted(WHOLE))
def test_trade_key_without_one_setting_is_refused(missing: str) -> None:
    settings = TradeSettings(**{**WHOLE, missing: None})
    assert not has_trade_key(settings)
    with pytest.raises(InvalidSettings, match="This needs the trade key"):
        live_transport(Settings(), settings)


def test_settings_by_default_have_no_trade_key() -> None:
    assert not has_trade_key(TradeSettings())


def test_account_is_opened_as_the_settings_say(sqlite_journal: sa.Engine, tmp_path: Path) -> None:
    warehouse = open_engine(f"sqlite:///{tmp_path / 'warehouse.db'}")
    upgrade_to_head(warehouse)
    journal = ready_journal(sqlite_journal)
    with sandbox_with_member(tmp_path) as member:
        trade = member.settings()
        with live_account(Settings(data_dir=tmp_path), trade, warehouse) as account:
            assert (account.key_id, account.subaccount) == (member.key_id, trade.subaccount)
            assert account.transport.key_fingerprint == member.signer.fingerprint
            assert account.client.address == f"{member.sandbox.url.removesuffix('/trade-api/v2')}/trade-api/v2"
            checks = account.key_checks()
            assert checks
            assert all(each.ok for each in checks)
            available = account.available_balance(member.tradable()["exchange_index"])
            assert available is not None
            assert available > 0
            report = account.reconciler(journal).reconcile()
            assert report.clean, str(report)
            assert report.account == Account("sandbox", trade.subaccount)
    with journal.reading() as reading:
        last = reading.reconciliations.newest(Account("sandbox", trade.subaccount))
    assert last is not None
    assert last.clean
    warehouse.dispose()


def test_account_reads_and_fences_only_its_own_sub_account(sqlite_journal: sa.Engine) -> None:
    asked: list[tuple[int, ...]] = []

    def balance(*of: int) -> SimpleNamespace:
        asked.append(of)
        return SimpleNamespace(balance_dollars="1.0000")

    key = SimpleNamespace(api_key_id="key-7", scopes=("read", "write::trade"), subaccount=7)
    client: Any = SimpleNamespace(portfolio=SimpleNamespace(balance=balance, api_keys=lambda: [key]))
    transport: Any = object()
    account = LiveAccount(transport, client, "key-7", 7)
    assert account.available_balance(3) == 1_000_000
    assert [each.ok for each in account.key_checks()] == [True]
    assert asked == [(7, 3), (7,)]
    reconciling = account.reconciler(ready_journal(sqlite_journal))._context
    assert (reconciling.account, reconciling.transport) == (Account("sandbox", 7), transport)
    assert isinstance(reconciling.exchange, ExchangeAccount)
    assert reconciling.exchange._subaccount == 7
