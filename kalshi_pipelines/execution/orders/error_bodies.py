"""Recognition of the exchange's own JSON answers. Only they prove what the exchange did with a request.

A proxy, a CDN or a captive portal can answer in the exchange's place with any status. Such an answer says nothing about
the request, which the exchange may have received. Sources of the JSON formats are recordings of the demo exchange (June
2026), docs.kalshi.com "Order errors", and the schema ``ErrorResponse`` of OpenAPI 3.34.0.
"""

import json
from typing import Any, Final

#: The greatest length of an error body that is recognised. Recorded error bodies have at most a few hundred bytes.
MOST_ERROR_BYTES: Final = 10_000
_REQUIRED: Final = frozenset({"code", "message"})
#: ``service`` was removed from the vendor's errors on 6 August 2026. Recorded errors still have it.
_OPTIONAL: Final = frozenset({"details", "service"})
#: The beginnings of the messages of a parameter that is missing, unreadable or out of bounds.
_VALIDATION_MESSAGES: Final = ("Parameter validation failed for ", "Invalid format for parameter ")


def is_error_body(body: bytes, content_type: str) -> bool:
    """Return whether a body is an error in one of the exchange's documented JSON formats.

    The formats are ``{"error": {"code", "message"}}``, ``{"code", "message"}`` and ``{"msg"}`` of a failed validation.
    ``details`` may be added to the first two. The body ``{"error": "too many requests"}`` of a rate limit is not among
    the formats, because the rate limiter in front of the exchange sends it.
    """
    if len(body) > MOST_ERROR_BYTES:
        return False
    document = json_object(body, content_type)
    if document is None:
        return False
    if document.keys() == {"msg"}:
        return isinstance(document["msg"], str) and document["msg"].startswith(_VALIDATION_MESSAGES)
    error = document["error"] if document.keys() == {"error"} else document
    return isinstance(error, dict) and _has_code_and_message(error)


def json_object(body: bytes, content_type: str) -> dict[str, Any] | None:
    """Return the JSON object of an answer, or None if the answer is anything else.

    An object with a repeated key is not accepted, because readers differ about its meaning.
    """
    if content_type.partition(";")[0].strip().lower() != "application/json":
        return None
    try:
        document = json.loads(body.decode("utf-8"), object_pairs_hook=_distinct)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _has_code_and_message(error: dict[str, Any]) -> bool:
    texts = [error[name] for name in error if name in _REQUIRED]
    return (
        error.keys() >= _REQUIRED
        and error.keys() <= _REQUIRED | _OPTIONAL
        and all(isinstance(text, str) and text.strip() for text in texts)
        and all(isinstance(error[name], str | None) for name in error.keys() & _OPTIONAL)
    )


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is repeated")
    return found
