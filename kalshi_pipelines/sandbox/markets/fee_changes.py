"""Scheduled changes of the fees of series and events, as step functions of time.

Belongs here: the changes and the one in force at an instant. Does not belong here: which series and events have changes
(``generated_events``), and rates in the fee formula (``opening``).
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from operator import attrgetter
from uuid import UUID

from kalshi_pipelines.sandbox.clock import rfc3339
from kalshi_pipelines.sandbox.noise import mixed


@dataclass(frozen=True, slots=True)
class PlannedFees:
    """A change of fees that takes effect at an instant, in microseconds since 1970.

    In the changes of an event, ``fee_type`` and ``multiplier`` are None where the override is cleared: from then on,
    the fees of the series apply.
    """

    change_id: str
    effective_us: int
    fee_type: str | None
    multiplier: Decimal | None


_effective = attrgetter("effective_us")


def change_id(owner: int, number: int) -> str:
    """Return the id of a fee change: always the same for the same series or event and number."""
    return str(UUID(int=mixed(owner, number, 51) << 64 | mixed(number, owner, 52), version=4))


def in_force(changes: Sequence[PlannedFees], at_us: int) -> PlannedFees | None:
    """Return the change in force at an instant, or None before the first one. The changes ascend in time."""
    place = bisect_right(changes, at_us, key=_effective)
    return changes[place - 1] if place else None


def wire_multiplier(multiplier: Decimal | None) -> float | int | None:
    """Return a fee multiplier as the exchange sends it: 1 and not 1.0, but 0.5."""
    if multiplier is None:
        return None
    return float(multiplier) if multiplier % 1 else int(multiplier)


def series_change_row(series_ticker: str, change: PlannedFees) -> dict[str, object]:
    """Return a ``SeriesFeeChange`` object."""
    return {
        "fee_multiplier": wire_multiplier(change.multiplier),
        "fee_type": change.fee_type,
        "id": change.change_id,
        "scheduled_ts": rfc3339(change.effective_us),
        "series_ticker": series_ticker,
    }


def event_change_row(event_ticker: str, series_ticker: str, change: PlannedFees) -> dict[str, object]:
    """Return an ``EventFeeChange`` object."""
    return {
        "event_ticker": event_ticker,
        "fee_multiplier_override": wire_multiplier(change.multiplier),
        "fee_type_override": change.fee_type,
        "id": change.change_id,
        "scheduled_ts": rfc3339(change.effective_us),
        "series_ticker": series_ticker,
    }
