"""A quick server of a tape: both sides of the exchange's trades, with a cutoff that moves, and with faults.

``python -m kalshi_pipelines_tests.tools.history_trial.server OPTIONS`` prints its port, and runs until its input ends.
"""

import argparse
import asyncio
import datetime as dt
import json
import sys
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Final
from urllib.parse import parse_qs, urlsplit

from kalshi_pipelines_tests.tools.history_trial.tape import DAY_US, Tape, TapeOptions

_SECOND_US: Final = 1_000_000
_ROOT: Final = "/trade-api/v2"
#: Both sides serve trades that are less than this far from the cutoff.
_OVERLAP_US: Final = 6 * 3_600 * _SECOND_US
_REPEATED_ROWS: Final = 7
_CUT: Final = "cut"


@dataclass(frozen=True)
class Faults:
    """How often the server fails.

    Attributes:
        thousandths: Of a thousand different requests, how many fail at their first attempt.
        poisoned: Positions of trades that no wide window can be read past. A page with such a trade always fails.
        poisoned_width: Windows that are at most this many seconds wide are served.
        unserved: Positions of trades that no window can be read past.
        moves_after: The cutoff moves by six hours after so many requests; 0 if it never moves.
    """

    thousandths: int = 0
    poisoned: tuple[int, ...] = ()
    poisoned_width: int = 300
    unserved: tuple[int, ...] = ()
    moves_after: int = 0


@dataclass
class Exchange:
    """The state of the server: how often each request was sent, and how far the cutoff has moved."""

    tape: Tape
    faults: Faults
    requests: int = 0
    attempts: "Counter[str]" = field(default_factory=Counter)
    happened: "Counter[str]" = field(default_factory=Counter)

    @property
    def cutoff_us(self) -> int:
        """The time before which trades are on the historical side."""
        start = self.tape.first_us + self.tape.options.days * 6 // 10 * DAY_US
        moves = self.requests // self.faults.moves_after if self.faults.moves_after else 0
        return int(min(start + moves * _OVERLAP_US, self.tape.first_us + self.tape.options.days * 8 // 10 * DAY_US))

    def answer(self, target: str) -> tuple[int, bytes | str]:
        """Return the status and the body of a response."""
        self.requests += 1
        url = urlsplit(target)
        path = url.path.removeprefix(_ROOT)
        if path == "/historical/cutoff":
            text = dt.datetime.fromtimestamp(self.cutoff_us // _SECOND_US, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            return 200, json.dumps(
                dict.fromkeys(("market_settled_ts", "trades_created_ts", "orders_updated_ts"), text)
            ).encode()
        if path == "/exchange/status":
            return 200, b'{"exchange_active":true,"trading_active":true}'
        if path not in ("/markets/trades", "/historical/trades"):
            return 404, b'{"error":{"code":"not_found","message":"not found"}}'
        self.attempts[target] += 1
        return self._trades({name: values[-1] for name, values in parse_qs(url.query).items()}, target, path)

    def _trades(self, asked: dict[str, str], target: str, path: str) -> tuple[int, bytes | str]:
        start_us = int(asked.get("min_ts", 0)) * _SECOND_US
        end_us = int(asked["max_ts"]) * _SECOND_US + 1 if "max_ts" in asked else 1 << 62
        is_wide = end_us - start_us > self.faults.poisoned_width * _SECOND_US
        if path == "/historical/trades":
            end_us = min(end_us, self.cutoff_us + _OVERLAP_US)
        else:
            start_us = max(start_us, self.cutoff_us - _OVERLAP_US)
        start, end = self.tape.position(start_us), self.tape.position(end_us)
        if cursor := asked.get("cursor"):
            end = min(end, int(cursor, 36))
        first = max(start, end - int(asked.get("limit", 100)))
        if any(first <= each < end for each in self.faults.unserved) or (
            is_wide and any(first <= each < end for each in self.faults.poisoned)
        ):
            self.happened["poisoned"] += 1
            return 504, b'{"error":{"code":"timeout","message":"upstream timeout"}}'
        return self._with_faults(start, first, max(first, end), target, cursor or "")

    def _with_faults(self, start: int, first: int, end: int, target: str, cursor: str) -> tuple[int, bytes | str]:
        rows = self.tape.records(first, end)
        lot = zlib.crc32(f"{self.tape.options.seed} {target}".encode()) % 10_000
        following = _base36(first) if first > start else ""
        if first > start and self.faults.thousandths and lot % 23 == 0 and end - first > 2 * _REPEATED_ROWS:
            self.happened["repeated rows"] += 1
            following = _base36(first + _REPEATED_ROWS)
        kind = ""
        if lot < 10 * self.faults.thousandths and self.attempts[target] == 1:
            kind = ("500", "503", "truncated", _CUT, "repeated cursor")[lot % 5]
            self.happened[kind] += 1
        if kind == "repeated cursor" and cursor:
            following = cursor
        body = b'{"trades":[%b],"cursor":"%b"}' % (b",".join(reversed(rows)), following.encode())
        if kind in ("500", "503"):
            return int(kind), b'{"error":{"code":"internal","message":"internal"}}'
        if kind == "truncated":
            return 200, body[: len(body) * 2 // 3]
        return (0, _CUT) if kind == _CUT else (200, body)


def _base36(number: int) -> str:
    digits = "0123456789abcdefghijklmnopqrstuvwxyz"
    text = ""
    while number:
        number, last = divmod(number, 36)
        text = digits[last] + text
    return text or "0"


class _Connection(asyncio.Protocol):
    def __init__(self, answer: Callable[[str], tuple[int, bytes | str]]) -> None:
        self._answer = answer
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while b"\r\n\r\n" in self._received:
            request, self._received = self._received.split(b"\r\n\r\n", 1)
            status, body = self._answer(request.split(b" ", 2)[1].decode())
            if isinstance(body, str):
                self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{")
                self._transport.close()
                return
            head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            self._transport.write(head.encode() + body)


async def _serve(exchange: Exchange) -> None:
    loop = asyncio.get_running_loop()

    def answer(target: str) -> tuple[int, bytes | str]:
        if target == "/figures":
            return 200, json.dumps({"requests": exchange.requests, "faults": exchange.happened}).encode()
        return exchange.answer(target)

    server = await loop.create_server(lambda: _Connection(answer), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


def command(tape: TapeOptions, faults: Faults) -> list[str]:
    """Return the command that starts a server."""
    given = json.dumps([asdict(tape) | {"first_day": tape.first_day.isoformat()}, asdict(faults)])
    return [sys.executable, "-m", "kalshi_pipelines_tests.tools.history_trial.server", given]


def main() -> None:
    """Run the server."""
    parser = argparse.ArgumentParser()
    parser.add_argument("options", type=json.loads)
    tape, faults = parser.parse_args().options
    options = TapeOptions(**(tape | {"first_day": dt.date.fromisoformat(tape["first_day"])}))
    faults |= {name: tuple(faults[name]) for name in ("poisoned", "unserved")}
    asyncio.run(_serve(Exchange(Tape(options), Faults(**faults))))


if __name__ == "__main__":
    main()
