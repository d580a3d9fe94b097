"""Responses about the exchange itself and the caller's account limits.

Source of the JSON shapes: the vendor's OpenAPI document 3.34.0 and recordings of June and October 2026.
"""

from typing import Final

import orjson

from kalshi_pipelines.sandbox.access.rate_limits import DEFAULT_COST, BucketSize
from kalshi_pipelines.sandbox.api.endpoints import Call, Endpoint
from kalshi_pipelines.sandbox.clock import rfc3339
from kalshi_pipelines.sandbox.exchange import Exchange
from kalshi_pipelines.sandbox.markets.recordings import API_ROOT
from kalshi_pipelines.sandbox.trading.records import Shard

_SHARDS: Final = ("Default", "Combos", "Crypto and commodities", "Tennis, baseball and basketball")
_ALL_DAY: Final = [{"close_time": "00:00", "open_time": "00:00"}]
_MAINTENANCE_DAY: Final = [
    {"close_time": "03:00", "open_time": "00:00"},
    {"close_time": "00:00", "open_time": "05:00"},
]


def get_exchange_status(exchange: Exchange, call: Call) -> bytes:
    """Answer GET /exchange/status with the state of each shard. The state of shard 0 is repeated at the top level."""
    shards = [
        {"description": _SHARDS[index], "exchange_index": index, **_activity(shard)}
        for index, shard in sorted(exchange.venue.state.shards.items())
    ]
    return orjson.dumps({**_activity(exchange.venue.state.shards[0]), "exchange_index_statuses": shards})


def _activity(shard: Shard) -> dict[str, bool]:
    works = shard.exchange_active
    return {
        "exchange_active": works,
        "intra_exchange_transfers_active": works,
        "trading_active": works and shard.trading_active,
    }


def get_exchange_schedule(exchange: Exchange, call: Call) -> bytes:
    """Answer GET /exchange/schedule. The exchange is always open, except Thursday from 03:00 to 05:00 Eastern Time."""
    days = dict.fromkeys(("monday", "tuesday", "wednesday", "friday", "saturday", "sunday"), _ALL_DAY)
    week = {
        "start_time": "2024-12-01T00:00:00Z",
        "end_time": "2200-12-01T00:00:00Z",
        **days,
        "thursday": _MAINTENANCE_DAY,
    }
    return orjson.dumps({"schedule": {"maintenance_windows": [], "standard_hours": [week]}})


def get_user_data_timestamp(exchange: Exchange, call: Call) -> bytes:
    """Answer GET /exchange/user_data_timestamp with an instant.

    Portfolio reads show the member's orders and money as they were at this instant.
    """
    return orjson.dumps({"as_of_time": rfc3339(exchange.venue.as_of_us())})


def get_historical_cutoff(exchange: Exchange, call: Call) -> bytes:
    """Answer GET /historical/cutoff. The cutoff moves forward by a day at every UTC midnight."""
    cutoff = rfc3339(exchange.cutoff_us)
    return orjson.dumps(
        {
            "market_positions_last_updated_ts": cutoff,
            "market_settled_ts": cutoff,
            "orders_updated_ts": rfc3339(exchange.orders_cutoff_us),
            "trades_created_ts": cutoff,
        }
    )


def _bucket(size: BucketSize) -> dict[str, int]:
    return {"bucket_capacity": size.capacity, "refill_rate": size.refill_rate}


def get_account_limits(exchange: Exchange, call: Call) -> bytes:
    """Answer GET /account/limits with the sizes of the caller's token buckets."""
    tier = exchange.limits.tier
    return orjson.dumps(
        {"grants": [], "read": _bucket(tier.read), "usage_tier": tier.name, "write": _bucket(tier.write)}
    )


def get_endpoint_costs(exchange: Exchange, call: Call) -> bytes:
    """Answer GET /account/endpoint_costs. Path parameters are written as ``:name``, as on the real exchange."""
    costs = []
    for endpoint, cost in sorted(exchange.limits.costs.items()):
        method, template = endpoint.split(" ", 1)
        path = API_ROOT + template.replace("{", ":").replace("}", "")
        costs.append({"cost": cost, "method": method, "path": path})
    return orjson.dumps({"default_cost": DEFAULT_COST, "endpoint_costs": costs})


EXCHANGE_ENDPOINTS: Final = (
    Endpoint("GetExchangeStatus", "GET", "/exchange/status", get_exchange_status),
    Endpoint("GetExchangeSchedule", "GET", "/exchange/schedule", get_exchange_schedule),
    Endpoint("GetUserDataTimestamp", "GET", "/exchange/user_data_timestamp", get_user_data_timestamp),
    Endpoint("GetHistoricalCutoff", "GET", "/historical/cutoff", get_historical_cutoff),
    Endpoint("GetAccountApiLimits", "GET", "/account/limits", get_account_limits, needs_key=True),
    Endpoint("GetAccountEndpointCosts", "GET", "/account/endpoint_costs", get_endpoint_costs),
)
