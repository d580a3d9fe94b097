"""What an endpoint is: its method, path, who may call it and which budget pays.

Belongs here: the description of endpoints and of a call to one. Does not belong here: the answers themselves
(``market_endpoints``, ``order_endpoints`` and the like), or serving them over HTTP (``app``).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from kalshi_pipelines.sandbox.access.rate_limits import TokenCharge
from kalshi_pipelines.sandbox.api.validation import Query
from kalshi_pipelines.sandbox.errors import forbidden
from kalshi_pipelines.sandbox.exchange import Exchange
from kalshi_pipelines.sandbox.pagination import Row, RowPage, page_of
from kalshi_pipelines.sandbox.trading.records import ApiKey


@dataclass(frozen=True)
class Call:
    """A request that passed signature and scope: path parameters, query, body, and the key if it was signed.

    ``now_us`` is the instant the exchange handles it at: answers and commands go by it, not by the clock, because a
    delayed request is handled at an instant that may already be past.
    """

    path: Mapping[str, str]
    query: Query
    caller: str | None
    body: bytes = b""
    key: ApiKey | None = None
    now_us: int = 0
    content_type: str = ""

    @property
    def member(self) -> str:
        """Who asks, on an endpoint that needs a key."""
        if self.key is None:
            raise ValueError("an anonymous call has no member")
        return self.key.member

    def subaccount(self, asked: int | None, default: int | None = 0) -> int | None:
        """The sub-account a request is about: the one it names, or the default, or the one its key is locked to.

        Raises:
            ApiError: 403 if the key is locked to another sub-account than the one named.
        """
        locked = None if self.key is None else self.key.subaccount
        if locked is None:
            return default if asked is None else asked
        if asked not in (None, locked):
            raise forbidden("api key is restricted to another subaccount")
        return locked


@dataclass(frozen=True)
class Endpoint:
    """One operation of the API. ``operation`` is its operationId in the vendor's OpenAPI document.

    Attributes:
        answer: Makes the body of a good answer.
        success: The status of a good answer; with 204 the body is not sent.
        needs_key: Whether anonymous callers are refused.
        scope: What the key must be allowed to do, such as ``read`` or ``write::trade``.
        for_locked_keys: Whether a key that is locked to a sub-account may call it.
        budget: The bucket that pays the endpoint's cost.
        charges: What to pay instead, where it depends on the call; see ``charges``.
    """

    operation: str
    method: str
    template: str
    answer: Callable[[Exchange, Call], bytes]
    needs_key: bool = False
    budget: str = "read"
    success: int = 200
    scope: str | None = None
    for_locked_keys: bool = True
    charges: Callable[[int, Call], Sequence[TokenCharge]] | None = None

    @property
    def name(self) -> str:
        """Method and path template, such as ``GET /markets/{ticker}``."""
        return f"{self.method} {self.template}"

    def price(self, cost: int, call: Call) -> Sequence[TokenCharge]:
        """What a call pays, given the tokens the endpoint costs."""
        return (TokenCharge(self.budget, cost),) if self.charges is None else self.charges(cost, call)


def json_array(parts: Iterable[bytes]) -> bytes:
    """An array of JSON texts."""
    return b"[" + b",".join(parts) + b"]"


def paged(exchange: Exchange, rows: Sequence[Row], cursor: str, limit: int) -> RowPage[Row]:
    """The page of rows a cursor asks for. A recorded cursor continues with what its recorded pages did not show."""
    shown = None if exchange.replay is None else exchange.replay.shown_before(cursor)
    if shown is None:
        return page_of(rows, cursor, limit)
    return page_of([row for row in rows if row.sort_key[1] not in shown], "", limit)
