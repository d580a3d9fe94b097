"""How failures show in Dagster: an expected failure as its message, any other with its traceback."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from kalshi_pipelines.errors import ExpectedError


@contextmanager
def report_expected_failures(log: dg.DagsterLogManager) -> Iterator[None]:
    """Log the message of an expected failure in the block, and fail the step. The message names the remedy.

    A retry policy repeats the step only if the same work can succeed later without any change.

    Raises:
        dagster.Failure: The block raised an ``ExpectedError``.
    """
    try:
        yield
    except ExpectedError as error:
        log.error(str(error))  # noqa: TRY400  # the message is complete; a traceback would hide it
        raise dg.Failure(description=str(error), allow_retries=error.retryable) from None
