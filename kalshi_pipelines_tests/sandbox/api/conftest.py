"""Fixtures of the API tests: a sandbox without simulated traders, two members, and a market they can trade in."""

from collections.abc import Iterator

import pytest

from kalshi_pipelines_tests.support.sandbox.local_sandbox import LocalSandbox, local_sandbox
from kalshi_pipelines_tests.support.sandbox.signed_member import QUIET, SignedMember, tickers


@pytest.fixture
def sandbox() -> Iterator[LocalSandbox]:
    local = local_sandbox(QUIET)
    with local.client:
        yield local


@pytest.fixture
def me(sandbox: LocalSandbox) -> SignedMember:
    return SignedMember(sandbox)


@pytest.fixture
def other(sandbox: LocalSandbox) -> SignedMember:
    return SignedMember(sandbox, "other")


@pytest.fixture
def ticker(sandbox: LocalSandbox) -> str:
    return tickers(sandbox)[0]
