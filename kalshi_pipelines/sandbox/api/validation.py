"""Query parameters of API requests. The sandbox reads and refuses them in the same way as the real exchange.

Belongs here: types, bounds and forbidden combinations of parameters. Does not belong here: selecting rows by a valid
query. Sources: parameter tables of the vendor's OpenAPI document 3.34.0; the 400 bodies in recordings of June 2026.
"""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

from starlette.datastructures import QueryParams

from kalshi_pipelines.sandbox.errors import bad_request, failed_validation, unreadable_parameter
from kalshi_pipelines.sandbox.markets.listing import EventFilter, MarketFilter, TimeRange
from kalshi_pipelines.units import SECOND_US

MARKET_STATUS_FILTERS: Final = ("unopened", "open", "paused", "closed", "settled")
EVENT_STATUS_FILTERS: Final = ("unopened", "open", "closed", "settled")
PERIODS: Final = (1, 60, 1440)
_TIMESTAMP_FAMILIES: Final = {
    "created": ("unopened", "open"),
    "close": ("closed",),
    "settled": ("settled",),
    "updated": (),
}


_WHOLE: Final = re.compile(r"[+-]?[0-9]{1,300}")


def camel_case(name: str) -> str:
    """Return the exchange's internal name of a parameter or field, which its error messages show: ``min_ts`` becomes
    ``MinTs``.
    """
    return "".join(part.title() for part in name.split("_"))


@dataclass(frozen=True)
class Query:
    """Query parameters of a request to an endpoint.

    Methods raise ``ErrorResponse`` for a value that the exchange refuses.
    """

    operation: str
    parameters: QueryParams

    def text(self, name: str) -> str | None:
        """Return the text of a query parameter, or None if the parameter is absent or empty."""
        return self.parameters.get(name) or None

    def integer(self, name: str, least: int | None = None, most: int | None = None) -> int | None:
        """Return a query parameter as a whole number within bounds, or None if the parameter is absent."""
        text = self.text(name)
        if text is None:
            return None
        if not _WHOLE.fullmatch(text):
            raise unreadable_parameter(name, text, "an integer")
        number = int(text)
        if least is not None and number < least:
            raise failed_validation(self.operation, camel_case(name), "gte")
        if most is not None and number > most:
            raise failed_validation(self.operation, camel_case(name), "lte")
        return number

    def required_integer(self, name: str) -> int:
        """Return a required query parameter as a whole number."""
        number = self.integer(name)
        if number is None:
            raise failed_validation(self.operation, camel_case(name), "required")
        return number

    def boolean(self, name: str) -> bool | None:
        """Return a query parameter as a boolean, or None if the parameter is absent."""
        text = self.text(name)
        if text is None:
            return None
        if text.lower() not in {"true", "false", "1", "0", "t", "f"}:
            raise unreadable_parameter(name, text, "a boolean")
        return text.lower() in {"true", "1", "t"}

    def choice(self, name: str, allowed: Collection[str]) -> str | None:
        """Return a query parameter that must be one of the allowed values, or None if the parameter is absent."""
        text = self.text(name)
        if text is not None and text not in allowed:
            raise failed_validation(self.operation, camel_case(name), "oneof")
        return text

    def listed(self, name: str) -> tuple[str, ...] | None:
        """Return the elements of a comma-separated query parameter, or None if the parameter is absent."""
        text = self.text(name)
        return None if text is None else tuple(part for part in text.split(",") if part)

    def limit(self, most: int, default: int, least: int = 0) -> int:
        """Return the requested page size. The value 0 and an absent parameter give the default size."""
        return self.integer("limit", least, most) or default

    def rows(self, most: int) -> int:
        """Return the requested page size for a list whose pages have at least one row. The default is 100."""
        number = self.integer("limit")
        if number is None:
            return 100
        if number < 1:
            raise failed_validation(self.operation, "Limit", "min")
        if number > most:
            raise failed_validation(self.operation, "Limit", "max")
        return number

    @property
    def cursor(self) -> str:
        """The cursor in the query, or an empty text for the first page."""
        return self.text("cursor") or ""

    def instant_us(self, name: str) -> int | None:
        """Convert a query parameter from Unix seconds to microseconds, or return None if the parameter is absent."""
        seconds = self.integer(name)
        return None if seconds is None else seconds * SECOND_US

    def at_most(self, name: str, most: int) -> tuple[str, ...] | None:
        """Return the elements of a comma-separated query parameter, at most ``most`` of them, or None if the parameter
        is absent.
        """
        listed = self.listed(name)
        if listed is not None and len(listed) > most:
            raise failed_validation(self.operation, camel_case(name), "max")
        return listed

    def period(self) -> TimeRange:
        """Return the time range from ``min_ts`` to the end of the second ``max_ts``."""
        most = self.instant_us("max_ts")
        return TimeRange(self.instant_us("min_ts"), None if most is None else most + SECOND_US - 1)

    def span(self, family: str) -> TimeRange:
        """Return the time range between two query parameters such as ``min_close_ts`` and ``max_close_ts``."""
        return TimeRange(self.instant_us(f"min_{family}_ts"), self.instant_us(f"max_{family}_ts"))

    def has_any(self, names: Iterable[str]) -> bool:
        """Return whether the query contains any of the named parameters."""
        return any(self.text(name) is not None for name in names)


def market_filter(query: Query) -> MarketFilter:
    """Return the filter that a query of GET /markets describes.

    Combinations of parameters that the vendor's OpenAPI document does not allow are refused.
    """
    status = query.choice("status", MARKET_STATUS_FILTERS)
    mve = query.choice("mve_filter", ("only", "exclude"))
    families = [name for name in _TIMESTAMP_FAMILIES if query.has_any((f"min_{name}_ts", f"max_{name}_ts"))]
    if len(families) > 1:
        raise bad_request(f"timestamp filters are mutually exclusive: {', '.join(families)}")
    for family in families:
        if status is not None and status not in _TIMESTAMP_FAMILIES[family]:
            raise bad_request(f"{family} timestamp filters are not compatible with status {status}")
        if family == "updated":
            _check_updated_mix(query, mve)
    return MarketFilter(
        status=status,
        event_ticker=query.text("event_ticker"),
        series_ticker=query.text("series_ticker"),
        tickers=query.listed("tickers"),
        combos=_wants_combos(mve),
        created=query.span("created"),
        updated=query.span("updated"),
        closes=query.span("close"),
        settled=query.span("settled"),
    )


def _check_updated_mix(query: Query, mve: str | None) -> None:
    if query.has_any(("event_ticker", "tickers")) or mve == "only":
        raise bad_request("updated timestamp filters are only compatible with mve_filter=exclude")
    if query.text("series_ticker") is not None and mve != "exclude":
        raise bad_request("series_ticker with updated timestamp filters requires mve_filter=exclude")


def _wants_combos(mve: str | None) -> bool | None:
    return None if mve is None else mve == "only"


def historical_market_filter(query: Query) -> MarketFilter:
    """Return the filter that a query of GET /historical/markets describes. At most one filter parameter is allowed."""
    names = ("tickers", "event_ticker", "series_ticker", "mve_filter")
    if sum(query.text(name) is not None for name in names) > 1:
        raise bad_request(f"filters are mutually exclusive: {', '.join(names)}")
    return MarketFilter(
        event_ticker=query.text("event_ticker"),
        series_ticker=query.text("series_ticker"),
        tickers=query.listed("tickers"),
        combos=_wants_combos(query.choice("mve_filter", ("exclude",))),
        archived=True,
    )


def event_filter(query: Query) -> EventFilter:
    """Return the filter that a query of GET /events describes. The filter always excludes combos."""
    return EventFilter(
        status=query.choice("status", EVENT_STATUS_FILTERS),
        series_ticker=query.text("series_ticker"),
        tickers=query.listed("tickers"),
        min_close_us=query.instant_us("min_close_ts"),
        min_updated_us=query.instant_us("min_updated_ts"),
    )


def multivariate_event_filter(query: Query) -> EventFilter:
    """Return the filter that a query of GET /events/multivariate describes."""
    if query.text("series_ticker") is not None and query.text("collection_ticker") is not None:
        raise bad_request("series_ticker and collection_ticker are mutually exclusive")
    return EventFilter(
        combos=True,
        series_ticker=query.text("series_ticker"),
        collection_ticker=query.text("collection_ticker"),
        tickers=query.listed("tickers"),
    )
