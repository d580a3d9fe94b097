"""Vendor endpoints as external assets. In Dagster's lineage, they are the sources of our assets and show vendor drift.

Dagster executes none of these external assets. Each of our own assets declares which endpoints it reads.
"""

import re
from typing import Final

import dagster as dg

from kalshi_pipelines.contracts.comparison.openapi_document import ENDPOINT as OPENAPI
from kalshi_pipelines.contracts.declared import CONTRACTS
from kalshi_pipelines.contracts.probing.exchange_probes import exchange_endpoints
from kalshi_pipelines.contracts.probing.other_vendor_probes import CHANGELOG, SEARCH

GROUP: Final = "vendor_endpoints"
OWNERS: Final = ["team:data"]
#: Every endpoint that a contract run checks.
ENDPOINTS: Final = (*exchange_endpoints(), OPENAPI, CHANGELOG, SEARCH)
#: The asset key of all news feeds. The setting KALSHI_NEWS_FEEDS lists the feeds.
NEWS_FEEDS: Final = dg.AssetKey(["news_feeds", "rss_and_atom"])
_HOSTS: Final = {"docs.kalshi.com": "kalshi_docs", "api.exa.ai": "exa_api"}


def endpoint_key(endpoint: str) -> dg.AssetKey:
    """Return the asset key of an endpoint, such as ``kalshi_api/markets_ticker_orderbook`` for a market's orderbook."""
    host, _, path = endpoint.partition(" ")[2].partition("/")
    return dg.AssetKey([_HOSTS.get(host, "kalshi_api"), re.sub(r"[^a-z0-9]+", "_", path.lower()).strip("_")])


def _spec(endpoint: str) -> dg.AssetSpec:
    contract = CONTRACTS[endpoint]
    key = endpoint_key(endpoint)
    used = ", ".join(contract.used_by) or "nothing yet"
    return dg.AssetSpec(
        key,
        description=f"Vendor endpoint `{endpoint}`, outside of Dagster. Used by: {used}.",
        group_name=GROUP,
        owners=OWNERS,
        kinds={"api"},
        metadata={"endpoint": endpoint, "access": contract.access.value},
    )


def _feeds() -> dg.AssetSpec:
    return dg.AssetSpec(
        NEWS_FEEDS,
        description="RSS and Atom feeds listed in KALSHI_NEWS_FEEDS, outside of Dagster. Used by: news_articles.",
        group_name=GROUP,
        owners=OWNERS,
        kinds={"rss"},
    )


default_assets: Final = [*(_spec(endpoint) for endpoint in ENDPOINTS), _feeds()]
