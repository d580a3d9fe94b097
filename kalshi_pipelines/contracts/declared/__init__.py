"""The contracts: one module a part of a vendor."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from kalshi_pipelines.contracts.declared.exchange import EXCHANGE
from kalshi_pipelines.contracts.declared.market_data import MARKET_DATA
from kalshi_pipelines.contracts.declared.orders import ORDERS
from kalshi_pipelines.contracts.declared.other_vendors import OTHER_VENDORS
from kalshi_pipelines.contracts.declared.portfolio import PORTFOLIO
from kalshi_pipelines.contracts.language.declarations import Contract

CONTRACTS: Final[Mapping[str, Contract]] = MappingProxyType(
    {each.endpoint: each for each in (*MARKET_DATA, *EXCHANGE, *PORTFOLIO, *ORDERS, *OTHER_VENDORS)}
)
"""Every contract by its endpoint."""


def assets_of(endpoint: str, place: str) -> tuple[str, ...]:
    """The assets that depend on a place of an endpoint's answers."""
    contract = CONTRACTS.get(endpoint)
    return contract.assets_of(place) if contract else ()
