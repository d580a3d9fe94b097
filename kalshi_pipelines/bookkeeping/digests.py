"""Digests of records as received. A record with the same digest as its stored row is not stored again."""

import hashlib
from typing import Final

import msgspec

#: The version of the conversion from records to rows, which is part of every digest. Raise this version when the
#: conversion changes. The digests then differ from the stored digests, so every record is stored again when it is read
#: next.
ROW_LAYOUT: Final = b"1"
_DIGEST_BYTES: Final = 16


def record_digest(raw: msgspec.Raw | bytes) -> bytes:
    """Return the digest of a record's bytes, followed by the version of the conversion from records to rows."""
    return hashlib.sha256(raw).digest()[:_DIGEST_BYTES] + ROW_LAYOUT
