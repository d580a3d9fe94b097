"""Members that place orders on the sandbox through its API and inject faults."""

from dataclasses import dataclass
from typing import Any

import httpx

from kalshi_pipelines.sandbox.options import SandboxOptions
from kalshi_pipelines_tests.support.sandbox.local_sandbox import API, LocalSandbox
from kalshi_pipelines_tests.support.sandbox.signing import RequestSigner

ORDERS = "/portfolio/events/orders"
CREATE = f"POST {ORDERS}"
CANCEL = f"DELETE {ORDERS}/{{order_id}}"
QUIET = SandboxOptions(markets=40, combos=0, tick_seconds=0, tier="unlimited", crowd=False, warm=False)


def order_of(ticker: str, client_order_id: str) -> dict[str, Any]:
    return {
        "ticker": ticker,
        "client_order_id": client_order_id,
        "side": "bid",
        "count": "3.00",
        "price": "0.0100",
        "time_in_force": "good_till_canceled",
        "self_trade_prevention_type": "taker_at_cross",
    }


@dataclass
class OrderClient:
    """A member that trades through the API of an exchange in the test process."""

    sandbox: LocalSandbox
    signer: RequestSigner
    ticker: str

    def create(self, client_order_id: str, **terms: Any) -> httpx.Response:
        body = {**order_of(self.ticker, client_order_id), **terms}
        return self.sandbox.client.post(API + ORDERS, json=body, auth=self.signer)

    def cancel(self, order_id: str) -> httpx.Response:
        path = f"{API}{ORDERS}/{order_id}"
        return self.sandbox.client.delete(path, params={"market_ticker": self.ticker}, auth=self.signer)

    def inject(self, kind: str, endpoint: str = CREATE, **fields: Any) -> None:
        self.sandbox.steer("POST", "/faults", endpoint=endpoint, kind=kind, **fields)

    def placed(self) -> list[str | None]:
        """Return the client order ids of all orders that the exchange accepted."""
        return [order.client_order_id for order in self.sandbox.exchange.venue.state.orders.values()]
