"""Tags that keep Dagster from repeating a run."""

from typing import Final

import dagster as dg

#: Keeps Dagster from running one a second time.
ONLY_ONCE: Final = {"dagster/max_retries": "0", "dagster/retry_on_asset_or_op_failure": "false"}

#: And runs with this tag wait for each other (dagster.yaml); what stops one must not wait for it.
TRADES: Final = {"kalshi_pipelines/trades": "account", **ONLY_ONCE}

NO_RETRY: Final = dg.RetryPolicy(max_retries=0)
