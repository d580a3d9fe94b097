"""Recorded responses of the exchange. A test that needs a recording is skipped on a machine without it."""

import json
from typing import Any

import pytest

from kalshi_pipelines_tests.support.checkout import RECORDINGS


def recording(name: str) -> bytes:
    """Return the recorded response in a file, or skip the test."""
    path = RECORDINGS / name
    if not path.is_file():
        pytest.skip(f"the recorded response {name} is not on this machine")
    return path.read_bytes()


def recorded_rows(list_key: str, shape: str) -> list[tuple[str, bytes]]:
    """Return the rows of one kind from all recordings of a period, each with the name of its file.

    A row may stand in a list, by itself, or nested in an event.
    """
    rows = []
    for entry in json.loads(recording("index.json")):
        if entry["http_status"] == 200 and entry["file"].startswith(shape) and entry["endpoint"].startswith("GET "):
            document = json.loads(recording(entry["file"]))
            listed = document.get(list_key)
            found = [listed, document.get(list_key.removesuffix("s")), *(listed if isinstance(listed, list) else [])]
            found += [row for event in document.get("events", []) for row in event.get(list_key, [])]
            rows += [(entry["file"], json.dumps(row).encode()) for row in found if _is_row(list_key, row)]
    return rows


def _is_row(list_key: str, row: Any) -> bool:
    marks = {"markets": "rules_primary", "events": "mutually_exclusive", "series": "fee_type", "orderbooks": "ticker"}
    return isinstance(row, dict) and marks[list_key] in row
