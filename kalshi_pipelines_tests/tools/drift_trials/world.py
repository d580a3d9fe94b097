"""The world of a drift trial: a sandbox exchange whose clock the trial moves, and a receiver of messages."""

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx

from kalshi_pipelines import units
from kalshi_pipelines.sandbox.process import SandboxOptions, SandboxProcess, running_sandbox
from kalshi_pipelines.units import DAY_US, SECOND_US


@dataclass
class SimulatedExchange:
    """A running sandbox whose clock a trial moves forward. The clock also advances with real time."""

    process: SandboxProcess
    admin: httpx.Client
    offset_us: int = 0

    def now_us(self) -> int:
        """Return the simulated instant in microseconds since 1970 UTC."""
        return units.now_us() + self.offset_us

    def go_to(self, instant_us: int) -> None:
        """Move the clock forward to an instant."""
        seconds = max(0, -((self.now_us() - instant_us) // SECOND_US))
        self.steer("/clock", seconds=seconds)
        self.offset_us += seconds * SECOND_US

    def steer(self, path: str, **body: Any) -> Any:
        """Send a request to an admin route of the sandbox, and return its answer."""
        answer = self.admin.post(f"/sandbox{path}", json=body)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def drift(self, endpoint: str, operations: Sequence[dict[str, Any]]) -> None:
        """Apply drift operations to the answers of an endpoint."""
        self.steer("/drift", endpoint=endpoint, operations=list(operations))


@contextmanager
def simulated_exchange(start_us: int, seed: int, markets: int = 120) -> Iterator[SimulatedExchange]:
    """Start an exchange whose clock shows ``start_us``, with prices that move."""
    anchor_us = start_us - start_us % DAY_US
    options = SandboxOptions(
        markets=markets, combos=20, seed=seed, anchor_us=anchor_us, tier="unlimited", warm=False, crowd=False
    )
    with running_sandbox(options) as process, httpx.Client(base_url=process.admin_url, timeout=60) as admin:
        exchange = SimulatedExchange(process, admin, start_us - units.now_us())
        exchange.steer("/clock", time=units.instant(start_us).isoformat())
        exchange.offset_us = start_us - units.now_us()
        yield exchange


@dataclass(frozen=True)
class ReceivedMessage:
    """A message that arrived: its simulated instant, title and body."""

    at_us: int
    title: str
    body: str


@dataclass
class MessageReceiver:
    """A receiver of messages: a web hook on loopback."""

    url: str
    received: list[ReceivedMessage] = field(default_factory=list)


@contextmanager
def message_receiver(exchange: SimulatedExchange) -> Iterator[MessageReceiver]:
    """Start a web hook that keeps each message with the simulated instant of its arrival."""

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            document = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            receiver.received.append(ReceivedMessage(exchange.now_us(), document["title"], document["message"]))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    receiver = MessageReceiver(f"json://127.0.0.1:{server.server_port}/messages")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
