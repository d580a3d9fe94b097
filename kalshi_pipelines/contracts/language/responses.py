"""A request to a vendor and the vendor's response: the input of every check."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


@dataclass(frozen=True)
class VendorRequest:
    """The parts of a request that a check needs to judge the response.

    Attributes:
        endpoint: The endpoint of the contract, such as ``GET /markets/{ticker}`` or ``POST api.exa.ai/search``.
        path: The values of the path parameters.
        query: Each query parameter with all its values.
        is_signed: Whether the request was signed with a key.
        sent: The JSON object that a write request sent, to compare the response with.
        expects: The statuses that this request expects instead of those of the contract. A probe with a wrong
            parameter expects 400.
    """

    endpoint: str
    path: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    query: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: _NOTHING)
    is_signed: bool = False
    sent: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    expects: tuple[int, ...] = ()

    def one(self, name: str) -> str | None:
        """Return the first value of a query parameter; ``None`` if the request lacks the parameter."""
        values = self.query.get(name) or ()
        return values[0] if values else None


@dataclass(frozen=True)
class Response:
    """The response to a request, as it was received.

    Attributes:
        request: The request that the vendor answered.
        status: The HTTP status of the first response; redirects must not have been followed.
        headers: The headers by lower-case name.
        body: The body after content decoding, such as unzipping.
        received_us: When the response arrived, in microseconds since 1970 UTC.
        url: The complete address that answered.
        environment: ``sandbox``, ``demo`` or ``prod``.
        is_excerpt: Whether the body holds only some rows of a page, so that their order and number mean nothing.
    """

    request: VendorRequest
    status: int
    headers: Mapping[str, str]
    body: bytes
    received_us: int
    url: str
    environment: str
    is_excerpt: bool = False
