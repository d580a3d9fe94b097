"""One trial: 72 simulated hours with a daemon that is restarted and killed, one change, and who was told when.

The daemon is the real one as far as it matters: the sensor's own scheduling, the real probes over HTTP, the real
findings and outbox in a real warehouse, a real web hook. What it knows besides the warehouse dies with each restart.
"""

import random
from dataclasses import dataclass
from typing import Final

from kalshi_pipelines import units
from kalshi_pipelines.units import DAY_US, HOUR_US, MINUTE_US
from kalshi_pipelines_tests.tools.drift_trials.changes import CHANGES, VendorChange
from kalshi_pipelines_tests.tools.drift_trials.daemon import SimulatedDaemon, tick_and_kill
from kalshi_pipelines_tests.tools.drift_trials.usual_life import UsualLife
from kalshi_pipelines_tests.tools.drift_trials.world import (
    MessageReceiver,
    ReceivedMessage,
    SimulatedExchange,
    message_receiver,
    simulated_exchange,
)

TRIAL_US: Final = 72 * HOUR_US
TOLD_WITHIN_US: Final = DAY_US
TICK_US: Final = 30 * MINUTE_US
LIFE_US: Final = 2 * HOUR_US
#: 2030-01-06T12:00:00Z, ahead of whoever runs this: an exchange that traded can not be set back. Trials begin within a
#: week of it, so that some meet the maintenance of a Thursday.
FIRST_START_US: Final = 1_893_931_200_000_000
#: A run takes about half a second from when its process is ready.
LONGEST_BEFORE_KILL_SECONDS: Final = 0.8


@dataclass(frozen=True)
class DriftTrialPlan:
    """What happens in a trial, drawn from its seed.

    Attributes:
        seed: What everything else is drawn from.
        change: The change; ``None`` if nothing is to change.
        start_us: When the trial begins.
        injected_us: When the change is injected.
        downs: When the daemon is down: pairs of instants. It has lost its memory when it comes back.
        kills: Which contract runs are killed, by their number, and after how many seconds.
    """

    seed: int
    change: VendorChange | None
    start_us: int
    injected_us: int
    downs: tuple[tuple[int, int], ...]
    kills: tuple[tuple[int, float], ...]

    def is_down(self, now_us: int) -> bool:
        """Whether the daemon is down."""
        return any(begin <= now_us < end for begin, end in self.downs)


@dataclass(frozen=True)
class DriftTrialOutcome:
    """How a trial ended.

    Attributes:
        plan: What happened.
        runs: How many contract runs there were.
        received: Every message that arrived, in order.
    """

    plan: DriftTrialPlan
    runs: int
    received: tuple[ReceivedMessage, ...]

    @property
    def messages(self) -> tuple[ReceivedMessage, ...]:
        """Those that do not say of themselves that they may be a repeat: their sender was killed while it sent."""
        return tuple(each for each in self.received if not each.body.startswith("This may be a repeat"))

    @property
    def hours(self) -> float | None:
        """How long after the change the first message came; None if there was none."""
        return (self.received[0].at_us - self.plan.injected_us) / HOUR_US if self.received else None

    @property
    def is_good(self) -> bool:
        """Exactly one message, after the change and within a day of it; none if nothing changed."""
        if self.plan.change is None:
            return not self.received
        many = len(self.messages) or len(self.received)
        return many == 1 and 0 < self.received[0].at_us - self.plan.injected_us <= TOLD_WITHIN_US

    def __str__(self) -> str:
        after = "never" if self.hours is None else f"{self.hours:5.1f} h"
        verdict = "ok" if self.is_good else "BAD"
        text = f"seed {self.plan.seed:>4} {verdict:>4} {after:>8}, {len(self.received)} messages, {self.runs:>2} runs, "
        text += f"{len(self.plan.downs)} restarts, {len(self.plan.kills)} kills: {_told(self.plan.change)}"
        return text if self.is_good else "\n".join([text, *(f"    {_at(each)} {each.title}" for each in self.received)])


def _told(change: VendorChange | None) -> str:
    return "nothing changes" if change is None else f"{change.name} ({', '.join(end for end, _ in change.drifts)})"


def _at(received: ReceivedMessage) -> str:
    return f"{units.instant(received.at_us):%a %H:%M}"


def plan_trial(seed: int, is_quiet: bool = False) -> DriftTrialPlan:
    """The plan of a trial: seeds one after the other go through every change. In a quiet one nothing changes."""
    draw = random.Random(seed)
    start_us = FIRST_START_US + draw.randrange(7 * 24) * HOUR_US
    # After the first run, so that there is something to differ from; a day before the end, so that a day is left.
    injected_us = start_us + HOUR_US + draw.randrange(TRIAL_US - TOLD_WITHIN_US - HOUR_US)
    downs = []
    for _ in range(draw.randint(1, 4)):
        begin = start_us + HOUR_US + draw.randrange(TRIAL_US - 2 * HOUR_US)
        downs.append((begin, begin + draw.choice((1, 10, 120, 480, 720)) * MINUTE_US))
    kills = tuple(
        (number, draw.uniform(0, LONGEST_BEFORE_KILL_SECONDS)) for number in sorted(draw.sample(range(1, 12), 2))
    )
    change = None if is_quiet else CHANGES[seed % len(CHANGES)]
    return DriftTrialPlan(seed, change, start_us, injected_us, tuple(sorted(downs)), kills)


def run_trial(plan: DriftTrialPlan, warehouse_url: str) -> DriftTrialOutcome:
    """Let a trial happen in a warehouse at head that is empty."""
    with simulated_exchange(plan.start_us, plan.seed) as exchange, message_receiver(exchange) as somebody:
        course = _Course(plan, warehouse_url, exchange, somebody)
        while exchange.now_us() < plan.start_us + TRIAL_US:
            course.half_an_hour()
        course.stop()
        return DriftTrialOutcome(plan, course.runs, tuple(somebody.received))


class _Course:
    """A trial under way."""

    def __init__(
        self, plan: DriftTrialPlan, warehouse_url: str, exchange: SimulatedExchange, somebody: MessageReceiver
    ) -> None:
        self.runs = 0
        self._plan, self._warehouse_url, self._exchange, self._somebody = plan, warehouse_url, exchange, somebody
        self._life = UsualLife(exchange, random.Random(plan.seed))
        self._lived_us = plan.start_us
        self._is_changed = plan.change is None
        self._daemon: SimulatedDaemon | None = None

    def half_an_hour(self) -> None:
        """What happens until the daemon looks at the clock again."""
        now_us = self._exchange.now_us()
        if not self._is_changed and now_us >= self._plan.injected_us:
            self._is_changed = True
            for endpoint, operation in self._plan.change.drifts if self._plan.change else ():
                self._exchange.drift(endpoint, [operation])
        if self._plan.is_down(now_us):
            self.stop()
        else:
            self._tick()
        self._exchange.go_to(now_us + TICK_US)
        if self._exchange.now_us() >= self._lived_us + LIFE_US:
            self._lived_us = self._exchange.now_us()
            self._life.go_on()

    def stop(self) -> None:
        """Stop the daemon."""
        if self._daemon is not None:
            self._daemon.stop()
        self._daemon = None

    def _tick(self) -> None:
        places = (self._warehouse_url, self._exchange.process.url, self._somebody.url)
        self._daemon = self._daemon or SimulatedDaemon(*places, self._exchange.now_us)
        kill_after = dict(self._plan.kills).get(self.runs)
        if kill_after is not None and self._daemon.is_due():
            self.stop()
            tick_and_kill(*places, self._exchange.offset_us, kill_after)
            self.runs += 1
        else:
            self.runs += self._daemon.tick()
