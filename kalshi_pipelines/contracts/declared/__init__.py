"""The declared contracts with all vendors, one module for each part of a vendor's interface."""

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
    """Return the assets that depend on a place in the answers of an endpoint."""
    contract = CONTRACTS.get(endpoint)
    return contract.assets_of(place) if contract else ()
