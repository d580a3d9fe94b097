"""What Dagster's daemon does for contracts: two sensors. It keeps nothing but what is in the warehouse.

``python -m kalshi_pipelines_tests.tools.drift_trials.daemon`` is one tick in a process of its own, to be killed.
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
    """The two sensors over a warehouse.

    Args:
        warehouse_url: A warehouse at head.
        sandbox_url: The exchange that is asked.
        channel: Who is told.
        clock: The simulated instant, microseconds since 1970.
    """

    def __init__(self, warehouse_url: str, sandbox_url: str, channel: str, clock: Callable[[], int]) -> None:
        self._engine = open_engine(warehouse_url)
        self._sandbox_url = sandbox_url
        self._clock = clock
        self._channels = AlertChannels.from_urls([channel])

    def is_due(self) -> bool:
        """Whether it would run contract checks now."""
        return next_run(self._engine, Environment.SANDBOX, self._clock()).key is not None

    def tick(self) -> bool:
        """Look at the clock once, as the sensors do; tells whether there was a contract run."""
        is_due = self.is_due()
        if is_due:
            run_contract_checks(
                Settings(rate_tier=RateTier.PRESTIGE),
                self._engine,
                _ignored,
                sandbox_url=self._sandbox_url,
                clock=self._clock,
            )
        deliver_pending(self._engine, self._channels, clock=self._clock)
        return is_due

    def stop(self) -> None:
        """Forget everything."""
        self._engine.dispose()


def tick_and_kill(warehouse_url: str, sandbox_url: str, channel: str, offset_us: int, after_seconds: float) -> None:
    """Let a process look at the clock, and kill it after so long."""
    arguments = [warehouse_url, sandbox_url, channel, str(offset_us)]
    with subprocess.Popen([sys.executable, "-m", __name__, *arguments], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        if not process.stdout.readline():
            raise RuntimeError("the daemon ended before it looked at the clock")
        time.sleep(after_seconds)
        process.kill()


def _ignored(_: str) -> None:
    pass


def main(warehouse_url: str, sandbox_url: str, channel: str, offset_us: str) -> None:
    """One tick."""
    daemon = SimulatedDaemon(warehouse_url, sandbox_url, channel, lambda: units.now_us() + int(offset_us))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    daemon.tick()


if __name__ == "__main__":
    main(*sys.argv[1:])
