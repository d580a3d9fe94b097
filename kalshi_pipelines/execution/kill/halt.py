"""Level 2 of the kill switch: cancel all orders until a complete reading proves that no order rests.

Lost answers, pauses of the exchange and late orders only cause further rounds. The halt cancels orders before it uses
the journal, and its wait for the journal is limited. So the journal never delays a cancel for long.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Protocol

from kalshi_pipelines.execution.kill.bounded import BoundedWait
from kalshi_pipelines.execution.kill.emergency import EmergencyFile, EmergencyLine
from kalshi_pipelines.execution.kill.switch import CANCELS_EVERYTHING, EngagementRecord, KillSwitch
from kalshi_pipelines.execution.orders.answers import OrderAnswer
from kalshi_pipelines.execution.orders.checkpoints import Checkpoint, PassCheckpoint, ignore_checkpoint
from kalshi_pipelines.execution.orders.evidence import ExchangeOrder
from kalshi_pipelines.execution.orders.terms import InvalidTerms, MarketTicker, OrderId
from kalshi_pipelines.execution.reconciliation.account import AccountReader, UnreadableAccount
from kalshi_pipelines.kalshi.errors import KalshiError
from kalshi_pipelines.units import SECOND_US, now_us

_SECONDS_BETWEEN_ROUNDS: Final = 1.0
_SECONDS_BETWEEN_LOOKS: Final = 0.5
_LOOKS_AT_WATERMARK: Final = 10
_MARGIN_US: Final = 2 * SECOND_US
_NOT_FOUND: Final = 404
#: The longest wait for writing the emergency file, in seconds. After that, the halt cancels all orders without the
#: file.
_MOST_SECONDS_TO_WRITE: Final = 5.0


class HaltTransport(Protocol):
    """The requests that a halt sends. They only reduce risk. ``OrderTransport`` implements them."""

    def cancel_all(self) -> OrderAnswer:
        """Cancel all orders of the sub-account."""
        ...

    def cancel(self, order_id: OrderId, ticker: MarketTicker) -> OrderAnswer:
        """Cancel one order."""
        ...

    def trigger_order_group(self, order_group_id: OrderId, exchange_index: int) -> OrderAnswer:
        """Cancel the orders of a group, and make the exchange refuse new orders of the group."""
        ...


Groups = Callable[[], Iterable[tuple[OrderId, int]]]
"""A function that yields id and shard of the order groups through which an order may still arrive.

It may raise ``KalshiError``, also after it has yielded some groups.
"""


@dataclass(frozen=True, slots=True)
class HaltReport:
    """The result of a halt. ``flat`` means that no order rests; otherwise orders may still rest."""

    flat: bool
    rounds: int
    resting: tuple[str, ...]
    problems: tuple[str, ...]
    engaged: EngagementRecord

    def __str__(self) -> str:
        if self.flat:
            return f"FLAT: no order rests, proved in round {self.rounds}"
        count = "1 order rests" if len(self.resting) == 1 else f"{len(self.resting)} orders rest"
        left = f"{count}: {', '.join(self.resting[:5])}" if self.resting else "not proved"
        return f"NOT FLAT after {self.rounds} rounds ({left}); {'; '.join(self.problems[-2:])}"


class Halt:
    """Level 2 of the kill switch, which engages the switch and cancels all orders.

    Args:
        switch: The kill switch, which the halt engages.
        emergency: The emergency file. It is written before the journal, because the file is never locked.
        transport: Sends the cancels and triggers.
        account: Reads the account to prove that no order rests.
        groups: Yields the order groups to fence.
        clock_us: Returns the present instant in microseconds.
        pause: Waits for a number of seconds.
        checkpoint: Called after the cancels of each round.
    """

    def __init__(
        self,
        switch: KillSwitch,
        emergency: EmergencyFile,
        transport: HaltTransport,
        account: AccountReader,
        groups: Groups,
        *,
        clock_us: Callable[[], int] = now_us,
        pause: Callable[[float], None] = time.sleep,
        checkpoint: PassCheckpoint = ignore_checkpoint,
    ) -> None:
        self._switch, self._emergency = switch, emergency
        self._transport, self._account, self._groups = transport, account, groups
        self._clock_us, self._pause, self._checkpoint = clock_us, pause, checkpoint
        self._acted_us = 0
        self._all_canceled = False
        self._within_disk_limit = BoundedWait(f"the disk of {emergency.path}", _MOST_SECONDS_TO_WRITE)

    def run(self, by: str, reason: str, patience_seconds: float = 300.0) -> HaltReport:
        """Engage the switch and cancel all orders until no order rests or ``patience_seconds`` have passed."""
        problems: list[str] = []
        is_in_file = self._write_emergency_file(by, reason, problems)
        self._cancel_all(problems)
        self._fence(problems)
        engaged = self._switch.import_emergency_file(by) if is_in_file else self._engage(by, reason)
        return self._prove(patience_seconds, problems, engaged)

    def cancel_until_flat(self, patience_seconds: float) -> HaltReport:
        """Cancel all orders like ``run``, while the caller engages the switch at the same time."""
        problems: list[str] = []
        self._cancel_all(problems)
        return self._prove(patience_seconds, problems, EngagementRecord(None, is_on_record=False))

    def _prove(self, patience_seconds: float, problems: list[str], engaged: EngagementRecord) -> HaltReport:
        give_up = time.monotonic() + patience_seconds
        rounds = 1
        flat, resting = self._round(problems)
        while not flat and time.monotonic() < give_up:
            self._pause(_SECONDS_BETWEEN_ROUNDS)
            rounds += 1
            flat, resting = self._round(problems)
        return HaltReport(flat, rounds, resting, tuple(problems), engaged)

    def _round(self, problems: list[str]) -> tuple[bool, tuple[str, ...]]:
        """Run one round: fence the order groups, read the account and cancel each resting order.

        The request to cancel all orders is repeated in each round until the exchange confirms it, even if the account
        cannot be read.

        Returns:
            Whether it is proved that no order rests, and the ids of the orders that rested.
        """
        if not self._all_canceled:
            self._cancel_all(problems)
        is_fenced = self._fence(problems)
        try:
            if not self._wait_for_reads():
                problems.append("the exchange's reads lag behind the last cancel")
                return False, ()
            resting = [order for order in self._account.orders(self._clock_us()).orders.values() if order.is_resting]
        except (KalshiError, UnreadableAccount) as error:
            problems.append(str(error))
            return False, ()
        for order in resting:
            self._cancel(order, problems)
        if resting:
            self._cancel_all(problems)
        self._checkpoint(Checkpoint.CANCELS_SENT)
        return is_fenced and not resting, tuple(order.order_id for order in resting)

    def _write_emergency_file(self, by: str, reason: str, problems: list[str]) -> bool:
        """Write the emergency file, and return whether it was written.

        A full or missing disk does not stop the halt from canceling orders.
        """
        line = EmergencyLine(by, reason, CANCELS_EVERYTHING, "operator", self._clock_us())
        try:
            self._within_disk_limit(lambda: self._emergency.append(line))
        except OSError as error:
            problems.append(f"{self._emergency.path} cannot be written: {error}")
            return False
        return True

    def _engage(self, by: str, reason: str) -> EngagementRecord:
        try:
            return self._switch.engage(by, reason, CANCELS_EVERYTHING)
        except OSError as error:
            return EngagementRecord(
                None, f"neither the journal nor the emergency file can be written: {error}", is_on_record=False
            )

    def _wait_for_reads(self) -> bool:
        """Wait at most a few seconds for the exchange's reads to include the last cancel or trigger.

        Returns:
            Whether the exchange's reads include the last cancel or trigger.
        """
        for _ in range(_LOOKS_AT_WATERMARK):
            if self._account.as_of_us() >= self._acted_us:
                return True
            self._pause(_SECONDS_BETWEEN_LOOKS)
        return False

    def _record_act(self, answer: OrderAnswer) -> OrderAnswer:
        """Remember when a cancel or trigger was answered. Only reads of a later state prove that no order rests.

        The remembered time is the exchange's time in the answer. Without it, the time is this computer's time plus a
        margin.
        """
        self._acted_us = max(self._acted_us, answer.server_us or self._clock_us() + _MARGIN_US)
        return answer

    def _fence(self, problems: list[str]) -> bool:
        """Trigger every order group, so that no late order can arrive.

        Return whether the exchange confirmed all triggers.
        """
        confirmed = True
        try:
            for group, shard in self._groups():
                answer = self._record_act(self._transport.trigger_order_group(group, shard))
                # A 404 of the exchange means that the group is gone. A 404 of a proxy means nothing.
                is_gone = answer.status == _NOT_FOUND and answer.is_refusal
                if not (answer.is_confirmation or is_gone):
                    problems.append(f"order group {group} was not triggered ({answer.status or answer.detail})")
                    confirmed = False
        except (KalshiError, InvalidTerms) as error:
            problems.append(str(error))
            return False
        return confirmed

    def _cancel_all(self, problems: list[str]) -> None:
        answer = self._record_act(self._transport.cancel_all())
        self._all_canceled = answer.is_confirmation
        if not self._all_canceled:
            problems.append(f"cancel-all was not confirmed ({answer.status or answer.detail})")

    def _cancel(self, order: ExchangeOrder, problems: list[str]) -> None:
        try:
            answer = self._record_act(self._transport.cancel(OrderId(order.order_id), MarketTicker(order.ticker)))
        except InvalidTerms as error:
            problems.append(str(error))
            return
        # A status of 404 means that the order no longer rests or that its shard is down. The next round shows which is
        # true.
        if answer.status not in (200, 404):
            problems.append(f"order {order.order_id} was not canceled ({answer.status or answer.detail})")
