"""Answers kept as fixtures: what a contract run received, without identifiers, with its date.

Identifiers become others of the same form. One becomes the same everywhere in a recording, so that answers still fit
together, and another in the next recording.
"""

import datetime as dt
import json
import re
import secrets
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from kalshi_pipelines.contracts.responses import Response

OLD: Final = dt.timedelta(days=30)
_INDEX: Final = "recorded.json"
_UUID: Final = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", re.IGNORECASE)
_EMAIL: Final = re.compile(r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})+")
#: Free text of the member's, or the name of an account.
_OWN: Final = frozenset({"client_order_id", "client_transfer_id", "user_id", "member_id", "order_group_id", "name",
                         "nickname", "email", "api_key_id"})  # fmt: skip
_EVERYBODYS: Final = frozenset({"name"})


def record(responses: Sequence[Response], folder: Path, at_us: int) -> int:
    """Write each answer that was JSON into a folder; returns how many.

    Args:
        responses: The answers of a contract run.
        folder: Made if it is not there; files of the same names are replaced.
        at_us: When they were received.
    """
    folder.mkdir(parents=True, exist_ok=True)
    salt = secrets.token_hex(16)
    index: dict[str, Any] = {}
    for response in responses:
        body = _json(response.body)
        if body is None:
            continue
        name = _name(response, index)
        text = json.dumps(without_identifiers(body, salt, is_own=response.asked.is_signed), indent=1)
        (folder / name).write_text(text + "\n")
        asked = response.asked
        index[name] = {
            "endpoint": asked.endpoint,
            "path": dict(asked.path),
            "query": {key: list(values) for key, values in asked.query.items()},
            "is_signed": asked.is_signed,
            "status": response.status,
            "environment": response.environment,
        }
    recorded = {"recorded_us": at_us, "answers": index}
    (folder / _INDEX).write_text(json.dumps(recorded, indent=1) + "\n")
    return len(index)


def age(folder: Path, now_us: int) -> dt.timedelta | None:
    """How old the recording in a folder is; ``None`` if there is none."""
    try:
        recorded = json.loads((folder / _INDEX).read_text())["recorded_us"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return dt.timedelta(microseconds=now_us - int(recorded))


def told_age(folder: Path, now_us: int) -> str:
    """The age of a recording as a sentence, a warning if it is old."""
    found = age(folder, now_us)
    if found is None:
        return f"There is no recording in {folder}."
    old = f" WARNING: older than {OLD.days} days, record again." if found > OLD else ""
    return f"The recording in {folder} is {found.days} days old.{old}"


def without_identifiers(value: Any, salt: str, *, is_own: bool, key: str = "") -> Any:  # noqa: ANN401
    """A decoded body with other identifiers.

    Args:
        value: The body, or a part of it.
        salt: The same for all answers of a recording.
        is_own: Whether it is a member's own data, in which every name is one.
        key: Where the value stands.
    """
    if isinstance(value, Mapping):
        return {name: without_identifiers(each, salt, is_own=is_own, key=name) for name, each in value.items()}
    if isinstance(value, list):
        return [without_identifiers(each, salt, is_own=is_own, key=key) for each in value]
    if not isinstance(value, str) or not value:
        return value
    text = _EMAIL.sub("somebody@example.com", _UUID.sub(lambda found: _another(found[0].lower(), salt), value))
    if text == value and key in _OWN and (is_own or key not in _EVERYBODYS):
        return f"{key}-{_another(value, salt)[:8]}"
    return text


def _another(identifier: str, salt: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, salt + identifier))


def _json(body: bytes) -> object:
    try:
        value: object = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return value


def _name(response: Response, taken: Mapping[str, Any]) -> str:
    stem = re.sub(r"[^a-z0-9]+", "_", response.asked.endpoint.lower()).strip("_")
    number = 1
    while (name := f"{stem}{'' if number == 1 else f'_{number}'}.json") in taken:
        number += 1
    return name
