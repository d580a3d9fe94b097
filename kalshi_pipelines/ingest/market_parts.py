"""The two parts of a market record, found without decoding the whole record: its quote and its facts.

A quote changes many times a day, and the facts of a market (titles, rules, times, strikes, status) hardly ever. The
digest of the facts covers every field that is not part of the quote, known or not. So of a record whose quote alone
changed, only the quote needs to be decoded and stored.
"""

import hashlib
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import Raw
from msgspec.structs import astuple

from kalshi_pipelines.bookkeeping.digests import ROW_LAYOUT
from kalshi_pipelines.kalshi.records import Market

#: The fields of a market record that make its quote.
QUOTE_FIELDS: Final = (
    "yes_bid_dollars",
    "yes_ask_dollars",
    "no_bid_dollars",
    "no_ask_dollars",
    "last_price_dollars",
    "yes_bid_size_fp",
    "yes_ask_size_fp",
    "volume_fp",
    "open_interest_fp",
    "volume_24h_fp",
    "previous_yes_bid_dollars",
    "previous_yes_ask_dollars",
    "previous_price_dollars",
)
_KEY_AND_QUOTE: Final = [(name, str) for name in ("ticker", *QUOTE_FIELDS)]
_FACT_FIELDS: Final = tuple(name for name in Market.__struct_fields__ if name not in dict(_KEY_AND_QUOTE))
#: A byte that no JSON text contains. It separates the values, and marks digests that include the names of the fields.
_SEPARATOR: Final = b"\x00"
_DIGEST_BYTES: Final = 16

#: A market record whose facts stay bytes. It refuses fields that the client does not know.
_Parts: Any = msgspec.defstruct(
    "Parts",
    [*_KEY_AND_QUOTE, *[(name, Raw, Raw()) for name in _FACT_FIELDS]],
    forbid_unknown_fields=True,
    frozen=True,
    gc=False,
)
_Quote: Any = msgspec.defstruct("Quote", _KEY_AND_QUOTE, frozen=True, gc=False)
_decode_parts: Final = msgspec.json.Decoder(_Parts).decode
_decode_quote: Final = msgspec.json.Decoder(_Quote).decode
_decode_fields: Final = msgspec.json.Decoder(dict[str, Raw]).decode
_FACTS_BEGIN: Final = len(_KEY_AND_QUOTE)


class MarketParts(NamedTuple):
    """The parts of a market record.

    Attributes:
        quote: An object whose attributes are the ticker and the fields of the quote, as received.
        facts_digest: The digest of all other fields.
        raw: The record as received.
    """

    quote: Any
    facts_digest: bytes
    raw: Raw


def split_market(raw: Raw) -> MarketParts:
    """Return the quote of a market record and the digest of its facts.

    Raises:
        msgspec.DecodeError: The bytes are not a record, or a field of the quote is missing or not a text.
        UnicodeDecodeError: A text is not UTF-8.
    """
    try:
        parts = _decode_parts(raw)
    except msgspec.DecodeError:
        # The record has fields that the client does not know, so the names of all fields are part of the digest.
        quote, fields = _decode_quote(raw), _decode_fields(raw)
        named = [
            part
            for name in sorted(fields.keys() - set(QUOTE_FIELDS))
            for part in (msgspec.json.encode(name), fields[name])
        ]
        return MarketParts(quote, _digest(_SEPARATOR + _SEPARATOR.join(named)), raw)
    return MarketParts(parts, _digest(_SEPARATOR.join(astuple(parts)[_FACTS_BEGIN:])), raw)


def _digest(facts: bytes) -> bytes:
    return hashlib.sha256(facts).digest()[:_DIGEST_BYTES] + ROW_LAYOUT
