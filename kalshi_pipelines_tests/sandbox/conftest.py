"""Fixtures of the sandbox tests: one event loop, and a small exchange inside the test process."""

from collections.abc import Iterator

import pytest

from kalshi_pipelines_tests.support.sandbox.local_sandbox import EVENT_LOOP, SMALL, LocalSandbox, local_sandbox


@pytest.fixture(scope="session", autouse=True)
def _one_loop_for_all() -> Iterator[None]:
    with EVENT_LOOP:
        yield


@pytest.fixture
def sandbox() -> Iterator[LocalSandbox]:
    local = local_sandbox(SMALL)
    with local.client:
        yield local
