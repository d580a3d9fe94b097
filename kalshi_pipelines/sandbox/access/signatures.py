"""Identification of a caller by its API key and the signature of its request.

Belongs here: verifying the three KALSHI-ACCESS headers. Does not belong here: what a key may do (``memberships``), and
how many requests it may make (``rate_limits``). Sources: the vendor's page on API keys; the 401 bodies and accepted
clock skews in recordings of June 2026 (demo).
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from kalshi_pipelines.errors import ExpectedError
from kalshi_pipelines.sandbox.clock import ExchangeClock
from kalshi_pipelines.sandbox.errors import ErrorResponse, nested
from kalshi_pipelines.sandbox.trading.records import ApiKey

KEY_HEADER: Final = "KALSHI-ACCESS-KEY"
TIMESTAMP_HEADER: Final = "KALSHI-ACCESS-TIMESTAMP"
SIGNATURE_HEADER: Final = "KALSHI-ACCESS-SIGNATURE"
MAXIMUM_SKEW_MS: Final = 10_000
"""Greatest accepted difference between a request's timestamp and the exchange's clock.

Recordings show that 5 s (demo) and 10 s (prod) are accepted and 30 s is refused. The exact limit is not documented.
"""

PublicKey = RSAPublicKey | Ed25519PublicKey


class UnusablePublicKey(ExpectedError, ValueError):
    """A PEM text does not hold an RSA or Ed25519 key."""


def public_key_of(pem: bytes) -> PublicKey:
    """Return the public key in the PEM of a public key or of an unencrypted private key.

    Raises:
        UnusablePublicKey: The text is not PEM, or holds a key of another kind.
    """
    try:
        key = load_pem_private_key(pem, None) if b"PRIVATE KEY" in pem else load_pem_public_key(pem)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise UnusablePublicKey(f"not a PEM key: {error}", "Use an RSA or Ed25519 key in PEM format.") from error
    if isinstance(key, RSAPrivateKey | Ed25519PrivateKey):
        return key.public_key()
    if isinstance(key, RSAPublicKey | Ed25519PublicKey):
        return key
    raise UnusablePublicKey(f"neither RSA nor Ed25519: {type(key).__name__}", "Use an RSA or Ed25519 key.")


def public_pem(key: PublicKey) -> str:
    """Return a public key as PEM text."""
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def public_pems_of_files(files: Mapping[str, Path]) -> dict[str, str]:
    """Read PEM files of API keys. Return the public part of each key as PEM text, by key id.

    Raises:
        UnusablePublicKey: A file cannot be read, or holds no usable key.
    """
    keys = {}
    for key_id, file in files.items():
        try:
            keys[key_id] = public_pem(public_key_of(file.read_bytes()))
        except (OSError, UnusablePublicKey) as error:
            raise UnusablePublicKey(
                f"The key {key_id} cannot be read from {file}: {error}", "Name a readable PEM file."
            ) from error
    return keys


@dataclass(frozen=True)
class SignedText:
    """The method and the path of a request. The request's signature covers both, and the timestamp."""

    method: str
    path: str


class KeyRing:
    """Verifier of signed requests. ``known`` holds the exchange's registered API keys by key id."""

    def __init__(self, clock: ExchangeClock, known: Mapping[str, ApiKey]) -> None:
        self._clock = clock
        self._known = known
        self._parsed: dict[str, tuple[str, PublicKey]] = {}

    def caller(self, headers: Mapping[str, str], text: SignedText, skew_us: int = 0) -> ApiKey | None:
        """Verify a request's signature and return the API key that signed it, or None for an anonymous request.

        ``skew_us`` microseconds are added to the exchange's clock, so that a fault can make the clock wrong.

        Raises:
            ErrorResponse: 401 if the signature is not valid.
        """
        key_id, timestamp, signature = (headers.get(name) for name in (KEY_HEADER, TIMESTAMP_HEADER, SIGNATURE_HEADER))
        if not (key_id or timestamp or signature):
            return None
        if not key_id:
            raise _missing("key")
        if not timestamp:
            raise _missing("timestamp")
        if not signature:
            raise _missing("signature")
        self._check_skew(timestamp, skew_us)
        key = self._known.get(key_id)
        if key is None:
            raise nested(401, "authentication_error", "authentication_error", "NOT_FOUND")
        if not _verifies(self._public_key(key), signature, f"{timestamp}{text.method}{text.path}".encode()):
            raise nested(401, "authentication_error", "authentication_error", "INCORRECT_API_KEY_SIGNATURE")
        return key

    def _public_key(self, key: ApiKey) -> PublicKey:
        pem, parsed = self._parsed.get(key.key_id, ("", None))
        if parsed is None or pem != key.public_key:
            parsed = public_key_of(key.public_key.encode())
            self._parsed[key.key_id] = key.public_key, parsed
        return parsed

    def _check_skew(self, timestamp: str, skew_us: int) -> None:
        try:
            skew = abs(int(timestamp) - (self._clock.now_us() + skew_us) // 1_000)
        except ValueError:
            skew = MAXIMUM_SKEW_MS + 1
        if skew > MAXIMUM_SKEW_MS:
            raise nested(401, "header_timestamp_expired", "header timestamp expired")


def unsigned() -> ErrorResponse:
    """Return the HTTP 401 for an anonymous request to an endpoint that needs a key.

    As on the real exchange, the error names the signature as the missing header.
    """
    return _missing("signature")


def _missing(part: str) -> ErrorResponse:
    return nested(401, f"{part}_is_missing_from_headers", f"{part} is missing from headers")


def _verifies(key: PublicKey, signature: str, text: bytes) -> bool:
    try:
        raw = base64.b64decode(signature, validate=True)
        if isinstance(key, Ed25519PublicKey):
            key.verify(raw, text)
        else:
            pss = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=padding.PSS.DIGEST_LENGTH)
            key.verify(raw, text, pss, hashes.SHA256())
    except (InvalidSignature, ValueError):
        # Decoding a signature that is not base64, or not even ASCII, raises a ValueError.
        return False
    return True
