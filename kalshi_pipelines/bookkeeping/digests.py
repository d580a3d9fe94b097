"""Digests of records as they were received: equal digests, equal bytes, nothing to do."""

import hashlib
from typing import Final

import msgspec

#: Part of every digest: raise it when rows are made differently from records, and what is read next is written anew.
ROW_LAYOUT: Final = b"1"
_DIGEST_BYTES: Final = 16


def record_digest(raw: msgspec.Raw | bytes) -> bytes:
    """The digest of a record's bytes and of the way its row is made."""
    return hashlib.sha256(raw).digest()[:_DIGEST_BYTES] + ROW_LAYOUT
