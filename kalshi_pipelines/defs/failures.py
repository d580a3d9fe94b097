"""How failures show in Dagster: an expected failure shows its message, and any other failure shows its traceback."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from kalshi_pipelines.errors import ExpectedError


@contextmanager
def report_expected_failures(log: dg.DagsterLogManager) -> Iterator[None]:
    """If the block raises an expected failure, log its message, which names the remedy, and fail the step.

    A retry policy repeats the step only if the same work can succeed later without any change.

    Raises:
        dagster.Failure: The block raised an ``ExpectedError``.
    """
    try:
        yield
    except ExpectedError as error:
        log.error(str(error))  # noqa: TRY400  # the message is complete; a traceback would hide it
        raise dg.Failure(description=str(error), allow_retries=error.retryable) from None
