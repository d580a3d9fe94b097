"""Rules between the values of trades, candles and books."""

import itertools
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any, Final

from kalshi_pipelines.contracts.declared.reading import (
    ONE,
    instant_of,
    number_at,
    number_of,
    rows_at,
    text_at,
)
from kalshi_pipelines.contracts.declared.request_rules import within
from kalshi_pipelines.contracts.language.declarations import BrokenRule, Invariant
from kalshi_pipelines.contracts.language.differences import Kind, Severity
from kalshi_pipelines.contracts.language.responses import Response

_ZERO: Final = Decimal(0)


def trade_rules(body: Any, response: Response) -> Iterable[BrokenRule]:  # noqa: ANN401
    """Yield broken rules of trades.

    The YES and NO prices must add up to one dollar, directions must agree, and rows must match the request.
    """
    ticker, blocks = response.request.one("ticker"), response.request.one("is_block_trade")
    for at, trade in rows_at(body, "trades[]"):
        yes, no = number_at(trade, "yes_price_dollars"), number_at(trade, "no_price_dollars")
        if yes is not None and no is not None and yes + no != ONE:
            yield BrokenRule(
                f"{at}.no_price_dollars", "yes and no no longer make one dollar", f"{yes} + {no}", Severity.BREAKING
            )
        if yes is not None and yes in (_ZERO, ONE):
            yield BrokenRule(f"{at}.yes_price_dollars", "something was traded at 0 or 1", f"{yes}")
        if number_at(trade, "count_fp") == 0:
            yield BrokenRule(f"{at}.count_fp", "a trade is of no contracts", "0")
        yield from same_direction(at, trade, "taker_outcome_side", "taker_book_side", "taker_side")
        if ticker and text_at(trade, "ticker") != ticker:
            yield BrokenRule(f"{at}.ticker", "ticker is ignored", text_at(trade, "ticker"))
        if blocks in {"true", "false"} and str(trade.get("is_block_trade")).lower() != blocks:
            yield BrokenRule(f"{at}.is_block_trade", "is_block_trade is ignored", str(trade.get("is_block_trade")))
        yield from within(at, trade, response, {"": "created_time"})


def same_direction(
    at: str, row: dict[str, Any], outcome: str, book: str, legacy: str = "", action: str = ""
) -> Iterator[BrokenRule]:
    """Yield broken rules if the fields of a row that state its direction disagree.

    The book side ``bid`` means the outcome ``yes``, and ``ask`` means ``no``. The side in the legacy field, if there is
    one, must agree with the outcome, too. If the action of the row is ``sell``, the legacy side means the opposite
    outcome.
    """
    side = text_at(row, outcome)
    if side and text_at(row, book) and {"yes": "bid", "no": "ask"}.get(side) != text_at(row, book):
        yield BrokenRule(
            f"{at}.{book}", f"{outcome} and {book} disagree", f"{side}, {text_at(row, book)}", Severity.BREAKING
        )
    older = text_at(row, legacy) if legacy else ""
    if text_at(row, action) == "sell":
        older = {"yes": "no", "no": "yes"}.get(older, older)
    if side and older and older != side:
        yield BrokenRule(f"{at}.{legacy}", f"{outcome} and {legacy} disagree", f"{side}, {older}", Severity.BREAKING)


def candle_rules(place: str, suffix: str, window: bool = True) -> Invariant:
    """Return the rules of candles.

    Candles must be in ascending order and lie in the requested window. Open and close prices must lie between low and
    high.
    """

    def rule(body: Any, response: Response) -> Iterable[BrokenRule]:  # noqa: ANN401
        before = None
        start, end = response.request.one("start_ts"), response.request.one("end_ts")
        for at, candle in rows_at(body, place):
            ends = number_at(candle, "end_period_ts")
            if before is not None and ends is not None and ends == before:
                yield BrokenRule(f"{at}.end_period_ts", "a candle comes twice", str(ends))
            elif before is not None and ends is not None and ends < before and place.count("[]") == 1:
                yield BrokenRule(
                    f"{at}.end_period_ts", "candles no longer ascend", f"{before}, {ends}", kind=Kind.PAGE_BROKEN
                )
            before = ends
            if ends is not None and ends % 60:
                yield BrokenRule(f"{at}.end_period_ts", "a candle does not end with a minute", str(ends))
            if window and ends is not None and start and end and start.isdigit() and end.isdigit():
                period = int(response.request.one("period_interval") or 1440) * 60
                if not int(start) - period <= ends <= int(end) + period:
                    yield BrokenRule(f"{at}.end_period_ts", "a candle lies outside the window asked for", str(ends))
            for name in ("yes_bid", "yes_ask", "price"):
                yield from _candle(f"{at}.{name}", candle.get(name), suffix)
            yield from _crossed(at, candle, suffix)

    return rule


def _crossed(at: str, candle: dict[str, Any], suffix: str) -> Iterator[BrokenRule]:
    bid, ask = (number_at(candle.get(name), f"close{suffix}") for name in ("yes_bid", "yes_ask"))
    if bid is not None and ask is not None and bid > ask > 0:
        yield BrokenRule(f"{at}.yes_bid.close{suffix}", "the bid is above the ask", f"{bid} > {ask}")


def _candle(at: str, prices: object, suffix: str) -> Iterator[BrokenRule]:
    low, high = number_at(prices, f"low{suffix}"), number_at(prices, f"high{suffix}")
    if low is None or high is None:
        return
    for name in ("open", "close", "mean"):
        value = number_at(prices, f"{name}{suffix}")
        if value is not None and not low <= value <= high:
            yield BrokenRule(f"{at}.{name}{suffix}", "a price lies outside the candle's low and high", f"{value}")


def book_rules(place: str) -> Invariant:
    """Return the rules of a book.

    The prices of each side must ascend, no level may be empty, and the two sides must not cross.
    """

    def rule(body: Any, _: Response) -> Iterable[BrokenRule]:  # noqa: ANN401
        for at, book in rows_at(body, place):
            best: list[Decimal] = []
            for side in ("yes_dollars", "no_dollars"):
                levels = book.get(side)
                pairs = [level for level in levels if isinstance(level, list)] if isinstance(levels, list) else []
                if any(len(pair) != 2 for pair in pairs):
                    yield BrokenRule(
                        f"{at}.{side}[]", "a level is not a pair of price and count", "", Severity.BREAKING
                    )
                    continue
                prices = [price for price in (number_of(pair[0]) for pair in pairs) if price is not None]
                if any(later <= earlier for earlier, later in itertools.pairwise(prices)):
                    yield BrokenRule(
                        f"{at}.{side}", "levels no longer ascend to the best", "", Severity.BREAKING, Kind.PAGE_BROKEN
                    )
                if any(number_of(pair[1]) == 0 for pair in pairs):
                    yield BrokenRule(f"{at}.{side}[][1]", "a level has no contracts", "0")
                best += [max(prices)] if prices else []
            if len(best) == 2 and sum(best) >= ONE:
                yield BrokenRule(f"{at}.no_dollars", "the book is crossed: its bids make a dollar or more", f"{best}")

    return rule


def instants_ascend(place: str, first: str, second: str, rule_text: str) -> Invariant:
    """Return the rule that the first of two instants of a record must not be later than the second."""

    def rule(body: Any, _: Response) -> Iterable[BrokenRule]:  # noqa: ANN401
        for at, record in rows_at(body, place):
            one, other = instant_of(record.get(first)), instant_of(record.get(second))
            if one and other and one > other:
                yield BrokenRule(f"{at}.{second}", rule_text, f"{one} > {other}")

    return rule
