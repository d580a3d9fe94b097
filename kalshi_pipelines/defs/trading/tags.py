"""Run tags and retry policy that keep Dagster from repeating a run of trading."""

from typing import Final

import dagster as dg

#: Tags that keep Dagster from repeating a run.
ONLY_ONCE: Final = {"dagster/max_retries": "0", "dagster/retry_on_asset_or_op_failure": "false"}

#: Tags of runs that trade. dagster.yaml runs one such run at a time; `halt_trading` lacks the tag, so it never waits.
TRADES: Final = {"kalshi_pipelines/trades": "account", **ONLY_ONCE}

NO_RETRY: Final = dg.RetryPolicy(max_retries=0)
