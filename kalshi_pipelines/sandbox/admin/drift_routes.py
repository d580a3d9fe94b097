"""Admin routes that start and stop drift: changes of the exchange's responses that imitate a changing API."""

from typing import Final

from kalshi_pipelines.sandbox.admin.routes import AdminRequest, AdminRoute
from kalshi_pipelines.sandbox.exchange import Exchange


def list_drift(exchange: Exchange, request: AdminRequest) -> object:
    """List the active drift. Each item tells how many responses it changed and how many it left unchanged."""
    return {"drift": exchange.drift.wire()}


def begin_drift(exchange: Exchange, request: AdminRequest) -> object:
    """Start drift: change the responses of the given ``endpoint`` by the given ``operations``."""
    exchange.drift.begin(request.body)
    return {"began": request.body}


def end_drift(exchange: Exchange, request: AdminRequest) -> object:
    """Stop all drift, so that responses are unchanged again."""
    exchange.drift.end()
    return None


DRIFT_ROUTES: Final = (
    AdminRoute("GET", "/drift", list_drift),
    AdminRoute("POST", "/drift", begin_drift, 201),
    AdminRoute("DELETE", "/drift", end_drift),
)
