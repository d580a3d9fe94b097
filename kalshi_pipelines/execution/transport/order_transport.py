"""Writes to the exchange. Each write is one request on a new connection, and this module never retries it.

There is no default host, no proxy, no redirect and no HTTP/2. Connections are not reused, because if an old connection
breaks, it is uncertain whether the request was sent. ``orders.answers`` judges the answers.
"""

import email.utils
import logging
from collections.abc import Iterator
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlsplit

import httpx

from kalshi_pipelines.execution.orders.account import Account
from kalshi_pipelines.execution.orders.answers import OrderAnswer, SendFailure, printable
from kalshi_pipelines.execution.orders.canonical_json import LARGEST_INTEGER
from kalshi_pipelines.execution.orders.terms import Contracts, MarketTicker, OrderId
from kalshi_pipelines.execution.transport.allow_list import AllowedWrite
from kalshi_pipelines.execution.transport.deadline import Deadline
from kalshi_pipelines.execution.transport.last_look import LastLook, LookBeforeSending, SendingStopped
from kalshi_pipelines.execution.transport.permits import SendPermit
from kalshi_pipelines.execution.transport.write_budget import WriteBudget
from kalshi_pipelines.kalshi import hosts
from kalshi_pipelines.kalshi.errors import KalshiError
from kalshi_pipelines.kalshi.signing import Signer
from kalshi_pipelines.settings import Environment
from kalshi_pipelines.units import SECOND_US

logger = logging.getLogger(__name__)

_TIMEOUT: Final = httpx.Timeout(connect=5, read=10, write=5, pool=5)
#: The largest number of bytes that are read from one answer. Real answers to writes have a few hundred bytes.
_MOST_BYTES: Final = 1_000_000
_MOST_SECONDS: Final = 15.0
_HEADERS: Final = {
    "Accept": "application/json",
    # Compression is not accepted, because a small compressed answer could unpack to any size.
    "Accept-Encoding": "identity",
    "Connection": "close",
    "User-Agent": "kalshi-pipelines",
}
_ONE_USE: Final = httpx.Limits(max_keepalive_connections=0)
#: Errors that httpx raises only before the first byte of a request is sent. This holds for new connections without a
#: proxy.
_FAILED_BEFORE_SENDING: Final = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.UnsupportedProtocol,
    httpx.LocalProtocolError,
)


class OrderTransport:
    """Sends writes to one exchange with one trade key.

    Args:
        account: The account that every request is for.
        url: The API's address, which must belong to the account's environment. There is no default address.
        signer: Signs with the trade key.
        budget: The account's write tokens.
        answer_seconds: The time limit of a request. An answer that is incomplete by then counts as lost.

    Raises:
        EnvironmentMismatch: The address belongs to another environment.
    """

    def __init__(
        self,
        account: Account,
        url: str,
        signer: Signer,
        *,
        budget: WriteBudget | None = None,
        answer_seconds: float = _MOST_SECONDS,
    ) -> None:
        self._root = hosts.base_url(Environment(account.environment), url, "KALSHI_TRADE_URL")
        self._signer = signer
        self._subaccount = account.subaccount
        self._budget = budget or WriteBudget()
        self._answer_seconds = answer_seconds
        self._http = httpx.Client(
            trust_env=False,
            follow_redirects=False,
            timeout=_TIMEOUT,
            transport=httpx.HTTPTransport(retries=0, http2=False, trust_env=False, limits=_ONE_USE),
            headers=_HEADERS,
        )

    def __repr__(self) -> str:
        return f"OrderTransport({self._root}, {self._signer!r}, subaccount {self._subaccount})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the network connections to the exchange."""
        self._http.close()

    @property
    def host(self) -> str:
        """The host and port of the exchange's API."""
        return urlsplit(self._root).netloc

    @property
    def key_fingerprint(self) -> str:
        """The fingerprint of the trade key."""
        return self._signer.fingerprint

    def take_order_tokens(self) -> bool:
        """Take the write tokens for a new order. Return False if the order would need tokens kept for cancels."""
        return self._budget.spend_on_risk(AllowedWrite.PLACE_ORDER.value.tokens)

    def place(self, permit: SendPermit) -> OrderAnswer:
        """Send the permitted order with exactly one request, which is not repeated if it fails.

        The permit's last look and the write tokens are checked once more after connecting, immediately before the first
        byte. If one of them forbids the order, no byte of it is sent.

        Raises:
            PermitRefused: The permit was used already, or it is for another host, key or request. Nothing was sent.
        """
        body = permit.sent.request_json.encode()
        permit.consume(host=self.host, key_fingerprint=self.key_fingerprint, body=body)
        return self._send(AllowedWrite.PLACE_ORDER, body=body, look=lambda: self._why_not_now(permit))

    def _why_not_now(self, permit: SendPermit) -> str | None:
        stopped = permit.last_look()
        if stopped is not None:
            return stopped
        if not self._budget.spend_again_on_risk(AllowedWrite.PLACE_ORDER.value.tokens):
            return "too few write tokens besides those kept for cancels"
        return None

    def create_order_group(self, exchange_index: int, contracts_limit: int) -> OrderAnswer:
        """Create an order group on a shard.

        In any 15 seconds, the exchange fills at most ``contracts_limit`` whole contracts of the group. Nothing is sent
        if only the write tokens kept for cancels are left.
        """
        if not self._budget.spend_on_risk(AllowedWrite.CREATE_ORDER_GROUP.value.tokens):
            return OrderAnswer(
                None, failure=SendFailure.NOT_SENT, detail="too few write tokens beside those kept for cancels"
            )
        body = (
            f'{{"contracts_limit":{contracts_limit:d},"exchange_index":{exchange_index:d},'
            f'"subaccount":{self._subaccount:d}}}'
        )
        return self._send(AllowedWrite.CREATE_ORDER_GROUP, body=body.encode())

    def trigger_order_group(self, order_group_id: OrderId, exchange_index: int) -> OrderAnswer:
        """Fence an order group: cancel its orders, and make the exchange refuse new orders of the group forever."""
        shard = {"exchange_index": str(exchange_index)}
        return self._reduce(AllowedWrite.TRIGGER_ORDER_GROUP, order_group_id, shard, b"{}")

    def cancel(self, order_id: OrderId, ticker: MarketTicker) -> OrderAnswer:
        """Cancel one order. The exchange finds the order's shard by the market's ticker."""
        return self._reduce(AllowedWrite.CANCEL_ORDER, order_id, {"market_ticker": str(ticker)})

    def decrease(self, order_id: OrderId, ticker: MarketTicker, reduce_to: Contracts) -> OrderAnswer:
        """Reduce an order to at most ``reduce_to`` contracts. Repeating the request changes nothing more."""
        body = f'{{"market_ticker":"{ticker}","reduce_to":"{reduce_to}"}}'
        return self._reduce(AllowedWrite.DECREASE_ORDER, order_id, {}, body.encode())

    def cancel_all(self) -> OrderAnswer:
        """Cancel all orders of the sub-account.

        The exchange may also cancel orders that are placed in the following minute.
        """
        return self._reduce(AllowedWrite.CANCEL_ALL_ORDERS, None, {})

    def _reduce(
        self, write: AllowedWrite, identifier: OrderId | None, params: dict[str, str], body: bytes = b""
    ) -> OrderAnswer:
        self._budget.spend_on_reduction(write.value.tokens)
        return self._send(write, identifier, {**params, "subaccount": str(self._subaccount)}, body)

    def _send(
        self,
        write: AllowedWrite,
        identifier: OrderId | None = None,
        params: dict[str, str] | None = None,
        body: bytes = b"",
        look: LastLook | None = None,
    ) -> OrderAnswer:
        method, path = write.value.method, write.path(identifier)
        headers = {"Content-Type": "application/json"} if body else {}
        request = self._http.build_request(method, self._root + path, params=params, content=body, headers=headers)
        try:
            request.headers.update(
                self._signer.headers(method, request.url.raw_path.partition(b"?")[0].decode("ascii"))
            )
        except (KalshiError, ValueError, OSError) as error:
            return OrderAnswer(None, failure=SendFailure.NOT_SENT, detail=f"the request could not be signed: {error}")
        answer = self._send_once(request, look)
        logger.info("%s %s: %s", method, path, answer.status or answer.failure)
        return answer

    def _send_once(self, request: httpx.Request, look: LastLook | None) -> OrderAnswer:
        received = bytearray()
        with Deadline(self._answer_seconds) as deadline:
            request.extensions["trace"] = deadline
            if look is not None:
                looking = LookBeforeSending(look, deadline)
                request.extensions["trace"] = looking
                request.stream = _GuardedBody(request.content, looking)
            try:
                response = self._http.send(request, stream=True)
                try:
                    for chunk in response.iter_bytes():
                        received += chunk
                        if len(received) > _MOST_BYTES:
                            return OrderAnswer(
                                response.status_code, failure=SendFailure.LOST, detail="the answer is too large"
                            )
                finally:
                    response.close()
            except SendingStopped as stopped:
                return OrderAnswer(None, failure=SendFailure.NOT_SENT, detail=str(stopped))
            except _FAILED_BEFORE_SENDING as error:
                return OrderAnswer(None, failure=SendFailure.NOT_SENT, detail=_format_error(error))
            except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
                return OrderAnswer(None, failure=SendFailure.LOST, detail=_format_error(error))
        if deadline.is_over:
            return OrderAnswer(response.status_code, failure=SendFailure.LOST, detail="the answer took too long")
        return OrderAnswer(
            response.status_code,
            bytes(received),
            server_us=_date_us(response.headers.get("Date")),
            content_type=response.headers.get("Content-Type", ""),
        )


class _GuardedBody(httpx.SyncByteStream):
    """An order's body, which can be read only after the last look has permitted the order."""

    def __init__(self, body: bytes, look: LookBeforeSending) -> None:
        self._body, self._look = body, look

    def __iter__(self) -> Iterator[bytes]:
        self._look.require_permission()
        yield self._body


def _format_error(error: Exception) -> str:
    return printable(f"{type(error).__name__}: {error}".encode())


def _date_us(text: str | None) -> int | None:
    """Return the end of the second that a ``Date`` header names, in microseconds.

    Return None if the header is missing, malformed or too large to be stored.
    """
    try:
        ends = int(email.utils.parsedate_to_datetime(text or "").timestamp()) + 1
    except (ValueError, OverflowError):
        return None
    ends_us = ends * SECOND_US
    return ends_us if 0 <= ends_us <= LARGEST_INTEGER else None
