"""Reads of scheduled fee changes of series and of events."""

from collections.abc import Iterator
from typing import Final

from kalshi_pipelines.kalshi.fee_change_records import EventFeeChange, SeriesFeeChange
from kalshi_pipelines.kalshi.pagination import ListEndpoint, Page, pages, read_page
from kalshi_pipelines.kalshi.transport import Transport

SERIES_FEE_CHANGES: Final = ListEndpoint("/series/fee_changes", "series_fee_change_arr", SeriesFeeChange)
EVENT_FEE_CHANGES: Final = ListEndpoint("/events/fee_changes", "event_fee_changes", EventFeeChange, most_rows=1000)


class FeeChangeReader:
    """A reader of scheduled fee changes. ``KalshiClient.fee_changes`` makes it."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def of_series(self, *, series_ticker: str | None = None, show_historical: bool = True) -> Iterator[Page]:
        """Yield fee changes of series as one page: the endpoint is not paginated.

        Args:
            series_ticker: Only changes of this series.
            show_historical: Whether changes that took effect already are included.
        """
        params = [("show_historical", str(show_historical).lower())]
        if series_ticker is not None:
            params.append(("series_ticker", series_ticker))
        yield read_page(self._transport, SERIES_FEE_CHANGES, params)

    def of_events(self, *, event_ticker: str | None = None, limit: int = 1000) -> Iterator[Page]:
        """Return pages of fee changes of events.

        Args:
            event_ticker: Only changes of this event.
            limit: Rows per page, at most 1000.
        """
        params = [] if event_ticker is None else [("event_ticker", event_ticker)]
        return pages(self._transport, EVENT_FEE_CHANGES, params, limit)
