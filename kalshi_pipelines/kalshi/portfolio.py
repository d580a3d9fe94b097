"""Reads of one account: orders, fills, positions, settlements and balance.

Another read returns the instant up to which reads of the account include all writes.

Every list is read whole or not at all. A page that fails, or a row that cannot be decoded, is an error, because
reconciliation draws conclusions from missing rows. The meaning of the rows does not belong here.
"""

import hashlib
from dataclasses import dataclass
from typing import Final, Generic, Literal, TypeVar

import msgspec

from kalshi_pipelines.kalshi.decoding import decode_record, decode_records
from kalshi_pipelines.kalshi.errors import MalformedResponse, QueryParams, printable
from kalshi_pipelines.kalshi.pagination import ListEndpoint, pages
from kalshi_pipelines.kalshi.portfolio_records import (
    ApiKeyRecord,
    ApiKeys,
    Balance,
    FillRecord,
    OrderGroupRecord,
    OrderGroups,
    OrderRecord,
    PositionRecord,
    SettlementRecord,
    SubaccountBalance,
    SubaccountBalances,
    UserDataTimestamp,
)
from kalshi_pipelines.kalshi.transport import Transport
from kalshi_pipelines.units import microseconds

T = TypeVar("T", bound=msgspec.Struct)

OrderStatusFilter = Literal["resting", "canceled", "executed"]

_MOST_ROWS: Final = 1_000
# The largest number of pages that one list may have. No list of an account that this program trades has more pages.
_MOST_PAGES: Final = 1_000
ORDERS: Final = ListEndpoint("/portfolio/orders", "orders", OrderRecord, _MOST_ROWS, _MOST_PAGES)
PAST_ORDERS: Final = ListEndpoint("/historical/orders", "orders", OrderRecord, _MOST_ROWS, _MOST_PAGES)
FILLS: Final = ListEndpoint("/portfolio/fills", "fills", FillRecord, _MOST_ROWS, _MOST_PAGES)
PAST_FILLS: Final = ListEndpoint("/historical/fills", "fills", FillRecord, _MOST_ROWS, _MOST_PAGES)
POSITIONS: Final = ListEndpoint("/portfolio/positions", "market_positions", PositionRecord, _MOST_ROWS, _MOST_PAGES)
SETTLEMENTS: Final = ListEndpoint("/portfolio/settlements", "settlements", SettlementRecord, _MOST_ROWS, _MOST_PAGES)


@dataclass(frozen=True)
class Rows(Generic[T]):
    """All rows of a list. The number of pages and the digest of the rows' bytes are evidence for reports."""

    records: list[T]
    pages: int
    sha256: str


class PortfolioClient:
    """A client that reads the account that owns the API key.

    Every method raises ``KalshiError`` if the exchange cannot be reached, refuses the request, or sends rows that this
    version cannot decode.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def user_data_timestamp_us(self) -> int:
        """Return the instant, on the exchange's clock, up to which reads of the account include all writes."""
        timestamp = self._read(UserDataTimestamp, "/exchange/user_data_timestamp", ())
        return microseconds(timestamp.as_of_time)

    def balance(self, subaccount: int, exchange_index: int | None = None) -> Balance:
        """Return the money of a sub-account on one shard or on all shards.

        The exchange limits this read separately, to once a second for accounts of the basic and advanced levels.
        """
        return self._read(Balance, "/portfolio/balance", _params(subaccount=subaccount, exchange_index=exchange_index))

    def subaccount_balances(self) -> list[SubaccountBalance]:
        """Return the money of every sub-account that the key may read, one row for each sub-account and shard."""
        return self._read(SubaccountBalances, "/portfolio/subaccounts/balances", ()).subaccount_balances

    def api_keys(self) -> list[ApiKeyRecord]:
        """Return the member's API keys with their scopes."""
        return self._read(ApiKeys, "/api_keys", ()).api_keys

    def order_groups(self, subaccount: int) -> list[OrderGroupRecord]:
        """Return the order groups of a sub-account on all shards; the endpoint is not paginated."""
        return self._read(OrderGroups, "/portfolio/order_groups", _params(subaccount=subaccount)).order_groups

    def orders(
        self,
        subaccount: int,
        *,
        ticker: str | None = None,
        status: OrderStatusFilter | None = None,
        min_ts: int | None = None,
        past: bool = False,
    ) -> Rows[OrderRecord]:
        """Return the orders made at or after ``min_ts`` (Unix seconds), on all shards.

        With ``past``, return only orders that moved to the historical endpoint. Otherwise these orders are missing.
        """
        params = _params(subaccount=subaccount, ticker=ticker, status=status, min_ts=min_ts)
        return self._all(OrderRecord, PAST_ORDERS if past else ORDERS, params)

    def fills(
        self, subaccount: int, *, ticker: str | None = None, min_ts: int | None = None, past: bool = False
    ) -> Rows[FillRecord]:
        """Return the fills made at or after ``min_ts`` (Unix seconds), on all shards.

        With ``past``, return only fills that moved to the historical endpoint. Otherwise these fills are missing.
        """
        params = _params(subaccount=subaccount, ticker=ticker, min_ts=min_ts)
        return self._all(FillRecord, PAST_FILLS if past else FILLS, params)

    def positions(self, subaccount: int) -> Rows[PositionRecord]:
        """Return the positions in markets that have not paid out yet."""
        return self._all(PositionRecord, POSITIONS, _params(subaccount=subaccount, settlement_status="unsettled"))

    def settlements(self, subaccount: int, *, min_ts: int | None = None) -> Rows[SettlementRecord]:
        """Return settlements of markets. No historical endpoint exists, so old settlements cannot be read any more."""
        return self._all(SettlementRecord, SETTLEMENTS, _params(subaccount=subaccount, min_ts=min_ts))

    def _all(self, kind: type[T], endpoint: ListEndpoint, params: QueryParams) -> Rows[T]:
        records: list[T] = []
        count, digest = 0, hashlib.sha256()
        for page in pages(self._transport, endpoint, params, _MOST_ROWS):
            decoded = decode_records(kind, page.raw_records)
            if decoded.rejected:
                raise MalformedResponse(
                    f"A row of GET {endpoint.path} cannot be decoded: {printable(decoded.rejected[0].reason)}.",
                    "Look at the contract findings of this endpoint. No conclusion was drawn from this response.",
                )
            count += 1
            records += [each.record for each in decoded.records]
            for each in decoded.records:
                digest.update(bytes(each.raw) + b"\n")
        return Rows(records, count, digest.hexdigest())

    def _read(self, kind: type[T], path: str, params: QueryParams) -> T:
        return self._transport.get(path, params, decode=lambda body: decode_record(kind, body)[0])


def _params(**values: str | int | None) -> QueryParams:
    return [(name, str(value)) for name, value in values.items() if value is not None]
