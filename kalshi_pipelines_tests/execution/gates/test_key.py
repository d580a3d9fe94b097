"""Checks of the trade key: the exchange must confirm its minimal scopes and its sub-account."""

from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from kalshi_pipelines.execution.gates.key import available_balance, key_checks
from kalshi_pipelines.kalshi.errors import Forbidden, KalshiError, NotFound, RequestLine, Unauthorized, VendorError
from kalshi_pipelines.kalshi.portfolio import PortfolioClient
from kalshi_pipelines.kalshi.portfolio_records import ApiKeyRecord, Balance, ShardBalanceRecord, SubaccountBalance
from kalshi_pipelines.warehouse.engine import WarehouseUnavailable

TRADES = ["write::trade", "read"]


def _key(key_id: str = "k", scopes: list[str] = TRADES, subaccount: int | None = 3) -> ApiKeyRecord:
    return ApiKeyRecord(key_id, "name", scopes, subaccount)


def forbidden() -> Forbidden:
    return Forbidden(RequestLine("/api_keys"), 403, VendorError("forbidden"))


@dataclass
class _Account:
    """A stand-in for the exchange, which answers only about the sub-account of the key."""

    keys: list[ApiKeyRecord] = field(default_factory=list)
    readable: int = 3
    available: str = "12.34"
    failure: Exception | None = None
    lists_keys: bool = True
    rows: list[int] = field(default_factory=lambda: [3])
    breakdown: list[ShardBalanceRecord] | None = None
    other: KalshiError | None = field(default_factory=forbidden)

    def balance(self, subaccount: int, exchange_index: int | None = None) -> Balance:
        if not self.lists_keys and subaccount != self.readable and not self.failure:
            if self.other:
                raise self.other
            return Balance(self.available, 0)
        if self.failure or subaccount != self.readable or exchange_index not in (None, 2):
            raise self.failure or KalshiError("not yours", "Ask another.")
        return Balance(self.available, 0, self.breakdown)

    def api_keys(self) -> list[ApiKeyRecord]:
        if not self.lists_keys:
            raise forbidden()
        return self.keys

    def subaccount_balances(self) -> list[SubaccountBalance]:
        return [SubaccountBalance(number, 0, "1.00") for number in self.rows]

    def is_fit(self, subaccount: int = 3) -> bool:
        checks = key_checks(cast("PortfolioClient", self), "k", subaccount)
        assert [check.code for check in checks] == ["key_not_fit"]
        return checks[0].ok


@pytest.mark.parametrize(
    ("keys", "fits"),
    [
        ([_key()], True),
        ([_key("other", ["read"]), _key()], True),
        ([], False),
        ([_key("other")], False),
        ([_key(), _key()], False),
        ([_key(scopes=[])], False),
        ([_key(scopes=["read"])], False),
        ([_key(scopes=["write::trade"])], False),
        ([_key(scopes=["read", "write"])], False),
        ([_key(scopes=[*TRADES, "write::transfer"])], False),
        ([_key(subaccount=None)], False),
        ([_key(subaccount=0)], False),
    ],
)
def test_F27_key_needs_exactly_the_trading_scopes_and_its_sub_account(keys: list[ApiKeyRecord], fits: bool) -> None:
    assert _Account(keys).is_fit() is fits


def test_F27_key_of_the_main_account_may_have_no_lock() -> None:
    for locked, fits in [(None, True), (0, True), (3, False)]:
        assert _Account([_key(subaccount=locked)], readable=0).is_fit(0) is fits


@pytest.mark.parametrize(
    ("changes", "fits"),
    [
        ({}, True),
        ({"rows": [3, 3]}, True),
        ({"other": NotFound(RequestLine("/portfolio/balance"), 404, VendorError())}, True),
        ({"rows": []}, False),
        ({"rows": [0, 3]}, False),
        ({"rows": [4]}, False),
        ({"breakdown": []}, False),
        ({"breakdown": [ShardBalanceRecord(0, "1.00")]}, False),
        ({"other": None}, False),
        ({"other": KalshiError("no answer", "Wait.")}, False),
        ({"other": Unauthorized(RequestLine("/portfolio/balance"), 401, VendorError())}, False),
    ],
)
def test_F27_key_that_may_not_list_keys_must_prove_its_lock(changes: dict[str, Any], fits: bool) -> None:
    assert _Account(**{"lists_keys": False, **changes}).is_fit() is fits


@pytest.mark.parametrize("failure", [KalshiError("down", "Wait."), WarehouseUnavailable("locked")])
def test_unreadable_exchange_fails_the_key_check_and_has_no_balance(failure: Exception) -> None:
    account = _Account([_key()], failure=failure)
    assert not account.is_fit()
    assert available_balance(cast("PortfolioClient", account), 3, 2) is None


def test_key_that_cannot_read_the_balance_fails() -> None:
    assert not _Account([_key()], readable=4).is_fit()


def test_available_balance_is_that_of_sub_account_and_shard() -> None:
    account = cast("PortfolioClient", _Account())
    balances = [available_balance(account, subaccount, shard) for subaccount, shard in [(3, 2), (3, 1), (4, 2)]]
    assert balances == [12_340_000, None, None]
    assert available_balance(cast("PortfolioClient", _Account(available="12.3456789")), 3, 2) is None
