"""Replacement of identifiers in a recording by pseudonyms of the same form.

An identifier gets the same pseudonym in every answer, so that one answer can still refer to a record in another answer.

Only harmless parts of a member's own data stay: numbers, instants, tickers and vocabulary values. Every other text is
replaced. Amounts stay, because the checks add them up.
"""

import hashlib
import re
import uuid
from collections.abc import Mapping
from typing import Any, Final

from kalshi_pipelines.contracts.comparison.observation import format_of, is_pair
from kalshi_pipelines.contracts.declared import CONTRACTS
from kalshi_pipelines.contracts.language.declarations import Field, Format
from kalshi_pipelines.contracts.language.responses import VendorRequest

_UUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
_EMAIL: Final = re.compile(r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})+")
_TICKER_KEY: Final = re.compile(r"(?:.*_)?tickers?")
_TICKER: Final = re.compile(r"[A-Z0-9][A-Z0-9._-]{0,99}")
_IDENTIFYING: Final = re.compile(r"(?:.*_)?(?:ids?|user|member|account|subtrader)(?:_number)?")
_SUBACCOUNT: Final = re.compile(r"(?:.*_)?subaccounts?(?:_number)?")
#: Keys whose text was chosen by a member or identifies a member. Such a text is replaced in every answer.
_OWN_WORDS: Final = frozenset(
    {"client_order_id", "client_transfer_id", "user_id", "member_id", "order_group_id", "nickname", "email",
     "api_key_id", "first_name", "last_name", "username"}
)  # fmt: skip
_NUMERIC: Final = frozenset({Format.DOLLARS, Format.COUNT, Format.INTEGER, Format.NUMBER})


class Pseudonyms:
    """The pseudonyms of one recording: the same identifier has the same pseudonym in every answer."""

    def __init__(self, salt: str) -> None:
        self._salt = salt
        self._subaccounts: dict[int, int] = {0: 0}

    def without_identifiers(self, body: object, request: VendorRequest, status: int = 200) -> Any:  # noqa: ANN401
        """Return a decoded body with all identifiers replaced.

        Args:
            body: The decoded body.
            request: The request. It tells whether the body holds a member's own data, and which contract applies.
            status: The HTTP status. A refusal holds the exchange's own sentences, which stay.
        """
        is_own = request.is_signed and status < 400
        contract = CONTRACTS.get(request.endpoint)
        return self._any(body, "", "", is_own, contract.fields if contract else {})

    def plain(self, text: str) -> str:
        """Return a text with its UUIDs and e-mail addresses replaced."""
        return _EMAIL.sub("somebody@example.com", _UUID.sub(lambda found: self._another_uuid(found[0].lower()), text))

    def _any(self, value: Any, place: str, key: str, is_own: bool, fields: Mapping[str, Field]) -> Any:  # noqa: ANN401
        if isinstance(value, Mapping):
            return {
                (key := self.plain(name)): self._any(each, f"{place}.{name}".lstrip("."), key, is_own, fields)
                for name, each in value.items()
            }
        if isinstance(value, list):
            inner = [f"{place}[{number}]" if is_pair(place, value) else f"{place}[]" for number in range(len(value))]
            return [self._any(each, at, key, is_own, fields) for each, at in zip(value, inner, strict=True)]
        if isinstance(value, str):
            return self._text(value, key, is_own, fields.get(place))
        if is_own and isinstance(value, int) and not isinstance(value, bool):
            return self._number(value, key)
        return value

    def _text(self, text: str, key: str, is_own: bool, field: Field | None) -> str:
        plain = self.plain(text)
        if plain != text or not text:
            return plain
        if key in _OWN_WORDS or (is_own and not _is_harmless(text, key, field)):
            return self._another_text(text, key)
        return text

    def _number(self, number: int, key: str) -> int:
        if _SUBACCOUNT.fullmatch(key):
            return self._subaccounts.setdefault(number, len(self._subaccounts))
        return self._another_number(str(abs(number))) if _IDENTIFYING.fullmatch(key) else number

    def _another_uuid(self, identifier: str) -> str:
        return str(uuid.uuid5(uuid.NAMESPACE_OID, self._salt + identifier))

    def _another_text(self, text: str, key: str) -> str:
        if text.isascii() and text.isdigit():
            return str(self._another_number(text))
        return f"{key}-{self._digest(text)[:8]}"

    def _another_number(self, digits: str) -> int:
        first = int("1" + "0" * (len(digits) - 1))
        return first + int(self._digest(digits), 16) % (9 * first)

    def _digest(self, text: str) -> str:
        return hashlib.sha256(f"{self._salt}{text}".encode("utf-8", "replace")).hexdigest()


def _is_harmless(text: str, key: str, field: Field | None) -> bool:
    """Return whether a text in a member's own data cannot identify the member."""
    if _TICKER_KEY.fullmatch(key):
        return bool(_TICKER.fullmatch(text))
    form = format_of(text)
    if form.startswith(("decimal:", "time:")) or form == "clock":
        return True
    if field is None:
        return False
    return text in field.values or (field.format in _NUMERIC and form == "integer")
