"""Write to the exchange: each allowed write is one request on one new connection, never repeated here.

There is no default host, no proxy, no redirect, no HTTP/2, no reuse of connections (a dying one would make it uncertain
whether a request left), and no retry. What an answer means is ``orders.answers``.
"""

import email.utils
import logging
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
from kalshi_pipelines.execution.transport.permits import SendPermit
from kalshi_pipelines.execution.transport.write_budget import WriteBudget
from kalshi_pipelines.kalshi import hosts
from kalshi_pipelines.kalshi.errors import KalshiError
from kalshi_pipelines.kalshi.signing import Signer
from kalshi_pipelines.settings import Environment
from kalshi_pipelines.units import SECOND_US

logger = logging.getLogger(__name__)

_TIMEOUT: Final = httpx.Timeout(connect=5, read=10, write=5, pool=5)
#: An answer to a write is a few hundred bytes.
_MOST_BYTES: Final = 1_000_000
_MOST_SECONDS: Final = 15.0
_HEADERS: Final = {
    "Accept": "application/json",
    # A compressed answer could be any size.
    "Accept-Encoding": "identity",
    "Connection": "close",
    "User-Agent": "kalshi-pipelines",
}
_ONE_USE: Final = httpx.Limits(max_keepalive_connections=0)
#: What httpx raises before the first byte of a request can leave, given a new connection without a proxy.
_FAILED_BEFORE_SENDING: Final = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.UnsupportedProtocol,
    httpx.LocalProtocolError,
)


class OrderTransport:
    """Writes to one exchange with one key.

    Args:
        account: The account that every request is for; ``url`` must be an address of its environment.
        url: The API's address; never defaulted.
        signer: Of the trade key.
        budget: The account's write tokens.
        answer_seconds: A request whose answer is not complete by then has none.

    Raises:
        EnvironmentMismatch: The address is not one of the environment's.
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
        """Let go of the network."""
        self._http.close()

    @property
    def host(self) -> str:
        """Host and port of the exchange."""
        return urlsplit(self._root).netloc

    @property
    def key_fingerprint(self) -> str:
        """The fingerprint of the trade key."""
        return self._signer.fingerprint

    def take_order_tokens(self) -> bool:
        """Take the write tokens of a new order, if there are enough beside those kept for cancels."""
        return self._budget.spend_on_risk(AllowedWrite.PLACE_ORDER.value.tokens)

    def place(self, permit: SendPermit) -> OrderAnswer:
        """Send the order a permit is for: exactly one request, whatever becomes of it.

        Raises:
            PermitRefused: The permit was used, or is for another host, key or request. Nothing was sent.
        """
        body = permit.sent.request_json.encode()
        permit.consume(host=self.host, key_fingerprint=self.key_fingerprint, body=body)
        return self._send(AllowedWrite.PLACE_ORDER, body=body)

    def create_order_group(self, exchange_index: int, contracts_limit: int) -> OrderAnswer:
        """Make an order group on a shard; ``contracts_limit`` is whole contracts in any 15 seconds.

        Nothing is sent while there are only the write tokens kept for cancels.
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
        """Cancel the orders of a group and refuse new ones, for good: the fence."""
        shard = {"exchange_index": str(exchange_index)}
        return self._reduce(AllowedWrite.TRIGGER_ORDER_GROUP, order_group_id, shard, b"{}")

    def cancel(self, order_id: OrderId, ticker: MarketTicker) -> OrderAnswer:
        """Cancel an order; the ticker leads to its shard."""
        return self._reduce(AllowedWrite.CANCEL_ORDER, order_id, {"market_ticker": str(ticker)})

    def decrease(self, order_id: OrderId, ticker: MarketTicker, reduce_to: Contracts) -> OrderAnswer:
        """Leave no more than ``reduce_to`` of an order; said twice it is the same."""
        body = f'{{"market_ticker":"{ticker}","reduce_to":"{reduce_to}"}}'
        return self._reduce(AllowedWrite.DECREASE_ORDER, order_id, {}, body.encode())

    def cancel_all(self) -> OrderAnswer:
        """Cancel every order of the sub-account on every shard; orders of the minute after may be canceled, too."""
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
        answer = self._send_once(request)
        logger.info("%s %s: %s", method, path, answer.status or answer.failure)
        return answer

    def _send_once(self, request: httpx.Request) -> OrderAnswer:
        received = bytearray()
        with Deadline(self._answer_seconds) as deadline:
            request.extensions["trace"] = deadline
            try:
                response = self._http.send(request, stream=True)
                try:
                    for chunk in response.iter_bytes():
                        received += chunk
                        if len(received) > _MOST_BYTES:
                            return OrderAnswer(
                                response.status_code, failure=SendFailure.LOST, detail="an answer without end"
                            )
                finally:
                    response.close()
            except _FAILED_BEFORE_SENDING as error:
                return OrderAnswer(None, failure=SendFailure.NOT_SENT, detail=_format_error(error))
            except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
                return OrderAnswer(None, failure=SendFailure.LOST, detail=_format_error(error))
        if deadline.is_over:
            return OrderAnswer(response.status_code, failure=SendFailure.LOST, detail="an answer that took too long")
        return OrderAnswer(response.status_code, bytes(received), server_us=_date_us(response.headers.get("Date")))


def _format_error(error: Exception) -> str:
    return printable(f"{type(error).__name__}: {error}".encode())


def _date_us(text: str | None) -> int | None:
    """The instant of a Date header, which has whole seconds: their end. None if it is none a record can hold."""
    try:
        ends = int(email.utils.parsedate_to_datetime(text or "").timestamp()) + 1
    except (ValueError, OverflowError):
        return None
    ends_us = ends * SECOND_US
    return ends_us if 0 <= ends_us <= LARGEST_INTEGER else None
