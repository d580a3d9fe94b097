"""Real incidents at vendors, each applied to a recording and checked.

``python -m kalshi_pipelines_tests.support.contracts.incidents`` prints the detection rates and the missed incidents.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from kalshi_pipelines.contracts.comparison.baseline import Baseline
from kalshi_pipelines.contracts.comparison.checking import check
from kalshi_pipelines.contracts.comparison.cross_checks import cross_check
from kalshi_pipelines.contracts.declared import CONTRACTS
from kalshi_pipelines.contracts.language.differences import Difference, Severity
from kalshi_pipelines.contracts.language.responses import Response, VendorRequest
from kalshi_pipelines_tests.support.contracts.recorded import (
    CURRENT,
    SHARED,
    RecordedAnswer,
    baseline_of,
    mutations,
    recordings,
    siblings,
    with_bodies,
)

GRAVE = (Severity.BREAKING, Severity.RISKY)
_MADE: dict[str, dict[str, Any]] = {
    # Requests of incidents, by incident id. They are given here if the recording has a different request.
    "K005": {"sent": {"time_in_force": "fill_or_kill", "count": "1.00"}},
    "K063": {"endpoint": "GET /portfolio/orders", "query": {"limit": ("1000",)}, "expects": (), "is_signed": True},
    "K081": {"sent": {"client_order_id": "2b8394e0-515e-4b89-b624-f34067756855"}},
    "K077": {"path": {"order_id": "2597b999-f887-4195-8bac-c3f97a1f2021"}},
}


@dataclass(frozen=True)
class Incident:
    """An incident, and the differences that the checks found."""

    id: str
    kind: str
    breaking: bool
    description: str
    reach: str
    differences: tuple[Difference, ...]

    @property
    def is_detected(self) -> bool:
        return bool(self.differences)

    @property
    def is_grave(self) -> bool:
        return any(each.severity in GRAVE for each in self.differences)


def incidents() -> list[dict[str, Any]]:
    """Return the incidents in the file of recorded incidents."""
    found: list[dict[str, Any]] = json.loads((SHARED / "drift" / "incidents.json").read_text())
    return found


@cache
def checked_incidents() -> tuple[Incident, ...]:
    """Check the recording of every incident, and return each incident with its differences."""
    return tuple(_check_incident(entry) for entry in incidents())


def _check_incident(entry: dict[str, Any]) -> Incident:
    operations = entry["mutation"] if isinstance(entry["mutation"], list) else [entry["mutation"]]
    names = {each["op"] for each in operations}
    reach = "host" if "host" in names else "request" if names == {"request"} else "answer"
    if reach == "answer" and not (SHARED / "recordings" / (entry["base"] or "")).is_file():
        reach = "no recording"
    found = {"answer": _of_answer, "host": _of_host}.get(reach, lambda *_: ())(entry, operations)
    return Incident(entry["id"], entry["kind"], entry["breaking"], entry["description"], reach, tuple(found))


def _of_answer(entry: dict[str, Any], operations: Sequence[dict[str, Any]]) -> Iterator[Difference]:
    recording = recordings().get(entry["base"]) or _without_contract(entry["base"])
    status, body, notes, hits = mutations().apply(recording.body, operations, recording.response.status)
    if not hits:
        raise AssertionError(f"{entry['id']} changes nothing")
    headers: dict[str, str] = next((each["headers"] for each in notes if "headers" in each), {})
    response = recording.with_body(body, status, headers)
    response = replace(response, request=_request(entry, response.request))
    endpoint = response.request.endpoint
    known = baseline_of(recording, *siblings(recording))
    if endpoint != recording.response.request.endpoint:
        known = None
    yield from check(response, known).differences
    yield from cross_check(with_bodies([*_same_run(recording), response]))


def _request(entry: dict[str, Any], request: VendorRequest) -> VendorRequest:
    made = _MADE.get(entry["id"], {})
    return replace(request, **made)


def _same_run(recording: RecordedAnswer) -> list[Response]:
    return [
        other.response
        for other in recordings().values()
        if other.folder == recording.folder and other.file != recording.file and other.response.status == 200
    ]


def _without_contract(base: str) -> RecordedAnswer:
    """Return a recorded answer of an endpoint without a contract, as if Exa's search had sent it.

    The body does not fit the contract of Exa's search, so only the status of the answer can be checked.
    """
    body = json.loads((SHARED / "recordings" / base).read_text())
    body = body.get("response", body)
    endpoint = "POST api.exa.ai/search"
    response = Response(
        VendorRequest(endpoint, is_signed=True),
        200,
        {},
        json.dumps(body).encode(),
        int(CURRENT.timestamp() * 1_000_000),
        "https://api.exa.ai/",
        "prod",
    )
    return RecordedAnswer(base, "exa", body, response)


def _of_host(_: dict[str, Any], operations: Sequence[dict[str, Any]]) -> Iterator[Difference]:
    """Yield the differences of an answer that came from a vendor's old URL, which no contract declares."""
    endpoint = "GET docs.kalshi.com/changelog/rss.xml"
    url = operations[0]["from"]
    at = int(CURRENT.timestamp() * 1_000_000)
    yield from check(Response(VendorRequest(endpoint), 200, {}, b"<rss/>", at, url, "prod")).differences


def learned_from(recording: RecordedAnswer) -> Baseline | None:
    """Return the baseline that is learned from a recording and the other recordings of its endpoint."""
    return baseline_of(recording, *siblings(recording))


def table(found: Sequence[Incident]) -> str:
    """Return a text with the detection rates and a list of the missed incidents."""
    reached = [each for each in found if each.reach in {"answer", "host"}]
    breaking = [each for each in reached if each.breaking]
    detected = sum(each.is_detected for each in reached)
    grave = sum(each.is_grave for each in breaking)
    lines = [
        f"{detected} of {len(reached)} incidents that change a body, a status or a host are detected"
        f" ({detected / len(reached):.1%})",
        f"{grave} of {len(breaking)} breaking ones are breaking or risky ({grave / len(breaking):.1%})",
        "",
        "missed, or not taken seriously:",
    ]
    for each in found:
        if each.reach in {"request", "no recording"}:
            lines.append(f"  {each.id} {each.kind}: not tried ({each.reach}); {each.description[:120]}")
        elif not each.is_detected:
            lines.append(f"  {each.id} {each.kind}: MISSED; {each.description[:160]}")
        elif each.breaking and not each.is_grave:
            kinds = ", ".join(sorted({f"{one.kind} {one.place}" for one in each.differences}))
            lines.append(f"  {each.id} {each.kind}: only additive ({kinds}); {each.description[:120]}")
    return "\n".join(lines)


if __name__ == "__main__":
    every = checked_incidents()
    if "--all" in sys.argv:
        for one in every:
            sys.stdout.write(f"{one.id} {one.reach} breaking={one.breaking}\n")
            for each in one.differences:
                sys.stdout.write(f"    {each.severity} {each.kind} {each.place}: {each.before} -> {each.after}\n")
    sys.stdout.write(table(every) + f"\n{len(CONTRACTS)} contracts\n")
