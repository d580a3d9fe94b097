"""``python -m kalshi_pipelines.sandbox``: run the exchange from a command line.

Belongs here: arguments, the listening socket, signals and printed lines. Does not belong here: the exchange.
"""

import argparse
import gc
import json
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import uvicorn

from kalshi_pipelines.sandbox.access.rate_limits import TIERS
from kalshi_pipelines.sandbox.access.signatures import UnusablePublicKey
from kalshi_pipelines.sandbox.admin.routes import ADMIN_ROOT
from kalshi_pipelines.sandbox.app import sandbox_app
from kalshi_pipelines.sandbox.exchange import Exchange
from kalshi_pipelines.sandbox.faults.wire import tapped_protocol
from kalshi_pipelines.sandbox.markets.recordings import API_ROOT, UnusableRecordings
from kalshi_pipelines.sandbox.options import SandboxOptions, exchange_of
from kalshi_pipelines.sandbox.state_file import UnusableStateFile

DEFAULT_PORT: Final = 8765
_LAST_PORT: Final = 65_535
_CUT_ON_PURPOSE: Final = "ASGI callable returned without completing response."


def _named(value: str) -> tuple[str, str]:
    name, separator, rest = value.rpartition("=") if value.count(" ") else value.partition("=")
    if not (name and separator and rest):
        raise argparse.ArgumentTypeError(f"{value!r} must have the form NAME=VALUE")
    return name, rest


def _whole(value: str) -> int:
    number = int(value)
    if number < 0:
        raise argparse.ArgumentTypeError("must not be negative")
    return number


def _port(value: str) -> int:
    number = _whole(value)
    if number > _LAST_PORT:
        raise argparse.ArgumentTypeError(f"must be at most {_LAST_PORT}")
    return number


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m kalshi_pipelines.sandbox", description="A local exchange that speaks the Kalshi API."
    )
    defaults = SandboxOptions()
    for name, text in (
        ("markets", "number of markets other than combos"),
        ("seed", "seed that the catalogue is generated from"),
        ("combos", "number of combos (multivariate markets)"),
        ("archived", "number of markets that settled before the historical cutoff"),
        ("turnover", "number of markets that are listed per day and later open, close and settle; 0 lists none"),
        ("tick-seconds", "seconds between moves of the liveliest prices; 0 freezes all prices"),
        ("balance", "dollars that a new member gets on each shard"),
        ("read-lag-ms", "delay of portfolio reads in milliseconds"),
    ):
        parser.add_argument(f"--{name}", type=_whole, default=getattr(defaults, name.replace("-", "_")), help=text)
    parser.add_argument(
        "--anchor-us",
        type=_whole,
        help="instant that dates are counted from, in microseconds since 1970 (default: last UTC midnight)",
    )
    parser.add_argument("--tier", choices=sorted(TIERS), default=defaults.tier, help="usage tier of every caller")
    parser.add_argument("--read-refill-rate", type=_whole, help="read tokens per second, instead of the tier's number")
    parser.add_argument("--read-capacity", type=_whole, help="most read tokens held, instead of the tier's number")
    parser.add_argument(
        "--endpoint-cost",
        type=_named,
        action="append",
        default=[],
        metavar="'GET /markets=20'",
        help="tokens that a request to an endpoint costs; may be repeated",
    )
    parser.add_argument("--recordings", type=Path, metavar="DIR", help="serve the recorded responses in this folder")
    _add_trading_arguments(parser)
    parser.add_argument(
        "--no-warm",
        dest="warm",
        action="store_false",
        help="start sooner; the JSON of a market is then written at its first request",
    )
    _add_process_arguments(parser, defaults)
    return parser


def _add_process_arguments(parser: argparse.ArgumentParser, defaults: SandboxOptions) -> None:
    parser.add_argument("--host", default=defaults.host, help="address to listen on")
    parser.add_argument("--port", type=_port, default=DEFAULT_PORT, help="port to listen on; 0 for any free port")
    parser.add_argument(
        "--ready-line", action="store_true", help="when ready, print one JSON line with the URLs on stdout"
    )
    parser.add_argument("--exit-with-parent", action="store_true", help="exit as soon as stdin is closed")


def _add_trading_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--key",
        type=_named,
        action="append",
        default=[],
        metavar="KEY_ID=PEM_FILE",
        help="API key of the default member: a PEM file with the public or private part; may be repeated",
    )
    parser.add_argument(
        "--state", type=Path, metavar="FILE", help="keep the truth log in this file, and continue from it"
    )
    parser.add_argument("--no-crowd", dest="crowd", action="store_false", help="run without simulated traders")


def _options(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> SandboxOptions:
    try:
        costs = {endpoint: int(cost) for endpoint, cost in arguments.endpoint_cost}
    except ValueError as error:
        parser.error(f"--endpoint-cost: {error}")
    return SandboxOptions(
        markets=arguments.markets,
        seed=arguments.seed,
        combos=arguments.combos,
        archived=arguments.archived,
        turnover=arguments.turnover,
        tick_seconds=arguments.tick_seconds,
        anchor_us=arguments.anchor_us,
        tier=arguments.tier,
        read_refill_rate=arguments.read_refill_rate,
        read_capacity=arguments.read_capacity,
        endpoint_costs=costs,
        recordings=arguments.recordings,
        keys={key_id: Path(file) for key_id, file in arguments.key},
        balance=arguments.balance,
        read_lag_ms=arguments.read_lag_ms,
        crowd=arguments.crowd,
        state=arguments.state,
        host=arguments.host,
        port=arguments.port,
        warm=arguments.warm,
    )


def _watch_parent() -> None:
    """End this process as soon as the other end of its stdin is closed."""

    def wait() -> None:
        while os.read(0, 1024):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, daemon=True).start()


class _ExpectedCuts(logging.Filter):
    """Log filter that drops the web server's error message for a connection that an injected fault closed."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.getMessage() != _CUT_ON_PURPOSE


def _listening(host: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        # Linux lets two sockets bind one port until one of them listens. Listening now makes a second sandbox on this
        # port fail at once, not later.
        listener.listen()
    except OSError:
        listener.close()
        raise
    return listener


def _announce(listener: socket.socket, options: SandboxOptions, *, as_json: bool) -> None:
    host, port = listener.getsockname()[:2]
    root = f"http://{host}:{port}"
    if as_json:
        sys.stdout.write(json.dumps({"url": root + API_ROOT, "admin_url": root}) + "\n")
    else:
        source = (
            f"recordings in {options.recordings}"
            if options.recordings
            else f"{options.markets} markets, seed {options.seed}"
        )
        sys.stdout.write(
            f"Sandbox exchange on {root}{API_ROOT} ({source}); control it at {root}{ADMIN_ROOT}; Ctrl-C stops it.\n"
        )
    sys.stdout.flush()


class _Server(uvicorn.Server):
    """A web server that announces when it is ready to accept requests."""

    def __init__(
        self, config: uvicorn.Config, listener: socket.socket, options: SandboxOptions, *, as_json: bool
    ) -> None:
        super().__init__(config)
        self._listener, self._options, self._as_json = listener, options, as_json

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            _announce(self._listener, self._options, as_json=self._as_json)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the sandbox until it is stopped, and return the exit status."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    options = _options(arguments, parser)
    if arguments.exit_with_parent:
        _watch_parent()
    try:
        listener = _listening(options.host, options.port)
    except OSError as error:
        sys.stderr.write(
            f"The sandbox cannot listen on {options.host}:{options.port}: {error.strerror}. Try --port 0.\n"
        )
        return 1
    with listener:
        try:
            exchange = exchange_of(options)
        except (UnusablePublicKey, UnusableRecordings, UnusableStateFile) as error:
            sys.stderr.write(f"{error}\n")
            return 1
        # The catalogue of markets stays in memory for good. Freezing excludes it from garbage collection, which would
        # scan it on every full collection.
        gc.freeze()
        try:
            return _run(exchange, listener, options, as_json=arguments.ready_line)
        finally:
            exchange.close()


def _run(exchange: Exchange, listener: socket.socket, options: SandboxOptions, *, as_json: bool) -> int:
    logging.getLogger("uvicorn.error").addFilter(_ExpectedCuts())
    config = uvicorn.Config(
        sandbox_app(exchange),
        http=tapped_protocol(),
        log_level="warning",
        access_log=False,
        date_header=False,
        timeout_graceful_shutdown=2,
    )
    server = _Server(config, listener, options, as_json=as_json)
    try:
        server.run(sockets=[listener])
    except KeyboardInterrupt:
        return 130
    return 0 if server.started else 1


if __name__ == "__main__":
    # Enable Ctrl-C explicitly. A shell without a terminal starts background programs with Ctrl-C ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(main())
