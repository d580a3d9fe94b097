"""What was asked of a vendor, and what it answered: the input of every check."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


@dataclass(frozen=True)
class VendorRequest:
    """A request, as far as an answer can be judged by it.

    Attributes:
        endpoint: The contract it belongs to: ``GET /markets/{ticker}``, ``POST api.exa.ai/search``.
        path: The values of the path's parameters.
        query: The query's parameters, each with every value it was given.
        is_signed: Whether a key signed it.
        sent: The JSON object a write sent, so that its answer can be compared with it.
        expects: The statuses this request should be answered with, where they are not the contract's: a probe with a
            wrong parameter expects 400.
    """

    endpoint: str
    path: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    query: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: _NOTHING)
    is_signed: bool = False
    sent: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    expects: tuple[int, ...] = ()

    def one(self, name: str) -> str | None:
        """The first value of a query parameter, ``None`` if it was not asked for."""
        values = self.query.get(name) or ()
        return values[0] if values else None


@dataclass(frozen=True)
class Response:
    """An answer as it was received.

    Attributes:
        request: What it answers.
        status: The HTTP status; redirects must not have been followed.
        headers: By lower-case name.
        body: As received, after content decoding.
        received_us: When, in microseconds since 1970 UTC.
        url: The whole address that answered.
        environment: ``sandbox``, ``demo`` or ``prod``.
        is_excerpt: The body is some rows of an answer: order, cursor and how many there are say nothing.
    """

    request: VendorRequest
    status: int
    headers: Mapping[str, str]
    body: bytes
    received_us: int
    url: str
    environment: str
    is_excerpt: bool = False
