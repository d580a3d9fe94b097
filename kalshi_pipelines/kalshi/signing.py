"""Signatures of requests with the account's API key, which is never shown.

The key file is parsed once per process. The algorithm depends on the type of the key, not on the label in the PEM file.
When to sign and where to send requests does not belong here.

The signed text and the headers follow docs.kalshi.com "API keys", October 2026. RSA keys sign with RSA-PSS, SHA-256,
MGF1 with SHA-256, and a salt of 32 bytes. Ed25519 keys sign the text itself.
"""

import base64
import hashlib
import logging
import re
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Final, NoReturn

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from kalshi_pipelines.kalshi.errors import UnusableKey
from kalshi_pipelines.kalshi.key_file import exposure_of
from kalshi_pipelines.units import now_us

logger = logging.getLogger("kalshi_pipelines.kalshi")

_PSS: Final = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=32)
_NEW_KEY: Final = "Download the private key again from the exchange's API keys page, or create a new key there."
_LONGEST_FILE_NAME: Final = 255
#: The exchange's key ids are UUIDs. Other text may be the private key itself, which an error about a bad header value
#: would show.
_KEY_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")

PrivateKey = RSAPrivateKey | Ed25519PrivateKey


class Signer:
    """A signer of requests for one API key. Its clock can be set to the exchange's clock.

    Raises:
        UnusableKey: The key id does not have the format of a key id.
    """

    def __init__(self, key_id: str, private_key: PrivateKey, clock_us: Callable[[], int] = now_us) -> None:
        if not _KEY_ID.fullmatch(key_id):
            raise UnusableKey(
                "The id of the API key is too long or has characters that no key id has. It is not shown here, because "
                "it may be the private key.",
                "Set KALSHI_API_KEY_ID or KALSHI_TRADE_API_KEY_ID to the id from the exchange's API keys page.",
            )
        self._key_id = key_id
        self._private_key = private_key
        self._clock_us = clock_us
        self._offset_ms = 0
        self.fingerprint = _fingerprint(private_key)

    @classmethod
    def from_file(cls, key_id: str, private_key_file: Path, setting: str = "KALSHI_PRIVATE_KEY_FILE") -> "Signer":
        """Return a signer for the PEM file of an API key (PKCS#1 or PKCS#8, RSA or Ed25519).

        ``setting`` is the environment variable that names the file.

        Raises:
            UnusableKey: The file cannot be read, or it does not hold such a key.
        """
        _refuse_key_as_path(private_key_file, setting)
        try:
            status = private_key_file.stat()
            private_key = _load(private_key_file, status.st_mtime_ns, status.st_size, setting)
        except OSError as error:
            reason = "it is a folder" if private_key_file.is_dir() else error.strerror or type(error).__name__
            remedy = "Check the path and your permission to read it."
            _refuse(private_key_file, setting, f"cannot be read ({reason})", remedy)
        _warn_of_exposure(private_key_file, setting)
        return cls(key_id, private_key)

    def __repr__(self) -> str:
        return f"Signer(public key {self.fingerprint})"

    def headers(self, method: str, path: str) -> dict[str, str]:
        """Return the authentication headers of a request that is sent now.

        ``path`` starts at the root of the host and has no query string.
        """
        timestamp = str(self._local_ms() + self._offset_ms)
        text = (timestamp + method + path).encode()
        return {
            "KALSHI-ACCESS-KEY": self._key_id,
            "KALSHI-ACCESS-TIMESTAMP": timestamp,
            "KALSHI-ACCESS-SIGNATURE": base64.b64encode(self._sign(text)).decode(),
        }

    def follow_clock(self, exchange_ms: int) -> None:
        """Set the clock of the signatures to the exchange's clock."""
        self._offset_ms = exchange_ms - self._local_ms()

    def _local_ms(self) -> int:
        return self._clock_us() // 1000

    def _sign(self, text: bytes) -> bytes:
        if isinstance(self._private_key, RSAPrivateKey):
            return self._private_key.sign(text, _PSS, hashes.SHA256())
        return self._private_key.sign(text)


def _fingerprint(private_key: PrivateKey) -> str:
    public = private_key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return "SHA256:" + hashlib.sha256(public).hexdigest()[:16]


@lru_cache(maxsize=4)
def _load(path: Path, modified_ns: int, size: int, setting: str) -> PrivateKey:  # A changed key file is loaded again.
    pem = path.read_bytes()
    _refuse_other_pem(path, setting, pem)
    failure = ""
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except TypeError:
        failure = "is encrypted with a password"
    except (ValueError, UnsupportedAlgorithm):
        failure = "is not a readable private key"
    # The error is raised outside the except block, so that no parser error stays attached to it.
    if failure:
        _refuse(path, setting, failure, _NEW_KEY)
    if not isinstance(key, PrivateKey):
        _refuse(
            path, setting, f"holds a key of the wrong type ({type(key).__name__})", "Use an RSA or Ed25519 private key."
        )
    return key


def _warn_of_exposure(path: Path, setting: str) -> None:
    """Warn if others can read or change a key file. This never raises an error, because stopping must not need it."""
    with suppress(OSError):
        exposure = exposure_of(path)
        if exposure is not None:
            logger.warning("The private key file %s of %s %s. %s", path, setting, exposure.how, exposure.remedy)


def _refuse_other_pem(path: Path, setting: str, pem: bytes) -> None:
    if b"-----BEGIN " not in pem:
        _refuse(path, setting, "is not a PEM file", "It must begin with a line like -----BEGIN PRIVATE KEY-----.")
    if b"PRIVATE KEY-----" not in pem:
        held = "a certificate" if b"CERTIFICATE-----" in pem else "no private key"
        _refuse(path, setting, f"holds {held}", _NEW_KEY)
    if b"ENCRYPTED" in pem:
        _refuse(path, setting, "is encrypted with a password", "Remove the password, or create a new key without one.")


def _refuse_key_as_path(path: Path, setting: str) -> None:
    text = str(path)
    if "PRIVATE KEY" in text or "\n" in text or max(map(len, path.parts), default=0) > _LONGEST_FILE_NAME:
        raise UnusableKey(
            f"{setting} holds a private key instead of the path of a file.",
            "Consider this key exposed. Save a new key in a file that only you can read, and set the variable to its "
            "path.",
        )


def _refuse(path: Path, setting: str, what: str, remedy: str) -> NoReturn:
    raise UnusableKey(f"The private key file {path} of {setting} {what}.", remedy)
