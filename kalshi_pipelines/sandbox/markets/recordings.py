"""Recorded responses of the real exchange, which the sandbox replays byte for byte.

Belongs here: reading a folder of recordings with its index and ``.meta.json`` files, and finding the requests that each
recording answers. Does not belong here: answering requests that were not recorded (``recorded_catalogue``).
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from kalshi_pipelines.errors import ExpectedError
from kalshi_pipelines.sandbox.markets.json_spans import JsonSpan, elements, members

API_ROOT: Final = "/trade-api/v2"
QueryPairs = tuple[tuple[str, str], ...]
_ENVELOPE: Final = {"_metadata", "response"}
_IDENTIFIERS: Final = {
    "{series_ticker}": ("series", "ticker"),
    "{event_ticker}": ("event", "event_ticker"),
    "{ticker}": ("market", "ticker"),
}
_LISTS: Final = {"/markets": "markets", "/events": "events", "/series": "series", "/events/multivariate": "events",
    "/historical/markets": "markets", "/markets/trades": "trades"}  # fmt: skip
_KEY_OF_ROW: Final = {"markets": "ticker", "events": "event_ticker", "series": "ticker", "trades": "trade_id"}


class UnusableRecordings(ExpectedError, ValueError):
    """A folder of recordings cannot be read or contains no recordings."""


@dataclass(frozen=True)
class RecordedFile:
    """A recorded response body, with the known facts about the request that it answered."""

    name: str
    text: str
    status: int
    method: str
    path: str
    query: QueryPairs
    query_is_known: bool

    def top(self) -> dict[str, JsonSpan]:
        """Return the members of the recorded body, or nothing if the body is not a JSON object."""
        return members(self.text) if self.text.lstrip().startswith("{") else {}

    def rows(self, name: str) -> Sequence[JsonSpan]:
        """Return the elements of a list in the recorded body."""
        span = self.top().get(name)
        return list(elements(self.text, span.start)) if span is not None and isinstance(span.value, list) else []


def query_pairs(query: str) -> QueryPairs:
    """Return the parameters of a query string.

    They are sorted, so that two queries that differ only in order are equal.
    """
    return tuple(sorted(parse_qsl(query, keep_blank_values=True)))


def recorded_files(folder: Path) -> list[RecordedFile]:
    """Read the recordings of a folder, sorted by file name.

    Raises:
        UnusableRecordings: The folder contains no readable recording.
    """
    try:
        index = {entry["file"]: entry for entry in _index(folder)}
        paths = sorted(path for path in folder.glob("*.json") if not path.name.endswith(".meta.json"))
        files = [
            _read(path, index.get(f"{folder.name}/{path.name}", {})) for path in paths if path.name != "index.json"
        ]
    except (OSError, ValueError, KeyError) as error:
        raise UnusableRecordings(
            f"The recordings in {folder} cannot be read: {error}", "Repair or remove the file."
        ) from error
    if not files:
        raise UnusableRecordings(f"{folder} holds no .json file.", "Name a folder of recorded responses.")
    return files


def _index(folder: Path) -> list[dict[str, Any]]:
    for candidate in (folder / "index.json", folder.parent / "index.json"):
        if candidate.exists():
            entries: list[dict[str, Any]] = json.loads(candidate.read_text("utf-8"))
            return entries
    return []


def _read(path: Path, entry: dict[str, Any]) -> RecordedFile:
    # Decode the bytes directly. read_text would turn \r\n into \n, but a recording must be replayed byte for byte.
    text = path.read_bytes().decode()
    if text.lstrip().startswith("{") and set(parts := members(text)) == _ENVELOPE:
        text = text[parts["response"].start : parts["response"].end]
    method, _, template = entry.get("endpoint", " ").partition(" ")
    meta = path.with_name(path.name.removesuffix(".json") + ".meta.json")
    if meta.exists():
        request = json.loads(meta.read_text("utf-8"))
        url = urlsplit(request["path"])
        concrete = url.path.removeprefix(API_ROOT)
        return RecordedFile(
            path.name, text, request["status"], request["method"], concrete, query_pairs(url.query), True
        )
    query = entry.get("query", "")
    known = bool(query) and "…" not in query
    status = entry.get("http_status", 200)
    return RecordedFile(path.name, text, status, method, template, query_pairs(query) if known else (), known)


class Replay:
    """Recorded responses by the path and query of the request that they answer."""

    def __init__(self, files: Sequence[RecordedFile]) -> None:
        self._answers: dict[tuple[str, QueryPairs], RecordedFile] = {}
        self._shown: dict[str, set[str]] = {}
        for file in sorted(files, key=lambda file: (file.status != 200, file.name)):
            for key in _requests_answered(file, files):
                self._answers.setdefault(key, file)
        for file in self._answers.values():
            self._remember_cursor(file)

    def answer(self, path: str, query: str) -> RecordedFile | None:
        """Return the recording for this path and query, or None. The path is given without the API's root path."""
        return self._answers.get((path, query_pairs(query)))

    def shown_before(self, cursor: str) -> set[str] | None:
        """Return the identifiers of the rows on the recorded pages before a recorded cursor.

        Return None for any other cursor.
        """
        return self._shown.get(cursor)

    def _remember_cursor(self, file: RecordedFile) -> None:
        name = _LISTS.get(file.path)
        cursor = _cursor(file)
        if name is None or not cursor:
            return
        rows = {span.value[_KEY_OF_ROW[name]] for span in file.rows(name)}
        sent = dict(file.query).get("cursor", "")
        self._shown[cursor] = rows | self._shown.get(cursor, set()) | self._shown.get(sent, set())


def _cursor(file: RecordedFile) -> str:
    span = file.top().get("cursor")
    return span.value if span is not None and isinstance(span.value, str) else ""


def _requests_answered(file: RecordedFile, files: Sequence[RecordedFile]) -> Iterator[tuple[str, QueryPairs]]:
    if file.method != "GET" or not file.path:
        return
    if file.query_is_known:
        path = _concrete(file)
        if path is not None:
            yield path, file.query
    elif file.status == 200 and not file.path.endswith("/candlesticks"):
        path = _concrete(file)
        if path is not None and not _would_hide_rows(file, files):
            event = file.top().get("event")
            nested = event is not None and "markets" in event.value
            yield path, ((("with_nested_markets", "true"),) if nested else ())


def _concrete(file: RecordedFile) -> str | None:
    """Return the path of a recorded request, with tickers from the recorded body filled in.

    Return None if the body lacks a ticker.
    """
    path, body = file.path, file.top()
    for placeholder, (name, key) in _IDENTIFIERS.items():
        if placeholder in path:
            if name not in body or not isinstance(body[name].value, dict):
                return _candle_path(path, body)
            path = path.replace(placeholder, body[name].value[key])
    return None if "{" in path else path


def _candle_path(path: str, body: dict[str, JsonSpan]) -> str | None:
    if not path.endswith("/markets/{ticker}/candlesticks") or "ticker" not in body:
        return None
    ticker = str(body["ticker"].value)
    return path.replace("{series_ticker}", ticker.partition("-")[0]).replace("{ticker}", ticker)


def _would_hide_rows(file: RecordedFile, files: Sequence[RecordedFile]) -> bool:
    """Return whether replaying a recorded list would hide rows that other recorded files hold.

    A recorded list that ends with a cursor hides nothing, because a client reads the other rows on the next page.
    """
    name = _LISTS.get(file.path)
    if name is None or _cursor(file):
        return False
    one = {"markets": "market", "events": "event", "series": "series"}.get(name, "")
    key = _KEY_OF_ROW[name]
    known = {span.value[key] for other in files for span in other.rows(name) if key in span.value}
    known |= {
        span.value[key]
        for other in files
        for label, span in other.top().items()
        if label == one and isinstance(span.value, dict)
    }
    return not known <= {span.value[key] for span in file.rows(name)}
