"""Description of an endpoint: its method, its path, the required key, and the token budget that pays.

Belongs here: the types of an endpoint and of a call to an endpoint. Does not belong here: the responses
(``market_endpoints``, ``order_endpoints`` and others), and serving over HTTP (``app``).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from kalshi_pipelines.sandbox.access.rate_limits import TokenCharge
from kalshi_pipelines.sandbox.api.validation import Query
from kalshi_pipelines.sandbox.errors import forbidden
from kalshi_pipelines.sandbox.exchange import Exchange
from kalshi_pipelines.sandbox.faults.plan import Fault
from kalshi_pipelines.sandbox.pagination import Row, RowPage, page_of
from kalshi_pipelines.sandbox.trading.records import ApiKey


@dataclass(frozen=True)
class Call:
    """A request that passed the checks of signature and scope.

    ``key`` is None for an unsigned request. ``now_us`` is the instant at which the exchange handles the request.
    Responses and commands use this instant instead of the clock. A delayed request is handled at its due time, which
    may be before the clock's time. ``faults`` are the injected faults that affect the request.
    """

    path: Mapping[str, str]
    query: Query
    caller: str | None
    body: bytes = b""
    key: ApiKey | None = None
    now_us: int = 0
    content_type: str = ""
    faults: Sequence[Fault] = ()

    @property
    def member(self) -> str:
        """The member of the exchange that sent the request. Raises ``ValueError`` for an anonymous request."""
        if self.key is None:
            raise ValueError("an anonymous call has no member")
        return self.key.member

    def subaccount(self, asked: int | None, default: int | None = 0) -> int | None:
        """Return the sub-account that a request names.

        Without one, return the sub-account that its key is locked to, or the default.

        Raises:
            ErrorResponse: 403 if the request names a sub-account other than the one that its key is locked to.
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
        answer: Function that builds the body of a successful response.
        success: HTTP status of a successful response. A response with status 204 has no body.
        needs_key: Whether anonymous callers are refused.
        scope: The scope that the key must have, such as ``read`` or ``write::trade``.
        for_locked_keys: Whether a key that is locked to a sub-account may call the endpoint.
        budget: The token budget that pays the endpoint's cost.
        charges: Function that returns the budgets and token costs of a call (see ``api.charges``). If given, ``budget``
            is not used. None if all calls have the same price.
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
        """Method and path template of the endpoint, such as ``GET /markets/{ticker}``."""
        return f"{self.method} {self.template}"

    def price(self, cost: int, call: Call) -> Sequence[TokenCharge]:
        """Return the token charges for a call to this endpoint, whose base cost is ``cost`` tokens."""
        return (TokenCharge(self.budget, cost),) if self.charges is None else self.charges(cost, call)


def json_array(parts: Iterable[bytes]) -> bytes:
    """Return a JSON array whose elements are the given JSON texts."""
    return b"[" + b",".join(parts) + b"]"


def paged(exchange: Exchange, rows: Sequence[Row], cursor: str, limit: int) -> RowPage[Row]:
    """Return the page of rows after a cursor.

    A cursor may come from a recorded page, which the sandbox has replayed. Then the returned page contains only rows
    that are neither on that recorded page nor on the recorded pages before it.
    """
    shown = None if exchange.replay is None else exchange.replay.shown_before(cursor)
    if shown is None:
        return page_of(rows, cursor, limit)
    return page_of([row for row in rows if row.sort_key[1] not in shown], "", limit)
