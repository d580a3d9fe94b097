"""The bodies of refusals: the structures that the exchange gives these bodies, and its error codes."""

import datetime as dt
from collections.abc import Mapping
from typing import Final

from kalshi_pipelines.contracts.declared.fields import OPTIONAL, record, text
from kalshi_pipelines.contracts.language.declarations import Field

NESTED, FLAT, MSG, PLAIN = "nested", "flat", "msg", "text"

READ_ERRORS: Final[Mapping[int, tuple[str, ...]]] = {
    400: (NESTED, FLAT, MSG),
    401: (NESTED,),
    403: (NESTED, FLAT),
    404: (NESTED,),
    429: (PLAIN,),
}
WRITE_ERRORS: Final[Mapping[int, tuple[str, ...]]] = {**READ_ERRORS, 409: (NESTED,), 503: (NESTED,)}

_ERROR: Final = (
    text("code"),
    text("message", **OPTIONAL),
    text("details", **OPTIONAL),
    text("service", is_required=False, is_usual=True, until=dt.date(2026, 8, 6)),
)
ERROR_FIELDS: Final[Mapping[str, tuple[Field, ...]]] = {
    NESTED: record("error", _ERROR),
    FLAT: (text("code"), text("message", **OPTIONAL), text("details", **OPTIONAL)),
    MSG: (text("msg"),),
    PLAIN: (text("error"),),
}
"""The fields of a refusal's body, for each structure: ``nested``, ``flat``, ``msg`` and ``text``."""

CREATE_CODES: Final[Mapping[int, frozenset[str]]] = {
    400: frozenset(
        {
            "insufficient_balance", "available_balance_too_low", "invalid_price", "invalid_order", "bad_request",
            "invalid_order_size", "invalid_parameters", "invalid_content_type", "MARKET_INACTIVE", "market_inactive",
        }
    ),
    404: frozenset({"user_not_found", "market_not_found"}),
    409: frozenset({"order_already_exists"}),
}  # fmt: skip
CHANGE_CODES: Final[Mapping[int, frozenset[str]]] = {
    400: CREATE_CODES[400] | {"order_id_and_client_order_id_mismatch", "order_side_mismatch", "order_ticker_mismatch"},
    404: frozenset({"not_found", "user_not_found"}),
    409: frozenset({"order_already_exists"}),
}
KNOWN_DETAILS: Final = frozenset({"", "post only cross"})
"""The known details of the error code ``invalid_order``."""


def shape_of(body: object) -> str:
    """Return the structure of a refusal's body: ``nested``, ``flat``, ``msg`` or ``text``; empty if none fits."""
    if not isinstance(body, dict):
        return ""
    error = body.get("error")
    if isinstance(error, dict):
        return NESTED if isinstance(error.get("code"), str) else ""
    if isinstance(error, str):
        return PLAIN
    if isinstance(body.get("code"), str):
        return FLAT
    return MSG if isinstance(body.get("msg"), str) else ""


def code_of(body: object) -> str:
    """Return the error code of a refusal up to its first colon; empty if there is no code."""
    if not isinstance(body, dict):
        return ""
    error = body.get("error")
    code = error.get("code") if isinstance(error, dict) else body.get("code")
    return code.partition(":")[0] if isinstance(code, str) else ""
