"""Recordings: dated answers of the exchange, stored as test fixtures with all identifiers replaced.

Belongs here: the files of a recording, writing and reading them, and the age of a recording.
Does not belong here: requesting the answers (``runs``), and replacing identifiers (``pseudonyms``).
"""

import datetime as dt
import json
import re
import secrets
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from kalshi_pipelines.contracts.language.responses import Response, VendorRequest
from kalshi_pipelines.contracts.probing.pseudonyms import Pseudonyms
from kalshi_pipelines.errors import ExpectedError
from kalshi_pipelines.units import SECOND_US

OLD: Final = dt.timedelta(days=30)
_INDEX: Final = "recorded.json"


class RecordingIsOld(UserWarning):
    """The warning that a recording is older than ``OLD``. The exchange may answer differently by now."""


class NoRecording(ExpectedError, ValueError):
    """The error for a folder that holds no readable recording."""


def write_recording(responses: Sequence[Response], folder: Path, at_us: int) -> int:
    """Write each JSON answer into a folder, and return the number of answers written.

    Args:
        responses: The answers of a contract run.
        folder: The folder, which is created if needed. A recording that is already in the folder is replaced.
        at_us: When the answers were recorded, in microseconds since 1970 UTC.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in _index(folder).get("answers", {}):
        (folder / Path(name).name).unlink(missing_ok=True)
    pseudonyms = Pseudonyms(secrets.token_hex(16))
    index: dict[str, Any] = {}
    for response in responses:
        body = _json(response.body)
        if body is None:
            continue
        request, name = response.request, _name(response, index)
        clean = pseudonyms.without_identifiers(body, request, response.status)
        (folder / name).write_text(json.dumps(clean, indent=1) + "\n")
        index[name] = {
            "endpoint": request.endpoint,
            "path": {key: pseudonyms.plain(value) for key, value in request.path.items()},
            "query": {key: [pseudonyms.plain(value) for value in values] for key, values in request.query.items()},
            "expects": list(request.expects),
            "is_signed": request.is_signed,
            "status": response.status,
            "environment": response.environment,
            "url": pseudonyms.plain(response.url.partition("?")[0]),
            "received_us": response.received_us,
        }
    recorded = {"recorded_us": at_us, "answers": index}
    (folder / _INDEX).write_text(json.dumps(recorded, indent=1) + "\n")
    return len(index)


def read_recording(folder: Path, now_us: int) -> list[Response]:
    """Return the answers of a recording as test fixtures: as received, except for the replaced identifiers.

    Warns:
        RecordingIsOld: The recording is older than 30 days.

    Raises:
        NoRecording: The folder holds no readable recording.
    """
    found = recording_age(folder, now_us)
    if found is None:
        raise NoRecording(
            f"There is no recording in {folder}.",
            f"Make one with `python -m kalshi_pipelines.contracts record {folder}`.",
        )
    if found > OLD:
        warnings.warn(describe_age(folder, now_us), RecordingIsOld, stacklevel=2)
    answers = []
    for name, each in _index(folder)["answers"].items():
        query = {key: tuple(values) for key, values in each["query"].items()}
        request = VendorRequest(
            each["endpoint"], each["path"], query, each["is_signed"], expects=tuple(each["expects"])
        )
        body = (folder / Path(name).name).read_bytes()
        answers.append(
            Response(request, each["status"], {}, body, each["received_us"], each["url"], each["environment"])
        )
    return answers


def recording_age(folder: Path, now_us: int) -> dt.timedelta | None:
    """Return the age of the recording in a folder; ``None`` if there is no recording."""
    try:
        return dt.timedelta(seconds=(now_us - int(_index(folder)["recorded_us"])) // SECOND_US)
    except (KeyError, TypeError, ValueError):
        return None


def describe_age(folder: Path, now_us: int) -> str:
    """Return a sentence about the age of a recording, with a warning if the recording is old."""
    found = recording_age(folder, now_us)
    if found is None:
        return f"There is no recording in {folder}."
    old = f" WARNING: it is older than {OLD.days} days. Record again." if found > OLD else ""
    return f"The recording in {folder} is {found.days} days old.{old}"


def _index(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads((folder / _INDEX).read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _json(body: bytes) -> object:
    try:
        value: object = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return value


def _name(response: Response, taken: Mapping[str, Any]) -> str:
    stem = re.sub(r"[^a-z0-9]+", "_", response.request.endpoint.lower()).strip("_")
    number = 1
    while (name := f"{stem}{'' if number == 1 else f'_{number}'}.json") in taken:
        number += 1
    return name
