"""One trial: 72 simulated hours, a daemon that is restarted and killed, one change, and the messages that arrive.

The daemon uses the real parts: the scheduling of the sensor, probes over HTTP, findings and outbox in a real warehouse,
and a web hook. A restart loses everything that is not in the warehouse.
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
MESSAGE_WITHIN_US: Final = DAY_US
TICK_US: Final = 30 * MINUTE_US
LIFE_US: Final = 2 * HOUR_US
#: 2030-01-06T12:00:00Z lies in the future, because the clock of an exchange that traded cannot be set back. Trials
#: begin within a week after this instant, so that some include the maintenance on Thursday.
FIRST_START_US: Final = 1_893_931_200_000_000
#: A contract run takes about half a second after its process is ready.
LONGEST_BEFORE_KILL_SECONDS: Final = 0.8


@dataclass(frozen=True)
class DriftTrialPlan:
    """The events of a trial, drawn at random from its seed. All instants are microseconds since 1970 UTC.

    Attributes:
        seed: The seed of the random draws.
        change: The change to inject; ``None`` for a trial without a change.
        start_us: When the trial begins.
        injected_us: When the change is injected.
        downs: The periods in which the daemon is down, as pairs of begin and end.
        kills: The contract runs to kill: the number of the run, and the seconds until the kill.
    """

    seed: int
    change: VendorChange | None
    start_us: int
    injected_us: int
    downs: tuple[tuple[int, int], ...]
    kills: tuple[tuple[int, float], ...]

    def is_down(self, now_us: int) -> bool:
        """Return whether the daemon is down at an instant."""
        return any(begin <= now_us < end for begin, end in self.downs)


@dataclass(frozen=True)
class DriftTrialOutcome:
    """The outcome of a trial.

    Attributes:
        plan: The plan of the trial.
        runs: The number of contract runs.
        received: Every message that arrived, in order.
    """

    plan: DriftTrialPlan
    runs: int
    received: tuple[ReceivedMessage, ...]

    @property
    def messages(self) -> tuple[ReceivedMessage, ...]:
        """The messages without those marked as possible repeats, which follow a kill during delivery."""
        return tuple(each for each in self.received if not each.body.startswith("This may be a repeat"))

    @property
    def hours(self) -> float | None:
        """The hours from the change to the first message; ``None`` if no message arrived."""
        return (self.received[0].at_us - self.plan.injected_us) / HOUR_US if self.received else None

    @property
    def is_good(self) -> bool:
        """Whether exactly one message arrived within a day after the change, or none if nothing changed."""
        if self.plan.change is None:
            return not self.received
        many = len(self.messages) or len(self.received)
        return many == 1 and 0 < self.received[0].at_us - self.plan.injected_us <= MESSAGE_WITHIN_US

    def __str__(self) -> str:
        after = "never" if self.hours is None else f"{self.hours:5.1f} h"
        verdict = "ok" if self.is_good else "BAD"
        text = f"seed {self.plan.seed:>4} {verdict:>4} {after:>8}, {len(self.received)} messages, {self.runs:>2} runs, "
        text += f"{len(self.plan.downs)} restarts, {len(self.plan.kills)} kills: {_describe(self.plan.change)}"
        return text if self.is_good else "\n".join([text, *(f"    {_at(each)} {each.title}" for each in self.received)])


def _describe(change: VendorChange | None) -> str:
    return "nothing changes" if change is None else f"{change.name} ({', '.join(end for end, _ in change.drifts)})"


def _at(received: ReceivedMessage) -> str:
    return f"{units.instant(received.at_us):%a %H:%M}"


def plan_trial(seed: int, is_quiet: bool = False) -> DriftTrialPlan:
    """Return the plan of a trial. Consecutive seeds go through all changes; a quiet trial has no change."""
    draw = random.Random(seed)
    start_us = FIRST_START_US + draw.randrange(7 * 24) * HOUR_US
    # The change comes after the first run, which learns a baseline, and leaves a day for the message.
    injected_us = start_us + HOUR_US + draw.randrange(TRIAL_US - MESSAGE_WITHIN_US - HOUR_US)
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
    """Run a trial in an empty warehouse at its newest migration."""
    with simulated_exchange(plan.start_us, plan.seed) as exchange, message_receiver(exchange) as receiver:
        trial = _RunningTrial(plan, warehouse_url, exchange, receiver)
        while exchange.now_us() < plan.start_us + TRIAL_US:
            trial.advance_half_an_hour()
        trial.stop()
        return DriftTrialOutcome(plan, trial.runs, tuple(receiver.received))


class _RunningTrial:
    """A trial in progress."""

    def __init__(
        self, plan: DriftTrialPlan, warehouse_url: str, exchange: SimulatedExchange, receiver: MessageReceiver
    ) -> None:
        self.runs = 0
        self._plan, self._warehouse_url, self._exchange, self._receiver = plan, warehouse_url, exchange, receiver
        self._life = UsualLife(exchange, random.Random(plan.seed))
        self._advanced_us = plan.start_us
        self._is_changed = plan.change is None
        self._daemon: SimulatedDaemon | None = None

    def advance_half_an_hour(self) -> None:
        """Simulate half an hour: inject the change if due, run the daemon, move the clock."""
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
        if self._exchange.now_us() >= self._advanced_us + LIFE_US:
            self._advanced_us = self._exchange.now_us()
            self._life.advance()

    def stop(self) -> None:
        """Stop the daemon, if it runs."""
        if self._daemon is not None:
            self._daemon.stop()
        self._daemon = None

    def _tick(self) -> None:
        places = (self._warehouse_url, self._exchange.process.url, self._receiver.url)
        self._daemon = self._daemon or SimulatedDaemon(*places, self._exchange.now_us)
        kill_after = dict(self._plan.kills).get(self.runs)
        if kill_after is not None and self._daemon.is_due():
            self.stop()
            tick_and_kill(*places, self._exchange.offset_us, kill_after)
            self.runs += 1
        else:
            self.runs += self._daemon.tick()
