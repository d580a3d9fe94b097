"""Fees as a step function of time: the fees that a series or an event had at any moment.

An event without changes has the fees of its series. A change of an event may replace the type, the multiplier or both,
and a later change may clear them again. Before the first known change of a series its fees are unknown, unless they
were seen before that change. Unknown fees are None and never guessed.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, NamedTuple

import sqlalchemy as sa

from kalshi_pipelines.history.fees.formulas import Fees
from kalshi_pipelines.warehouse.tables import fee_changes

#: The time of a step that always applied, as far as anybody knows.
ALWAYS_US: Final = 0
_ROWS_AT_ONCE: Final = 5_000


class FeeStep(NamedTuple):
    """The fees that a change set. None means that the fees of the series apply."""

    effective_us: int
    fee_type: str | None
    multiplier: Decimal | None


class TimedFees(NamedTuple):
    """The fees that apply from a time on; None if they are unknown."""

    start_us: int
    fees: Fees | None


_NO_STEPS: Final[tuple[FeeStep, ...]] = ()


@dataclass(frozen=True)
class FeeSchedule:
    """The steps of series and of events by ticker, each in order of time."""

    series: Mapping[str, Sequence[FeeStep]] = field(default_factory=dict)
    events: Mapping[str, Sequence[FeeStep]] = field(default_factory=dict)

    def fee_at(self, series_ticker: str | None, event_ticker: str | None, time_us: int) -> Fees | None:
        """Return the fees of an event, or of a series if no event is given, at a time; None if they are unknown."""
        own = _at(self.events.get(event_ticker or "", _NO_STEPS), time_us)
        base = _at(self.series.get(series_ticker or "", _NO_STEPS), time_us)
        fee_type = own.fee_type if own and own.fee_type is not None else base and base.fee_type
        multiplier = own.multiplier if own and own.multiplier is not None else base and base.multiplier
        return None if fee_type is None or multiplier is None else Fees(fee_type, multiplier)

    def between(
        self, series_ticker: str | None, event_ticker: str | None, start_us: int, end_us: int
    ) -> list[TimedFees]:
        """Return the fees from ``start_us`` to ``end_us``, both included. The first begin at ``start_us``."""
        steps = (*self.series.get(series_ticker or "", _NO_STEPS), *self.events.get(event_ticker or "", _NO_STEPS))
        times = sorted({start_us, *(step.effective_us for step in steps if start_us < step.effective_us <= end_us)})
        found: list[TimedFees] = []
        for time_us in times:
            fees = self.fee_at(series_ticker, event_ticker, time_us)
            if not found or found[-1].fees != fees:
                found.append(TimedFees(time_us, fees))
        return found


def _at(steps: Sequence[FeeStep], time_us: int) -> FeeStep | None:
    position = bisect_right(steps, time_us, key=lambda step: step.effective_us)
    return steps[position - 1] if position else None


def load_fee_schedule(engine: sa.Engine) -> FeeSchedule:
    """Return the fee changes that stand. A version that was moved or withdrawn does not count.

    If two changes have the same time, the one that was recorded last counts.
    """
    columns = fee_changes.c
    query = (
        sa.select(columns.scope, columns.ticker, columns.effective_us, columns.fee_type, columns.fee_multiplier)
        .where(columns.withdrawn_us.is_(None))
        .order_by(columns.effective_us, columns.recorded_us, columns.change_id)
    )
    found: dict[str, dict[str, list[FeeStep]]] = {"series": {}, "event": {}}
    with engine.connect().execution_options(yield_per=_ROWS_AT_ONCE) as connection:
        for scope, ticker, effective_us, fee_type, multiplier in connection.execute(query):
            exact = None if multiplier is None else Decimal(multiplier)
            found[scope].setdefault(ticker, []).append(FeeStep(effective_us, fee_type, exact))
    return FeeSchedule(found["series"], found["event"])
