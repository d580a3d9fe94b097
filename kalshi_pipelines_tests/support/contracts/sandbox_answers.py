"""Answers of every endpoint of the sandbox exchange, as responses for the checks."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from kalshi_pipelines.contracts.declared import CONTRACTS
from kalshi_pipelines.contracts.language.declarations import Access
from kalshi_pipelines.contracts.language.responses import Response, VendorRequest
from kalshi_pipelines_tests.support.sandbox.local_sandbox import API, LocalSandbox
from kalshi_pipelines_tests.support.sandbox.signing import RequestSigner

_WRITE = "/portfolio/events/orders"


@dataclass
class SandboxAnswers:
    """A client of a sandbox exchange in this process, which returns responses with their requests."""

    sandbox: LocalSandbox
    signer: RequestSigner
    made: int = 0

    def ask(self, endpoint: str, sent: dict[str, Any] | None = None, /, **given: Any) -> Response:
        method, _, template = endpoint.partition(" ")
        names = [part[1:-1] for part in template.split("/") if part.startswith("{")]
        path = {name: str(given.pop(name)) for name in names}
        query = {name: value if isinstance(value, list) else [str(value)] for name, value in given.items()}
        is_signed = CONTRACTS[endpoint].access is Access.KEY
        answer = self.sandbox.client.request(
            method,
            API + template.format(**path),
            params=query,
            json=sent,
            auth=self.signer if is_signed else None,
        )
        request = VendorRequest(
            endpoint, path, {name: tuple(value) for name, value in query.items()}, is_signed, sent or {}
        )
        return Response(
            request,
            answer.status_code,
            dict(answer.headers),
            answer.content,
            self.sandbox.time.microseconds,
            "http://127.0.0.1" + str(answer.request.url.path),
            "sandbox",
        )

    def trade(self, ticker: str) -> Iterator[Response]:
        """Yield answers to a resting order, two immediate orders, a decrease and cancellations in one market."""
        self.made += 1
        order = {"ticker": ticker, "time_in_force": "good_till_canceled", "self_trade_prevention_type": "maker"}
        resting = self.ask(
            f"POST {_WRITE}",
            order | {"client_order_id": f"r{self.made}", "side": "bid", "count": "3.00", "price": "0.0100"},
        )
        yield resting
        taking = order | {"time_in_force": "immediate_or_cancel", "client_order_id": f"t{self.made}"}
        yield self.ask(f"POST {_WRITE}", taking | {"side": "bid", "count": "2.00", "price": "0.9900"})
        yield self.ask(f"POST {_WRITE}", taking | {"side": "bid", "count": "2.00", "price": "0.9900"})
        if resting.status != 201:
            return
        order_id = json.loads(resting.body)["order_id"]
        yield self.ask("GET /portfolio/orders/{order_id}", order_id=order_id)
        yield self.ask(
            f"POST {_WRITE}/{{order_id}}/decrease", {"reduce_by": "1.00", "market_ticker": ticker}, order_id=order_id
        )
        if self.made % 2:
            yield self.ask(f"DELETE {_WRITE}/{{order_id}}", order_id=order_id, market_ticker=ticker)
            yield self.ask(f"DELETE {_WRITE}/{{order_id}}", order_id=order_id, market_ticker=ticker)

    def everything(self) -> Iterator[Response]:
        """Yield answers of every endpoint that this project reads or writes."""
        for endpoint in (
            "GET /exchange/status",
            "GET /exchange/schedule",
            "GET /exchange/user_data_timestamp",
            "GET /historical/cutoff",
            "GET /account/endpoint_costs",
            "GET /account/limits",
            "GET /series",
            "GET /series/fee_changes",
            "GET /events/fee_changes",
            "GET /events/multivariate",
            "GET /historical/trades",
            "GET /historical/markets",
            "GET /markets/trades",
        ):
            yield self.ask(endpoint)
        opened = self.ask("GET /markets", status="open", mve_filter="exclude", limit=50)
        yield opened
        body = json.loads(opened.body)
        if body["cursor"]:
            yield self.ask("GET /markets", status="open", mve_filter="exclude", limit=50, cursor=body["cursor"])
        for status in ("unopened", "paused", "closed", "settled"):
            yield self.ask("GET /markets", status=status, limit=100)
        yield self.ask("GET /markets", mve_filter="only", limit=20)
        yield self.ask("GET /markets", tickers=",".join(row["ticker"] for row in body["markets"][:5]))
        for status in ("open", "closed", "settled"):
            yield self.ask("GET /events", status=status, limit=20, with_nested_markets="true")
        yield self.ask("GET /events", limit=20)
        for market in body["markets"][:3]:
            yield from self._one(market)
        yield from self.trade(body["markets"][0]["ticker"])
        yield from self._portfolio()

    def _one(self, market: dict[str, Any]) -> Iterator[Response]:
        ticker, event = market["ticker"], market["event_ticker"]
        yield self.ask("GET /markets/{ticker}", ticker=ticker)
        yield self.ask("GET /markets/{ticker}/orderbook", ticker=ticker)
        yield self.ask("GET /markets/orderbooks", tickers=[ticker])
        yield self.ask("GET /markets/trades", ticker=ticker, limit=20)
        yield self.ask("GET /events/{event_ticker}", event_ticker=event)
        nested = self.ask("GET /events/{event_ticker}", event_ticker=event, with_nested_markets="true")
        yield nested
        series = json.loads(nested.body)["event"]["series_ticker"]
        yield self.ask("GET /series/{series_ticker}", series_ticker=series)
        now = self.sandbox.time.microseconds // 1_000_000
        window = {"start_ts": now - 86_400, "end_ts": now, "period_interval": 60}
        yield self.ask(
            "GET /series/{series_ticker}/markets/{ticker}/candlesticks", series_ticker=series, ticker=ticker, **window
        )
        yield self.ask("GET /markets/candlesticks", market_tickers=ticker, **window)
        yield self.ask(
            "GET /series/{series_ticker}/events/{ticker}/candlesticks", series_ticker=series, ticker=event, **window
        )

    def _portfolio(self) -> Iterator[Response]:
        for endpoint in (
            "GET /portfolio/balance",
            "GET /portfolio/positions",
            "GET /portfolio/orders",
            "GET /portfolio/fills",
            "GET /portfolio/settlements",
            "GET /portfolio/deposits",
            "GET /portfolio/withdrawals",
            "GET /portfolio/order_groups",
            "GET /portfolio/orders/queue_positions",
            "GET /historical/orders",
            "GET /historical/fills",
            "GET /historical/positions",
            "GET /portfolio/subaccounts/balances",
            "GET /portfolio/summary/total_resting_order_value",
        ):
            yield self.ask(endpoint)
        yield self.ask("GET /portfolio/positions", settlement_status="all", limit=5)
        yield self.ask("GET /portfolio/orders", status="resting", limit=5)
