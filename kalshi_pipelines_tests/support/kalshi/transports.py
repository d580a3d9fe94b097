"""Transports whose network is a function from request to response."""

from collections.abc import Callable

import httpx
import sqlalchemy as sa

from kalshi_pipelines.kalshi.rate_budget import Bucket, BucketRate, RateBudget
from kalshi_pipelines.kalshi.signing import Signer
from kalshi_pipelines.kalshi.transport import Patience, Transport

BASE_URL = "http://127.0.0.1:9/trade-api/v2"
PLENTY = {bucket: BucketRate(1_000_000, 10_000_000) for bucket in Bucket}

Answer = Callable[[httpx.Request], httpx.Response]
Connect = Callable[..., Transport]


def scripted_transport(
    engine: sa.Engine, answer: Answer, *, signer: Signer | None = None, patience: Patience | None = None
) -> Transport:
    """Return a transport that gets its responses from a function and never waits for its rate budget."""
    return Transport(
        BASE_URL,
        RateBudget(engine, "test", PLENTY),
        signer=signer,
        patience=patience or Patience(),
        network=httpx.MockTransport(answer),
    )
