"""Expected failures become one sentence in the run log; anything else keeps its traceback."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from kalshi_pipelines.errors import ExpectedError


@contextmanager
def report_expected_failures(log: dg.DagsterLogManager) -> Iterator[None]:
    """Report an expected failure as its sentence, which names the remedy, and fail the step with it.

    The step is tried again only if the same work can succeed later without anybody changing anything.

    Raises:
        dagster.Failure: An ``ExpectedError`` was raised inside.
    """
    try:
        yield
    except ExpectedError as error:
        log.error(str(error))  # noqa: TRY400  # the sentence is what to read; where it was raised is no help
        raise dg.Failure(description=str(error), allow_retries=error.retryable) from None
