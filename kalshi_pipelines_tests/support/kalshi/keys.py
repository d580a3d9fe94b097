"""Private keys as the text of a key file, and the verification of signatures."""

import base64

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

from kalshi_pipelines.kalshi.signing import PrivateKey


def pem_of(
    key: PrivateKey | EllipticCurvePrivateKey, form: serialization.PrivateFormat = serialization.PrivateFormat.PKCS8
) -> bytes:
    """Return a private key as unencrypted PEM text."""
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def verify(key: PrivateKey, signature: str, text: str) -> None:
    """Raise InvalidSignature unless the key has signed the text."""
    raw, public = base64.b64decode(signature), key.public_key()
    if isinstance(public, rsa.RSAPublicKey):
        pss = padding.PSS(padding.MGF1(hashes.SHA256()), salt_length=32)
        public.verify(raw, text.encode(), pss, hashes.SHA256())
    else:
        public.verify(raw, text.encode())
