"""Responses about series and events.

Source of the JSON shapes: the vendor's OpenAPI document 3.34.0. Recordings show where the markets of an event are
nested in a response.
"""

from dataclasses import dataclass
from typing import Final

import orjson

from kalshi_pipelines.sandbox.api.endpoints import Call, Endpoint, json_array, paged
from kalshi_pipelines.sandbox.api.validation import event_filter, multivariate_event_filter
from kalshi_pipelines.sandbox.errors import bad_request, not_found
from kalshi_pipelines.sandbox.exchange import Exchange
from kalshi_pipelines.sandbox.markets.fee_changes import PlannedFees, event_change_row, series_change_row
from kalshi_pipelines.sandbox.markets.listing import EventFilter
from kalshi_pipelines.sandbox.markets.rows import EventRow
from kalshi_pipelines.sandbox.pagination import RowPage, SortKey


def _markets_of(exchange: Exchange, event: EventRow) -> bytes:
    return json_array(market.json() for market in exchange.catalogue.markets_of_event(event.ticker))


def _event(exchange: Exchange, event: EventRow, *, nested: bool, alone: bool) -> bytes:
    members = event.members(alone=alone)
    return b"{" + members + (b',"markets":' + _markets_of(exchange, event) if nested else b"") + b"}"


def _event_page(exchange: Exchange, call: Call, wanted: EventFilter, default: int) -> tuple[RowPage[EventRow], bytes]:
    nested = bool(call.query.boolean("with_nested_markets"))
    page = paged(
        exchange, exchange.catalogue.select_events(wanted), call.query.cursor, call.query.limit(200, default, 1)
    )
    events = json_array(_event(exchange, event, nested=nested, alone=False) for event in page.rows)
    return page, b'"cursor":' + orjson.dumps(page.cursor) + b',"events":' + events


def get_events(exchange: Exchange, call: Call) -> bytes:
    """Answer GET /events.

    The list has no combos. The sandbox has no milestones, so a request for milestones gets an empty list.
    """
    milestones = b',"milestones":[]' if call.query.boolean("with_milestones") else b""
    _, members = _event_page(exchange, call, event_filter(call.query), 200)
    return b"{" + members + milestones + b"}"


def get_multivariate_events(exchange: Exchange, call: Call) -> bytes:
    """Answer GET /events/multivariate. The list has only combos."""
    _, members = _event_page(exchange, call, multivariate_event_filter(call.query), 100)
    return b"{" + members + b"}"


def get_event(exchange: Exchange, call: Call) -> bytes:
    """Answer GET /events/{event_ticker}.

    The event's markets are nested in the event object, listed separately from it, or left out, as the request demands.
    """
    nested = bool(call.query.boolean("with_nested_markets"))
    excluded = bool(call.query.boolean("exclude_markets"))
    if nested and excluded:
        raise bad_request("exclude_markets and with_nested_markets are mutually exclusive")
    event = exchange.catalogue.events.get(call.path["event_ticker"])
    if event is None:
        raise not_found()
    beside = b"[]" if nested or excluded else _markets_of(exchange, event)
    return b'{"event":' + _event(exchange, event, nested=nested, alone=True) + b',"markets":' + beside + b"}"


def get_series_list(exchange: Exchange, call: Call) -> bytes:
    """Answer GET /series with all series on one page. A series matches if it has any of the requested tags."""
    query = call.query
    category, tags, updated = query.text("category"), query.listed("tags"), query.instant_us("min_updated_ts")
    volume, metadata = bool(query.boolean("include_volume")), bool(query.boolean("include_product_metadata"))
    rows = [
        series.json(volume=volume, metadata=metadata)
        for series in exchange.catalogue.series.values()
        if (category is None or category in series.categories)
        and (tags is None or not set(tags).isdisjoint(series.tags))
        and (updated is None or series.updated_us >= updated)
    ]
    return b'{"series":' + json_array(rows) + b"}"


def get_series(exchange: Exchange, call: Call) -> bytes:
    """Answer GET /series/{series_ticker}. An unknown series gets 400, because the vendor's document lists no 404."""
    series = exchange.catalogue.series.get(call.path["series_ticker"])
    if series is None:
        raise bad_request("series not found")
    return b'{"series":' + series.json(volume=bool(call.query.boolean("include_volume")), metadata=True) + b"}"


def get_series_fee_changes(exchange: Exchange, call: Call) -> bytes:
    """Answer GET /series/fee_changes with the scheduled changes on one page.

    Changes that are in force already are included on request.
    """
    ticker, with_past = call.query.text("series_ticker"), bool(call.query.boolean("show_historical"))
    rows = [
        series_change_row(series.ticker, change)
        for series in exchange.catalogue.series.values()
        if ticker in {None, series.ticker}
        for change in series.fee_changes
        if with_past or change.effective_us > call.now_us
    ]
    return orjson.dumps({"series_fee_change_arr": rows})


@dataclass(frozen=True, slots=True)
class _EventChange:
    """A fee change of an event in the list of all, the latest first."""

    event: EventRow
    change: PlannedFees

    @property
    def sort_key(self) -> SortKey:
        return -self.change.effective_us, self.change.change_id


def get_event_fee_changes(exchange: Exchange, call: Call) -> bytes:
    """Answer GET /events/fee_changes with past and scheduled changes, the latest first."""
    ticker = call.query.text("event_ticker")
    changes = [
        _EventChange(event, change)
        for event in exchange.catalogue.events.values()
        if ticker in {None, event.ticker}
        for change in event.fee_changes
    ]
    changes.sort(key=lambda row: row.sort_key)
    page = paged(exchange, changes, call.query.cursor, call.query.limit(1000, 100, 1))
    rows = [event_change_row(row.event.ticker, row.event.series_ticker, row.change) for row in page.rows]
    return orjson.dumps({"cursor": page.cursor, "event_fee_changes": rows})


EVENT_ENDPOINTS: Final = (
    Endpoint("GetSeriesList", "GET", "/series", get_series_list),
    Endpoint("GetSeriesFeeChanges", "GET", "/series/fee_changes", get_series_fee_changes),
    Endpoint("GetSeries", "GET", "/series/{series_ticker}", get_series),
    Endpoint("GetEvents", "GET", "/events", get_events),
    Endpoint("GetEventFeeChanges", "GET", "/events/fee_changes", get_event_fee_changes),
    Endpoint("GetMultivariateEvents", "GET", "/events/multivariate", get_multivariate_events),
    Endpoint("GetEvent", "GET", "/events/{event_ticker}", get_event),
)
