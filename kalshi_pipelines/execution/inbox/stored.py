"""Proposals as the inbox stores them, read back as orders."""

from collections.abc import Mapping
from typing import Any, Final

from kalshi_pipelines.execution.orders.columns import from_columns
from kalshi_pipelines.execution.orders.proposals import ProposedOrder
from kalshi_pipelines.execution.orders.signal_text import is_normal

#: Columns of a proposal that identify its order.
_IDENTITY: Final = ("strategy", "strategy_version", "partition", "signal", "leg", "actor_name")


def stored_order(row: Mapping[Any, Any]) -> ProposedOrder:
    """Return the order that a row of the inbox describes.

    Raises:
        ValueError, OverflowError: No order has such terms, or a text that identifies the order is not in the normal
            form. Only another program can have written such a row.
    """
    order = from_columns(ProposedOrder, row)
    odd = [name for name in _IDENTITY if not is_normal(row[name])]
    if odd:
        raise ValueError(f"{', '.join(odd)}: not in the normal form that the inbox stores")
    return order
