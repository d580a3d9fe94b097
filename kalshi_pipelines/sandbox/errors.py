"""Error bodies that the exchange sends, in all known JSON shapes.

Belongs here: the JSON format of a refusal. Does not belong here: the decision to refuse. Sources of the shapes:
recordings of June 2026 (demo), and the vendor's rate-limit page.
"""

import orjson

from kalshi_pipelines.sandbox.trading.commands import RequestRefused


class ErrorResponse(Exception):
    """The exchange refuses a request with an HTTP status and a body."""

    def __init__(self, status: int, body: dict[str, object]) -> None:
        super().__init__(f"HTTP {status}: {body}")
        self.status = status
        self.content = orjson.dumps(body)


def nested(status: int, code: str, message: str, details: str | None = None) -> ErrorResponse:
    """Return a response whose JSON body holds the error object under the key ``error``.

    Business and authentication errors have this shape.
    """
    error = {"code": code, "message": message}
    if details is not None:
        error["details"] = details
    return ErrorResponse(status, {"error": error})


def bad_request(details: str) -> ErrorResponse:
    """Return the HTTP 400 for a combination of parameters that the exchange does not allow."""
    return nested(400, "bad_request", "bad request", details)


def not_found() -> ErrorResponse:
    """Return the HTTP 404 for a ticker or identifier that does not exist, or no longer exists."""
    return nested(404, "not_found", "not found")


def refusal(refused: RequestRefused) -> ErrorResponse:
    """Return the error for a refused trading request, in the recorded JSON shape.

    The error contains the refusal code, a message, and any details. The message is the code with spaces instead of
    underscores.
    """
    return nested(refused.status, refused.code, refused.code.replace("_", " "), refused.details)


def forbidden(details: str) -> ErrorResponse:
    """Return the HTTP 403 for a key that lacks permission.

    Neither documentation nor recordings confirm the code ``forbidden``.
    """
    return nested(403, "forbidden", "forbidden", details)


def failed_validation(operation: str, field: str, tag: str) -> ErrorResponse:
    """Return the HTTP 400 for a parameter out of bounds.

    An example: ``operation`` is ``GetMarkets``, ``field`` is ``Limit``, and ``tag`` (the broken rule) is ``lte``.
    """
    reason = f"Key: '{operation}Params.{field}' Error:Field validation for '{field}' failed on the '{tag}' tag"
    return ErrorResponse(400, {"msg": f"Parameter validation failed for {operation}: {reason}"})


def unreadable_parameter(name: str, value: str, expected: str) -> ErrorResponse:
    """Return the HTTP 400 for a parameter that cannot be converted to its type."""
    return ErrorResponse(400, {"msg": f"Invalid format for parameter {name}: {value!r} is not {expected}"})


def too_many_requests() -> ErrorResponse:
    """Return the HTTP 429 for an empty token bucket. The exchange sends no Retry-After header."""
    return ErrorResponse(429, {"error": "too many requests"})
