"""Rules that the values of an event and of its markets must follow, and rules for the values of a series."""

from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any, Final

from kalshi_pipelines.contracts.declared.languages import is_foreign
from kalshi_pipelines.contracts.declared.reading import number_at, rows_at, text_at
from kalshi_pipelines.contracts.language.declarations import BrokenRule, Invariant
from kalshi_pipelines.contracts.language.differences import Kind, Severity
from kalshi_pipelines.contracts.language.responses import Response

_ZERO: Final = Decimal(0)


def event_rules(place: str) -> Invariant:
    """Return the rules for each event at ``place``, the path of the events in the body.

    The markets inside an event must belong to the event, and must be on the same shard as the event. An open event must
    hold markets if the request asked for them, and no event may hold markets if the request declined them.
    """

    def rule(body: Any, response: Response) -> Iterable[BrokenRule]:  # noqa: ANN401
        nested = (response.request.one("with_nested_markets") or "").lower()
        for at, event in rows_at(body, place):
            if is_foreign(text_at(event, "title")):
                yield BrokenRule(
                    f"{at}.title", "a text is not English", text_at(event, "title"), kind=Kind.TEXT_CHANGED
                )
            series, ticker = text_at(event, "series_ticker"), text_at(event, "event_ticker")
            if series and ticker and ticker != series and not ticker.startswith(f"{series}-"):
                yield BrokenRule(f"{at}.series_ticker", "an event's ticker does not begin with its series'", ticker)
            markets = event.get("markets")
            if nested in {"true", "1"} and response.request.one("status") == "open" and not markets:
                yield BrokenRule(f"{at}.markets", "an open event has no markets, though they were asked for", ticker)
            elif nested in {"", "false", "0"} and markets and "with_nested_markets" in response.request.query:
                yield BrokenRule(f"{at}.markets", "markets are nested that were not asked for", ticker)
            yield from _children(at, event, markets if isinstance(markets, list) else [])

    return rule


def _children(at: str, event: dict[str, Any], markets: list[Any]) -> Iterator[BrokenRule]:
    for market in markets:
        if not isinstance(market, dict):
            continue
        if {text_at(event, "event_ticker"), text_at(market, "event_ticker")} != {text_at(event, "event_ticker")}:
            yield BrokenRule(
                f"{at}.markets[].event_ticker", "a nested market is of another event", "", Severity.BREAKING
            )
        one, other = event.get("exchange_index"), market.get("exchange_index")
        if one is not None and other is not None and one != other:
            yield BrokenRule(
                f"{at}.markets[].exchange_index", "a market is on another shard than its event", f"{other}"
            )


def event_answer(body: Any, response: Response) -> Iterable[BrokenRule]:  # noqa: ANN401
    """Yield broken rules of ``GET /events/{event_ticker}``.

    Markets must be nested in the event or listed beside the event, as the request asked.
    """
    event = body.get("event") if isinstance(body, dict) else None
    beside = body.get("markets") if isinstance(body, dict) else None
    if not isinstance(event, dict):
        return
    nested = (response.request.one("with_nested_markets") or "").lower() == "true"
    if nested and (beside or "markets" not in event):
        yield BrokenRule("event.markets", "nested markets were asked for and are not nested", "", Severity.BREAKING)
    if not nested and "with_nested_markets" in response.request.query and event.get("markets"):
        yield BrokenRule("event.markets", "markets are nested that were not asked for", "", Severity.BREAKING)
    yield from _children("event", event, beside if isinstance(beside, list) else [])


def series_rules(place: str) -> Invariant:
    """Return the rules for the fee multiplier and the categories of each series at a place in the body."""

    def rule(body: Any, response: Response) -> Iterable[BrokenRule]:  # noqa: ANN401
        category = response.request.one("category")
        for at, series in rows_at(body, place):
            multiplier = number_at(series, "fee_multiplier")
            if multiplier is not None and not _ZERO <= multiplier <= 10:
                yield BrokenRule(
                    f"{at}.fee_multiplier", "a fee multiplier is absurd", str(multiplier), Severity.BREAKING
                )
            all_of = series.get("categories")
            named = {text_at(series, "category"), *(all_of if isinstance(all_of, list) else ())}
            if isinstance(all_of, list) and text_at(series, "category") not in all_of:
                yield BrokenRule(f"{at}.categories", "a series' category is not one of its categories", str(all_of))
            if category and category not in named:
                yield BrokenRule(f"{at}.category", "category is ignored", text_at(series, "category"))

    return rule
