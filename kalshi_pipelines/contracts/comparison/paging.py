"""Rules for one page of a list: the cursor moves on, the page is full and ordered, and no row comes twice."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Final

import orjson

from kalshi_pipelines.contracts.language.declarations import BrokenRule, Paging
from kalshi_pipelines.contracts.language.differences import Kind, Severity
from kalshi_pipelines.contracts.language.responses import Response

_LARGEST: Final = 10_000


def page_rules(body: Any, response: Response, pages: Paging) -> Iterator[BrokenRule]:  # noqa: ANN401
    """Yield the paging rules that one page breaks."""
    rows = body.get(pages.rows) if isinstance(body, dict) else None
    if not isinstance(rows, list):
        return
    yield from _twins(rows, pages)
    yield from _order(rows, pages)
    cursor = body.get(pages.cursor) if pages.cursor else None
    sent = response.request.one("cursor")
    if isinstance(cursor, str) and cursor and cursor == sent:
        yield _page(pages.cursor, "the cursor does not progress", cursor[:20], Severity.BREAKING)
    requested = response.request.one("limit")
    limit = int(requested) if requested and requested.isdigit() and len(requested) < 8 else 0
    if limit and len(rows) > limit:
        yield _page(pages.rows, "more rows than the limit", f"{len(rows)} of {limit}")
    if isinstance(cursor, str) and cursor and 0 <= len(rows) < limit <= min(pages.most or _LARGEST, _LARGEST):
        yield _page(pages.rows, "a page is not full, though there is a next one", f"{len(rows)} of {limit}")


def _twins(rows: list[Any], pages: Paging) -> Iterator[BrokenRule]:
    keys = [tuple(row.get(name) for name in pages.key) for row in rows if isinstance(row, dict)]
    keys = [key for key in keys if key and all(isinstance(part, str) for part in key)]
    wholes = [orjson.dumps(row, option=orjson.OPT_SORT_KEYS) for row in rows if isinstance(row, dict)]
    if len(set(keys)) < len(keys) or (len(set(wholes)) < len(wholes) and not pages.key):
        yield _page(f"{pages.rows}[]", "a row comes twice in one page", "")


def _order(rows: list[Any], pages: Paging) -> Iterator[BrokenRule]:
    if not pages.newest_first:
        return
    values = [row.get(pages.newest_first) for row in rows if isinstance(row, dict)]
    pairs = [(one, other) for one, other in pairwise(values) if isinstance(one, str) and isinstance(other, str)]
    pairs = [(one.rstrip("Z"), other.rstrip("Z")) for one, other in pairs if one != other]
    wrong = sum(one < other for one, other in pairs)
    if pairs and wrong * 3 >= len(pairs) and wrong:
        yield _page(f"{pages.rows}[].{pages.newest_first}", "rows no longer come newest first", f"{pairs[0]}")


def _page(place: str, rule: str, example: str, severity: Severity = Severity.RISKY) -> BrokenRule:
    return BrokenRule(place, rule, example, severity, Kind.PAGE_BROKEN)
