"""The probe of a path with a trailing slash: a redirect may only lead to the same path without the slash.

In October 2025 the exchange redirected the paths of its lists to the same paths with a trailing slash. The probe of
this module is the only request of the project with a trailing slash. All other probes use paths without a trailing
slash, and a redirect of such a path is a difference. This project follows no redirect, because following redirects
would be unsafe for a signed order.
"""

from collections.abc import Iterator
from typing import Final
from urllib.parse import urljoin, urlsplit

from kalshi_pipelines.contracts.declared import CONTRACTS
from kalshi_pipelines.contracts.language.differences import Difference, Kind, Severity
from kalshi_pipelines.contracts.language.responses import Response, VendorRequest

#: The request with a trailing slash. An answer, a redirect to the path without the slash, and an unknown path are all
#: harmless.
WITH_SLASH: Final = VendorRequest("GET /markets", query={"limit": ("1",)}, expects=(200, 301, 302, 307, 308, 404, 405))
_PLACE: Final = "slash"
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})


def slash_differences(response: Response) -> Iterator[Difference]:
    """Yield differences in the status and redirect of the answer to a path with a trailing slash."""
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
        f"{before} (path with a trailing slash)",
        after,
        assets=CONTRACTS[WITH_SLASH.endpoint].used_by,
        advice="Find out who answers there, and whether paths without a slash will move too. "
        "Requests of this project have no trailing slash and follow no redirect.",
    )
