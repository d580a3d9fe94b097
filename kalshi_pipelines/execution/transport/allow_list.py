"""The writes to the exchange that this program can make.

The exchange's API has 38 writes. This program can make only those in ``AllowedWrite``. Four kinds of write are left out
on purpose:

- amend, because it can raise risk;
- batches, because a successful answer may hide that some orders failed;
- ``reset`` of an order group, because it would lift a fence;
- RFQs, quotes, block trades, transfers, sub-accounts and API keys, because trading does not need them.
"""

from dataclasses import dataclass
from enum import Enum

from kalshi_pipelines.execution.orders.terms import OrderId


class WriteNotAllowed(Exception):
    """A request is not one of the allowed writes, so it was not sent."""


@dataclass(frozen=True, slots=True)
class Route:
    """The route of a write: its method, its path below the API root and its cost in write tokens (OpenAPI 3.34.0)."""

    method: str
    path: str
    tokens: int


class AllowedWrite(Enum):
    """The writes that this program may send. All except ``PLACE_ORDER`` and ``CREATE_ORDER_GROUP`` reduce risk."""

    PLACE_ORDER = Route("POST", "/portfolio/events/orders", 10)
    CREATE_ORDER_GROUP = Route("POST", "/portfolio/order_groups/create", 10)
    TRIGGER_ORDER_GROUP = Route("PUT", "/portfolio/order_groups/{id}/trigger", 10)
    CANCEL_ORDER = Route("DELETE", "/portfolio/events/orders/{id}", 2)
    DECREASE_ORDER = Route("POST", "/portfolio/events/orders/{id}/decrease", 10)
    CANCEL_ALL_ORDERS = Route("DELETE", "/portfolio/events/orders", 2)

    def path(self, identifier: OrderId | None = None) -> str:
        """Return the path of a write below the API root, with its id filled in.

        Raises:
            WriteNotAllowed: The write needs an id and none is given, or the write takes no id and one is given. Without
                an id, the request to cancel one order would cancel all orders.
        """
        template = self.value.path
        if ("{id}" in template) != isinstance(identifier, OrderId):
            needed = "needs the id of an order or order group" if "{id}" in template else "takes no id"
            raise WriteNotAllowed(f"{self.name} {needed}")
        return template.replace("{id}", str(identifier))
