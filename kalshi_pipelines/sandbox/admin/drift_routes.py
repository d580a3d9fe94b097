"""Routes that let the exchange's answers drift, and take that back."""

from typing import Final

from kalshi_pipelines.sandbox.admin.routes import AdminRoute, Order
from kalshi_pipelines.sandbox.exchange import Exchange


def list_drift(exchange: Exchange, order: Order) -> object:
    """The drift that is on, with the number of answers it changed."""
    return {"drift": exchange.drift.shown()}


def begin_drift(exchange: Exchange, order: Order) -> object:
    """Let the answers of an ``endpoint`` drift by ``operations``."""
    exchange.drift.begin(order.body)
    return {"began": order.body}


def end_drift(exchange: Exchange, order: Order) -> object:
    """Answer as before."""
    exchange.drift.end()
    return None


DRIFT_ROUTES: Final = (
    AdminRoute("GET", "/drift", list_drift),
    AdminRoute("POST", "/drift", begin_drift, 201),
    AdminRoute("DELETE", "/drift", end_drift),
)
