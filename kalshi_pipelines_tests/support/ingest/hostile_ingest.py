"""An ingest in a process of its own, so that its memory can be measured. The process prints its result as JSON."""

import json
import logging
import resource
import sys

import stamina

from kalshi_pipelines.ingest.sweeps import IngestInputs, ingest_markets
from kalshi_pipelines.kalshi.client import KalshiClient
from kalshi_pipelines.kalshi.errors import KalshiError
from kalshi_pipelines.settings import Environment, RateTier, Settings
from kalshi_pipelines.warehouse.engine import open_engine


def main() -> None:
    """Ingest markets from a sandbox, and print the outcome and the peak memory.

    ``python -m kalshi_pipelines_tests.support.ingest.hostile_ingest SANDBOX_URL WAREHOUSE_URL`` starts the ingest.
    """
    logging.disable(logging.CRITICAL)
    stamina.set_testing(True, attempts=2)
    url, warehouse = sys.argv[1:]
    engine = open_engine(warehouse)
    before = _peak_mb()
    outcome = "stored"
    try:
        with KalshiClient.from_settings(Settings(rate_tier=RateTier.PRESTIGE), engine, url=url) as client:
            ingest_markets(IngestInputs(client, engine, Environment.SANDBOX))
    except KalshiError as error:
        outcome = type(error).__name__
    json.dump({"outcome": outcome, "peak_mb": _peak_mb() - before}, sys.stdout)


def _peak_mb() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1024 / (1024 if sys.platform == "darwin" else 1)


if __name__ == "__main__":
    main()
