"""Private keys as the text that a key file holds."""

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

from kalshi_pipelines.kalshi.signing import PrivateKey


def pem_of(
    key: PrivateKey | EllipticCurvePrivateKey, form: serialization.PrivateFormat = serialization.PrivateFormat.PKCS8
) -> bytes:
    """Return a private key as unencrypted PEM text."""
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
