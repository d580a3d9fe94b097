"""What can go wrong between this program and the exchange, each as one sentence with its remedy.

Messages and attributes never hold request headers, key material or signatures. Errors of the database or of stored
data do not belong here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from kalshi_pipelines.errors import ExpectedError

QueryParams = Sequence[tuple[str, str]]

_MOST_TEXT: Final = 300


class KalshiError(ExpectedError):
    """Anything this room reports: what was wrong, during which work (``where``, if known), and what to do next."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(problem, remedy)
        self.where = ""

    def __str__(self) -> str:
        return " ".join(part for part in (self.problem, self.where, self.remedy) if part)


class EnvironmentMismatch(KalshiError):
    """An address that does not belong to the configured environment."""


class UnusableKey(KalshiError):
    """The API key's private key file can not be used to sign."""


class InvalidRequest(KalshiError):
    """A request the exchange is known to refuse; it was not sent."""


class RateBudgetExceeded(KalshiError):
    """Waiting for the rate budget would take longer than allowed."""

    is_retryable = True


class TransportFailed(KalshiError):
    """No complete answer arrived: connection refused, cut off or too slow."""

    is_retryable = True


class AbsurdAnswer(TransportFailed):
    """An answer that is longer, or takes longer, than any the API gives: it was cut off."""


class MalformedResponse(KalshiError):
    """An answer arrived that is not the JSON document the endpoint promises."""


class PaginationStuck(KalshiError):
    """A walk over pages does not get on: the exchange repeats itself or never ends."""


class UnreadableBody(ExpectedError, ValueError):
    """A response body that can not be decoded; the transport fetches it again before it becomes MalformedResponse."""


@dataclass(frozen=True)
class RequestLine:
    """Which request was sent: everything about it that is safe to print."""

    path: str
    params: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        query = "&".join(f"{name}={value}" for name, value in self.params)
        return f"GET {self.path}" + (f"?{printable(query)}" if query else "")


@dataclass(frozen=True)
class VendorError:
    """What an error body says; parts the body does not have are ``None``."""

    code: str | None = None
    message: str | None = None
    details: str | None = None

    def __str__(self) -> str:
        said: dict[str, None] = dict.fromkeys(part for part in (self.code, self.message, self.details) if part)
        return ": ".join(said) or "no explanation"


class ApiError(KalshiError):
    """The exchange answered with an error status.

    Attributes:
        request: What was asked.
        status: The HTTP status.
        code, message, details: What the body says, made safe to print.
        attempts: How many times it was asked.
    """

    _remedy = "The request itself was refused, so asking again will not help: report it as a defect of this package."

    def __init__(self, request: RequestLine, status: int, vendor: VendorError, attempts: int = 1) -> None:
        times = "" if attempts == 1 else f" after {attempts} attempts"
        super().__init__(f"{request} was answered {status} ({vendor}){times}.", self._remedy)
        self.args = (request, status, vendor, attempts)
        self.request = request
        self.status = status
        self.code = vendor.code
        self.message = vendor.message
        self.details = vendor.details
        self.attempts = attempts

    def has_code(self, code: str) -> bool:
        """Whether the body carries this code; the exchange appends suffixes such as ``user_not_found:_<uuid>``."""
        return self.code is not None and self.code.partition(":")[0] == code


class Redirected(ApiError):
    """3xx: the address is not the API's own."""

    _remedy = "Redirects are never followed: check the configured address."


class Unauthorized(ApiError):
    """401: the signature, key id or timestamp was refused."""

    _remedy = (
        "Check that KALSHI_API_KEY_ID and KALSHI_PRIVATE_KEY_FILE belong together and to this environment, "
        "and that this computer's clock is right."
    )


class Forbidden(ApiError):
    """403: the key's scopes do not include this read."""

    _remedy = "Use an API key with the read scope that is not locked to other sub-accounts."


class NotFound(ApiError):
    """404: unknown ticker, or one that moved to the historical endpoints."""

    _remedy = "Check the ticker; settled markets move to /historical/markets after the historical cutoff."


class RateLimited(ApiError):
    """429: the exchange's own token bucket was empty."""

    is_retryable = True

    _remedy = "Let every program that uses this key share one warehouse, or set KALSHI_RATE_TIER to the key's tier."


class ServerError(ApiError):
    """5xx: the exchange or its gateway failed."""

    is_retryable = True

    _remedy = "Run again later; the exchange pauses on Thursdays from 03:00 to 05:00 New York time."


_BY_STATUS: Final[dict[int, type[ApiError]]] = {401: Unauthorized, 403: Forbidden, 404: NotFound, 429: RateLimited}
_BY_HUNDRED: Final[dict[int, type[ApiError]]] = {3: Redirected, 5: ServerError}


def api_error(request: RequestLine, status: int, body: bytes, attempts: int) -> ApiError:
    """The error that fits an answer with a status other than 200."""
    kind = _BY_STATUS.get(status) or _BY_HUNDRED.get(status // 100, ApiError)
    return kind(request, status, parse_error_body(body), attempts)


def parse_error_body(body: bytes) -> VendorError:
    """What an error body says, whichever of the exchange's shapes it has.

    Recorded shapes: ``{"error": {code, message, details?}}``, ``{code, message, details?}``, ``{"msg": ...}``,
    ``{"error": "too many requests"}``, and anything else (HTML of a gateway, nothing), which is kept as a short text.
    """
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        document = None
    if not isinstance(document, dict):
        return VendorError(message=_text(body.decode(errors="replace")))
    error = document.get("error", document)
    if not isinstance(error, dict):
        return VendorError(message=_text(error))
    vendor = VendorError(
        code=_text(error.get("code")),
        message=_text(error.get("message", document.get("msg"))),
        details=_text(error.get("details")),
    )
    return vendor if vendor != VendorError() else VendorError(message=_text(body.decode(errors="replace")))


def printable(text: str) -> str:
    """Text on one line, without control characters, of bounded length."""
    shown = "".join(character if character.isprintable() else " " for character in text[: _MOST_TEXT + 1])
    return shown if len(shown) <= _MOST_TEXT else shown[:_MOST_TEXT] + "..."


def _text(value: Any) -> str | None:  # noqa: ANN401
    return None if value is None else printable(str(value)).strip() or None
