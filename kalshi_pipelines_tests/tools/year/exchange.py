"""The exchange of a simulated year: a sandbox whose clock stands still until the tool moves it.

Run as a process: ``python -m kalshi_pipelines_tests.tools.year.exchange OPTIONS_AS_JSON``. It prints one line with its
URLs. ``POST /year/clock`` moves the clock, and ``POST /year/look`` records what a job could see.
"""

import gc
import json
import socket
import sys
import threading
from pathlib import Path
from typing import Any, Final

import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from kalshi_pipelines.sandbox.app import sandbox_app
from kalshi_pipelines.sandbox.clock import ExchangeClock, ManualClock
from kalshi_pipelines.sandbox.exchange import Exchange
from kalshi_pipelines.sandbox.faults.wire import tapped_protocol
from kalshi_pipelines.sandbox.markets.generated import GeneratedMarket
from kalshi_pipelines.sandbox.markets.recordings import API_ROOT
from kalshi_pipelines.sandbox.markets.turnover import QUOTE_PERIODS
from kalshi_pipelines.sandbox.noise import mixed
from kalshi_pipelines.sandbox.options import SandboxOptions, exchange_of
from kalshi_pipelines.units import DAY_US, MINUTE_US
from kalshi_pipelines_tests.tools.year.truth import Look, TruthFile

_STEP_US: Final = DAY_US


class YearExchange:
    """A sandbox, its clock, and the record of what it showed."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.clock = ManualClock(options["begin_us"])
        self.exchange: Exchange = exchange_of(
            SandboxOptions(
                markets=options.get("markets", 0),
                combos=0,
                turnover=options.get("turnover", 0),
                seed=options["seed"],
                tier="unlimited",
                warm=False,
                anchor_us=options["begin_us"],
            ),
            ExchangeClock(self.clock),
        )
        if options.get("usual_periods"):
            _give_usual_periods(self.exchange)
        self.truth = TruthFile(Path(options["truth"]), options.get("last_look", 0)) if options.get("truth") else None
        self.move(options["at_us"])

    def move(self, to_us: int) -> None:
        """Move the clock forward in steps of a day, so that every due action runs."""
        while self.clock.microseconds < to_us:
            self.clock.microseconds = min(self.clock.microseconds + _STEP_US, to_us)
            self.exchange.venue.advance()

    def routes(self) -> list[Route]:
        """Return the routes by which the tool controls the exchange."""

        async def clock(request: Request) -> Response:
            self.move(orjson.loads(await request.body())["to_us"])
            catalogue = self.exchange.catalogue
            return _json({"live": len(catalogue.markets), "archived": len(catalogue.archived_markets)})

        async def look(request: Request) -> Response:
            seen = Look(**orjson.loads(await request.body()))
            changed = {} if self.truth is None else self.truth.record(seen, self.exchange.catalogue.markets.values())
            return _json(changed)

        return [Route("/year/clock", clock, methods=["POST"]), Route("/year/look", look, methods=["POST"])]


def _json(body: object) -> Response:
    return Response(orjson.dumps(body), media_type="application/json")


def _give_usual_periods(exchange: Exchange) -> None:
    """Let the quotes of a generated catalogue move as seldom as those of a turnover."""
    periods = [minutes for minutes, share in QUOTE_PERIODS.items() for _ in range(share)]
    for row in exchange.catalogue.markets.values():
        if isinstance(row, GeneratedMarket):
            row.path.period_us = periods[mixed(row.number, 1) % len(periods)] * MINUTE_US
            row.path.phase_us = mixed(row.number, 2) % row.path.period_us


def _end_with_parent() -> None:
    def wait() -> None:
        sys.stdin.buffer.read()
        raise SystemExit

    def run() -> None:
        try:
            wait()
        except SystemExit:
            import os

            os._exit(0)

    threading.Thread(target=run, daemon=True).start()


def main() -> None:
    """Serve the exchange until stdin is closed."""
    _end_with_parent()
    year = YearExchange(json.loads(sys.argv[1]))
    app: Starlette = sandbox_app(year.exchange)
    app.router.routes[:0] = year.routes()
    gc.freeze()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        root = f"http://127.0.0.1:{listener.getsockname()[1]}"
        print(json.dumps({"url": root + API_ROOT, "admin_url": root}), flush=True)
        config = uvicorn.Config(app, http=tapped_protocol(), log_level="warning", access_log=False, date_header=False)
        uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
