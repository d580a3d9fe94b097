"""A helper that makes the response of an endpoint for a test."""

import json
from typing import Any, Final

from kalshi_pipelines.contracts.language.responses import Response, VendorRequest

AT: Final = 1_795_348_800_000_000  # Sunday 2026-11-22T12:00:00Z


def answer(body: Any, endpoint: str = "GET /account/endpoint_costs", status: int = 200, **options: Any) -> Response:
    """Return a response with a body, or with a value encoded as JSON."""
    given: dict[str, Any] = {
        "headers": {},
        "received_us": AT,
        "url": "http://127.0.0.1/trade-api/v2",
        "environment": "sandbox",
    }
    request = options.pop("request", {})
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Response(request=VendorRequest(endpoint, **request), status=status, body=raw, **(given | options))
