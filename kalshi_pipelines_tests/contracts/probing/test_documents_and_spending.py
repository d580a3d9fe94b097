"""Documents that a vendor publishes are read safely and compared, and the cost of a search is recorded exactly."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalshi_pipelines.contracts.comparison.openapi_document import UnreadableDocument, compare_digests, digest_document
from kalshi_pipelines.contracts.language.differences import Severity
from kalshi_pipelines.contracts.probing.other_vendor_probes import UnreadableChangelog, cost_of, count_entries

DOCUMENT = b"""
openapi: 3.0.0
info: {version: 1.0.0}
paths:
  /markets:
    get:
      parameters:
        - {name: limit, in: query, schema: {type: integer, maximum: 1000}}
      responses: {'200': {content: {application/json: {schema: {$ref: '#/components/schemas/Market'}}}}}
components:
  schemas:
    Market:
      type: object
      required: [ticker]
      properties:
        ticker: {type: string}
        status: {type: string, enum: [open, closed]}
"""


def test_an_unchanged_document_has_no_changes() -> None:
    assert compare_digests(digest_document(DOCUMENT), digest_document(DOCUMENT + b"# a comment\n")) == []


@pytest.mark.parametrize(
    ("before", "after", "place", "severity"),
    [
        (b"maximum: 1000", b"maximum: 500", "GET /markets", Severity.RISKY),
        (b"[open, closed]", b"[open, closed, paused]", "schema Market", Severity.ADDITIVE),
        (b"[open, closed]", b"[open]", "schema Market", Severity.RISKY),
        (b"required: [ticker]", b"required: [ticker, status]", "schema Market", Severity.ADDITIVE),
        (b"ticker: {type: string}", b"name: {type: string}", "schema Market", Severity.RISKY),
        (b"version: 1.0.0", b"version: 1.0.1", "document", Severity.ADDITIVE),
    ],
)
def test_a_change_is_reported_at_its_operation_or_schema(
    before: bytes, after: bytes, place: str, severity: Severity
) -> None:
    (change,) = compare_digests(digest_document(DOCUMENT), digest_document(DOCUMENT.replace(before, after)))
    assert (change.place, change.severity) == (place, severity)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"just text",
        b"paths: [1]",
        b"\xff\xfe\x00",
        b"a: &a [x]\npaths: {b: *a}",
        b"paths: " + b"[" * 1000,
        b"!!python/object/apply:os.system ['true']",
        b"x" * (8 * 1024 * 1024 + 1),
    ],
    ids=["empty", "text", "list", "encoding", "alias", "deep", "object", "long"],
)
def test_a_harmful_document_is_refused(body: bytes) -> None:
    with pytest.raises(UnreadableDocument):
        digest_document(body)


@given(st.binary(max_size=300))
def test_reading_any_bytes_raises_only_the_documented_error(body: bytes) -> None:
    for read, refusal in ((digest_document, UnreadableDocument), (count_entries, UnreadableChangelog)):
        with contextlib.suppress(refusal):
            read(body)


def test_the_entries_of_a_feed_are_counted() -> None:
    assert count_entries(b"<rss><channel><item/><item/></channel></rss>") == 2


@pytest.mark.parametrize(
    "body",
    [
        b'<!DOCTYPE rss [<!ENTITY a "b">]><rss>&a;</rss>',
        b'<!DOCTYPE rss SYSTEM "file:///etc/passwd"><rss/>',
        b"<html/>",
        b"{}",
        b"<rss>" + b"<a/>" * 200_001 + b"</rss>",
    ],
    ids=["entity", "external", "html", "json", "elements"],
)
def test_a_harmful_feed_is_refused(body: bytes) -> None:
    with pytest.raises(UnreadableChangelog):
        count_entries(body)


@pytest.mark.parametrize(
    ("body", "cost"),
    [
        (b'{"costDollars": {"total": 0.005}}', 5_000),
        (b'{"costDollars": {"total": 0.0000001}}', 1),
        (b'{"costDollars": {"total": NaN}}', None),
        (b'{"costDollars": {"total": -1}}', None),
        (b'{"costDollars": {"total": "1"}}', None),
        (b"[]", None),
        (b"", None),
    ],
)
def test_a_cost_is_exact_or_unknown(body: bytes, cost: int | None) -> None:
    assert cost_of(body) == cost
