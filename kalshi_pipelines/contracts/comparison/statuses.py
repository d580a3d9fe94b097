"""Checks of the address and status of an answer: hosts, redirects, refusals, authentication, maintenance."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from kalshi_pipelines.contracts.declared.errors import KNOWN_DETAILS, code_of, shape_of
from kalshi_pipelines.contracts.language.declarations import Access, Contract
from kalshi_pipelines.contracts.language.differences import Difference, Kind, Severity
from kalshi_pipelines.contracts.language.responses import Response

_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1", "testserver"})
EXCHANGE_HOSTS: Final = {
    "prod": frozenset({"external-api.kalshi.com", "api.elections.kalshi.com"}),
    "demo": frozenset({"external-api.demo.kalshi.co", "demo-api.kalshi.co"}),
    "sandbox": _LOOPBACK,
}
"""Hosts of each environment (exchange documentation, October 2026).

Both hosts of an environment accept the same signature.
"""
_NEW_YORK: Final = ZoneInfo("America/New_York")
_JSON: Final = "application/json"
_THURSDAY: Final = 3
_MAINTENANCE: Final = (3, 5)
STATUS_ENDPOINT: Final = "GET /exchange/status"


@dataclass(frozen=True)
class StatusVerdict:
    """The verdict on the HTTP status, the address and the headers of an answer.

    Attributes:
        is_success: Whether the status means success. The contract then describes the body.
        is_refusal: Whether the status means a refusal. The body should then give a code or a reason.
        is_maintenance: Whether the server failed (status 5xx or 408) during the weekly maintenance of the exchange.
        is_away: Whether the server failed (status 5xx or 408) at any other time.
        differences: Differences in status, address and headers.
    """

    is_success: bool = False
    is_refusal: bool = False
    is_maintenance: bool = False
    is_away: bool = False
    differences: tuple[Difference, ...] = ()


def in_maintenance(at_us: int) -> bool:
    """Return whether an instant is in the weekly maintenance, Thursday 03:00 to 05:00 Eastern Time."""
    there = dt.datetime.fromtimestamp(at_us // 1_000_000, _NEW_YORK)
    return there.weekday() == _THURSDAY and _MAINTENANCE[0] <= there.hour < _MAINTENANCE[1]


def judge_status(response: Response, contract: Contract) -> StatusVerdict:
    """Return the verdict on the status, the address and the headers of an answer."""
    about = tuple(_address_differences(response, contract))
    status, request = response.status, response.request
    if 300 <= status < 400:
        target = _without_query(response.headers.get("location", "nowhere"))
        return StatusVerdict(differences=(*about, _redirect_difference(contract, status, target)))
    if status >= 500 or status == 408:
        is_pause = in_maintenance(response.received_us)
        return StatusVerdict(is_maintenance=is_pause, is_away=not is_pause, differences=about)
    expected = request.expects or (
        contract.statuses if request.is_signed or contract.access is Access.PUBLIC else (401,)
    )
    if status in contract.statuses:
        if status not in expected:
            about = (*about, _unexpected_success(contract, request.expects, status))
        about = (*about, *_content_differences(response, contract))
        return StatusVerdict(is_success=True, differences=about)
    if status in expected:
        return StatusVerdict(is_refusal=True, differences=about)
    return StatusVerdict(is_refusal=True, differences=(*about, *_unexpected_refusal(response, contract)))


def _without_query(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.netloc}{parts.path}" if parts.netloc else parts.path


def _address_differences(response: Response, contract: Contract) -> Iterator[Difference]:
    allowed = contract.hosts.get(response.environment) or EXCHANGE_HOSTS.get(response.environment, frozenset())
    host = urlsplit(response.url).hostname or ""
    if host and host not in allowed | _LOOPBACK:
        yield Difference(
            contract.endpoint,
            "host",
            Kind.HOST_CHANGED,
            Severity.BREAKING,
            ", ".join(sorted(allowed)),
            host,
            "",
            contract.used_by,
            "Check the address in the settings: a signed request must not go to a host that is not listed.",
        )
    language = response.headers.get("content-language", "en")
    if not language.lower().startswith("en"):
        yield Difference(
            contract.endpoint,
            "headers.content-language",
            Kind.TEXT_CHANGED,
            Severity.RISKY,
            "en",
            language,
            "",
            contract.used_by,
            "Make requests ask for English (Accept-Language): translated texts change the hashes of rules.",
        )


def _content_differences(response: Response, contract: Contract) -> Iterator[Difference]:
    content = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if contract.fields and response.body and content and content != _JSON:
        yield Difference(
            contract.endpoint,
            "headers.content-type",
            Kind.FORMAT_CHANGED,
            Severity.RISKY,
            _JSON,
            content,
            "",
            contract.used_by,
            "Find out who answers: it may be a proxy, a cache or an error page instead of the exchange.",
        )


def _redirect_difference(contract: Contract, status: int, target: str) -> Difference:
    return Difference(
        contract.endpoint,
        "status",
        Kind.REDIRECTED,
        Severity.BREAKING,
        "an answer",
        f"{status} to {target}",
        "",
        contract.used_by,
        "Use the new address: a signed request must not follow a redirect.",
    )


def _unexpected_success(contract: Contract, expects: tuple[int, ...], status: int) -> Difference:
    if not expects or set(expects) <= {401, 403}:
        return Difference(
            contract.endpoint,
            "status",
            Kind.AUTHENTICATION_CHANGED,
            Severity.RISKY,
            "refused without a key",
            f"{status} without a key",
            "",
            contract.used_by,
            "Find out whether the endpoint became public, and whose data it returns.",
        )
    return Difference(
        contract.endpoint,
        "status",
        Kind.STATUS_CHANGED,
        Severity.RISKY,
        f"{' or '.join(map(str, expects))} for a wrong parameter",
        f"{status}",
        "",
        contract.used_by,
        "Find out whether parameters are ignored: an ignored filter stores rows that no request asked for.",
    )


def _unexpected_refusal(response: Response, contract: Contract) -> Iterator[Difference]:
    status, request = response.status, response.request
    before = " or ".join(map(str, request.expects or contract.statuses))
    if status in {401, 403}:
        who = "with a key" if request.is_signed else "without a key"
        yield Difference(
            contract.endpoint,
            "status",
            Kind.AUTHENTICATION_CHANGED,
            Severity.BREAKING,
            f"{before} {who}",
            f"{status} {who}",
            "",
            contract.used_by,
            "Check key, scopes and clock. If they are right, sign requests to this endpoint from now on.",
        )
        return
    if status == 429:
        yield Difference(
            contract.endpoint,
            "status",
            Kind.STATUS_CHANGED,
            Severity.RISKY,
            before,
            "429 within the budget",
            "",
            contract.used_by,
            "Compare account/limits and account/endpoint_costs with the rate budget in use.",
        )
        return
    if (
        not request.expects
        and status == 404
        and request.path
        and status in contract.codes
        and request.endpoint[:3] == "GET"
    ):
        return
    if not request.expects and status in contract.codes and status != 404 and contract.codes[status]:
        return
    if not request.expects and request.endpoint[:3] != "GET" and status == 404 and contract.codes.get(404):
        return
    yield Difference(
        contract.endpoint,
        "status",
        Kind.STATUS_CHANGED,
        Severity.BREAKING,
        before,
        str(status),
        "",
        contract.used_by,
        "Find out whether the endpoint was removed or now refuses a parameter.",
    )


def refusal_differences(response: Response, contract: Contract, body: Any) -> Iterator[Difference]:  # noqa: ANN401
    """Yield differences in the body of a refusal: an unknown structure, error code or reason."""
    shapes = contract.errors.get(response.status, ())
    shape = shape_of(body)
    if shapes and shape not in shapes:
        yield Difference(
            contract.endpoint,
            f"refusal.{response.status}",
            Kind.ERROR_SHAPE_CHANGED,
            Severity.BREAKING,
            " or ".join(shapes),
            shape or "another shape",
            str(body),
            contract.used_by,
            "Change how errors are decoded: an unknown refusal may be retried or mistaken for success.",
        )
        return
    codes, code = contract.codes.get(response.status), code_of(body)
    if response.request.expects or not codes or not code:
        return
    if code not in codes:
        is_not_there = response.status == 404
        yield Difference(
            contract.endpoint,
            "status" if is_not_there else f"refusal.{response.status}.code",
            Kind.STATUS_CHANGED if is_not_there else Kind.VALUE_NEW,
            Severity.BREAKING if is_not_there else Severity.RISKY,
            ", ".join(sorted(codes)),
            f"{response.status} {code}",
            "",
            contract.used_by,
            "Find out what the code means before an order is repeated.",
        )
    details = body.get("error", {}).get("details", "") if isinstance(body.get("error"), dict) else ""
    if code == "invalid_order" and details not in KNOWN_DETAILS:
        yield Difference(
            contract.endpoint,
            f"refusal.{response.status}.details",
            Kind.VALUE_NEW,
            Severity.RISKY,
            ", ".join(sorted(KNOWN_DETAILS - {""})),
            str(details),
            "",
            contract.used_by,
            "Find out why the exchange refuses orders for this unknown reason, and change the requests.",
        )
