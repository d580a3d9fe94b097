"""Each check denies an order with its own reason, and also denies an order if a value is unknown."""

from dataclasses import replace
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalshi_pipelines.execution.configuration import TradeSettings
from kalshi_pipelines.execution.gates.market_snapshot import PriceRange
from kalshi_pipelines.execution.gates.order_checks import (
    Denial,
    balance_check,
    check,
    fee_bound_check,
    first_denial,
    market_checks,
    own_book_check,
    proposal_checks,
)
from kalshi_pipelines.execution.journal.records import Check, Intent
from kalshi_pipelines.execution.orders.denials import DenialReason
from kalshi_pipelines.execution.orders.fees import FeeTerms, fee_bound
from kalshi_pipelines.execution.orders.proposals import ActorKind, ProposedOrder
from kalshi_pipelines.execution.orders.terms import (
    Action,
    Contracts,
    Leg,
    Outcome,
    Side,
    TimeInForce,
    YesPrice,
)
from kalshi_pipelines_tests.support.execution.good_order import MARKET, ORDER, RESTING
from kalshi_pipelines_tests.support.execution.instants import INSTANT, MINUTE, NOW, NOW_US, SECOND

SETTINGS = TradeSettings(series="KXA")


def _reason(order: ProposedOrder = ORDER, settings: TradeSettings = SETTINGS, **market: Any) -> DenialReason | None:
    denied = first_denial(market_checks(order, replace(MARKET, **market), settings, NOW_US))
    return denied.reason if denied else None


def test_good_order_in_a_good_market_passes() -> None:
    assert _reason() is None
    assert first_denial(proposal_checks(ORDER, SETTINGS, NOW_US)) is None
    assert first_denial(proposal_checks(RESTING, SETTINGS, NOW_US)) is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"series_ticker": "KXB"}, DenialReason.TICKER_NOT_ALLOWED),
        ({"shard_trades": False}, DenialReason.EXCHANGE_NOT_TRADING),
        ({"status": "inactive"}, DenialReason.MARKET_NOT_ACTIVE),
        ({"status": "closed"}, DenialReason.MARKET_NOT_ACTIVE),
        ({"status": "open"}, DenialReason.MARKET_NOT_ACTIVE),
        ({"close_us": NOW_US}, DenialReason.MARKET_NOT_ACTIVE),
        ({"market_type": "scalar"}, DenialReason.MARKET_NOT_SUPPORTED),
        ({"settlement_bounds": "floor"}, DenialReason.MARKET_NOT_SUPPORTED),
        ({"settlement_bounds": "not given"}, DenialReason.MARKET_NOT_SUPPORTED),
        ({"clock_difference_ms": None}, DenialReason.CLOCK_SKEWED),
        ({"clock_difference_ms": 2_001}, DenialReason.CLOCK_SKEWED),
        ({"clock_difference_ms": -3_600_000}, DenialReason.CLOCK_SKEWED),
        ({"read_us": NOW_US - 10_000_001}, DenialReason.MARKET_DATA_STALE),
        ({"read_us": NOW_US + 1}, DenialReason.MARKET_DATA_STALE),
        ({"best_bid": None}, DenialReason.BOOK_NOT_TWO_SIDED),
        ({"best_ask": None}, DenialReason.BOOK_NOT_TWO_SIDED),
        ({"best_bid": 5_200}, DenialReason.BOOK_NOT_TWO_SIDED),
        ({"best_bid": 5_300}, DenialReason.BOOK_NOT_TWO_SIDED),
        ({"best_bid": 3_000, "best_ask": 4_100}, DenialReason.PRICE_OUTSIDE_BAND),
        ({"best_bid": 6_300, "best_ask": 6_400}, DenialReason.PRICE_OUTSIDE_BAND),
        ({"price_ranges": ()}, DenialReason.PRICE_OFF_GRID),
        ({"price_ranges": (PriceRange(0, 5_000, 100),)}, DenialReason.PRICE_OFF_GRID),
    ],
)
def test_F17_F18_F31_F32_unsuitable_market_denies_with_its_own_reason(
    changes: dict[str, Any], reason: DenialReason
) -> None:
    assert _reason(**changes) is reason


def test_F31_price_band_reaches_exactly_ten_cents_beyond_the_book() -> None:
    wide: dict[str, Any] = {"price_ranges": (PriceRange(0, 10_000, 1),)}
    for price, reason in [(6_200, None), (6_201, DenialReason.PRICE_OUTSIDE_BAND)]:
        assert _reason(replace(ORDER, leg=Leg(Action.BUY, Outcome.YES, YesPrice(price))), **wide) is reason
    for price, reason in [(4_000, None), (3_999, DenialReason.PRICE_OUTSIDE_BAND)]:
        assert _reason(replace(ORDER, leg=Leg(Action.SELL, Outcome.YES, YesPrice(price))), **wide) is reason


@pytest.mark.parametrize(
    ("price", "on"),
    [(10, True), (990, True), (995, False), (1_100, True), (1_150, False), (9_010, True), (9_999, False)],
)
def test_F30_price_must_be_on_the_market_s_own_grid(price: int, on: bool) -> None:
    order = replace(ORDER, leg=Leg(Action.BUY, Outcome.YES, YesPrice(price)))
    book: dict[str, Any] = {"best_bid": max(price - 10, 1), "best_ask": price + 10}
    assert (_reason(order, **book) is DenialReason.PRICE_OFF_GRID) is not on


def test_price_checks_use_the_yes_price() -> None:
    no = Leg(Action.BUY, Outcome.NO, YesPrice(4_800))
    assert _reason(replace(ORDER, leg=no)) is None
    assert _reason(replace(ORDER, leg=no), best_bid=4_000, best_ask=4_100) is DenialReason.PRICE_OUTSIDE_BAND


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"valid_until": NOW - MINUTE / 60}, DenialReason.PROPOSAL_EXPIRED),
        ({"as_of": NOW + MINUTE}, DenialReason.PROPOSAL_STALE),
        ({"as_of": NOW - 10 * MINUTE}, DenialReason.PROPOSAL_STALE),
        ({"expires": NOW + MINUTE}, DenialReason.TIME_IN_FORCE_NOT_ALLOWED),
        ({"time_in_force": TimeInForce.GOOD_TILL_CANCELED}, DenialReason.TIME_IN_FORCE_NOT_ALLOWED),
        ({"post_only": True}, DenialReason.TIME_IN_FORCE_NOT_ALLOWED),
        ({"reduce_only": True, "time_in_force": TimeInForce.FILL_OR_KILL}, DenialReason.TIME_IN_FORCE_NOT_ALLOWED),
    ],
)
def test_F34_stale_or_inconsistent_proposal_is_denied(changes: dict[str, Any], reason: DenialReason) -> None:
    denied = first_denial(proposal_checks(replace(ORDER, **changes), SETTINGS, NOW_US))
    assert denied is not None
    assert denied.reason is reason


@pytest.mark.parametrize(
    ("order", "good"),
    [
        (replace(ORDER, valid_until=NOW), True),
        (replace(ORDER, as_of=NOW + SECOND), True),
        (replace(ORDER, as_of=NOW + SECOND + INSTANT, valid_until=NOW + MINUTE), False),
        (replace(ORDER, as_of=NOW, valid_until=NOW + 10 * MINUTE), True),
        (replace(ORDER, as_of=NOW, valid_until=NOW + 10 * MINUTE + INSTANT), False),
        (replace(ORDER, as_of=NOW, valid_until=NOW), False),
        (replace(ORDER, as_of=NOW, valid_until=NOW + INSTANT), True),
        (replace(ORDER, as_of=NOW + SECOND, valid_until=NOW), False),
        (replace(ORDER, reduce_only=True), True),
        (replace(ORDER, actor=ActorKind.AGENT), True),
        (replace(RESTING, post_only=True), True),
        (replace(RESTING, expires=NOW + INSTANT), True),
        (replace(RESTING, expires=NOW + 15 * MINUTE), True),
        (replace(RESTING, expires=NOW + 15 * MINUTE + INSTANT), False),
    ],
)
def test_F17_F34_proposal_is_valid_up_to_the_last_microsecond(order: ProposedOrder, good: bool) -> None:
    assert (first_denial(proposal_checks(order, SETTINGS, NOW_US)) is None) is good


@pytest.mark.parametrize(
    "changes",
    [
        {"clock_difference_ms": 2_000},
        {"clock_difference_ms": -2_000},
        {"read_us": NOW_US},
        {"read_us": NOW_US - 10_000_000},
        {"close_us": NOW_US + 1},
    ],
)
def test_market_data_is_fresh_up_to_the_last_microsecond(changes: dict[str, Any]) -> None:
    assert _reason(**changes) is None


def test_book_that_is_not_two_sided_denies_every_price() -> None:
    for side in ("best_bid", "best_ask"):
        changes: dict[str, Any] = {side: None}
        checks = {each.code: each for each in market_checks(ORDER, replace(MARKET, **changes), SETTINGS, NOW_US)}
        assert not checks["price_outside_band"].ok
        assert checks["price_outside_band"].limit == "within $0.10 of a two-sided book"


def test_F33_order_that_would_trade_with_our_own_is_denied() -> None:
    def meets(action: Action, price: int, *own: Intent) -> bool:
        order = replace(ORDER, leg=Leg(action, Outcome.YES, YesPrice(price)))
        return not own_book_check(order, own).ok

    ask, bid = _own(Side.ASK), _own(Side.BID)
    assert [meets(Action.BUY, price, ask) for price in (4_999, 5_000, 5_001)] == [False, True, True]
    assert [meets(Action.SELL, price, bid) for price in (4_999, 5_000, 5_001)] == [True, True, False]
    assert not meets(Action.BUY, 5_000, bid)
    assert not meets(Action.SELL, 5_000, ask)
    assert not meets(Action.BUY, 5_000)
    assert not meets(Action.BUY, 5_000, _own(Side.ASK, "KXA-26-C"))
    assert meets(Action.BUY, 5_000, _own(Side.ASK, "KXA-26-C"), ask)


def _own(side: Side, ticker: str = "KXA-26-B") -> Intent:
    """Return an order of our own at $0.50, with only the fields that the check reads."""
    return cast("Intent", SimpleNamespace(client_order_id="ours", ticker=ticker, side=side, price_centicents=5_000))


def test_denial_names_the_limit_and_the_observed_value() -> None:
    failed = check(DenialReason.CLOCK_SKEWED, False, 2_000, 3_000)
    assert failed == Check("clock_skewed", False, "2000", "3000")
    assert first_denial([failed]) == Denial(DenialReason.CLOCK_SKEWED, "3000; wanted: 2000")


@pytest.mark.parametrize(
    "changes",
    [
        {"expires": NOW},
        {"expires": NOW + 15 * MINUTE + MINUTE / 60},
        {"reduce_only": True},
        {"actor": ActorKind.AGENT},
    ],
)
def test_F34_order_rests_at_most_15_minutes_and_never_for_an_agent(
    changes: dict[str, Any],
) -> None:
    denied = first_denial(proposal_checks(replace(RESTING, **changes), SETTINGS, NOW_US))
    assert denied is not None
    assert denied.reason is DenialReason.TIME_IN_FORCE_NOT_ALLOWED


def test_order_that_would_outlive_its_market_is_denied() -> None:
    assert _reason(RESTING, close_us=NOW_US + 5 * 60_000_000) is DenialReason.MARKET_NOT_ACTIVE


def test_F50_fee_without_a_bound_denies_the_order() -> None:
    dear = replace(ORDER, leg=replace(ORDER.leg, price=YesPrice(9_000)))
    bound, passed = fee_bound_check(dear, dear.count, MARKET, SETTINGS)
    terms = FeeTerms("quadratic", Decimal(1), SETTINGS.balance_step)
    assert (bound, passed.ok) == (fee_bound(terms, Side.BID, YesPrice(9_000), Contracts(100)), True)
    assert bound > fee_bound(terms, Side.ASK, YesPrice(9_000), Contracts(100))
    bound, failed = fee_bound_check(ORDER, ORDER.count, replace(MARKET, fee_type="flat"), SETTINGS)
    assert (bound, failed.ok, failed.code) == (0, False, "fee_unknown")


@given(st.none() | st.integers(-(10**9), 10**9), st.integers(0, 10**9))
def test_unknown_or_insufficient_balance_denies_the_order(available: int | None, needed: int) -> None:
    assert balance_check(available, needed, 0).ok == (available is not None and available >= needed)


def test_missing_list_of_series_allows_every_series() -> None:
    assert _reason(settings=TradeSettings()) is None
    assert _reason(settings=TradeSettings(series="*")) is None
    assert _reason(settings=TradeSettings(series="KXB, KXC")) is DenialReason.TICKER_NOT_ALLOWED
