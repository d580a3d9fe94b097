"""Fixtures for tests that open Dagster instances of their own."""

from collections.abc import Iterator

import pytest
from dagster._core.storage.defs_state.base import set_defs_state_storage


@pytest.fixture(autouse=True)
def _forget_instances() -> Iterator[None]:
    """Make Dagster forget the instances of a test.

    An instance that is entered twice, as ``dg.materialize`` does, is never left completely (Dagster 1.13.27). Later
    tests of the same process would then look for a closed instance.
    """
    with set_defs_state_storage(None):
        yield
