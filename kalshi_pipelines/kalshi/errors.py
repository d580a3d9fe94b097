"""Errors of requests to the exchange. Each error names the problem and the remedy.

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
    """An error of the client; ``where`` names the page or request during which it happened, if known."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(problem, remedy)
        self.where = ""

    def __str__(self) -> str:
        return " ".join(part for part in (self.problem, self.where, self.remedy) if part)


class EnvironmentMismatch(KalshiError):
    """An address that does not belong to the configured environment."""


class UnusableKey(KalshiError):
    """A private key file or key id that cannot be used to sign requests."""


class InvalidRequest(KalshiError):
    """A request that was not sent because the exchange is known to refuse it."""


class RateBudgetExceeded(KalshiError):
    """Waiting for the rate budget would take longer than allowed."""

    is_retryable = True


class TransportFailed(KalshiError):
    """No complete response arrived: the connection was refused, cut off or too slow."""

    is_retryable = True


class AbsurdAnswer(TransportFailed):
    """A response that was cut off because it was longer, or took longer, than any genuine response of the API."""


class MalformedResponse(KalshiError):
    """A response that is not the JSON document that the endpoint promises."""


class PaginationStuck(KalshiError):
    """A list that cannot be read to its end, because the exchange repeats pages or sends pages without end."""


class UnreadableBody(ExpectedError, ValueError):
    """A response body that cannot be decoded. The transport retries the request before it raises MalformedResponse."""


@dataclass(frozen=True)
class RequestLine:
    """The parts of a request that are safe to print."""

    path: str
    params: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        query = "&".join(f"{name}={value}" for name, value in self.params)
        return f"GET {self.path}" + (f"?{printable(query)}" if query else "")


@dataclass(frozen=True)
class VendorError:
    """The contents of an error body; None for parts that the body lacks."""

    code: str | None = None
    message: str | None = None
    details: str | None = None

    def __str__(self) -> str:
        said: dict[str, None] = dict.fromkeys(part for part in (self.code, self.message, self.details) if part)
        return ": ".join(said) or "no explanation"


class ApiError(KalshiError):
    """A response with an error status.

    Attributes:
        request: The request that was sent.
        status: The HTTP status.
        code, message, details: The contents of the error body, made safe to print.
        attempts: The number of attempts so far.
    """

    _remedy = "A retry does not help, because the request itself was refused. Report it as a defect of this package."

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
        """Return whether the error has this code. The exchange may append a suffix: ``user_not_found:_<uuid>``."""
        return self.code is not None and self.code.partition(":")[0] == code


class Redirected(ApiError):
    """Status 3xx: the exchange redirected the request, and redirects are never followed."""

    _remedy = "Redirects are never followed. Check the configured address."


class Unauthorized(ApiError):
    """Status 401: the exchange refused the signature, the key id or the timestamp."""

    _remedy = (
        "Check that KALSHI_API_KEY_ID and KALSHI_PRIVATE_KEY_FILE belong together and to this environment, "
        "and that this computer's clock is right."
    )


class Forbidden(ApiError):
    """Status 403: the scopes of the API key do not include this read."""

    _remedy = "Use an API key with the read scope that is not locked to other sub-accounts."


class NotFound(ApiError):
    """Status 404: the ticker is unknown, or its record moved to the historical endpoints."""

    _remedy = "Check the ticker. Settled markets move to /historical/markets after the historical cutoff."


class RateLimited(ApiError):
    """Status 429: the exchange's token bucket for this API key was empty."""

    is_retryable = True

    _remedy = "Let all programs that use this key share one warehouse, or set KALSHI_RATE_TIER to its usage level."


class ServerError(ApiError):
    """Status 5xx: the exchange or its gateway failed."""

    is_retryable = True

    _remedy = "Run again later. The exchange pauses on Thursdays from 03:00 to 05:00 New York time."


_BY_STATUS: Final[dict[int, type[ApiError]]] = {401: Unauthorized, 403: Forbidden, 404: NotFound, 429: RateLimited}
_BY_HUNDRED: Final[dict[int, type[ApiError]]] = {3: Redirected, 5: ServerError}


def api_error(request: RequestLine, status: int, body: bytes, attempts: int) -> ApiError:
    """Return the error that fits a response with a status other than 200."""
    kind = _BY_STATUS.get(status) or _BY_HUNDRED.get(status // 100, ApiError)
    return kind(request, status, parse_error_body(body), attempts)


def parse_error_body(body: bytes) -> VendorError:
    """Return the contents of an error body in any of the exchange's formats.

    Recorded formats: ``{"error": {code, message, details?}}``, ``{code, message, details?}``, ``{"msg": ...}`` and
    ``{"error": "too many requests"}``. Any other body, such as the HTML page of a gateway, becomes a short text.
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
    """Return the text on one line, without control characters, and truncated to 300 characters."""
    shown = "".join(character if character.isprintable() else " " for character in text[: _MOST_TEXT + 1])
    return shown if len(shown) <= _MOST_TEXT else shown[:_MOST_TEXT] + "..."


def _text(value: Any) -> str | None:  # noqa: ANN401
    return None if value is None else printable(str(value)).strip() or None
