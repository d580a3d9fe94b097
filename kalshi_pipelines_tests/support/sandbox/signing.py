"""Signed requests with an API key that a test creates or provides."""

import base64
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field

import httpx
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa

PrivateKey = rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


def clock_ms() -> int:
    """Return the time of the computer's clock in milliseconds since 1970 UTC."""
    return time.time_ns() // 1_000_000


@dataclass
class RequestSigner(httpx.Auth):
    """Signer of requests with a given key or a new Ed25519 key. ``now_ms`` returns the time that is signed."""

    key_id: str
    key: PrivateKey = field(default_factory=ed25519.Ed25519PrivateKey.generate)
    now_ms: Callable[[], int] = clock_ms

    @property
    def public_pem(self) -> str:
        """The public part of the signer's key as PEM text."""
        public = self.key.public_key()
        return public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()

    def headers(self, method: str, path: str) -> dict[str, str]:
        """Return the three authentication headers for a request. The path is given without its query."""
        timestamp = self.now_ms()
        text = f"{timestamp}{method}{path}".encode()
        if isinstance(self.key, ed25519.Ed25519PrivateKey):
            signature = self.key.sign(text)
        else:
            pss = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH)
            signature = self.key.sign(text, pss, hashes.SHA256())
        return {
            "KALSHI-ACCESS-KEY": self.key_id,
            "KALSHI-ACCESS-TIMESTAMP": str(timestamp),
            "KALSHI-ACCESS-SIGNATURE": base64.b64encode(signature).decode(),
        }

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Add the authentication headers to a request of httpx."""
        path = request.url.raw_path.partition(b"?")[0].decode()
        request.headers.update(self.headers(request.method, path))
        yield request
