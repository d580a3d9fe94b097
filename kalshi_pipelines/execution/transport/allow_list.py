"""The writes that this program can make. The vendor's API has 38 writes, and no other one can be reached.

Four kinds are left out on purpose:

- amend, because it can raise risk;
- batches, because a success may hide failures;
- ``reset`` of an order group, because it would lift a fence;
- RFQs, quotes, block trades, transfers, sub-accounts and API keys, because trading does not need them.
"""

from dataclasses import dataclass
from enum import Enum

from kalshi_pipelines.execution.orders.terms import OrderId


class WriteNotAllowed(Exception):
    """A request that is not one of the allowed writes. It was not sent."""


@dataclass(frozen=True, slots=True)
class Route:
    """The method, the path below the API root and the cost in write tokens of a request (OpenAPI 3.34.0)."""

    method: str
    path: str
    tokens: int


class AllowedWrite(Enum):
    """The allowed writes. All except ``PLACE_ORDER`` and ``CREATE_ORDER_GROUP`` reduce risk."""

    PLACE_ORDER = Route("POST", "/portfolio/events/orders", 10)
    CREATE_ORDER_GROUP = Route("POST", "/portfolio/order_groups/create", 10)
    TRIGGER_ORDER_GROUP = Route("PUT", "/portfolio/order_groups/{id}/trigger", 10)
    CANCEL_ORDER = Route("DELETE", "/portfolio/events/orders/{id}", 2)
    DECREASE_ORDER = Route("POST", "/portfolio/events/orders/{id}/decrease", 10)
    CANCEL_ALL_ORDERS = Route("DELETE", "/portfolio/events/orders", 2)

    def path(self, identifier: OrderId | None = None) -> str:
        """Return the path below the API root.

        Raises:
            WriteNotAllowed: A needed id is missing, or an id is given to a write that has none. Without its id, a
                cancel would cancel all orders.
        """
        template = self.value.path
        if ("{id}" in template) != isinstance(identifier, OrderId):
            needed = "needs the id of an order or order group" if "{id}" in template else "takes no id"
            raise WriteNotAllowed(f"{self.name} {needed}")
        return template.replace("{id}", str(identifier))
