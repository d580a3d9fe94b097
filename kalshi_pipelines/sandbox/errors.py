"""The error bodies of the exchange, in each of the shapes it is known to use.

Belongs here: what a refusal looks like on the wire. Deciding to refuse belongs to the room that checks.
Source of the shapes: recordings of June 2026 (demo) and the rate-limit page of the vendor.
"""

import orjson

from kalshi_pipelines.sandbox.trading.commands import RequestRefused


class ErrorResponse(Exception):
    """A request the exchange refuses: an HTTP status and the body that goes with it."""

    def __init__(self, status: int, body: dict[str, object]) -> None:
        super().__init__(f"HTTP {status}: {body}")
        self.status = status
        self.content = orjson.dumps(body)


def nested(status: int, code: str, message: str, details: str | None = None) -> ErrorResponse:
    """An error object under ``error``: business and authentication errors."""
    error = {"code": code, "message": message}
    if details is not None:
        error["details"] = details
    return ErrorResponse(status, {"error": error})


def bad_request(details: str) -> ErrorResponse:
    """HTTP 400 for a combination of parameters the exchange does not allow."""
    return nested(400, "bad_request", "bad request", details)


def not_found() -> ErrorResponse:
    """HTTP 404 for a ticker the exchange does not know (any more)."""
    return nested(404, "not_found", "not found")


def refusal(refused: RequestRefused) -> ErrorResponse:
    """What the trading side refused, as recorded: the code, the same in words, and details if there are any."""
    return nested(refused.status, refused.code, refused.code.replace("_", " "), refused.details)


def forbidden(details: str) -> ErrorResponse:
    """HTTP 403 for a key that may not do this. The code is not documented and not recorded."""
    return nested(403, "forbidden", "forbidden", details)


def failed_validation(operation: str, field: str, tag: str) -> ErrorResponse:
    """HTTP 400 for one parameter out of its bounds, e.g. ``GetMarkets``, ``Limit``, ``lte``."""
    reason = f"Key: '{operation}Params.{field}' Error:Field validation for '{field}' failed on the '{tag}' tag"
    return ErrorResponse(400, {"msg": f"Parameter validation failed for {operation}: {reason}"})


def unreadable_parameter(name: str, value: str, expected: str) -> ErrorResponse:
    """HTTP 400 for a parameter whose text is not of its type."""
    return ErrorResponse(400, {"msg": f"Invalid format for parameter {name}: {value!r} is not {expected}"})


def too_many_requests() -> ErrorResponse:
    """HTTP 429: the token bucket is empty. The exchange sends no Retry-After."""
    return ErrorResponse(429, {"error": "too many requests"})
