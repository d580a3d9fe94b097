"""The daily report files over HTTP, which the real exchange publishes in an object store.

The steps of a request are: record it, apply faults, find the file. Requests need no key and cost no tokens. Does not
belong here: the content of the files (``markets.daily_reports``).
"""

import datetime as dt
import gzip
import re
from functools import lru_cache
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from kalshi_pipelines.sandbox.errors import ErrorResponse
from kalshi_pipelines.sandbox.exchange import Exchange
from kalshi_pipelines.sandbox.faults.effects import SandboxAnswer, after_answer, before_answer
from kalshi_pipelines.sandbox.faults.plan import ObservedRequest
from kalshi_pipelines.sandbox.markets.daily_reports import TradingDay, market_report, trade_report
from kalshi_pipelines.sandbox.serving import dated
from kalshi_pipelines.units import DAY_US

REPORTS_ROOT: Final = "/reporting"
REPORTS_ENDPOINT: Final = "GET /reporting/{name}"
PUBLISHED_AFTER_US: Final = DAY_US
"""Time from the end of a trading day to the publication of its files, in microseconds."""
_NAME: Final = re.compile(r"(trade|market)_data_(\d{4}-\d{2}-\d{2})\.json(\.gz)?")
_NO_SUCH_KEY: Final = '<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>NoSuchKey</Code></Error>'
_CACHED_FILES: Final = 4


def report_routes(exchange: Exchange) -> list[Route]:
    """Return the server routes of the daily report files."""

    @lru_cache(maxsize=_CACHED_FILES)
    def file_of(kind: str, day: TradingDay) -> bytes:
        trades = exchange.venue.trades
        return trade_report(trades, day) if kind == "trade" else market_report(exchange.catalogue, trades, day)

    def find(name: str) -> Response:
        parts = _NAME.fullmatch(name)
        day = None if parts is None else _published_day(exchange, parts[2])
        if parts is None or day is None:
            return Response(_NO_SUCH_KEY, 404, media_type="application/xml")
        content = file_of(parts[1], day)
        if parts[3]:
            return Response(gzip.compress(content, 1, mtime=0), media_type="application/gzip")
        return Response(content, media_type="application/json")

    async def serve(request: Request) -> Response:
        name = request.path_params["name"]
        record = exchange.journal.record_arrival(REPORTS_ENDPOINT, exchange.clock.now_us())
        faults = exchange.faults.count_request(
            ObservedRequest(REPORTS_ENDPOINT, request.path_params, request.query_params, b"")
        )
        try:
            response = await before_answer(faults)
        except ErrorResponse as error:
            response = SandboxAnswer(error.status, error.content).response()
        if response is None:
            exchange.venue.advance()
            response = find(name)
            if faults and response.status_code == 200:
                media_type = response.headers["Content-Type"]
                response = after_answer(faults, SandboxAnswer(200, bytes(response.body)), "")
                response.headers["Content-Type"] = media_type
        response = exchange.drift.apply(REPORTS_ENDPOINT, response, is_signed=False)
        record.statuses[response.status_code] += 1
        return dated(exchange, response)

    return [Route(f"{REPORTS_ROOT}/{{name}}", serve, methods=["GET"])]


def _published_day(exchange: Exchange, text: str) -> TradingDay | None:
    """Return the trading day of a date, or None if its files are not published."""
    try:
        day = TradingDay.of(dt.date.fromisoformat(text))
    except (ValueError, OverflowError):
        return None
    return day if day.end_us + PUBLISHED_AFTER_US <= exchange.clock.now_us() and exchange.replay is None else None
