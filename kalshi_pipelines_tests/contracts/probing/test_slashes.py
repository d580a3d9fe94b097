"""Only the exchange itself may answer a path with a trailing slash; a redirect to another address is a difference."""

import pytest

from kalshi_pipelines.contracts.comparison.checking import check
from kalshi_pipelines.contracts.language.differences import Kind, Severity
from kalshi_pipelines.contracts.language.responses import Response, VendorRequest
from kalshi_pipelines.contracts.probing.trailing_slash import WITH_SLASH, slash_differences

ROOT = "https://external-api.kalshi.com/trade-api/v2"
ADDRESS = f"{ROOT}/markets/?limit=1"


def answer(status: int, location: str = "", url: str = ADDRESS) -> Response:
    headers = {"location": location} if location else {}
    return Response(WITH_SLASH, status, headers, b"{}", 1_795_348_800_000_000, url, "prod")


@pytest.mark.parametrize(
    "fine",
    [
        answer(200),
        answer(404),
        answer(405),
        answer(503),
        answer(429),
        answer(301, "/trade-api/v2/markets?limit=1"),
        answer(308, f"{ROOT}/markets"),
        answer(302, "../markets"),
    ],
    ids=lambda each: f"{each.status} {each.headers.get('location', '')}",
)
def test_a_redirect_to_the_same_path_or_a_usual_status_is_no_difference(fine: Response) -> None:
    assert list(slash_differences(fine)) == []


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        ("https://attacker.example/trade-api/v2/markets", "301 to https://attacker.example/trade-api/v2/markets"),
        ("//attacker.example/trade-api/v2/markets", "attacker.example"),
        ("http://external-api.kalshi.com/trade-api/v2/markets", "301 to http://"),
        ("https://external-api.kalshi.com:8443/trade-api/v2/markets", "external-api.kalshi.com"),
        ("https://me:secret@external-api.kalshi.com/trade-api/v2/markets", "external-api.kalshi.com"),
        ("/trade-api/v3/markets", "/trade-api/v3/markets"),
        ("/login?next=/markets", "/login"),
        (ADDRESS, "/trade-api/v2/markets/"),
        ("", "301 to nowhere"),
    ],
)
def test_a_redirect_to_another_address_is_risky_and_shows_no_secret(location: str, shown: str) -> None:
    (found,) = slash_differences(answer(301, location))
    assert (found.kind, found.severity) == (Kind.REDIRECTED, Severity.RISKY)
    assert shown in found.after
    assert "secret" not in found.after
    assert "price_snapshots" in found.assets


@pytest.mark.parametrize("status", [400, 401, 403])
def test_a_refusal_with_an_unexpected_status_is_risky(status: int) -> None:
    (found,) = slash_differences(answer(status))
    assert (found.kind, found.after) == (Kind.STATUS_CHANGED, str(status))


def test_a_redirect_of_the_path_without_slash_is_a_difference() -> None:
    # In October 2025 the exchange's collections answered 301 to a path without a trailing slash, and 200 to a path with
    # a slash.
    request = VendorRequest("GET /milestones", query={"limit": ("20",)})
    moved = Response(request, 301, {"location": "/trade-api/v2/milestones/"}, b"", 1, f"{ROOT}/milestones", "prod")
    (found,) = check(moved).differences
    assert found.kind is Kind.REDIRECTED
    assert found.severity is not Severity.ADDITIVE
