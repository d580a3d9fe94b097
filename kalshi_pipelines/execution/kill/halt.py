"""Cancel everything and prove that nothing is left: through lost answers, pauses and late orders, until it is proved.

The exchange comes first. The journal is told if it can be, and waited for only so long; a reduction of risk never waits
for a record.
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
#: A disk that takes longer hangs; everything is canceled all the same.
_MOST_SECONDS_TO_WRITE: Final = 5.0


class CancelTransport(Protocol):
    """The reductions of risk a halt uses; ``OrderTransport`` has them."""

    def cancel_all(self) -> OrderAnswer:
        """Cancel every order of the sub-account."""
        ...

    def cancel(self, order_id: OrderId, ticker: MarketTicker) -> OrderAnswer:
        """Cancel one order."""
        ...

    def trigger_order_group(self, order_group_id: OrderId, exchange_index: int) -> OrderAnswer:
        """Cancel a group's orders and refuse new ones."""
        ...


Groups = Callable[[], Iterable[tuple[OrderId, int]]]
"""The order groups that may still let an order in: id and shard. May raise ``KalshiError``, also after some of them."""


@dataclass(frozen=True, slots=True)
class HaltReport:
    """What a halt came to. Only ``flat`` is proof; without it orders may rest."""

    flat: bool
    rounds: int
    resting: tuple[str, ...]
    problems: tuple[str, ...]
    engaged: EngagementRecord

    def __str__(self) -> str:
        if self.flat:
            return f"FLAT: no order rests, proved in round {self.rounds}"
        left = f"{len(self.resting)} orders rest: {', '.join(self.resting[:5])}" if self.resting else "not proved"
        return f"NOT FLAT after {self.rounds} rounds ({left}); {'; '.join(self.problems[-2:])}"


class Halt:
    """Level 2 of the kill switch.

    Args:
        switch: Engaged before the first cancel.
        emergency: Written first of all: it is the one place that can not be locked by somebody else.
        canceling: What can cancel.
        account: What proves.
        groups: The order groups to fence.
        clock_us: The present instant in microseconds.
        pause: Waits for seconds.
        checkpoint: Passed after each round's cancels.
    """

    def __init__(
        self,
        switch: KillSwitch,
        emergency: EmergencyFile,
        transport: CancelTransport,
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
        """Stop new risk, cancel everything, and go on until nothing is proved to rest or patience ends."""
        problems: list[str] = []
        is_in_file = self._write_emergency_file(by, reason, problems)
        self._cancel_all(problems)
        self._fence(problems)
        engaged = self._switch.import_emergency_file(by) if is_in_file else self._engage(by, reason)
        give_up = time.monotonic() + patience_seconds
        rounds = 1
        flat, resting = self._round(problems)
        while not flat and time.monotonic() < give_up:
            self._pause(_SECONDS_BETWEEN_ROUNDS)
            rounds += 1
            flat, resting = self._round(problems)
        return HaltReport(flat, rounds, resting, tuple(problems), engaged)

    def _round(self, problems: list[str]) -> tuple[bool, tuple[str, ...]]:
        """Fence what is not, look, and cancel what rests one by one: whether it was proved that nothing does.

        All is canceled together until that is confirmed, whatever can be read.
        """
        if not self._all_canceled:
            self._cancel_all(problems)
        is_fenced = self._fence(problems)
        try:
            if not self._has_caught_up():
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
        """Write the emergency file; a disk that is full or gone stops no cancel."""
        line = EmergencyLine(by, reason, CANCELS_EVERYTHING, "operator", self._clock_us())
        try:
            self._within_disk_limit(lambda: self._emergency.append(line))
        except OSError as error:
            problems.append(f"{self._emergency.path} can not be written: {error}")
            return False
        return True

    def _engage(self, by: str, reason: str) -> EngagementRecord:
        try:
            return self._switch.engage(by, reason, CANCELS_EVERYTHING)
        except OSError as error:
            return EngagementRecord(
                None, f"neither journal nor emergency file can be written: {error}", is_on_record=False
            )

    def _has_caught_up(self) -> bool:
        """Whether reads tell of the time after the last act; waits a little for that."""
        for _ in range(_LOOKS_AT_WATERMARK):
            if self._account.as_of_us() >= self._acted_us:
                return True
            self._pause(_SECONDS_BETWEEN_LOOKS)
        return False

    def _record_act(self, answer: OrderAnswer) -> OrderAnswer:
        """Reads count as proof only from after this act, on the exchange's own clock where it told it."""
        self._acted_us = max(self._acted_us, answer.server_us or self._clock_us() + _MARGIN_US)
        return answer

    def _fence(self, problems: list[str]) -> bool:
        """Trigger every group; whether all were confirmed, so that nothing late can come in."""
        confirmed = True
        try:
            for group, shard in self._groups():
                answer = self._record_act(self._transport.trigger_order_group(group, shard))
                if answer.status not in (200, 404):
                    problems.append(f"order group {group} was not triggered ({answer.status or answer.detail})")
                    confirmed = False
        except (KalshiError, InvalidTerms) as error:
            problems.append(str(error))
            return False
        return confirmed

    def _cancel_all(self, problems: list[str]) -> None:
        answer = self._record_act(self._transport.cancel_all())
        self._all_canceled = answer.status in (200, 204)
        if not self._all_canceled:
            problems.append(f"cancel-all was not confirmed ({answer.status or answer.detail})")

    def _cancel(self, order: ExchangeOrder, problems: list[str]) -> None:
        try:
            answer = self._record_act(self._transport.cancel(OrderId(order.order_id), MarketTicker(order.ticker)))
        except InvalidTerms as error:
            problems.append(str(error))
            return
        # 404: it does not rest any more, or it is on a shard that is down; the next round tells.
        if answer.status not in (200, 404):
            problems.append(f"order {order.order_id} was not canceled ({answer.status or answer.detail})")
