"""Scheduled fee changes as they are on the wire. The rules of ``records`` apply."""

from decimal import Decimal

from msgspec import Struct

from kalshi_pipelines.kalshi.records import Instant


class SeriesFeeChange(Struct, frozen=True, gc=False):
    """A change of a series' fees that takes effect at ``scheduled_ts``.

    ``fee_type`` is any text: the exchange has sent types that its own document does not list (September 2026).
    """

    id: str
    series_ticker: str
    fee_type: str
    fee_multiplier: Decimal
    scheduled_ts: Instant

    def __post_init__(self) -> None:
        _require_finite(self.fee_multiplier)


class EventFeeChange(Struct, frozen=True, gc=False):
    """A change of an event's fees that takes effect at ``scheduled_ts``.

    The event then has these fees instead of those of its series. A null clears the override: the fees of the series
    apply again.
    """

    id: str
    event_ticker: str
    series_ticker: str
    fee_type_override: str | None
    fee_multiplier_override: Decimal | None
    scheduled_ts: Instant

    def __post_init__(self) -> None:
        if self.fee_multiplier_override is not None:
            _require_finite(self.fee_multiplier_override)


def _require_finite(number: Decimal) -> None:
    # Without this check, the JSON string "NaN" would be accepted as a Decimal.
    if not number.is_finite():
        raise ValueError(f"{number} is not a number")
