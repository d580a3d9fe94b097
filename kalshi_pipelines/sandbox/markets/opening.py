"""Opening of a catalogue's market: the facts that the matching engine needs before the market can be traded.

Belongs here: building a ``MarketOpened`` event from a catalogue's rows. Does not belong here: deciding when a market is
opened (``venue``), and the cost of a trade (``trading.fees``). Source of the fee rates: the vendor's fee schedule of
October 2026. The schedule gives no figure for the fee type ``flat``; the sandbox charges ``flat`` like ``quadratic``.
"""

from decimal import Decimal
from typing import Final, cast

from kalshi_pipelines.sandbox.markets.fee_changes import PlannedFees
from kalshi_pipelines.sandbox.markets.listing import Catalogue
from kalshi_pipelines.sandbox.markets.rows import MarketRow
from kalshi_pipelines.sandbox.trading.events import MarketOpened, MarketStatus
from kalshi_pipelines.units import DAY_US

TAKER_RATE: Final = 7_000_000
MAKER_RATES: Final = {
    "quadratic": 0,
    "quadratic_with_maker_fees": 1_750_000,
    "quadratic_with_combo_maker_fees": 3_500_000,
    "flat": 0,
}
"""Fee rates of makers by fee type, in units of 1e-8, before the series' fee multiplier is applied."""
_GOES_ON_US: Final = 365 * DAY_US


def facts_of(catalogue: Catalogue, market: MarketRow, at_us: int) -> MarketOpened:
    """Return the event that opens a market of the catalogue in the matching engine at an instant."""
    close_us = market.close_us
    if market.status == "active" and close_us <= at_us:
        # An old recording shows this market as active after its close time. The sandbox keeps such a market open.
        close_us = at_us + _GOES_ON_US
    taker_rate, maker_rate = _rates(catalogue, market, at_us)
    return MarketOpened(
        at_us=at_us,
        ticker=market.ticker,
        event_ticker=market.event_ticker,
        series_ticker=market.series_ticker,
        shard=market.shard,
        price_ranges=market.price_ranges,
        taker_rate=taker_rate,
        maker_rate=maker_rate,
        status=cast("MarketStatus", market.status),
        close_us=close_us,
        is_combo=market.is_combo,
        fee_waived_until_us=market.fee_waived_until_us,
        fee_steps=_steps(catalogue, market, at_us),
    )


def _steps(catalogue: Catalogue, market: MarketRow, at_us: int) -> tuple[tuple[int, int, int], ...]:
    """Return the later changes of a market's fees: the instant, the taker's rate and the maker's rate."""
    owners = catalogue.events.get(market.event_ticker), catalogue.series.get(market.series_ticker)
    changes = [change for owner in owners if owner is not None for change in owner.fee_changes]
    instants = sorted({change.effective_us for change in changes if change.effective_us > at_us})
    return tuple((instant, *_rates(catalogue, market, instant)) for instant in instants)


def _rates(catalogue: Catalogue, market: MarketRow, at_us: int) -> tuple[int, int]:
    """Return the rates of a taker and a maker in a market at an instant.

    The event's own fees take precedence over those of the series.
    """
    event = catalogue.events.get(market.event_ticker)
    series = catalogue.series.get(market.series_ticker)
    own = None if event is None else event.fees_at(at_us)
    usual = PlannedFees("", 0, "quadratic", Decimal(1)) if series is None else series.fees_at(at_us)
    fee_type = (own and own.fee_type) or usual.fee_type or "quadratic"
    multiplier = usual.multiplier if own is None or own.multiplier is None else own.multiplier
    return int(TAKER_RATE * (multiplier or 0)), int(MAKER_RATES.get(fee_type, 0) * (multiplier or 0))
