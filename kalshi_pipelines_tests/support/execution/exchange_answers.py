"""Answers of the exchange to writes, in its documented formats."""

import json
from typing import Final

from kalshi_pipelines.execution.orders.answers import OrderAnswer

JSON: Final = "application/json"


def confirmed(server_us: int | None = None) -> OrderAnswer:
    """Return the confirmation of a cancel or of a trigger of an order group."""
    return OrderAnswer(200, b"{}", server_us=server_us, content_type=JSON)


def refusal(status: int, code: str) -> OrderAnswer:
    """Return a documented refusal with this status and error code."""
    body = {"error": {"code": code, "message": code.replace("_", " ")}}
    return OrderAnswer(status, json.dumps(body).encode(), content_type=JSON)
