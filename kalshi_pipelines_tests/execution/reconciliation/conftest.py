"""A member of the sandbox for every test of reconciliation."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from kalshi_pipelines.sandbox.process import SandboxProcess
from kalshi_pipelines_tests.support.execution.member_reconciler import new_member
from kalshi_pipelines_tests.support.execution.sandbox_member import SandboxMember


@pytest.fixture
def member(sandbox: SandboxProcess, tmp_path: Path) -> Iterator[SandboxMember]:
    """A new member of the module's sandbox, with an empty account."""
    with ExitStack() as stack:
        yield new_member(sandbox, tmp_path, stack)
