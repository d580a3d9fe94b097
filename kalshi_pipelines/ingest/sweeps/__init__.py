"""Sweeps over the exchange's lists: which lists are read, how far back in time, and whether a read was complete.

Each ingest is one ``IngestRun`` and stores page after page. The same lists can be ingested again at any time. No ingest
takes longer because the exchange is older.
"""

from kalshi_pipelines.ingest.sweeps.events import ingest_events, ingest_named_events
from kalshi_pipelines.ingest.sweeps.inputs import IngestInputs, IngestResult
from kalshi_pipelines.ingest.sweeps.markets import ALL_STATUSES, ingest_markets
from kalshi_pipelines.ingest.sweeps.orderbooks import ingest_orderbooks
from kalshi_pipelines.ingest.sweeps.series import ingest_named_series, ingest_series

__all__ = [
    "ALL_STATUSES",
    "IngestInputs",
    "IngestResult",
    "ingest_events",
    "ingest_markets",
    "ingest_named_events",
    "ingest_named_series",
    "ingest_orderbooks",
    "ingest_series",
]
