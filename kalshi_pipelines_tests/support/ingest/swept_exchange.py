"""A sandbox exchange and a warehouse that is filled from it, for tests of sweeps. Tests steer the exchange."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import httpx
import sqlalchemy as sa

from kalshi_pipelines.contracts.findings import store
from kalshi_pipelines.contracts.language.differences import Kind
from kalshi_pipelines.ingest.sweeps import (
    IngestInputs,
    IngestResult,
    ingest_events,
    ingest_markets,
    ingest_named_events,
    ingest_named_series,
    ingest_orderbooks,
    ingest_series,
)
from kalshi_pipelines.kalshi.client import KalshiClient
from kalshi_pipelines.sandbox.process import SandboxOptions, SandboxProcess, running_sandbox
from kalshi_pipelines.settings import Environment, RateTier, Settings
from kalshi_pipelines.warehouse.tables import markets

OFTEN = 1_000_000


@dataclass
class SweptExchange:
    """The running sandbox, its admin routes, and the inputs of ingests that read it."""

    sandbox: SandboxProcess
    admin: httpx.Client
    plain: httpx.Client
    inputs: IngestInputs

    @property
    def engine(self) -> sa.Engine:
        """The warehouse."""
        return self.inputs.engine

    def steer(self, method: str, path: str, **body: Any) -> Any:
        """Call an admin route of the sandbox."""
        response = self.admin.request(method, "/sandbox" + path, json=body)
        assert response.is_success, response.text
        return response.json() if response.content else None

    def inject(self, kind: str, endpoint: str = "GET /markets", **fields: Any) -> None:
        """Inject a fault that lasts until it is removed, unless ``times`` says otherwise."""
        self.steer("POST", "/faults", **{"endpoint": endpoint, "kind": kind, "times": OFTEN, **fields})

    def heal(self) -> None:
        """Remove all faults."""
        self.steer("DELETE", "/faults")

    def pass_seconds(self, seconds: int) -> None:
        """Let the exchange's clock move, with all that falls due."""
        self.steer("POST", "/clock", seconds=seconds)

    def nightly(self, **changes: Any) -> list[IngestResult]:
        """Run the ingests of a night, and return the results of series, events, markets and orderbooks."""
        inputs = replace(self.inputs, **changes)
        results = [ingest_series(inputs), ingest_events(inputs)]
        ingest_named_series(inputs)
        results.append(ingest_markets(inputs))
        ingest_named_events(inputs)
        return [*results, ingest_orderbooks(inputs)]

    def ask(self, path: str, **query: Any) -> Any:
        """Return the sandbox's answer to a request without our client."""
        response = self.plain.get(self.sandbox.url + path, params=query)
        assert response.status_code == 200, response.text
        return response.json()

    def requests(self) -> dict[str, int]:
        """Return the number of requests of each endpoint since the last call, and reset the numbers."""
        found = self.steer("GET", "/requests")["endpoints"]
        self.steer("DELETE", "/requests")
        return {name: sum(each["statuses"].values()) for name, each in found.items()}

    def list_findings(self) -> list[str]:
        """Return severity, endpoint and place of each open finding about an incomplete list."""
        found = [each.difference for each in store.open_findings(self.engine, "sandbox")]
        return sorted(
            f"{each.severity} {each.endpoint} {each.place}" for each in found if each.kind is Kind.LIST_INCOMPLETE
        )

    def stored(self, *conditions: Any) -> dict[str, str]:
        """Return the statuses of stored markets by ticker."""
        rows = sa.select(markets.c.ticker, markets.c.status).where(*conditions)
        with self.engine.connect() as connection:
            return dict(connection.execute(rows).all())


@contextmanager
def swept_exchange(engine: sa.Engine, **options: Any) -> Iterator[SweptExchange]:
    """Run a sandbox and yield it with the inputs of ingests. The rate budget is the largest one."""
    chosen = {"markets": 400, "combos": 0, "tick_seconds": 0, "tier": "unlimited", "warm": False, **options}
    settings = Settings(rate_tier=RateTier.PRESTIGE)
    with (
        running_sandbox(SandboxOptions(**chosen)) as sandbox,
        httpx.Client(base_url=sandbox.admin_url, timeout=60) as admin,
        # A new httpx client reads all certificates again, which takes longer than a request to the sandbox.
        httpx.Client() as plain,
        KalshiClient.from_settings(settings, engine, url=sandbox.url) as client,
    ):
        yield SweptExchange(sandbox, admin, plain, IngestInputs(client, engine, Environment.SANDBOX))
