"""Rules between the values of a market: quotes, price grid, sizes, volumes, instants and result."""

import itertools
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any, Final

from kalshi_pipelines.contracts.declared.languages import is_foreign
from kalshi_pipelines.contracts.declared.reading import (
    ONE,
    instant_at,
    number_at,
    rows_at,
    text_at,
)
from kalshi_pipelines.contracts.language.declarations import BrokenRule, Invariant
from kalshi_pipelines.contracts.language.differences import Kind, Severity
from kalshi_pipelines.contracts.language.responses import Response

_ZERO: Final = Decimal(0)
_TELLING: Final = 3
_MANY: Final = 20


def market_rules(place: str) -> Invariant:
    """Return the rules for each market at a place in the body.

    The rules concern quotes, price grid, sizes, volumes, instants, result, combos and language.
    """

    def rule(body: Any, _: Response) -> Iterable[BrokenRule]:  # noqa: ANN401
        for at, market in rows_at(body, place):
            for check in (_quotes, _sizes, _grid, _volumes, _instants, _result, _combo, _language):
                yield from check(at, market)
        yield from _held(place, body)
        yield from _quoted(place, body)

    return rule


def _quotes(at: str, market: dict[str, Any]) -> Iterator[BrokenRule]:
    bid, ask = number_at(market, "yes_bid_dollars"), number_at(market, "yes_ask_dollars")
    for yes, no in (("yes_bid", "no_ask"), ("yes_ask", "no_bid")):
        one, other = number_at(market, f"{yes}_dollars"), number_at(market, f"{no}_dollars")
        if one is not None and other is not None and one + other != ONE:
            yield BrokenRule(
                f"{at}.{no}_dollars", f"{yes} and {no} no longer make one dollar", f"{one} + {other}", Severity.BREAKING
            )
    sizes = (number_at(market, "yes_bid_size_fp"), number_at(market, "yes_ask_size_fp"))
    if bid is not None and ask is not None and bid > ask and (None in sizes or all(sizes)):
        yield BrokenRule(f"{at}.yes_bid_dollars", "the bid is above the ask", f"{bid} > {ask}", Severity.BREAKING)
    notional = number_at(market, "notional_value_dollars")
    if notional is not None and notional != ONE:
        yield BrokenRule(f"{at}.notional_value_dollars", "a contract is not worth one dollar", str(notional))


def _sizes(at: str, market: dict[str, Any]) -> Iterator[BrokenRule]:
    if text_at(market, "status") not in {"active", "inactive"}:
        return
    for side in ("bid", "ask"):
        price, size = number_at(market, f"yes_{side}_dollars"), number_at(market, f"yes_{side}_size_fp")
        if price is None or size is None:
            continue
        if size == 0 and _ZERO < price < ONE:
            yield BrokenRule(f"{at}.yes_{side}_size_fp", "a quote has no size", f"{size} at {price}")
        if size > 0 and price in (_ZERO, ONE):
            yield BrokenRule(f"{at}.yes_{side}_dollars", "a size has no quote", f"{size} at {price}")


def _grid(at: str, market: dict[str, Any]) -> Iterator[BrokenRule]:
    ranges = market.get("price_ranges")
    if not isinstance(ranges, list):
        return
    if not ranges:
        yield BrokenRule(f"{at}.price_ranges", "there is no grid of prices", "[]", Severity.BREAKING)
        return
    bands = [tuple(number_at(each, key) for key in ("start", "end", "step")) for each in ranges]
    if any(None in band or band[2] == 0 for band in bands):
        return
    for (_, end, _), (start, _, _) in itertools.pairwise(bands):
        if end != start:
            yield BrokenRule(f"{at}.price_ranges", "the grid of prices has holes", f"{end} to {start}")
    if bands[0][0] != 0 or bands[-1][1] != ONE:
        yield BrokenRule(f"{at}.price_ranges", "the grid of prices does not reach from 0 to 1", f"{bands[0][0]}")
    if text_at(market, "status") not in {"active", "inactive"}:
        return
    for name in ("yes_bid_dollars", "yes_ask_dollars"):
        price = number_at(market, name)
        if price is not None and not on_grid(price, bands):
            yield BrokenRule(f"{at}.{name}", "a price is off its grid", str(price))


def on_grid(price: Decimal, bands: Iterable[tuple[Any, ...]]) -> bool:
    """Return whether a price lies on a grid. Prices 0 and 1 always pass, because they mean that there is no quote."""
    if price in (_ZERO, ONE):
        return True
    return any(start <= price <= end and (price - start) % step == 0 for start, end, step in bands)


def _volumes(at: str, market: dict[str, Any]) -> Iterator[BrokenRule]:
    volume, day = number_at(market, "volume_fp"), number_at(market, "volume_24h_fp")
    held, last = number_at(market, "open_interest_fp"), number_at(market, "last_price_dollars")
    if volume is None:
        return
    if day is not None and day > volume:
        yield BrokenRule(f"{at}.volume_24h_fp", "a day's volume is above that of always", f"{day} > {volume}")
    if volume == 0 and held:
        yield BrokenRule(f"{at}.volume_fp", "contracts are held that were never traded", f"{held} of {volume}")
    if volume == 0 and last:
        yield BrokenRule(f"{at}.volume_fp", "there is a last price, but nothing was traded", f"last {last}")
    if volume > 0 and last == 0:
        yield BrokenRule(f"{at}.last_price_dollars", "something was traded, but there is no last price", f"{volume}")


def _held(place: str, body: Any) -> Iterator[BrokenRule]:  # noqa: ANN401
    traded = [
        market
        for _, market in rows_at(body, place)
        if text_at(market, "status") == "active" and (number_at(market, "volume_fp") or _ZERO) > 0
    ]
    if len(traded) >= _TELLING and all(number_at(market, "open_interest_fp") == 0 for market in traded):
        yield BrokenRule(
            f"{place}.open_interest_fp", "nothing is held of any market that was traded", f"{len(traded)} markets"
        )


def _quoted(place: str, body: Any) -> Iterator[BrokenRule]:  # noqa: ANN401
    """Yield a broken rule if no recently traded market has a quote.

    One market without quotes is normal. It is not normal that many markets, all traded in the last 24 hours, have none.
    """
    traded = [
        market
        for _, market in rows_at(body, place)
        if text_at(market, "status") == "active" and (number_at(market, "volume_24h_fp") or _ZERO) > 0
    ]
    if len(traded) >= _MANY and all(
        number_at(market, "yes_bid_dollars") == 0 and number_at(market, "yes_ask_dollars") in (_ZERO, ONE)
        for market in traded
    ):
        yield BrokenRule(
            f"{place}.yes_bid_dollars", "no market that was traded today has a quote", f"{len(traded)} markets"
        )


def _instants(at: str, market: dict[str, Any]) -> Iterator[BrokenRule]:
    opened, closes = instant_at(market, "open_time"), instant_at(market, "close_time")
    if opened and closes and opened > closes:
        yield BrokenRule(f"{at}.close_time", "a market closes before it opens", f"{opened} > {closes}")
    created, updated = instant_at(market, "created_time"), instant_at(market, "updated_time")
    if created and updated and (created - updated).total_seconds() > 60:
        yield BrokenRule(f"{at}.updated_time", "a market was updated before it was created", f"{updated}")


def _result(at: str, market: dict[str, Any]) -> Iterator[BrokenRule]:
    status, result = text_at(market, "status"), market.get("result")
    if status == "finalized" and result == "":
        yield BrokenRule(f"{at}.result", "a finalized market has no result", status, Severity.BREAKING)
    if status in {"initialized", "active", "inactive"} and result in {"yes", "no", "scalar"}:
        yield BrokenRule(f"{at}.result", "a market that is not closed has a result", f"{status}: {result}")
    value = number_at(market, "settlement_value_dollars")
    if status == "finalized" and result in {"yes", "no", "scalar"} and market.get("settlement_value_dollars") is None:
        yield BrokenRule(f"{at}.settlement_value_dollars", "a finalized market has no settlement", f"{result}")
    if status == "finalized" and value is not None:
        expected = {"yes": ONE, "no": _ZERO}.get(str(result))
        if expected is not None and value != expected and text_at(market, "settlement_bounds_type") != "floor":
            yield BrokenRule(
                f"{at}.settlement_value_dollars",
                "the settlement is not the result's",
                f"{result}: {value}",
                Severity.BREAKING,
            )
    if text_at(market, "settlement_bounds_type") == "floor" or number_at(market, "settlement_floor_dollars"):
        yield BrokenRule(f"{at}.settlement_bounds_type", "a market settles at a floor above 0, not at 0 or 1", "floor")


def _combo(at: str, market: dict[str, Any]) -> Iterator[BrokenRule]:
    strike = market.get("custom_strike")
    named = text_at(strike, "Multivariate Event Ticker")
    event = text_at(market, "event_ticker")
    if named and event and named != event:
        yield BrokenRule(
            f"{at}.custom_strike", 'the "Multivariate Event Ticker" of a combo is not its event', f"{named}, {event}"
        )
    sides = text_at(strike, "Associated Market Sides")
    legs = market.get("mve_selected_legs")
    if sides and isinstance(legs, list) and all(text_at(leg, "side") for leg in legs):
        of_legs = ",".join(text_at(leg, "side") for leg in legs)
        if sides != of_legs:
            yield BrokenRule(
                f"{at}.mve_selected_legs[].side", "the sides of a combo's legs disagree", f"{sides}, {of_legs}"
            )
    ticker = text_at(market, "ticker")
    if ticker and event and ticker != event and not ticker.startswith(f"{event}-"):
        yield BrokenRule(
            f"{at}.event_ticker", "a market's ticker does not begin with its event's", f"{ticker}, {event}"
        )


def _language(at: str, market: dict[str, Any]) -> Iterator[BrokenRule]:
    for name in ("title", "rules_primary", "rules_secondary"):
        if is_foreign(text_at(market, name)):
            yield BrokenRule(
                f"{at}.{name}", "a text is not English", text_at(market, name)[:80], kind=Kind.TEXT_CHANGED
            )
