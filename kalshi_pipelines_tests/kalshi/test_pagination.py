import gc
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from kalshi_pipelines.kalshi.client import MARKETS
from kalshi_pipelines.kalshi.errors import InvalidRequest, MalformedResponse, NotFound, PaginationStuck, ServerError
from kalshi_pipelines.kalshi.pagination import ListEndpoint, pages
from kalshi_pipelines.kalshi.records import Market
from kalshi_pipelines_tests.support.kalshi.recordings import recording
from kalshi_pipelines_tests.support.kalshi.transports import Connect

PAST_THE_END = httpx.Response(404)


def page(cursor: str, *tickers: str) -> httpx.Response:
    return httpx.Response(200, json={"cursor": cursor, "markets": [{"ticker": ticker} for ticker in tickers]})


class Book:
    """An exchange with three pages of two markets. Tests can insert responses before a page's own response."""

    def __init__(self) -> None:
        self.own = {"": page("c2", "A", "B"), "c2": page("c3", "C", "D"), "c3": page("", "E", "F")}
        self.before: dict[str, list[httpx.Response]] = {}
        self.asked: list[str] = []
        self.queries: list[httpx.QueryParams] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        cursor = request.url.params.get("cursor", "")
        self.asked.append(cursor)
        self.queries.append(request.url.params)
        answer = self.before[cursor].pop(0) if self.before.get(cursor) else self.own[cursor]
        return httpx.Response(answer.status_code, content=answer.content)


@pytest.fixture
def book() -> Book:
    return Book()


def tickers(connect: Connect, answer: Book) -> list[str]:
    found = pages(connect(answer), MARKETS, [("status", "open")], 1000)
    return [json.loads(bytes(row))["ticker"] for page in found for row in page.raw_records]


def test_every_page_is_read_with_the_same_filters(connect: Connect, book: Book) -> None:
    found = list(pages(connect(book), MARKETS, [("status", "open")], 1000))
    assert [(each.number, each.cursor, len(each.raw_records)) for each in found] == [
        (1, "c2", 2),
        (2, "c3", 2),
        (3, "", 2),
    ]
    assert {each.endpoint for each in found} == {"GET /markets"}
    assert [dict(query) for query in book.queries] == [
        {"limit": "1000", "status": "open"},
        {"limit": "1000", "status": "open", "cursor": "c2"},
        {"limit": "1000", "status": "open", "cursor": "c3"},
    ]


def test_next_page_is_fetched_while_the_caller_works(connect: Connect, book: Book) -> None:
    second_asked, go_on = threading.Event(), threading.Event()

    def answer(request: httpx.Request) -> httpx.Response:
        if "cursor" in request.url.params:
            second_asked.set()
            assert go_on.wait(10)
        return book(request)

    found = pages(connect(answer), MARKETS, [], 1000)
    next(found)
    assert second_asked.wait(10), "page 2 was not asked for before it was wanted"
    go_on.set()
    next(found)
    time.sleep(0.05)
    assert book.asked == ["", "c2", "c3"]


def test_at_most_one_page_is_read_ahead(connect: Connect, book: Book) -> None:
    found = pages(connect(book), MARKETS, [], 1000)
    next(found)
    time.sleep(0.1)
    assert book.asked == ["", "c2"]


def test_reading_that_stops_early_ends_with_its_transport(connect: Connect, book: Book) -> None:
    transport = connect(book)
    found: Iterator[object] = pages(transport, MARKETS, [], 1000)
    next(found)
    found.close()  # type: ignore[attr-defined]
    transport.close()
    assert not any(thread.name.startswith("kalshi-page") for thread in threading.enumerate())
    assert book.asked in ([""], ["", "c2"])


def test_error_names_its_page_and_comes_after_earlier_pages(connect: Connect, book: Book) -> None:
    book.own["c3"] = httpx.Response(500)
    found = pages(connect(book), MARKETS, [], 1000)
    assert [next(found).number, next(found).number] == [1, 2]
    with pytest.raises(ServerError, match=r"page 3 of GET /markets, after 4 rows"):
        next(found)


@pytest.mark.parametrize("body", [b'{"cursor":"c3","markets":[{"ticker":"C"}', b"<html>", b'{"markets":[]}'])
def test_a_damaged_page_is_fetched_again(connect: Connect, book: Book, body: bytes) -> None:
    book.before["c2"] = [httpx.Response(200, content=body)]
    assert tickers(connect, book) == list("ABCDEF")
    book.own["c2"] = httpx.Response(200, content=body)
    with pytest.raises(MalformedResponse, match=r"5 times.*page 2 of GET /markets, after 2 rows"):
        tickers(connect, book)


def test_cursor_ignored_once_loses_no_row(connect: Connect, book: Book) -> None:
    book.before["c3"] = [book.own[""]]
    assert tickers(connect, book) == list("ABCDEF")
    assert book.asked == ["", "c2", "c3", "c2", "c3"]


@pytest.mark.parametrize("kept", ["c2", "c3"])
def test_page_with_a_wrong_cursor_is_read_again_for_a_new_cursor(connect: Connect, book: Book, kept: str) -> None:
    first = {"c2": "", "c3": "c2"}[kept]
    book.before[first] = [page("gone", "A", "B") if kept == "c2" else page("gone", "C", "D")]
    book.own["gone"] = page("c2", "A", "B")
    assert tickers(connect, book) == list("ABCDEF")


def test_last_page_that_had_a_cursor_once_ends_the_list(connect: Connect, book: Book) -> None:
    book.before["c3"] = [page("gone", "E", "F")]
    book.own["gone"] = page("c2", "A", "B")
    assert tickers(connect, book) == list("ABCDEF")


@pytest.mark.parametrize(
    "repeated",
    [page("c2", "A", "B"), page("c9", "A", "B"), page("c2", "X", "Y"), page("c3", "X", "Y")],
    ids=["page one again", "page one's rows again", "an old cursor", "its own cursor"],
)
def test_exchange_that_repeats_pages_stops_the_read(connect: Connect, book: Book, repeated: httpx.Response) -> None:
    book.own["c3"] = repeated
    found = pages(connect(book), MARKETS, [], 1000)
    next(found)
    next(found)
    with pytest.raises(PaginationStuck, match=r"page 3 of GET /markets, after 4 rows"):
        next(found)


def test_recorded_response_to_a_garbage_cursor_is_detected(connect: Connect) -> None:
    first, again = recording("demo_2026_06/markets__page1.json"), recording("demo_2026_06/markets__garbage_cursor.json")
    answer = lambda request: httpx.Response(200, content=again if "cursor" in request.url.params else first)  # noqa: E731
    rows_of_page_one = {row["ticker"] for row in json.loads(first)["markets"]}
    assert json.loads(again)["markets"][0]["ticker"] in rows_of_page_one
    with pytest.raises(PaginationStuck):
        list(pages(connect(answer), MARKETS, [], 5))


def test_rows_that_move_between_pages_are_no_error(connect: Connect, book: Book) -> None:
    book.own["c2"] = page("c3", "B", "C", "D")
    assert tickers(connect, book) == list("ABBCDEF")


def test_an_empty_page_with_a_cursor_is_not_the_end(connect: Connect, book: Book) -> None:
    book.own["c2"] = page("c3")
    assert tickers(connect, book) == list("ABEF")


def test_a_list_without_an_end_is_cut_off(connect: Connect) -> None:
    count = iter(range(10_000))

    def answer(_: httpx.Request) -> httpx.Response:
        number = next(count)
        return page(f"c{number}", f"T{number}")

    endless = ListEndpoint("/markets", "markets", Market, most_rows=1000, most_pages=7)
    found = pages(connect(answer), endless, [], 1)
    assert [next(found).number for _ in range(7)] == list(range(1, 8))
    with pytest.raises(PaginationStuck, match=r"did not end.*page 8 of GET /markets, after 7 rows"):
        next(found)


@pytest.mark.parametrize("limit", [0, -1, 1001])
def test_a_limit_the_exchange_refuses_is_never_sent(connect: Connect, book: Book, limit: int) -> None:
    with pytest.raises(InvalidRequest, match="1 to 1000"):
        pages(connect(book), MARKETS, [], limit)
    assert not book.asked


def test_refused_request_is_not_retried(connect: Connect, book: Book) -> None:
    book.own[""] = PAST_THE_END
    with pytest.raises(NotFound, match=r"page 1 of GET /markets, after 0 rows"):
        tickers(connect, book)
    assert book.asked == [""]


def test_many_lists_read_one_after_another_share_their_threads(connect: Connect, book: Book) -> None:
    transport = connect(book)
    for _ in range(40):
        list(pages(transport, MARKETS, [], 1000))
    pools = [each for each in gc.get_objects() if isinstance(each, ThreadPoolExecutor)]
    assert len([each for each in pools if not each._shutdown and each._thread_name_prefix == "kalshi-page"]) == 1
