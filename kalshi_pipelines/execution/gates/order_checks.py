"""The checks of an order against its proposal, its market and the trading settings."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from kalshi_pipelines.execution.configuration import TradeSettings
from kalshi_pipelines.execution.gates.market_snapshot import MarketSnapshot, PriceRange
from kalshi_pipelines.execution.journal.records import Check, Intent
from kalshi_pipelines.execution.orders import amounts
from kalshi_pipelines.execution.orders.denials import BY_CODE, DenialReason
from kalshi_pipelines.execution.orders.fees import FeeNotBounded, FeeTerms, fee_bound
from kalshi_pipelines.execution.orders.proposals import ActorKind, ProposedOrder
from kalshi_pipelines.execution.orders.terms import Contracts, Side, TimeInForce
from kalshi_pipelines.units import MICRODOLLARS_PER_CENTICENT, MINUTE_US, SECOND_US, instant, microdollars, microseconds

LONGEST_VALIDITY_US: Final = 10 * MINUTE_US
MOST_CLOCK_DIFFERENCE_MS: Final = 2_000
#: How far in the future a proposal's ``as_of`` may be. The clocks of proposer and executor may differ a little.
_AHEAD_US: Final = SECOND_US


@dataclass(frozen=True, slots=True)
class Denial:
    """The reason why an order must not be sent, with an explanation for people."""

    reason: DenialReason
    detail: str


def first_denial(checks: Iterable[Check]) -> Denial | None:
    """Return the first failed check as a denial, or None if all checks passed."""
    for check in checks:
        if not check.ok:
            return Denial(BY_CODE[check.code], f"{check.observed}; wanted: {check.limit}")
    return None


def check(reason: DenialReason, ok: bool, limit: object, observed: object) -> Check:
    """Return a check with its reason code. The limit and the observed value are stored as text for the audit log."""
    return Check(reason.code, bool(ok), str(limit), str(observed))


def proposal_checks(order: ProposedOrder, settings: TradeSettings, now_us: int) -> tuple[Check, ...]:
    """Check whether a proposal is valid now, and whether its terms are consistent with each other."""
    as_of, until = microseconds(order.as_of), microseconds(order.valid_until)
    return (
        check(
            DenialReason.PROPOSAL_EXPIRED,
            now_us <= until,
            "a proposal that is still valid",
            f"it was valid until {instant(until):%Y-%m-%d %H:%M:%S} UTC, and it is "
            f"{instant(now_us):%Y-%m-%d %H:%M:%S} UTC",
        ),
        check(
            DenialReason.PROPOSAL_STALE,
            as_of <= now_us + _AHEAD_US and 0 < until - as_of <= LONGEST_VALIDITY_US,
            "as of the past, valid for at most 10 minutes",
            f"as of {instant(as_of)}, valid until {instant(until)}",
        ),
        _time_in_force(order, settings, now_us),
    )


def _time_in_force(order: ProposedOrder, settings: TradeSettings, now_us: int) -> Check:
    rests = order.time_in_force is TimeInForce.GOOD_TILL_CANCELED
    expires = None if order.expires is None else microseconds(order.expires)
    wrong = []
    if rests != (expires is not None):
        wrong.append("good-till-canceled orders need an expiry, other orders must not have one")
    elif expires is not None and not now_us < expires <= now_us + settings.rest_minutes * MINUTE_US:
        wrong.append(f"it would rest until {instant(expires)}")
    if order.post_only and not rests:
        wrong.append("only good-till-canceled orders can be post-only")
    if order.reduce_only and order.time_in_force is not TimeInForce.IMMEDIATE_OR_CANCEL:
        wrong.append("only immediate-or-cancel orders can be reduce-only")
    if rests and order.actor is ActorKind.AGENT:
        wrong.append("an agent's order must not rest")
    return check(
        DenialReason.TIME_IN_FORCE_NOT_ALLOWED,
        not wrong,
        f"consistent terms, resting for at most {settings.rest_minutes} minutes",
        "; ".join(wrong) or order.time_in_force.value,
    )


def market_checks(
    order: ProposedOrder, market: MarketSnapshot, settings: TradeSettings, now_us: int, *, only_closes: bool = False
) -> tuple[Check, ...]:
    """Check whether the market accepts this order now, and whether the order's price is plausible.

    An order that only closes a position needs no two-sided book. Its price is judged by the side of the book that it
    would trade with, if that side is there.
    """
    series, price = settings.allowed_series, order.leg.yes_price.centicents
    age = now_us - market.read_us
    difference = market.clock_difference_ms
    ends = max(now_us, microseconds(order.expires)) if order.expires else now_us
    return (
        check(
            DenialReason.TICKER_NOT_ALLOWED,
            series is None or market.series_ticker in series,
            "all series" if series is None else ", ".join(sorted(series)),
            market.series_ticker,
        ),
        check(DenialReason.EXCHANGE_NOT_TRADING, market.shard_trades, "trading", f"shard {market.exchange_index}"),
        check(
            DenialReason.MARKET_NOT_ACTIVE,
            market.status == "active" and ends < market.close_us,
            f"active until {instant(ends)}",
            f"{market.status}, closes {instant(market.close_us)}",
        ),
        check(
            DenialReason.MARKET_NOT_SUPPORTED,
            (market.market_type, market.settlement_bounds) == ("binary", "default"),
            "binary, default bounds",
            f"{market.market_type}, {market.settlement_bounds} bounds",
        ),
        check(
            DenialReason.CLOCK_SKEWED,
            difference is not None and abs(difference) <= MOST_CLOCK_DIFFERENCE_MS,
            f"{MOST_CLOCK_DIFFERENCE_MS} ms",
            "not given" if difference is None else f"{difference} ms",
        ),
        check(
            DenialReason.MARKET_DATA_STALE,
            0 <= age <= settings.book_seconds * SECOND_US,
            f"{settings.book_seconds} s",
            f"{age // 1_000} ms",
        ),
        check(
            DenialReason.PRICE_OFF_GRID,
            any(each.has(price) for each in market.price_ranges),
            ", ".join(_format_range(each) for each in market.price_ranges),
            amounts.price(price),
        ),
        check(
            DenialReason.BOOK_NOT_TWO_SIDED,
            market.is_two_sided or (only_closes and (market.best_bid is None) != (market.best_ask is None)),
            "bid < ask",
            f"bid {_format_price(market.best_bid)}, ask {_format_price(market.best_ask)}",
        ),
        _band(price, market, settings, only_closes=only_closes),
    )


def _band(price: int, market: MarketSnapshot, settings: TradeSettings, *, only_closes: bool) -> Check:
    band = microdollars(f"{settings.price_band_dollars:f}") // MICRODOLLARS_PER_CENTICENT
    only = market.best_bid if market.best_ask is None else market.best_ask
    if only_closes and only is not None and None in (market.best_bid, market.best_ask):
        wanted = f"{amounts.price(only - band)} to {amounts.price(only + band)} for a YES"
        return check(DenialReason.PRICE_OUTSIDE_BAND, abs(price - only) <= band, wanted, amounts.price(price))
    if market.best_bid is None or market.best_ask is None:
        wanted = f"within {amounts.price(band)} of a two-sided book"
        return check(DenialReason.PRICE_OUTSIDE_BAND, False, wanted, amounts.price(price))
    low, high = market.best_bid - band, market.best_ask + band
    wanted = f"{amounts.price(low)} to {amounts.price(high)} for a YES"
    return check(DenialReason.PRICE_OUTSIDE_BAND, low <= price <= high, wanted, amounts.price(price))


def _format_range(prices: PriceRange) -> str:
    return f"{amounts.price(prices.start)} to {amounts.price(prices.end)} by {amounts.price(prices.step)}"


def _format_price(centicents: int | None) -> str:
    return "none" if centicents is None else amounts.price(centicents)


def fee_bound_check(
    order: ProposedOrder, count: Contracts, market: MarketSnapshot, settings: TradeSettings
) -> tuple[int, Check]:
    """Return the fee bound of an order for this count, and a check that fails if the bound is unknown.

    An unknown bound is returned as 0.
    """
    terms = FeeTerms(market.fee_type, market.fee_multiplier, settings.balance_step)
    try:
        bound = fee_bound(terms, order.leg.side, order.leg.yes_price, count)
    except FeeNotBounded as error:
        return 0, check(DenialReason.FEE_UNKNOWN, False, "a fee with a published bound", error)
    observed = f"at most {amounts.money(bound)}"
    return bound, check(DenialReason.FEE_UNKNOWN, True, "a fee with a published bound", observed)


def own_book_check(order: ProposedOrder, own: Iterable[Intent]) -> Check:
    """Check that an order would not trade with one of our own orders that may rest in the market."""
    price, side = order.leg.yes_price.centicents, order.leg.side
    crossed = [
        intent.client_order_id
        for intent in own
        if intent.ticker == str(order.ticker)
        and intent.side is not side
        and (price >= intent.price_centicents if side is Side.BID else price <= intent.price_centicents)
    ]
    return check(DenialReason.SELF_CROSS, not crossed, "no order of our own", ", ".join(crossed) or "none")


def balance_check(available_microdollars: int | None, needed_microdollars: int, exchange_index: int) -> Check:
    """Check that the money on the market's shard covers the order's worst case. An unknown balance fails the check."""
    return check(
        DenialReason.INSUFFICIENT_BALANCE,
        available_microdollars is not None and available_microdollars >= needed_microdollars,
        f"{amounts.money(needed_microdollars)} on shard {exchange_index}",
        "not given" if available_microdollars is None else amounts.money(available_microdollars),
    )
