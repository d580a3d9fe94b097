from collections.abc import Callable, Iterator

import pytest
import sqlalchemy as sa
import stamina
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from kalshi_pipelines.kalshi.client import KalshiClient
from kalshi_pipelines.kalshi.signing import PrivateKey, Signer
from kalshi_pipelines.kalshi.transport import Patience, Transport
from kalshi_pipelines_tests.support.kalshi.transports import Answer, Connect, scripted_transport


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
    opened: list[Transport] = []

    def make(answer: Answer, *, signer: Signer | None = None, patience: Patience | None = None) -> Transport:
        opened.append(scripted_transport(sqlite_engine, answer, signer=signer, patience=patience))
        return opened[-1]

    yield make
    for transport in opened:
        transport.close()


@pytest.fixture
def client_of(connect: Connect) -> Callable[[Answer], KalshiClient]:
    return lambda answer: KalshiClient(connect(answer))
