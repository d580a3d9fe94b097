"""What must hold between the values of the public catalogue."""

import itertools
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any, Final

from kalshi_pipelines.contracts.declarations import Broken, Invariant
from kalshi_pipelines.contracts.declared.languages import is_foreign
from kalshi_pipelines.contracts.declared.reading import (
    ONE,
    instant_at,
    instant_of,
    number_at,
    number_of,
    rows_at,
    text_at,
)
from kalshi_pipelines.contracts.differences import Kind, Severity
from kalshi_pipelines.contracts.responses import Response

_ZERO: Final = Decimal(0)
_TELLING: Final = 3
STATUSES_OF: Final = {
    "unopened": {"initialized"},
    "open": {"active", "closed"},
    "paused": {"inactive"},
    "closed": {"closed", "determined", "disputed", "amended", "active"},
    "settled": {"finalized"},
}
"""What a ``status`` filter matches; a market may have closed, or been due to, since the page was put together."""


def market_rules(place: str) -> Invariant:
    """Rules of each market at a place: quotes, grid, sizes, volumes, instants, result, combo."""

    def rule(body: Any, _: Response) -> Iterable[Broken]:  # noqa: ANN401
        for at, market in rows_at(body, place):
            for check in (_quotes, _sizes, _grid, _volumes, _instants, _result, _combo, _language):
                yield from check(at, market)
        yield from _held(place, body)

    return rule


def _quotes(at: str, market: dict[str, Any]) -> Iterator[Broken]:
    bid, ask = number_at(market, "yes_bid_dollars"), number_at(market, "yes_ask_dollars")
    for yes, no in (("yes_bid", "no_ask"), ("yes_ask", "no_bid")):
        one, other = number_at(market, f"{yes}_dollars"), number_at(market, f"{no}_dollars")
        if one is not None and other is not None and one + other != ONE:
            yield Broken(
                f"{at}.{no}_dollars", f"{yes} and {no} no longer make one dollar", f"{one} + {other}", Severity.BREAKING
            )
    sizes = (number_at(market, "yes_bid_size_fp"), number_at(market, "yes_ask_size_fp"))
    if bid is not None and ask is not None and bid > ask and (None in sizes or all(sizes)):
        yield Broken(f"{at}.yes_bid_dollars", "the bid is above the ask", f"{bid} > {ask}", Severity.BREAKING)
    notional = number_at(market, "notional_value_dollars")
    if notional is not None and notional != ONE:
        yield Broken(f"{at}.notional_value_dollars", "a contract is not worth one dollar", str(notional))


def _sizes(at: str, market: dict[str, Any]) -> Iterator[Broken]:
    if text_at(market, "status") not in {"active", "inactive"}:
        return
    for side in ("bid", "ask"):
        price, size = number_at(market, f"yes_{side}_dollars"), number_at(market, f"yes_{side}_size_fp")
        if price is None or size is None:
            continue
        if size == 0 and _ZERO < price < ONE:
            yield Broken(f"{at}.yes_{side}_size_fp", "a quote has no size", f"{size} at {price}")
        if size > 0 and price in (_ZERO, ONE):
            yield Broken(f"{at}.yes_{side}_dollars", "a size has no quote", f"{size} at {price}")


def _grid(at: str, market: dict[str, Any]) -> Iterator[Broken]:
    ranges = market.get("price_ranges")
    if not isinstance(ranges, list):
        return
    if not ranges:
        yield Broken(f"{at}.price_ranges", "there is no grid of prices", "[]", Severity.BREAKING)
        return
    bands = [tuple(number_at(each, key) for key in ("start", "end", "step")) for each in ranges]
    if any(None in band or band[2] == 0 for band in bands):
        return
    for (_, end, _), (start, _, _) in itertools.pairwise(bands):
        if end != start:
            yield Broken(f"{at}.price_ranges", "the grid of prices has holes", f"{end} to {start}")
    if bands[0][0] != 0 or bands[-1][1] != ONE:
        yield Broken(f"{at}.price_ranges", "the grid of prices does not reach from 0 to 1", f"{bands[0][0]}")
    if text_at(market, "status") not in {"active", "inactive"}:
        return
    for name in ("yes_bid_dollars", "yes_ask_dollars"):
        price = number_at(market, name)
        if price is not None and not on_grid(price, bands):
            yield Broken(f"{at}.{name}", "a price is off its grid", str(price))


def on_grid(price: Decimal, bands: Iterable[tuple[Any, ...]]) -> bool:
    """Whether a price is one of a grid's, or the 0 and 1 that stand for no quote."""
    if price in (_ZERO, ONE):
        return True
    return any(start <= price <= end and (price - start) % step == 0 for start, end, step in bands)


def _volumes(at: str, market: dict[str, Any]) -> Iterator[Broken]:
    volume, day = number_at(market, "volume_fp"), number_at(market, "volume_24h_fp")
    held, last = number_at(market, "open_interest_fp"), number_at(market, "last_price_dollars")
    if volume is None:
        return
    if day is not None and day > volume:
        yield Broken(f"{at}.volume_24h_fp", "a day's volume is above that of always", f"{day} > {volume}")
    if volume == 0 and held:
        yield Broken(f"{at}.volume_fp", "contracts are held that were never traded", f"{held} of {volume}")
    if volume == 0 and last:
        yield Broken(f"{at}.volume_fp", "there is a last price, but nothing was traded", f"last {last}")
    if volume > 0 and last == 0:
        yield Broken(f"{at}.last_price_dollars", "something was traded, but there is no last price", f"{volume}")


def _held(place: str, body: Any) -> Iterator[Broken]:  # noqa: ANN401
    traded = [
        market for _, market in rows_at(body, place)
        if text_at(market, "status") == "active" and (number_at(market, "volume_fp") or _ZERO) > 0
    ]  # fmt: skip
    if len(traded) >= _TELLING and all(number_at(market, "open_interest_fp") == 0 for market in traded):
        yield Broken(
            f"{place}.open_interest_fp", "nothing is held of any market that was traded", f"{len(traded)} markets"
        )


def _instants(at: str, market: dict[str, Any]) -> Iterator[Broken]:
    opened, closes = instant_at(market, "open_time"), instant_at(market, "close_time")
    if opened and closes and opened > closes:
        yield Broken(f"{at}.close_time", "a market closes before it opens", f"{opened} > {closes}")
    created, updated = instant_at(market, "created_time"), instant_at(market, "updated_time")
    if created and updated and (created - updated).total_seconds() > 60:
        yield Broken(f"{at}.updated_time", "a market was updated before it was created", f"{updated}")


def _result(at: str, market: dict[str, Any]) -> Iterator[Broken]:
    status, result = text_at(market, "status"), market.get("result")
    if status == "finalized" and result == "":
        yield Broken(f"{at}.result", "a finalized market has no result", status, Severity.BREAKING)
    if status in {"initialized", "active", "inactive"} and result in {"yes", "no", "scalar"}:
        yield Broken(f"{at}.result", "a market that is not closed has a result", f"{status}: {result}")
    value = number_at(market, "settlement_value_dollars")
    if status == "finalized" and value is not None:
        expected = {"yes": ONE, "no": _ZERO}.get(str(result))
        if expected is not None and value != expected and text_at(market, "settlement_bounds_type") != "floor":
            yield Broken(
                f"{at}.settlement_value_dollars", "the settlement is not the result's", f"{result}: {value}",
                Severity.BREAKING,
            )  # fmt: skip
    if text_at(market, "settlement_bounds_type") == "floor" or number_at(market, "settlement_floor_dollars"):
        yield Broken(f"{at}.settlement_bounds_type", "a market settles at a floor above 0, not at 0 or 1", "floor")


def _combo(at: str, market: dict[str, Any]) -> Iterator[Broken]:
    strike = market.get("custom_strike")
    named = text_at(strike, "Multivariate Event Ticker")
    event = text_at(market, "event_ticker")
    if named and event and named != event:
        yield Broken(
            f"{at}.custom_strike", 'the "Multivariate Event Ticker" of a combo is not its event', f"{named}, {event}"
        )
    sides = text_at(strike, "Associated Market Sides")
    legs = market.get("mve_selected_legs")
    if sides and isinstance(legs, list) and all(text_at(leg, "side") for leg in legs):
        of_legs = ",".join(text_at(leg, "side") for leg in legs)
        if sides != of_legs:
            yield Broken(
                f"{at}.mve_selected_legs[].side", "the sides of a combo's legs disagree", f"{sides}, {of_legs}"
            )
    ticker = text_at(market, "ticker")
    if ticker and event and ticker != event and not ticker.startswith(f"{event}-"):
        yield Broken(f"{at}.event_ticker", "a market's ticker does not begin with its event's", f"{ticker}, {event}")


def _language(at: str, market: dict[str, Any]) -> Iterator[Broken]:
    for name in ("title", "rules_primary", "rules_secondary"):
        if is_foreign(text_at(market, name)):
            yield Broken(f"{at}.{name}", "a text is not English", text_at(market, name)[:80], kind=Kind.TEXT_CHANGED)


def event_rules(place: str) -> Invariant:
    """Rules of each event at a place: its markets are its own, on its shard, and there if asked for."""

    def rule(body: Any, response: Response) -> Iterable[Broken]:  # noqa: ANN401
        nested = (response.asked.one("with_nested_markets") or "").lower()
        for at, event in rows_at(body, place):
            if is_foreign(text_at(event, "title")):
                yield Broken(f"{at}.title", "a text is not English", text_at(event, "title"), kind=Kind.TEXT_CHANGED)
            series, ticker = text_at(event, "series_ticker"), text_at(event, "event_ticker")
            if series and ticker and ticker != series and not ticker.startswith(f"{series}-"):
                yield Broken(f"{at}.series_ticker", "an event's ticker does not begin with its series'", ticker)
            markets = event.get("markets")
            if nested in {"true", "1"} and response.asked.one("status") == "open" and not markets:
                yield Broken(f"{at}.markets", "an open event has no markets, though they were asked for", ticker)
            elif nested in {"", "false", "0"} and markets and "with_nested_markets" in response.asked.query:
                yield Broken(f"{at}.markets", "markets are nested that were not asked for", ticker)
            yield from _children(at, event, markets if isinstance(markets, list) else [])

    return rule


def _children(at: str, event: dict[str, Any], markets: list[Any]) -> Iterator[Broken]:
    for market in markets:
        if not isinstance(market, dict):
            continue
        if {text_at(event, "event_ticker"), text_at(market, "event_ticker")} != {text_at(event, "event_ticker")}:
            yield Broken(f"{at}.markets[].event_ticker", "a nested market is of another event", "", Severity.BREAKING)
        one, other = event.get("exchange_index"), market.get("exchange_index")
        if one is not None and other is not None and one != other:
            yield Broken(f"{at}.markets[].exchange_index", "a market is on another shard than its event", f"{other}")


def market_list_filters(body: Any, response: Response) -> Iterable[Broken]:  # noqa: ANN401
    """Rows of ``GET /markets`` are what was asked for."""
    asked = response.asked
    matches = STATUSES_OF.get(asked.one("status") or "")
    tickers = {ticker for value in asked.query.get("tickers", ()) for ticker in value.split(",")}
    for at, market in rows_at(body, "markets[]"):
        status = text_at(market, "status")
        if matches and status and status not in matches:
            yield Broken(f"{at}.status", f"status={asked.one('status')} is answered with {status} markets", status)
        if tickers and text_at(market, "ticker") not in tickers:
            yield Broken(f"{at}.ticker", "a market was not asked for: tickers is ignored", text_at(market, "ticker"))
        if asked.one("mve_filter") == "exclude" and text_at(market, "mve_collection_ticker"):
            yield Broken(f"{at}.ticker", "mve_filter=exclude is answered with combos", text_at(market, "ticker"))
        if asked.one("mve_filter") == "only" and not text_at(market, "ticker").startswith("KXMVE"):
            yield Broken(f"{at}.ticker", "mve_filter=only is answered with single markets", text_at(market, "ticker"))
        event, series = asked.one("event_ticker"), asked.one("series_ticker")
        if event and text_at(market, "event_ticker") != event:
            yield Broken(f"{at}.event_ticker", "event_ticker is ignored", text_at(market, "event_ticker"))
        if series and not text_at(market, "event_ticker").startswith(series):
            yield Broken(f"{at}.event_ticker", "series_ticker is ignored", text_at(market, "event_ticker"))
        yield from _within(at, market, response, {"created": "created_time", "close": "close_time",
                                                  "settled": "settlement_ts", "updated": "updated_time"})  # fmt: skip


def _within(at: str, row: dict[str, Any], response: Response, instants: dict[str, str]) -> Iterator[Broken]:
    for name, key in instants.items():
        instant = instant_at(row, key)
        if instant is None:
            continue
        prefix = f"{name}_" if name else ""
        least, most = response.asked.one(f"min_{prefix}ts"), response.asked.one(f"max_{prefix}ts")
        if least and least.isdigit() and instant.timestamp() < int(least) - 1:
            yield Broken(f"{at}.{key}", f"min_{prefix}ts is ignored", str(instant))
        if most and most.isdigit() and instant.timestamp() > int(most) + 1:
            yield Broken(f"{at}.{key}", f"max_{prefix}ts is ignored", str(instant))


def event_list_filters(body: Any, response: Response) -> Iterable[Broken]:  # noqa: ANN401
    """Rows of ``GET /events`` are what was asked for; there are no combos among them."""
    tickers = {ticker for value in response.asked.query.get("tickers", ()) for ticker in value.split(",")}
    series = response.asked.one("series_ticker")
    for at, event in rows_at(body, "events[]"):
        ticker = text_at(event, "event_ticker")
        if tickers and ticker not in tickers:
            yield Broken(f"{at}.event_ticker", "an event was not asked for: tickers is ignored", ticker)
        if series and text_at(event, "series_ticker") != series:
            yield Broken(f"{at}.series_ticker", "series_ticker is ignored", text_at(event, "series_ticker"))
        if response.asked.endpoint == "GET /events" and ticker.startswith("KXMVE"):
            yield Broken(f"{at}.event_ticker", "the list of events has combos again", ticker)


def named_in_path(place: str, key: str, parameter: str) -> Invariant:
    """The record answered is the one the path asked for."""

    def rule(body: Any, response: Response) -> Iterable[Broken]:  # noqa: ANN401
        wanted = response.asked.path.get(parameter)
        for at, record in rows_at(body, place):
            if wanted and text_at(record, key) and text_at(record, key) != wanted:
                yield Broken(
                    f"{at}.{key}".removeprefix("$."), f"the answer is about another {key}",
                    f"asked {wanted}, got {text_at(record, key)}", Severity.BREAKING,
                )  # fmt: skip

    return rule


def event_answer(body: Any, response: Response) -> Iterable[Broken]:  # noqa: ANN401
    """``GET /events/{event_ticker}``: markets stand inside the event or beside it, as asked."""
    event = body.get("event") if isinstance(body, dict) else None
    beside = body.get("markets") if isinstance(body, dict) else None
    if not isinstance(event, dict):
        return
    nested = (response.asked.one("with_nested_markets") or "").lower() == "true"
    if nested and (beside or "markets" not in event):
        yield Broken("event.markets", "nested markets were asked for and are not nested", "", Severity.BREAKING)
    if not nested and "with_nested_markets" in response.asked.query and event.get("markets"):
        yield Broken("event.markets", "markets are nested that were not asked for", "", Severity.BREAKING)
    yield from _children("event", event, beside if isinstance(beside, list) else [])


def series_rules(place: str) -> Invariant:
    """Rules of each series at a place."""

    def rule(body: Any, response: Response) -> Iterable[Broken]:  # noqa: ANN401
        category = response.asked.one("category")
        for at, series in rows_at(body, place):
            multiplier = number_at(series, "fee_multiplier")
            if multiplier is not None and not _ZERO <= multiplier <= 10:
                yield Broken(f"{at}.fee_multiplier", "a fee multiplier is absurd", str(multiplier), Severity.BREAKING)
            all_of = series.get("categories")
            named = {text_at(series, "category"), *(all_of if isinstance(all_of, list) else ())}
            if isinstance(all_of, list) and text_at(series, "category") not in all_of:
                yield Broken(f"{at}.categories", "a series' category is not one of its categories", str(all_of))
            if category and category not in named:
                yield Broken(f"{at}.category", "category is ignored", text_at(series, "category"))

    return rule


def trade_rules(body: Any, response: Response) -> Iterable[Broken]:  # noqa: ANN401
    """Prices of a trade make a dollar, its directions agree, and it is one that was asked for."""
    ticker, blocks = response.asked.one("ticker"), response.asked.one("is_block_trade")
    for at, trade in rows_at(body, "trades[]"):
        yes, no = number_at(trade, "yes_price_dollars"), number_at(trade, "no_price_dollars")
        if yes is not None and no is not None and yes + no != ONE:
            yield Broken(f"{at}.no_price_dollars", "yes and no no longer make one dollar", f"{yes} + {no}",
                         Severity.BREAKING)  # fmt: skip
        if yes is not None and yes in (_ZERO, ONE):
            yield Broken(f"{at}.yes_price_dollars", "something was traded at 0 or 1", f"{yes}")
        if number_at(trade, "count_fp") == 0:
            yield Broken(f"{at}.count_fp", "a trade is of no contracts", "0")
        yield from same_direction(at, trade, "taker_outcome_side", "taker_book_side", "taker_side")
        if ticker and text_at(trade, "ticker") != ticker:
            yield Broken(f"{at}.ticker", "ticker is ignored", text_at(trade, "ticker"))
        if blocks in {"true", "false"} and str(trade.get("is_block_trade")).lower() != blocks:
            yield Broken(f"{at}.is_block_trade", "is_block_trade is ignored", str(trade.get("is_block_trade")))
        yield from _within(at, trade, response, {"": "created_time"})


def same_direction(
    at: str, row: dict[str, Any], outcome: str, book: str, legacy: str = "", action: str = ""
) -> Iterator[Broken]:
    """``bid`` is ``yes`` and ``ask`` is ``no``; the legacy side says the same, with ``sell`` turning it round."""
    side = text_at(row, outcome)
    if side and text_at(row, book) and {"yes": "bid", "no": "ask"}.get(side) != text_at(row, book):
        yield Broken(f"{at}.{book}", f"{outcome} and {book} disagree", f"{side}, {text_at(row, book)}",
                     Severity.BREAKING)  # fmt: skip
    older = text_at(row, legacy) if legacy else ""
    if text_at(row, action) == "sell":
        older = {"yes": "no", "no": "yes"}.get(older, older)
    if side and older and older != side:
        yield Broken(f"{at}.{legacy}", f"{outcome} and {legacy} disagree", f"{side}, {older}", Severity.BREAKING)


def candle_rules(place: str, suffix: str, window: bool = True) -> Invariant:
    """Candles ascend, lie in the window, and each opens and closes between its low and high."""

    def rule(body: Any, response: Response) -> Iterable[Broken]:  # noqa: ANN401
        before = None
        start, end = response.asked.one("start_ts"), response.asked.one("end_ts")
        for at, candle in rows_at(body, place):
            ends = number_at(candle, "end_period_ts")
            if before is not None and ends is not None and ends == before:
                yield Broken(f"{at}.end_period_ts", "a candle comes twice", str(ends))
            elif before is not None and ends is not None and ends < before and place.count("[]") == 1:
                yield Broken(f"{at}.end_period_ts", "candles no longer ascend", f"{before}, {ends}",
                             kind=Kind.PAGE_BROKEN)  # fmt: skip
            before = ends
            if window and ends is not None and start and end and start.isdigit() and end.isdigit():
                period = int(response.asked.one("period_interval") or 1440) * 60
                if not int(start) - period <= ends <= int(end) + period:
                    yield Broken(f"{at}.end_period_ts", "a candle lies outside the window asked for", str(ends))
            for name in ("yes_bid", "yes_ask", "price"):
                yield from _candle(f"{at}.{name}", candle.get(name), suffix)
            yield from _crossed(at, candle, suffix)

    return rule


def _crossed(at: str, candle: dict[str, Any], suffix: str) -> Iterator[Broken]:
    bid, ask = (number_at(candle.get(name), f"close{suffix}") for name in ("yes_bid", "yes_ask"))
    if bid is not None and ask is not None and bid > ask > 0:
        yield Broken(f"{at}.yes_bid.close{suffix}", "the bid is above the ask", f"{bid} > {ask}")


def _candle(at: str, prices: object, suffix: str) -> Iterator[Broken]:
    low, high = number_at(prices, f"low{suffix}"), number_at(prices, f"high{suffix}")
    if low is None or high is None:
        return
    for name in ("open", "close", "mean"):
        value = number_at(prices, f"{name}{suffix}")
        if value is not None and not low <= value <= high:
            yield Broken(f"{at}.{name}{suffix}", "a price lies outside the candle's low and high", f"{value}")


def book_rules(place: str) -> Invariant:
    """Each side of a book ascends, has no empty level, and both together do not cross."""

    def rule(body: Any, _: Response) -> Iterable[Broken]:  # noqa: ANN401
        for at, book in rows_at(body, place):
            best: list[Decimal] = []
            for side in ("yes_dollars", "no_dollars"):
                levels = book.get(side)
                pairs = [level for level in levels if isinstance(level, list)] if isinstance(levels, list) else []
                if any(len(pair) != 2 for pair in pairs):
                    yield Broken(f"{at}.{side}[]", "a level is not a pair of price and count", "", Severity.BREAKING)
                    continue
                prices = [price for price in (number_of(pair[0]) for pair in pairs) if price is not None]
                if any(later <= earlier for earlier, later in itertools.pairwise(prices)):
                    yield Broken(f"{at}.{side}", "levels no longer ascend to the best", "", Severity.BREAKING,
                                 Kind.PAGE_BROKEN)  # fmt: skip
                if any(number_of(pair[1]) == 0 for pair in pairs):
                    yield Broken(f"{at}.{side}[][1]", "a level has no contracts", "0")
                best += [max(prices)] if prices else []
            if len(best) == 2 and sum(best) >= ONE:
                yield Broken(f"{at}.no_dollars", "the book is crossed: its bids make a dollar or more", f"{best}")

    return rule


def instants_ascend(place: str, first: str, second: str, rule_text: str) -> Invariant:
    """One instant of each record is not after another."""

    def rule(body: Any, _: Response) -> Iterable[Broken]:  # noqa: ANN401
        for at, record in rows_at(body, place):
            one, other = instant_of(record.get(first)), instant_of(record.get(second))
            if one and other and one > other:
                yield Broken(f"{at}.{second}", rule_text, f"{one} > {other}")

    return rule


def books_asked(body: Any, response: Response) -> Iterable[Broken]:  # noqa: ANN401
    """``GET /markets/orderbooks`` answers with the books asked for, each once."""
    asked = set(response.asked.query.get("tickers", ()))
    seen: set[str] = set()
    for at, book in rows_at(body, "orderbooks[]"):
        ticker = text_at(book, "ticker")
        if asked and ticker not in asked:
            yield Broken(f"{at}.ticker", "a book was not asked for: tickers is ignored", ticker)
        if ticker in seen:
            yield Broken(f"{at}.ticker", "a book comes twice", ticker)
        seen.add(ticker)
