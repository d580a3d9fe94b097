"""Every write this program can make, and no other. The vendor's API has 38; what is not here can not be reached.

Not here on purpose: amend (it can raise risk), batches (a success may hide failures), ``reset`` of an order group (it
would lift a fence), RFQs, quotes, block trades, transfers, sub-accounts, API keys.
"""

from dataclasses import dataclass
from enum import Enum

from kalshi_pipelines.execution.orders.terms import OrderId


class WriteNotAllowed(Exception):
    """A request that is none of the allowed writes; it was not sent."""


@dataclass(frozen=True, slots=True)
class Route:
    """A method, a path below the API root, and what it costs of the account's write tokens (OpenAPI 3.34.0)."""

    method: str
    path: str
    tokens: int


class AllowedWrite(Enum):
    """The allowed writes. Only ``PLACE_ORDER`` and ``CREATE_ORDER_GROUP`` are not reductions of risk."""

    PLACE_ORDER = Route("POST", "/portfolio/events/orders", 10)
    CREATE_ORDER_GROUP = Route("POST", "/portfolio/order_groups/create", 10)
    TRIGGER_ORDER_GROUP = Route("PUT", "/portfolio/order_groups/{id}/trigger", 10)
    CANCEL_ORDER = Route("DELETE", "/portfolio/events/orders/{id}", 2)
    DECREASE_ORDER = Route("POST", "/portfolio/events/orders/{id}/decrease", 10)
    CANCEL_ALL_ORDERS = Route("DELETE", "/portfolio/events/orders", 2)

    def path(self, identifier: OrderId | None = None) -> str:
        """The path below the API root.

        Raises:
            WriteNotAllowed: An id is missing, or given where none belongs. Without its id a cancel would be cancel-all.
        """
        template = self.value.path
        if ("{id}" in template) != isinstance(identifier, OrderId):
            raise WriteNotAllowed(f"{self.name} is {'of one' if '{id}' in template else 'not of one'} order or group")
        return template.replace("{id}", str(identifier))
