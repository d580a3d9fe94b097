"""A stand-in for the two contract sensors of Dagster's daemon. Its only memory is the warehouse.

``python -m kalshi_pipelines_tests.tools.drift_trials.daemon`` runs one tick in a process of its own, so that a trial
can kill it.
"""

import subprocess
import sys
import time
from collections.abc import Callable

from kalshi_pipelines import units
from kalshi_pipelines.alerts.channels import AlertChannels
from kalshi_pipelines.alerts.delivery import deliver_pending
from kalshi_pipelines.contracts.health import next_run
from kalshi_pipelines.contracts.runs import run_contract_checks
from kalshi_pipelines.settings import Environment, RateTier, Settings
from kalshi_pipelines.warehouse.engine import open_engine


class SimulatedDaemon:
    """The two sensors of one warehouse.

    Args:
        warehouse_url: The URL of a warehouse at its newest migration.
        sandbox_url: The URL of the exchange to probe.
        channel: The URL that receives messages.
        clock: Returns the simulated instant in microseconds since 1970 UTC.
    """

    def __init__(self, warehouse_url: str, sandbox_url: str, channel: str, clock: Callable[[], int]) -> None:
        self._engine = open_engine(warehouse_url)
        self._sandbox_url = sandbox_url
        self._clock = clock
        self._channels = AlertChannels.from_urls([channel])

    def is_due(self) -> bool:
        """Return whether a contract run is due now."""
        return next_run(self._engine, Environment.SANDBOX, self._clock()).key is not None

    def tick(self) -> bool:
        """Run the contract checks if they are due, deliver alerts, and return whether there was a contract run."""
        is_due = self.is_due()
        if is_due:
            run_contract_checks(
                Settings(rate_tier=RateTier.PRESTIGE),
                self._engine,
                _ignore,
                sandbox_url=self._sandbox_url,
                clock=self._clock,
            )
        deliver_pending(self._engine, self._channels, clock=self._clock)
        return is_due

    def stop(self) -> None:
        """Close the connection to the warehouse."""
        self._engine.dispose()


def tick_and_kill(warehouse_url: str, sandbox_url: str, channel: str, offset_us: int, after_seconds: float) -> None:
    """Start a process that runs one tick, and kill it ``after_seconds`` after it is ready."""
    arguments = [warehouse_url, sandbox_url, channel, str(offset_us)]
    with subprocess.Popen([sys.executable, "-m", __name__, *arguments], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        if not process.stdout.readline():
            raise RuntimeError("The daemon process ended before it was ready.")
        time.sleep(after_seconds)
        process.kill()


def _ignore(_: str) -> None:
    pass


def main(warehouse_url: str, sandbox_url: str, channel: str, offset_us: str) -> None:
    """Print that the process is ready, then run one tick."""
    daemon = SimulatedDaemon(warehouse_url, sandbox_url, channel, lambda: units.now_us() + int(offset_us))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    daemon.tick()


if __name__ == "__main__":
    main(*sys.argv[1:])
