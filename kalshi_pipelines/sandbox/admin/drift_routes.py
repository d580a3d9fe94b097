"""Routes that let the exchange's answers drift, and take that back."""

from typing import Final

from kalshi_pipelines.sandbox.admin.routes import AdminRequest, AdminRoute
from kalshi_pipelines.sandbox.exchange import Exchange


def list_drift(exchange: Exchange, request: AdminRequest) -> object:
    """The drift that is on, with the number of answers it changed."""
    return {"drift": exchange.drift.wire()}


def begin_drift(exchange: Exchange, request: AdminRequest) -> object:
    """Let the answers of an ``endpoint`` drift by ``operations``."""
    exchange.drift.begin(request.body)
    return {"began": request.body}


def end_drift(exchange: Exchange, request: AdminRequest) -> object:
    """Answer as before."""
    exchange.drift.end()
    return None


DRIFT_ROUTES: Final = (
    AdminRoute("GET", "/drift", list_drift),
    AdminRoute("POST", "/drift", begin_drift, 201),
    AdminRoute("DELETE", "/drift", end_drift),
)
