"""What an endpoint is: its method, path, who may call it and which budget pays.

Belongs here: the description of endpoints and of a call to one. Does not belong here: the answers themselves
(``market_endpoints``, ``event_endpoints``, ``exchange_endpoints``), or serving them over HTTP (``app``).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from kalshi_pipelines.sandbox.exchange import Exchange
from kalshi_pipelines.sandbox.pagination import Page, Row, page_of
from kalshi_pipelines.sandbox.validation import Query


@dataclass(frozen=True)
class Call:
    """A request that passed signature and rate limit: path parameters, query, and the key id if it was signed."""

    path: Mapping[str, str]
    query: Query
    caller: str | None


@dataclass(frozen=True)
class Endpoint:
    """One operation of the API. ``operation`` is its operationId in the vendor's OpenAPI document."""

    operation: str
    method: str
    template: str
    answer: Callable[[Exchange, Call], bytes]
    needs_key: bool = False
    budget: str = "read"

    @property
    def name(self) -> str:
        """Method and path template, such as ``GET /markets/{ticker}``."""
        return f"{self.method} {self.template}"


def json_array(parts: Iterable[bytes]) -> bytes:
    """An array of JSON texts."""
    return b"[" + b",".join(parts) + b"]"


def paged(exchange: Exchange, rows: Sequence[Row], cursor: str, limit: int) -> Page[Row]:
    """The page of rows a cursor asks for. A recorded cursor continues with what its recorded pages did not show."""
    shown = None if exchange.replay is None else exchange.replay.shown_before(cursor)
    if shown is None:
        return page_of(rows, cursor, limit)
    return page_of([row for row in rows if row.sort_key[1] not in shown], "", limit)
