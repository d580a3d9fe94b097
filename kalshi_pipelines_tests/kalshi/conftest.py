import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
import stamina
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

from kalshi_pipelines.kalshi.client import KalshiClient
from kalshi_pipelines.kalshi.rate_budget import Bucket, BucketLaw, RateBudget
from kalshi_pipelines.kalshi.signing import PrivateKey, Signer
from kalshi_pipelines.kalshi.transport import Patience, Transport
from kalshi_pipelines_tests.support.checkout import RECORDINGS

BASE_URL = "http://127.0.0.1:9/trade-api/v2"
PLENTY = {bucket: BucketLaw(1_000_000, 10_000_000) for bucket in Bucket}

Answer = Callable[[httpx.Request], httpx.Response]
Connect = Callable[..., Transport]


def pem_of(
    key: PrivateKey | EllipticCurvePrivateKey, form: serialization.PrivateFormat = serialization.PrivateFormat.PKCS8
) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def recording(name: str) -> bytes:
    path = RECORDINGS / name
    if not path.is_file():
        pytest.skip(f"the recorded response {name} is not on this machine")
    return path.read_bytes()


def recorded_rows(list_key: str, shape: str) -> list[tuple[str, bytes]]:
    """The rows of one kind in every recording of a period, wherever they stand, each with the name of its file."""
    rows = []
    for entry in json.loads(recording("index.json")):
        if entry["http_status"] == 200 and entry["file"].startswith(shape) and entry["endpoint"].startswith("GET "):
            document = json.loads(recording(entry["file"]))
            listed = document.get(list_key)
            found = [listed, document.get(list_key.removesuffix("s")), *(listed if isinstance(listed, list) else [])]
            found += [row for event in document.get("events", []) for row in event.get(list_key, [])]
            rows += [(entry["file"], json.dumps(row).encode()) for row in found if _is_row(list_key, row)]
    return rows


def _is_row(list_key: str, row: Any) -> bool:
    marks = {"markets": "rules_primary", "events": "mutually_exclusive", "series": "fee_type", "orderbooks": "ticker"}
    return isinstance(row, dict) and marks[list_key] in row


@pytest.fixture(autouse=True)
def _no_waiting_between_attempts() -> Iterator[None]:
    stamina.set_testing(True, attempts=5, cap=True)
    yield
    stamina.set_testing(False)


@pytest.fixture(scope="session")
def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture(scope="session")
def ed25519_key() -> ed25519.Ed25519PrivateKey:
    return ed25519.Ed25519PrivateKey.generate()


@pytest.fixture(params=["rsa", "ed25519"])
def private_key(
    request: pytest.FixtureRequest, rsa_key: rsa.RSAPrivateKey, ed25519_key: ed25519.Ed25519PrivateKey
) -> PrivateKey:
    return rsa_key if request.param == "rsa" else ed25519_key


@pytest.fixture
def connect(sqlite_engine: sa.Engine) -> Iterator[Connect]:
    """Makes transports whose network is a function from request to response."""
    opened: list[Transport] = []

    def make(answer: Answer, *, signer: Signer | None = None, patience: Patience | None = None) -> Transport:
        budget = RateBudget(sqlite_engine, "test", PLENTY)
        opened.append(
            Transport(
                BASE_URL,
                budget,
                signer=signer,
                patience=patience or Patience(),
                network=httpx.MockTransport(answer),
            )
        )
        return opened[-1]

    yield make
    for transport in opened:
        transport.close()


@pytest.fixture
def client_of(connect: Connect) -> Callable[[Answer], KalshiClient]:
    return lambda answer: KalshiClient(connect(answer))
