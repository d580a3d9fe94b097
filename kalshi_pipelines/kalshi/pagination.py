"""Reading of a list endpoint page by page. The next page is fetched while the caller uses the current page.

Reading survives a damaged page, rows that move between pages, and an exchange that answers a bad cursor with page one.
Reading never runs forever. The list of endpoints, and the use of the rows, do not belong here.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field, replace

from msgspec import Raw, Struct

from kalshi_pipelines.kalshi.decoding import record_key, split_page
from kalshi_pipelines.kalshi.errors import InvalidRequest, KalshiError, PaginationStuck, QueryParams
from kalshi_pipelines.kalshi.transport import Transport
from kalshi_pipelines.units import now_us


@dataclass(frozen=True)
class ListEndpoint:
    """A list endpoint of the exchange.

    Attributes:
        path: Path below the API root.
        list_key: Key of the response that holds the rows.
        kind: Type of a row.
        most_rows: The largest number of rows per page; None for an endpoint that answers with a single page.
        most_pages: The number of pages after which reading stops with an error.
    """

    path: str
    list_key: str
    kind: type[Struct]
    most_rows: int | None = None
    most_pages: int = 20_000


@dataclass(frozen=True)
class Page:
    """One page as received, cut into rows that are not decoded yet.

    ``number`` counts from 1. ``received_us`` is the time of receipt by this computer's clock, in microseconds since
    1970 UTC. The rows share the page's memory: to keep a row longer than the page, copy it with ``bytes(row)``.
    """

    endpoint: str
    number: int
    cursor: str
    raw_records: list[Raw]
    received_us: int


def read_page(
    transport: Transport, endpoint: ListEndpoint, params: QueryParams, number: int = 1, cursor: str = ""
) -> Page:
    """Fetch one page.

    Raises:
        KalshiError: See ``Transport.get``.
    """
    sent = [*params, ("cursor", cursor)] if cursor else params

    def decode(body: bytes) -> tuple[str, list[Raw]]:
        return split_page(body, endpoint.list_key, paginated=endpoint.most_rows is not None)

    following, rows = transport.get(endpoint.path, sent, decode=decode)
    return Page(f"GET {endpoint.path}", number, following, rows, now_us())


def pages(transport: Transport, endpoint: ListEndpoint, params: QueryParams, limit: int) -> Iterator[Page]:
    """Return the pages of a list, each with at most ``limit`` rows. The next page is fetched while the caller works.

    A row may come twice if the list changes while it is read.

    Raises:
        InvalidRequest: The endpoint does not accept ``limit``; no request was sent.
        PaginationStuck: The exchange repeats pages, or the list does not end.
        KalshiError: A page could not be read. The message names the page and the number of rows before it.
    """
    if endpoint.most_rows is None or not 1 <= limit <= endpoint.most_rows:
        raise InvalidRequest(
            f"GET {endpoint.path} cannot be asked for {limit} rows per page.", f"Ask for 1 to {endpoint.most_rows}."
        )
    reader = _PageReader(transport, endpoint, [("limit", str(limit)), *params])
    return _ahead(transport, reader.next_page)


def _ahead(transport: Transport, next_page: Callable[[], Page]) -> Iterator[Page]:
    coming: Future[Page] | None = transport.page_threads.submit(next_page)
    try:
        while coming is not None:
            page = coming.result()
            coming = transport.page_threads.submit(next_page) if page.cursor else None
            yield page
    finally:
        # A caller that stops early does not wait for the running request, whose response is discarded.
        if coming is not None:
            coming.cancel()


@dataclass
class _PageReader:
    """The state of reading one list. Only one page is fetched at a time."""

    transport: Transport
    endpoint: ListEndpoint
    params: QueryParams
    page_number: int = 0
    cursor: str = ""
    cursor_before: str = ""
    rows: int = 0
    cursors: set[str] = field(default_factory=set)
    first_keys: set[str] = field(default_factory=set)

    def next_page(self) -> Page:
        number = self.page_number + 1
        try:
            if number > self.endpoint.most_pages:
                raise PaginationStuck(
                    f"GET {self.endpoint.path} did not end after {self.endpoint.most_pages} pages.",
                    "Narrow the read with a filter, or report it as a defect.",
                )
            page = self._checked(number)
        except KalshiError as error:
            error.where = f"This happened on page {number} of GET {self.endpoint.path}, after {self.rows} rows."
            raise
        self.page_number, self.rows = number, self.rows + len(page.raw_records)
        self.cursor_before, self.cursor = self.cursor, page.cursor
        self.cursors.add(page.cursor)
        self.first_keys.add(self._first_key(page))
        return page

    def _checked(self, number: int) -> Page:
        page = read_page(self.transport, self.endpoint, self.params, number, self.cursor)
        if not self._repeats(page):
            return page
        if number > 1:  # The cursor of the previous page may be bad: read that page again for a new cursor.
            before = read_page(self.transport, self.endpoint, self.params, number - 1, self.cursor_before)
            self.cursor = before.cursor
            if not self.cursor:
                return replace(before, number=number, raw_records=[])
        page = read_page(self.transport, self.endpoint, self.params, number, self.cursor)
        if not self._repeats(page):
            return page
        raise PaginationStuck(
            f"GET {self.endpoint.path} repeats a page instead of sending the next one.",
            "Run again: the read starts from page 1.",
        )

    def _repeats(self, page: Page) -> bool:
        key = self._first_key(page)
        return (page.cursor != "" and page.cursor in self.cursors) or (key != "" and key in self.first_keys)

    def _first_key(self, page: Page) -> str:
        return (page.raw_records and record_key(self.endpoint.kind, page.raw_records[0])) or ""
