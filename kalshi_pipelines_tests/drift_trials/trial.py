"""One trial: 72 simulated hours with a daemon that is restarted, one change at a random moment, and who was told when.

The daemon is the real one as far as it matters: the sensor's own scheduling, the real probes over HTTP, the real
findings and outbox in a real warehouse, a real web hook. What it knows besides the warehouse dies with each restart.
"""

import random
from dataclasses import dataclass
from typing import Final

from kalshi_pipelines import units
from kalshi_pipelines.alerts.channels import AlertChannels
from kalshi_pipelines.alerts.delivery import deliver_pending
from kalshi_pipelines.contracts.due import due
from kalshi_pipelines.contracts.runs import run_contract_checks
from kalshi_pipelines.settings import Environment, RateTier, Settings
from kalshi_pipelines.warehouse.engine import open_engine
from kalshi_pipelines_tests.drift_trials.changes import CHANGES, Change
from kalshi_pipelines_tests.drift_trials.world import (
    HOUR_US,
    MINUTE_US,
    Received,
    SimulatedExchange,
    receiver,
    simulated_exchange,
)

TRIAL_US: Final = 72 * HOUR_US
TOLD_WITHIN_US: Final = 24 * HOUR_US
TICK_US: Final = 30 * MINUTE_US
LIFE_US: Final = 2 * HOUR_US
#: 2030-01-06T12:00:00Z, ahead of whoever runs this: an exchange that traded can not be set back. Trials begin within a
#: week of it, so that some meet the maintenance of a Thursday.
FIRST_START_US: Final = 1_893_931_200_000_000


@dataclass(frozen=True)
class Plan:
    """What happens in a trial, drawn from its seed.

    Attributes:
        seed: What everything else is drawn from.
        change: The change.
        start_us: When the trial begins.
        injected_us: When the change is injected.
        downs: When the daemon is down: pairs of instants. It has lost its memory when it comes back.
    """

    seed: int
    change: Change
    start_us: int
    injected_us: int
    downs: tuple[tuple[int, int], ...]

    def is_down(self, now_us: int) -> bool:
        """Whether the daemon is down."""
        return any(begin <= now_us < end for begin, end in self.downs)


@dataclass(frozen=True)
class Outcome:
    """How a trial ended.

    Attributes:
        plan: What happened.
        runs: How many contract runs there were.
        received: Every message that arrived.
    """

    plan: Plan
    runs: int
    received: tuple[Received, ...]

    @property
    def hours(self) -> float | None:
        """How long after the change the first message came; None if there was none."""
        return (self.received[0].at_us - self.plan.injected_us) / HOUR_US if self.received else None

    @property
    def is_good(self) -> bool:
        """Exactly one message, after the change and within a day of it."""
        return len(self.received) == 1 and 0 < self.received[0].at_us - self.plan.injected_us <= TOLD_WITHIN_US

    def __str__(self) -> str:
        after = "never" if self.hours is None else f"{self.hours:5.1f} h"
        verdict = "ok" if self.is_good else "BAD"
        text = f"seed {self.plan.seed:>4} {verdict:>4} {after:>8}, {len(self.received)} messages, {self.runs:>2} runs, "
        text += f"{len(self.plan.downs)} restarts: {self.plan.change.name} ({self.plan.change.endpoint})"
        return text if self.is_good else "\n".join([text, *(f"    {_at(each)} {each.title}" for each in self.received)])


def _at(received: Received) -> str:
    return f"{units.instant(received.at_us):%a %H:%M}"


def plan_of(seed: int) -> Plan:
    """The plan of a trial: seeds one after the other go through every change."""
    draw = random.Random(seed)
    start_us = FIRST_START_US + draw.randrange(7 * 24) * HOUR_US
    # After the first run, so that there is something to differ from; a day before the end, so that a day is left.
    injected_us = start_us + HOUR_US + draw.randrange(TRIAL_US - TOLD_WITHIN_US - HOUR_US)
    downs = []
    for _ in range(draw.randint(1, 4)):
        begin = start_us + HOUR_US + draw.randrange(TRIAL_US - 2 * HOUR_US)
        downs.append((begin, begin + draw.choice((1, 10, 120, 480, 720)) * MINUTE_US))
    return Plan(seed, CHANGES[seed % len(CHANGES)], start_us, injected_us, tuple(sorted(downs)))


class Daemon:
    """What Dagster's daemon does for contracts: two sensors. It keeps nothing but what is in the warehouse."""

    def __init__(self, warehouse_url: str, exchange: SimulatedExchange, channel: str) -> None:
        self._engine = open_engine(warehouse_url)
        self._exchange = exchange
        self._channels = AlertChannels.from_urls([channel])
        self._settings = Settings(rate_tier=RateTier.PRESTIGE)

    def tick(self) -> bool:
        """Look at the clock once, as the sensors do; tells whether there was a contract run."""
        now_us = self._exchange.now_us
        is_due = due(self._engine, Environment.SANDBOX, now_us()).key is not None
        if is_due:
            run_contract_checks(
                self._settings, self._engine, _ignored, sandbox_url=self._exchange.process.url, clock=now_us
            )
        deliver_pending(self._engine, self._channels, clock=now_us)
        return is_due

    def stop(self) -> None:
        """Forget everything."""
        self._engine.dispose()


def _ignored(_: str) -> None:
    pass


def run_trial(plan: Plan, warehouse_url: str) -> Outcome:
    """Let a trial happen in a warehouse at head that is empty."""
    runs, daemon, is_changed, lived_us = 0, None, False, plan.start_us
    with simulated_exchange(plan.start_us, plan.seed) as exchange, receiver(exchange) as somebody:
        while exchange.now_us() < plan.start_us + TRIAL_US:
            if not is_changed and exchange.now_us() >= plan.injected_us:
                exchange.drift(plan.change.endpoint, plan.change.operations)
                is_changed = True
            if plan.is_down(exchange.now_us()):
                if daemon is not None:
                    daemon.stop()
                daemon = None
            else:
                daemon = daemon or Daemon(warehouse_url, exchange, somebody.url)
                runs += daemon.tick()
            exchange.go_to(exchange.now_us() + TICK_US)
            if exchange.now_us() >= lived_us + LIFE_US:
                lived_us = exchange.now_us()
                exchange.steer("/prices", fraction=0.3)
                exchange.steer("/markets", count=3)
        if daemon is not None:
            daemon.stop()
        return Outcome(plan, runs, tuple(somebody.received))
