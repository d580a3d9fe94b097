"""The job that reads quotes and orderbooks every few minutes."""

from typing import Final

import dagster as dg

from kalshi_pipelines.defs.market_data.assets import MarketSweeps, markets_and_quotes, orderbooks
from kalshi_pipelines.defs.schema.requirement import WAREHOUSE_SCHEMA

# The tag of runs that read the exchange. dagster.yaml permits one such run at a time, because two runs would share one
# rate budget and slow each other down.
_READS_EXCHANGE: Final = {"kalshi_pipelines/reads": "exchange"}

snapshot: Final = dg.define_asset_job(
    "snapshot",
    selection=dg.AssetSelection.assets(WAREHOUSE_SCHEMA, *markets_and_quotes.keys, orderbooks.key),
    description="Read quotes and orderbooks of open markets only, which is quick enough for every few minutes.",
    config=dg.RunConfig(ops={"markets_and_quotes": MarketSweeps(statuses=["open"])}),
    tags=_READS_EXCHANGE,
)

default_jobs: Final = [snapshot]
