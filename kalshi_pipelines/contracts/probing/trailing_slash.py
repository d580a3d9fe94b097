"""A slash too many at the end of a path: what the exchange may make of it.

No request of ours has one, and no redirect is followed: of a signed order that would not be safe. What the probe proves
is that nobody else answers behind the slash. In October 2025 the exchange swapped the two forms of its collections; the
form that is used is watched by the probes of each endpoint, to whom any redirect is a difference.
"""

from collections.abc import Iterator
from typing import Final
from urllib.parse import urljoin, urlsplit

from kalshi_pipelines.contracts.declared import CONTRACTS
from kalshi_pipelines.contracts.language.differences import Difference, Kind, Severity
from kalshi_pipelines.contracts.language.responses import Response, VendorRequest

#: Answered, sent to the path without it, or unknown: all of that has been seen and does no harm.
WITH_SLASH: Final = VendorRequest("GET /markets", query={"limit": ("1",)}, expects=(200, 301, 302, 307, 308, 404, 405))
_PLACE: Final = "slash"
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})


def slash_differences(response: Response) -> Iterator[Difference]:
    """What is wrong with the answer to a path with a slash at its end; a body of success is checked like any other."""
    status = response.status
    if status in _REDIRECTS:
        sent, there = urlsplit(response.url), response.headers.get("location", "")
        target = urlsplit(urljoin(response.url, there))
        same = (sent.scheme, sent.netloc, sent.path.rstrip("/"))
        if not there or (target.scheme, target.netloc, target.path) != same:
            after = f"{status} to {target.scheme}://{target.hostname}{target.path}" if there else f"{status} to nowhere"
            yield _difference(Kind.REDIRECTED, "a redirect to the same path without the slash, if any", after)
    elif status < 500 and status not in {*response.request.expects, 408, 429}:
        yield _difference(Kind.STATUS_CHANGED, ", ".join(map(str, response.request.expects)), str(status))


def _difference(kind: Kind, before: str, after: str) -> Difference:
    return Difference(
        WITH_SLASH.endpoint,
        _PLACE,
        kind,
        Severity.RISKY,
        f"{before} (path with a slash at its end)",
        after,
        assets=CONTRACTS[WITH_SLASH.endpoint].used_by,
        advice="Find out who answers there and whether the paths without a slash are to move, too; "
        "no request of ours has a slash, and no redirect is followed.",
    )
