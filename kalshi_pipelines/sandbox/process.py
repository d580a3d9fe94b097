"""A sandbox exchange as a child process that starts on a free port and never outlives its parent.

Belongs here: starting, awaiting and stopping the child. Does not belong here: the program of the child (``__main__``).
"""

import collections
import json
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Final

from kalshi_pipelines.errors import ExpectedError
from kalshi_pipelines.sandbox.options import SandboxOptions

__all__ = ["SandboxDidNotStart", "SandboxOptions", "SandboxProcess", "running_sandbox"]

_LOG: Final = logging.getLogger(__name__)
_STOP_SECONDS: Final = 10
_REPORTED_LINES: Final = 20


class SandboxDidNotStart(ExpectedError):
    """The sandbox process ended before it was ready. The message holds the last lines of its stderr."""

    is_retryable = True


@dataclass(frozen=True)
class SandboxProcess:
    """A running sandbox: ``url`` is the root of its API, ``admin_url`` is the root of its other routes, and ``pid`` is
    its process id.
    """

    url: str
    admin_url: str
    pid: int


def command_of(options: SandboxOptions) -> list[str]:
    """Return the command that runs a sandbox with the given options."""
    command = [sys.executable, "-m", "kalshi_pipelines.sandbox", "--ready-line"]
    values = {
        "markets": options.markets,
        "seed": options.seed,
        "combos": options.combos,
        "archived": options.archived,
        "turnover": options.turnover,
        "tick-seconds": options.tick_seconds,
        "anchor-us": options.anchor_us,
        "tier": options.tier,
        "read-refill-rate": options.read_refill_rate,
        "read-capacity": options.read_capacity,
        "recordings": options.recordings,
        "balance": options.balance,
        "read-lag-ms": options.read_lag_ms,
        "state": options.state,
        "host": options.host,
        "port": options.port,
    }
    command += [f"--{name}={value}" for name, value in values.items() if value is not None]
    command += [] if options.warm else ["--no-warm"]
    command += [] if options.crowd else ["--no-crowd"]
    command += [f"--key={key_id}={file}" for key_id, file in options.keys.items()]
    command += [f"--endpoint-cost={endpoint}={cost}" for endpoint, cost in options.endpoint_costs.items()]
    return command


@contextmanager
def running_sandbox(options: SandboxOptions | None = None) -> Iterator[SandboxProcess]:
    """Run a sandbox as a child process for the duration of a with block.

    The child process watches its stdin, so that it ends when this process ends.

    Raises:
        SandboxDidNotStart: The child process ended before it was ready to serve.
    """
    command = [*command_of(options or SandboxOptions()), "--exit-with-parent"]
    child = subprocess.Popen(  # noqa: S603  (our own module, arguments as a list)
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    errors = _LastLines(child.stderr)
    try:
        yield _ready(child, errors)
    finally:
        _stop(child)
        errors.join()


class _LastLines:
    """Reader of a child process's stderr. It logs all lines and keeps the last ones.

    A pipe that nobody reads would fill and block the child process.
    """

    def __init__(self, stream: IO[str] | None) -> None:
        self.lines: collections.deque[str] = collections.deque(maxlen=_REPORTED_LINES)
        self._stream = stream
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def join(self) -> None:
        self._thread.join()
        if self._stream is not None:
            self._stream.close()

    def _read(self) -> None:
        for line in self._stream or ():
            self.lines.append(line)
            _LOG.info("sandbox: %s", line.rstrip())


def _ready(child: subprocess.Popen[str], errors: _LastLines) -> SandboxProcess:
    line = child.stdout.readline() if child.stdout is not None else ""
    if not line:
        status = child.wait()
        errors.join()
        said = "".join(errors.lines) or "(nothing on stderr)"
        raise SandboxDidNotStart(
            f"The sandbox ended with status {status} before it was ready. Its last output:\n{said}"
        )
    ready = json.loads(line)
    return SandboxProcess(url=ready["url"], admin_url=ready["admin_url"], pid=child.pid)


def _stop(child: subprocess.Popen[str]) -> None:
    if child.stdin is not None:
        child.stdin.close()
    child.terminate()
    try:
        child.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
    if child.stdout is not None:
        child.stdout.close()
