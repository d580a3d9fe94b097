"""Digests of records as received. A record whose digest equals the stored digest is not stored again."""

import hashlib
from typing import Final

import msgspec

#: Version of the conversion from records to rows; part of every digest. After a higher version, every record is stored
#: again when it is next read.
ROW_LAYOUT: Final = b"1"
_DIGEST_BYTES: Final = 16


def record_digest(raw: msgspec.Raw | bytes) -> bytes:
    """Return the digest of a record's bytes, followed by the version of the row layout."""
    return hashlib.sha256(raw).digest()[:_DIGEST_BYTES] + ROW_LAYOUT
