"""Rules that an answer must match its request: filters, time windows, and the record that the path names."""

from collections.abc import Iterable, Iterator
from typing import Any, Final

from kalshi_pipelines.contracts.declared.reading import instant_at, rows_at, text_at
from kalshi_pipelines.contracts.language.declarations import BrokenRule, Invariant
from kalshi_pipelines.contracts.language.differences import Severity
from kalshi_pipelines.contracts.language.responses import Response

STATUSES_OF: Final = {
    "unopened": {"initialized"},
    "open": {"active", "closed"},
    "paused": {"inactive"},
    "closed": {"closed", "determined", "disputed", "amended", "active"},
    "settled": {"finalized"},
}
"""For each value of the ``status`` filter, the market statuses that the answer may hold.

A market may open or close while the exchange compiles the page. So the filter ``open`` also permits markets with the
status ``closed``, and the filter ``closed`` also permits markets with the status ``active``.
"""


def market_list_filters(body: Any, response: Response) -> Iterable[BrokenRule]:  # noqa: ANN401
    """Yield broken rules of ``GET /markets``: each row must match the filters of the request."""
    request = response.request
    matches = STATUSES_OF.get(request.one("status") or "")
    tickers = {ticker for value in request.query.get("tickers", ()) for ticker in value.split(",")}
    for at, market in rows_at(body, "markets[]"):
        status = text_at(market, "status")
        if matches and status and status not in matches:
            yield BrokenRule(
                f"{at}.status", f"status={request.one('status')} is answered with {status} markets", status
            )
        if tickers and text_at(market, "ticker") not in tickers:
            yield BrokenRule(
                f"{at}.ticker", "a market was not asked for: tickers is ignored", text_at(market, "ticker")
            )
        if request.one("mve_filter") == "exclude" and text_at(market, "mve_collection_ticker"):
            yield BrokenRule(f"{at}.ticker", "mve_filter=exclude is answered with combos", text_at(market, "ticker"))
        if request.one("mve_filter") == "only" and not text_at(market, "ticker").startswith("KXMVE"):
            yield BrokenRule(
                f"{at}.ticker", "mve_filter=only is answered with single markets", text_at(market, "ticker")
            )
        event, series = request.one("event_ticker"), request.one("series_ticker")
        if event and text_at(market, "event_ticker") != event:
            yield BrokenRule(f"{at}.event_ticker", "event_ticker is ignored", text_at(market, "event_ticker"))
        if series and not text_at(market, "event_ticker").startswith(series):
            yield BrokenRule(f"{at}.event_ticker", "series_ticker is ignored", text_at(market, "event_ticker"))
        yield from within(
            at,
            market,
            response,
            {"created": "created_time", "close": "close_time", "settled": "settlement_ts", "updated": "updated_time"},
        )


def event_list_filters(body: Any, response: Response) -> Iterable[BrokenRule]:  # noqa: ANN401
    """Yield broken rules of ``GET /events``: each row must match the filters, and no row may be a combo."""
    tickers = {ticker for value in response.request.query.get("tickers", ()) for ticker in value.split(",")}
    series = response.request.one("series_ticker")
    for at, event in rows_at(body, "events[]"):
        ticker = text_at(event, "event_ticker")
        if tickers and ticker not in tickers:
            yield BrokenRule(f"{at}.event_ticker", "an event was not asked for: tickers is ignored", ticker)
        if series and text_at(event, "series_ticker") != series:
            yield BrokenRule(f"{at}.series_ticker", "series_ticker is ignored", text_at(event, "series_ticker"))
        if response.request.endpoint == "GET /events" and ticker.startswith("KXMVE"):
            yield BrokenRule(f"{at}.event_ticker", "the list of events has combos again", ticker)


def within(at: str, row: dict[str, Any], response: Response, instants: dict[str, str]) -> Iterator[BrokenRule]:
    """Yield a broken rule for each instant of a row that lies outside of the time window in the request.

    Args:
        at: The place of the row.
        row: The row.
        response: The response with its request.
        instants: For each time filter, the key in the row that holds the filtered instant. The filter ``created``
            stands for the request parameters ``min_created_ts`` and ``max_created_ts``.
    """
    for name, key in instants.items():
        instant = instant_at(row, key)
        if instant is None:
            continue
        prefix = f"{name}_" if name else ""
        least, most = response.request.one(f"min_{prefix}ts"), response.request.one(f"max_{prefix}ts")
        if least and least.isdigit() and instant.timestamp() < int(least) - 1:
            yield BrokenRule(f"{at}.{key}", f"min_{prefix}ts is ignored", str(instant))
        if most and most.isdigit() and instant.timestamp() > int(most) + 1:
            yield BrokenRule(f"{at}.{key}", f"max_{prefix}ts is ignored", str(instant))


def named_in_path(place: str, key: str, parameter: str) -> Invariant:
    """Return the rule that an answer must be about the record that the request's path names."""

    def rule(body: Any, response: Response) -> Iterable[BrokenRule]:  # noqa: ANN401
        wanted = response.request.path.get(parameter)
        for at, record in rows_at(body, place):
            if wanted and text_at(record, key) and text_at(record, key) != wanted:
                yield BrokenRule(
                    f"{at}.{key}".removeprefix("$."),
                    f"the answer is about another {key}",
                    f"asked {wanted}, got {text_at(record, key)}",
                    Severity.BREAKING,
                )

    return rule


def requested_books(body: Any, response: Response) -> Iterable[BrokenRule]:  # noqa: ANN401
    """Yield broken rules of ``GET /markets/orderbooks``: an answer may hold only requested books, each book once."""
    requested = set(response.request.query.get("tickers", ()))
    seen: set[str] = set()
    for at, book in rows_at(body, "orderbooks[]"):
        ticker = text_at(book, "ticker")
        if requested and ticker not in requested:
            yield BrokenRule(f"{at}.ticker", "a book was not asked for: tickers is ignored", ticker)
        if ticker in seen:
            yield BrokenRule(f"{at}.ticker", "a book comes twice", ticker)
        seen.add(ticker)
