"""Expected failures become one sentence in the run log; anything else keeps its traceback."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import dagster as dg

from kalshi_pipelines.execution.executor.session import SessionRefused
from kalshi_pipelines.execution.inbox.proposals import InvalidProposals
from kalshi_pipelines.execution.journal.errors import (
    JournalOfAnotherEnvironment,
    JournalOutdated,
    JournalRefused,
    JournalRestored,
    JournalUnavailable,
)
from kalshi_pipelines.execution.service.kill_switch import NothingCanceled
from kalshi_pipelines.kalshi.errors import KalshiError
from kalshi_pipelines.news.errors import NewsFailed
from kalshi_pipelines.sandbox.process import SandboxDidNotStart
from kalshi_pipelines.settings import InvalidSettings
from kalshi_pipelines.warehouse.adoption.adopt import AdoptionFailed
from kalshi_pipelines.warehouse.backup import BackupFailed
from kalshi_pipelines.warehouse.engine import WarehouseUnavailable
from kalshi_pipelines.warehouse.environment import WarehouseOfAnotherEnvironment
from kalshi_pipelines.warehouse.inspection import CanNotBeUpgraded
from kalshi_pipelines.warehouse.locks import AlreadyRunning
from kalshi_pipelines.warehouse.migrations import SchemaNotAtHead
from kalshi_pipelines.warehouse.upgrade import RowsWouldBeLost

_EXPECTED: Final = (
    AdoptionFailed,
    AlreadyRunning,
    BackupFailed,
    CanNotBeUpgraded,
    InvalidProposals,
    InvalidSettings,
    JournalOfAnotherEnvironment,
    JournalOutdated,
    JournalRefused,
    JournalRestored,
    JournalUnavailable,
    KalshiError,
    NewsFailed,
    NothingCanceled,
    RowsWouldBeLost,
    SandboxDidNotStart,
    SchemaNotAtHead,
    SessionRefused,
    WarehouseOfAnotherEnvironment,
    WarehouseUnavailable,
)


@contextmanager
def one_sentence(log: dg.DagsterLogManager) -> Iterator[None]:
    """Report an expected failure as its sentence, which names the remedy, and fail the step with it."""
    try:
        yield
    except _EXPECTED as error:
        log.error(str(error))  # noqa: TRY400  # the sentence is what to read; where it was raised is no help
        raise dg.Failure(description=str(error)) from None
