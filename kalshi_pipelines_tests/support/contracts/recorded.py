"""Recordings as responses. If the request was not recorded, it is derived from the recorded answer."""

import datetime as dt
import importlib.util
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from kalshi_pipelines.contracts.comparison.baseline import Baseline, learn
from kalshi_pipelines.contracts.comparison.body_decoding import DecodedBody, decode_body
from kalshi_pipelines.contracts.comparison.checking import check
from kalshi_pipelines.contracts.declared import CONTRACTS
from kalshi_pipelines.contracts.language.declarations import Access
from kalshi_pipelines.contracts.language.responses import Response, VendorRequest
from kalshi_pipelines_tests.support.checkout import RECORDINGS

SHARED = RECORDINGS.parent
CURRENT = dt.datetime(2026, 10, 26, tzinfo=dt.UTC)
"""The day on which older recordings were converted to the response format of today."""
HOSTS = {
    "prod": "https://external-api.kalshi.com/trade-api/v2",
    "demo": "https://external-api.demo.kalshi.co/trade-api/v2",
}
_NAMES = {"series_ticker": "ticker", "event_ticker": "event_ticker", "ticker": "ticker", "order_id": "order_id"}


@dataclass(frozen=True)
class RecordedAnswer:
    """A recorded answer. All recordings in one folder have the same response format."""

    file: str
    folder: str
    body: Any
    response: Response

    def with_body(self, body: Any, status: int | None = None, headers: Mapping[str, str] | None = None) -> Response:
        """Return the answer with another body, status or headers."""
        return replace(
            self.response,
            body=b"" if body is None else json.dumps(body).encode(),
            status=status or self.response.status,
            headers={**self.response.headers, **{name.lower(): value for name, value in (headers or {}).items()}},
        )


@cache
def recordings() -> dict[str, RecordedAnswer]:
    """Return all recordings of endpoints that have a contract, by file name."""
    found = {}
    for entry in json.loads((RECORDINGS / "index.json").read_text()):
        file = entry["file"]
        if file and file.endswith(".json") and (recording := _recording(entry)) is not None:
            found[file] = recording
    for file in sorted((RECORDINGS / "old_shape_2026_01" / "exa").glob("*.json")):
        if (recording := _of_exa(file)) is not None:
            found[recording.file] = recording
    return found


def _recording(entry: dict[str, Any]) -> RecordedAnswer | None:
    file, endpoint = entry["file"], entry["endpoint"]
    folder = file.partition("/")[0]
    if endpoint not in CONTRACTS or folder not in {"derived_3_34_0", "prod_2026_08", "demo_2026_06"}:
        return None
    body = json.loads((RECORDINGS / file).read_text())
    if isinstance(body, dict) and set(body) == {"_metadata", "response"}:
        body = body["response"]
    received = dt.datetime.fromisoformat(entry["recorded"]) if entry["recorded"] else CURRENT
    environment = entry["env"] if entry["env"] in HOSTS else "prod"
    status = entry["http_status"]
    return RecordedAnswer(
        file,
        folder,
        body,
        Response(
            _request(endpoint, entry.get("query") or "", status, body, _meta(file)),
            status,
            {"content-type": "application/json"},
            json.dumps(body).encode(),
            int(received.timestamp() * 1_000_000),
            HOSTS[environment] + endpoint.partition(" ")[2],
            environment,
        ),
    )


def _meta(file: str) -> dict[str, Any]:
    meta = RECORDINGS / file.replace(".json", ".meta.json")
    if meta.exists():
        value: dict[str, Any] = json.loads(meta.read_text())
        return value
    return {}


def _request(endpoint: str, query: str, status: int, body: Any, meta: dict[str, Any]) -> VendorRequest:
    contract = CONTRACTS[endpoint]
    is_signed = meta.get("auth") == "signed" or (contract.access is Access.KEY and status != 401)
    expects = () if status in contract.statuses else (status,)
    asked: dict[str, tuple[str, ...]] = {
        name: (value,)
        for name, _, value in (part.partition("=") for part in query.split("&") if "=" in part)
        if "…" not in value
    }
    pages = contract.paging
    if pages and isinstance(body, dict) and pages.cursor and body.get(pages.cursor) and "limit" not in asked:
        asked["limit"] = (str(len(body.get(pages.rows) or [])),)
    if endpoint in {"GET /events", "GET /events/{event_ticker}"} and status == 200:
        rows = body.get("events") or [body.get("event")]
        asked["with_nested_markets"] = ("true" if any("markets" in row for row in rows if row) else "false",)
    sent = meta.get("request_body") or {}
    return VendorRequest(endpoint, _path(endpoint, body) if status == 200 else {}, asked, is_signed, sent, expects)


def _path(endpoint: str, body: Any) -> dict[str, str]:
    path = {}
    for parameter in ("series_ticker", "event_ticker", "ticker", "order_id"):
        if f"{{{parameter}}}" not in endpoint:
            continue
        record = next((body[key] for key in ("market", "event", "series", "order") if key in body), body)
        if isinstance(record, dict) and _NAMES[parameter] in record:
            path[parameter] = record[_NAMES[parameter]]
        else:
            path[parameter] = "KXUNKNOWN"
    return path


def _of_exa(file: Path) -> RecordedAnswer | None:
    recorded = json.loads(file.read_text())
    meta = recorded["_metadata"]
    endpoint = f"POST api.exa.ai{meta['endpoint']}"
    if endpoint not in CONTRACTS or "fixture" in meta.get("note", "").lower():
        return None
    received = int(dt.datetime.fromisoformat(meta["recorded_at"]).timestamp() * 1_000_000)
    sent = {"numResults": meta["num_results"]} if "num_results" in meta else {}
    response = Response(
        VendorRequest(endpoint, is_signed=True, sent=sent),
        200,
        {"content-type": "application/json"},
        json.dumps(recorded["response"]).encode(),
        received,
        f"https://api.exa.ai{meta['endpoint']}",
        "prod",
    )
    name = str(file.relative_to(RECORDINGS))
    return RecordedAnswer(name, "exa", recorded["response"], response)


def with_bodies(responses: Iterable[Response]) -> list[tuple[Response, DecodedBody]]:
    """Return each answer together with its decoded body, as cross checks need them."""
    return [(response, decode_body(response.body)) for response in responses]


def siblings(recording: RecordedAnswer) -> Iterator[RecordedAnswer]:
    """Yield other recordings with the endpoint, the response format and the environment of a recording."""
    for other in recordings().values():
        is_other = other.file != recording.file and other.folder == recording.folder
        if is_other and other.response.request.endpoint == recording.response.request.endpoint:
            yield other


def baseline_of(*learned_from: RecordedAnswer) -> Baseline | None:
    """Return the baseline learned from recordings; ``None`` if nothing was learned."""
    baseline = None
    for recording in learned_from:
        inventory = check(recording.response, baseline).inventory
        if inventory is not None:
            baseline = learn(baseline, inventory, recording.response.received_us)
    return baseline


@cache
def mutations() -> ModuleType:
    """Return the module that applies mutations to recordings. It is stored beside the file of incidents."""
    spec = importlib.util.spec_from_file_location("drift_apply", SHARED / "drift" / "apply.py")
    if spec is None or spec.loader is None:
        raise RuntimeError("The module that applies incidents cannot be imported.")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
